-- SPDX-License-Identifier: MIT OR Apache-2.0
--
-- The twin of cut.lua with a plain mmap(2), for LuaJIT: luajit plain_mmap.lua PATH. The process must be killed.

local ffi = require "ffi"

ffi.cdef [[
  int open(const char *path, int flags, ...);
  void *mmap(void *address, size_t length, int protection, int flags, int fd, int64_t offset);
]]

local path, SIZE, REST = arg[1], 1048576, 65536 + 100
local O_RDONLY, PROT_READ, MAP_SHARED = 0, 1, 1

local file = assert(io.open(path, "wb"))
assert(file:write((("x"):rep(SIZE))))
file:close()
local address = ffi.C.mmap(nil, SIZE, PROT_READ, MAP_SHARED, ffi.C.open(path, O_RDONLY), 0)
assert(address ~= ffi.cast("void *", -1), "mmap failed")
local bytes = ffi.cast("const uint8_t *", address)
assert(bytes[SIZE - 1] == 120)
file = assert(io.open(path, "wb"))
assert(file:write((("x"):rep(REST))))
file:close()
print("reading")
io.stdout:flush()
local sum = 0
for i = 0, SIZE - 1 do sum = sum + bytes[i] end
print("alive", sum)
