<?php
// SPDX-License-Identifier: MIT OR Apache-2.0
// The cases in PHP, over its FFI, which takes the declarations from the header unchanged.
$header = file_get_contents($argv[1]);
preg_match('~MMG_CDEF_BEGIN \*/(.*?)/\* MMG_CDEF_END~s', $header, $section);
$mg = FFI::cdef($section[1], $argv[2]);

const TO_END = -1; // 2^64 - 1 in PHP's integers

function sum(FFI\CData $span): int
{
    // The bytes are copied in pieces, each into a string of its own.
    $total = 0;
    for ($at = 0; $at < $span->size; $at += 65536) {
        $piece = FFI::string($span->data + $at, min(65536, $span->size - $at));
        foreach (count_chars($piece, 1) as $byte => $count) {
            $total += $byte * $count;
        }
    }
    return $total % 2 ** 32;
}

function ready(): void
{
    echo "ready\n";
    fgets(STDIN);
}

function sized(FFI $mg, string $type): FFI\CData
{
    $made = $mg->new($type);
    $made->struct_size = FFI::sizeof($made);
    return $made;
}

function run(FFI $mg, string $what, string $path): string
{
    $name = fn (int $status): string => $mg->mmg_status_name($status);
    [$options, $error, $info] = [sized($mg, 'mmg_options'), sized($mg, 'mmg_error'), sized($mg, 'mmg_info')];
    [$span, $handle, $number] = [$mg->new('mmg_span'), $mg->new('mmg_handle'), $mg->new('uint64_t')];
    if ($what === 'stable') {
        $options->guarantee = $mg->MMG_GUARANTEE_STABLE;
    }
    $status = $mg->mmg_open($path, FFI::addr($options), FFI::addr($handle), FFI::addr($error));
    if ($status !== 0) {
        return "error {$name($status)} " . FFI::string($error->message);
    }
    $file = $handle->cdata;
    $mg->mmg_info_get($file, FFI::addr($info));
    switch ($what) {
        case 'open':
            return "ok $info->size";
        case 'info':
            return "ok $info->size " . $mg->mmg_term($mg->MMG_TERM_BACKING, $info->backing);
        case 'read':
            $buffer = $mg->new('uint8_t[16]');
            $mg->mmg_read($file, 5, $buffer, 16, FFI::addr($number));
            return 'ok ' . bin2hex(FFI::string($buffer, $number->cdata));
        case 'find':
            $needle = $mg->new('char[6]');
            FFI::memcpy($needle, 'NEEDLE', 6);
            $mg->mmg_find($file, 0, TO_END, $needle, 6, FFI::addr($number));
            return "ok $number->cdata";
        case 'close':
            return "ok {$name($mg->mmg_close($file, 0))} {$name($mg->mmg_close($file, 0))}";
        case 'use-after-close':
            $mg->mmg_close($file, 0);
            return "error {$name($mg->mmg_pin($file, 0, TO_END, FFI::addr($span)))}";
    }
    $mg->mmg_pin($file, 0, TO_END, FFI::addr($span));
    switch ($what) {
        case 'pin':
            return 'ok ' . sum($span);
        case 'empty':
            return (FFI::isNull($span->data) ? 'null' : 'ok') . " $span->size";
        case 'unpin':
            return "ok {$name($mg->mmg_unpin(FFI::addr($span)))} {$name($mg->mmg_unpin(FFI::addr($span)))}";
        case 'stable':
            $before = sum($span);
            ready();
            return sum($span) === $before ? 'ok same' : 'ok other';
    }
    ready();
    sum($span);
    $status = $mg->mmg_unpin(FFI::addr($span));
    $mg->mmg_info_get($file, FFI::addr($info));
    if ($what === 'truncated') {
        return "error {$name($status)} $info->fault_offset";
    }
    $heard = null;
    pcntl_async_signals(true);
    pcntl_signal(SIGUSR1, function (int $number) use (&$heard): void {
        $heard = $number;
    });
    ready();
    return $heard === SIGUSR1 ? 'ok handled' : 'ok unheard';
}

echo run($mg, $argv[3], $argv[4]), "\n";
