-- SPDX-License-Identifier: MIT OR Apache-2.0
--
-- The consumer for LuaJIT: a program that reads its declarations from a recorded header, unchanged. usage:
-- consumer.lua HEADER LIBRARY FILE. The program writes FILE. It prints nothing when all is well.

local ffi = require "ffi"

local header = assert(io.open(arg[1])):read("*a")
ffi.cdef(header:match("/%* MMG_CDEF_BEGIN %*/(.-)/%* MMG_CDEF_END %*/"))
local version = tonumber(header:match("#define MMG_ABI UINT32_C%((0x%x+)%)"))
local library, C = ffi.load(arg[2]), ffi.C
local TO_END = 0xFFFFFFFFFFFFFFFFULL
local SIZE = 300000 -- above the copy threshold: mapped

local function sized(name)
    local made = ffi.new(name)
    made.struct_size = ffi.sizeof(name)
    return made
end

local bytes = {}
for at = 0, SIZE - 1 do
    bytes[at + 1] = string.char((at * 31 + math.floor(at / 251)) % 256)
end
local data = table.concat(bytes)
local file = assert(io.open(arg[3], "wb"))
file:write(data)
file:close()

local now = library.mmg_abi_version()
assert(now >= version and math.floor(now / 65536) == math.floor(version / 65536), "ABI version")
assert(ffi.string(library.mmg_status_name(C.MMG_E_RANGE)) == "MMG_E_RANGE")
assert(ffi.string(library.mmg_term(C.MMG_TERM_BACKING, C.MMG_BACKING_COPY)) == "copy")

local stats = sized "mmg_stats"
assert(library.mmg_stats_get(stats) == C.MMG_OK and stats.struct_size == ffi.sizeof "mmg_stats")
local before = stats.handles
local options, handle, failure = sized "mmg_options", ffi.new "mmg_handle[1]", sized "mmg_error"
options.offset = 7
assert(library.mmg_open(arg[3], options, handle, failure) == C.MMG_OK, ffi.string(failure.message))

local info = sized "mmg_info"
assert(library.mmg_info_get(handle[0], info) == C.MMG_OK and info.struct_size == ffi.sizeof "mmg_info")
assert(info.size == SIZE - 7 and info.offset == 7 and info.file_size == SIZE, "sizes")
assert(info.backing == C.MMG_BACKING_MAP and info.fault_offset == TO_END, "backing")
local span = ffi.new "mmg_span"
assert(library.mmg_pin(handle[0], 5, 1000, span) == C.MMG_OK)
assert(ffi.string(span.data, span.size) == data:sub(13, 1012), "pinned bytes")
assert(library.mmg_close(handle[0], C.MMG_CLOSE_STRICT) == C.MMG_E_BUSY)
assert(library.mmg_unpin(span) == C.MMG_OK)
local buffer, got, position = ffi.new "char[64]", ffi.new "uint64_t[1]", ffi.new "uint64_t[1]"
assert(library.mmg_read(handle[0], SIZE - 17, buffer, 64, got) == C.MMG_OK)
assert(ffi.string(buffer, got[0]) == data:sub(-10), "bytes read")
local needle = data:sub(501, 540)
assert(library.mmg_find(handle[0], 0, TO_END, needle, #needle, position) == C.MMG_OK)
assert(position[0] == data:find(needle, 8, true) - 8, "place found")
assert(library.mmg_check(handle[0]) == C.MMG_OK)
assert(library.mmg_stats_get(stats) == C.MMG_OK and stats.handles == before + 1)
assert(library.mmg_close(handle[0], 0) == C.MMG_OK)
assert(library.mmg_close(handle[0], 0) == C.MMG_E_HANDLE)

assert(library.mmg_open("/nonexistent/file", nil, handle, failure) == C.MMG_E_NOT_FOUND)
assert(failure.status == C.MMG_E_NOT_FOUND and ffi.string(failure.operation) == "open")
assert(ffi.string(failure.message):find("/nonexistent/file", 1, true), "message")
options.flags = 0x8000000000000000ULL
assert(library.mmg_open(arg[3], options, handle, nil) == C.MMG_E_ARGUMENT)
