# SPDX-License-Identifier: MIT OR Apache-2.0
# The cases in Ruby, over Fiddle.
require "fiddle/import"

LIBRARY = ARGV.shift

module Mmg
  extend Fiddle::Importer
  dlload LIBRARY
  typealias "uint64_t", "unsigned long long"
  typealias "uint32_t", "unsigned int"
  typealias "int32_t", "int"

  Options = struct ["uint32_t struct_size", "uint32_t backing", "uint32_t guarantee", "uint32_t lock",
                    "uint32_t lock_wait_ms", "uint32_t access", "uint64_t flags", "uint64_t offset", "uint64_t length",
                    "uint64_t copy_threshold", "uint64_t max_bytes", "uint64_t max_snapshot_bytes",
                    "uint32_t max_leases", "uint32_t max_lease_wait_ms", "uint32_t stream_wait_ms", "uint32_t reserved"]
  Error = struct ["uint32_t struct_size", "int32_t status", "int32_t os_code", "uint32_t reserved", "uint64_t offset",
                  "char operation[24]", "char message[464]"]
  Info = struct ["uint32_t struct_size", "uint32_t backing", "uint32_t backing_reason", "uint32_t guarantee",
                 "uint32_t means", "uint32_t shortfall", "uint32_t lock", "int32_t fault_cause", "uint64_t size",
                 "uint64_t file[6]", "uint32_t nanoseconds[2]", "uint64_t faults", "uint64_t fault_offset",
                 "uint64_t rest[10]"]
  Span = struct ["void *data", "uint64_t size", "uint64_t pin"]

  extern "int32_t mmg_open(const char *, void *, void *, void *)"
  extern "int32_t mmg_close(uint64_t, uint32_t)"
  extern "int32_t mmg_pin(uint64_t, uint64_t, uint64_t, void *)"
  extern "int32_t mmg_unpin(void *)"
  extern "int32_t mmg_read(uint64_t, uint64_t, void *, uint64_t, void *)"
  extern "int32_t mmg_find(uint64_t, uint64_t, uint64_t, void *, uint64_t, void *)"
  extern "int32_t mmg_info_get(uint64_t, void *)"
  extern "const char *mmg_status_name(int32_t)"
  extern "const char *mmg_term(uint32_t, uint32_t)"

  TO_END = 2**64 - 1
  OK = 0
  STABLE = 2
  TERM_BACKING = 1

  def self.fresh(type)
    made = type.malloc(Fiddle::RUBY_FREE)
    made.to_ptr[0, type.size] = "\0" * type.size
    made.struct_size = type.size if type.members.include?("struct_size")
    made
  end

  def self.name(status) = mmg_status_name(status).to_s
end

def ready
  puts "ready"
  $stdout.flush
  $stdin.gets
end

def run(what, path)
  options, error, info, span = [Mmg::Options, Mmg::Error, Mmg::Info, Mmg::Span].map { |type| Mmg.fresh(type) }
  number = Fiddle::Pointer.malloc(8, Fiddle::RUBY_FREE)
  value = -> { number[0, 8].unpack1("Q") }
  options.guarantee = Mmg::STABLE if what == "stable"
  status = Mmg.mmg_open(path, options, number, error)
  return "error #{Mmg.name(status)} #{(error.to_ptr + 48).to_s}" unless status == Mmg::OK

  file = value.call
  Mmg.mmg_info_get(file, info)
  total = -> { Fiddle::Pointer.new(span.data.to_i)[0, span.size].sum(32) }
  case what
  when "open" then return "ok #{info.size}"
  when "info" then return "ok #{info.size} #{Mmg.mmg_term(Mmg::TERM_BACKING, info.backing)}"
  when "read"
    buffer = Fiddle::Pointer.malloc(16, Fiddle::RUBY_FREE)
    Mmg.mmg_read(file, 5, buffer, 16, number)
    return "ok #{buffer[0, value.call].unpack1("H*")}"
  when "find"
    Mmg.mmg_find(file, 0, Mmg::TO_END, "NEEDLE", 6, number)
    return "ok #{value.call}"
  when "close"
    return "ok #{Mmg.name(Mmg.mmg_close(file, 0))} #{Mmg.name(Mmg.mmg_close(file, 0))}"
  when "use-after-close"
    Mmg.mmg_close(file, 0)
    return "error #{Mmg.name(Mmg.mmg_pin(file, 0, Mmg::TO_END, span))}"
  end

  Mmg.mmg_pin(file, 0, Mmg::TO_END, span)
  case what
  when "pin" then return "ok #{total.call}"
  when "empty" then return "#{span.data.null? ? "null" : "ok"} #{span.size}"
  when "unpin" then return "ok #{Mmg.name(Mmg.mmg_unpin(span))} #{Mmg.name(Mmg.mmg_unpin(span))}"
  when "stable"
    before = total.call
    ready
    return total.call == before ? "ok same" : "ok other"
  end
  ready
  total.call
  status = Mmg.mmg_unpin(span)
  Mmg.mmg_info_get(file, info)
  return "error #{Mmg.name(status)} #{info.fault_offset}" if what == "truncated"

  heard = nil
  trap("USR1") { heard = :USR1 }
  ready
  heard == :USR1 ? "ok handled" : "ok unheard"
end

puts run(*ARGV)
