# SPDX-License-Identifier: MIT OR Apache-2.0
# The cases in Perl, over FFI::Platypus.
use strict;
use warnings;
use FFI::Platypus 2.00;
use FFI::Platypus::Buffer qw(scalar_to_buffer);

package Options {
    use FFI::Platypus::Record;
    record_layout_1(
        map({ (uint32 => $_) } qw(struct_size backing guarantee lock lock_wait_ms access)),
        map({ (uint64 => $_) } qw(flags offset length copy_threshold max_bytes max_snapshot_bytes)),
        map({ (uint32 => $_) } qw(max_leases max_lease_wait_ms stream_wait_ms reserved)));
}

package Error {
    use FFI::Platypus::Record;
    record_layout_1(
        uint32 => 'struct_size', sint32 => 'status', sint32 => 'os_code', uint32 => 'reserved', uint64 => 'offset',
        'string(24)' => 'operation', 'string(464)' => 'message');
}

package Info {
    use FFI::Platypus::Record;
    record_layout_1(
        map({ (uint32 => $_) } qw(struct_size backing backing_reason guarantee means shortfall lock)),
        sint32 => 'fault_cause',
        map({ (uint64 => $_) } qw(size offset file_size device inode mtime_seconds ctime_seconds)),
        map({ (uint32 => $_) } qw(mtime_nanoseconds ctime_nanoseconds)),
        map({ (uint64 => $_) } qw(faults fault_offset pins mapped_bytes heap_bytes)),
        sint32 => 'lock_error', sint32 => 'os_error', uint64 => 'page_size',
        uint32 => 'lock_reason', uint32 => 'exceptions', uint64 => 'means_order', 'string(24)' => 'file_system');
}

package Span {
    use FFI::Platypus::Record;
    record_layout_1(opaque => 'data', uint64 => 'size', uint64 => 'pin');
}

package main;

use constant { TO_END => ~0, STABLE => 2, TERM_BACKING => 1 };

my ($library, $what, $path) = @ARGV;
my $ffi = FFI::Platypus->new(api => 2, lib => $library);
$ffi->type("record($_)*" => lc $_) for qw(Options Error Info Span);
$ffi->attach(mmg_open        => [qw(string options uint64* error)]              => 'sint32');
$ffi->attach(mmg_close       => [qw(uint64 uint32)]                             => 'sint32');
$ffi->attach(mmg_pin         => [qw(uint64 uint64 uint64 span)]                 => 'sint32');
$ffi->attach(mmg_unpin       => [qw(span)]                                      => 'sint32');
$ffi->attach(mmg_read        => [qw(uint64 uint64 opaque uint64 uint64*)]       => 'sint32');
$ffi->attach(mmg_find        => [qw(uint64 uint64 uint64 string uint64 uint64*)] => 'sint32');
$ffi->attach(mmg_info_get    => [qw(uint64 info)]                               => 'sint32');
$ffi->attach(mmg_status_name => ['sint32']                                      => 'string');
$ffi->attach(mmg_term        => [qw(uint32 uint32)]                             => 'string');

sub ready {
    local $| = 1;
    print "ready\n";
    <STDIN>;
}

sub name { mmg_status_name($_[0]) }

# Returns the sum of the bytes of a span. unpack reads them in place.
sub total {
    my ($span) = @_;
    return unpack('%32C*', unpack('P' . $span->size, pack('J', $span->data)));
}

sub run {
    my $options = Options->new(struct_size => 88, guarantee => $what eq 'stable' ? STABLE : 0);
    my $error   = Error->new(struct_size => 512);
    my $info    = Info->new(struct_size => 192);
    my $span    = Span->new;
    my $status  = mmg_open($path, $options, \my $file, $error);
    return 'error ' . name($status) . ' ' . $error->message if $status;
    mmg_info_get($file, $info);
    return 'ok ' . $info->size if $what eq 'open';
    return 'ok ' . $info->size . ' ' . mmg_term(TERM_BACKING, $info->backing) if $what eq 'info';
    if ($what eq 'read') {
        my ($pointer) = scalar_to_buffer(my $buffer = "\0" x 16);
        mmg_read($file, 5, $pointer, 16, \my $got);
        return 'ok ' . unpack 'H*', substr $buffer, 0, $got;
    }
    if ($what eq 'find') {
        mmg_find($file, 0, TO_END, 'NEEDLE', 6, \my $position);
        return "ok $position";
    }
    return 'ok ' . join ' ', map { name(mmg_close($file, 0)) } 1, 2 if $what eq 'close';
    if ($what eq 'use-after-close') {
        mmg_close($file, 0);
        return 'error ' . name(mmg_pin($file, 0, TO_END, $span));
    }
    mmg_pin($file, 0, TO_END, $span);
    return 'ok ' . total($span) if $what eq 'pin';
    return (defined $span->data ? 'ok ' : 'null ') . $span->size if $what eq 'empty';
    return 'ok ' . join ' ', map { name(mmg_unpin($span)) } 1, 2 if $what eq 'unpin';
    if ($what eq 'stable') {
        my $before = total($span);
        ready();
        return total($span) == $before ? 'ok same' : 'ok other';
    }
    ready();
    total($span);
    $status = mmg_unpin($span);
    mmg_info_get($file, $info);
    return 'error ' . name($status) . ' ' . $info->fault_offset if $what eq 'truncated';
    my $heard = '';
    local $SIG{USR1} = sub { $heard = $_[0] };
    ready();
    return $heard eq 'USR1' ? 'ok handled' : 'ok unheard';
}

print run(), "\n";
