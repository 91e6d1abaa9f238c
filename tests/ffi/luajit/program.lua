-- SPDX-License-Identifier: MIT OR Apache-2.0 The cases in LuaJIT: ffi.cdef takes the declarations from the header
-- unchanged.
local ffi = require "ffi"
local header = assert(io.open(arg[1])):read("*a")
ffi.cdef(header:match("MMG_CDEF_BEGIN %*/(.-)/%* MMG_CDEF_END"))
ffi.cdef [[
int open(const char *path, int flags);
long lseek(int fd, long offset, int whence);
void *mmap(void *address, size_t length, int protection, int flags, int fd, long offset);
typedef struct { unsigned long bits[16]; } signal_set;
int sigemptyset(signal_set *set);
int sigaddset(signal_set *set, int number);
int sigprocmask(int how, const signal_set *set, signal_set *old);
int sigwait(const signal_set *set, int *number);
]]
local C, mg = ffi.C, ffi.load(arg[2])
local TO_END, SIGUSR1 = 0xFFFFFFFFFFFFFFFFull, 10

local function name(status) return ffi.string(mg.mmg_status_name(status)) end

local function sum(bytes, size)
  local total = 0
  for i = 0, tonumber(size) - 1 do total = total + bytes[i] end
  return total % 2 ^ 32
end

local function ready()
  print "ready"
  io.stdout:flush()
  io.read()
end

local function twin(path, guarded)
  local fd = C.open(path, 0)
  local size = C.lseek(fd, 0, 2)
  local bytes = ffi.cast("const uint8_t *", C.mmap(nil, size, 1, 1, fd, 0))
  if guarded and mg.mmg_guard_process(C.MMG_SCOPE_FILES, 0) ~= C.MMG_OK then return "error" end
  ready()
  local total = sum(bytes, size)
  if not guarded then return ("ok %d"):format(total) end
  local count, losses = ffi.new("uint64_t[1]"), ffi.new("uint64_t[1]")
  mg.mmg_losses_get(0, nil, 0, count, losses)
  return ("ok %d %d"):format(total, tonumber(losses[0]))
end

-- Lua has no signal handlers; a program that wants signals waits for them.
local function hear()
  local set, number = ffi.new("signal_set"), ffi.new("int[1]")
  C.sigemptyset(set)
  C.sigaddset(set, SIGUSR1)
  C.sigprocmask(0, set, nil)
  ready()
  C.sigwait(set, number)
  return number[0] == SIGUSR1 and "ok handled" or "ok unheard"
end

local function run(what, path)
  if what == "twin" or what == "guarded" then return twin(path, what == "guarded") end
  local options = ffi.new("mmg_options", { struct_size = ffi.sizeof("mmg_options") })
  if what == "stable" then options.guarantee = C.MMG_GUARANTEE_STABLE end
  local failure = ffi.new("mmg_error", { struct_size = ffi.sizeof("mmg_error") })
  local info = ffi.new("mmg_info", { struct_size = ffi.sizeof("mmg_info") })
  local handle, span, number = ffi.new("mmg_handle[1]"), ffi.new("mmg_span"), ffi.new("uint64_t[1]")
  local status = mg.mmg_open(path, options, handle, failure)
  if status ~= C.MMG_OK then return ("error %s %s"):format(name(status), ffi.string(failure.message)) end
  local file = handle[0]
  mg.mmg_info_get(file, info)
  if what == "open" then return ("ok %d"):format(tonumber(info.size)) end
  if what == "info" then
    return ("ok %d %s"):format(tonumber(info.size), ffi.string(mg.mmg_term(C.MMG_TERM_BACKING, info.backing)))
  end
  if what == "read" then
    local buffer = ffi.new("uint8_t[16]")
    mg.mmg_read(file, 5, buffer, 16, number)
    local hex = ffi.string(buffer, tonumber(number[0])):gsub(".", function(c) return ("%02x"):format(c:byte()) end)
    return "ok " .. hex
  end
  if what == "find" then
    mg.mmg_find(file, 0, TO_END, "NEEDLE", 6, number)
    return ("ok %d"):format(tonumber(number[0]))
  end
  if what == "close" then
    local first = mg.mmg_close(file, 0)
    return ("ok %s %s"):format(name(first), name(mg.mmg_close(file, 0)))
  end
  if what == "use-after-close" then
    mg.mmg_close(file, 0)
    return "error " .. name(mg.mmg_pin(file, 0, TO_END, span))
  end
  mg.mmg_pin(file, 0, TO_END, span)
  if what == "pin" then return ("ok %d"):format(sum(span.data, span.size)) end
  if what == "empty" then return (span.data ~= nil and "ok " or "null ") .. tonumber(span.size) end
  if what == "unpin" then
    local first = mg.mmg_unpin(span)
    return ("ok %s %s"):format(name(first), name(mg.mmg_unpin(span)))
  end
  if what == "stable" then
    local before = sum(span.data, span.size)
    ready()
    return sum(span.data, span.size) == before and "ok same" or "ok other"
  end
  ready()
  sum(span.data, span.size)
  status = mg.mmg_unpin(span)
  if what == "signals" then return hear() end
  mg.mmg_info_get(file, info)
  return ("error %s %d"):format(name(status), tonumber(info.fault_offset))
end

print(run(arg[3], arg[4]))
