-- SPDX-License-Identifier: MIT OR Apache-2.0
--
-- Prints the sections of an ELF file as `readelf -SW` does, with nothing but Lua and mmapguard:
--
--     lua examples/lua/elf_sections.lua [FILE]
--
-- Works with Lua 5.1 to 5.4 and LuaJIT, for files of 32 and 64 bits and of either byte order. The script reads only
-- the headers, however large the file is. Without an argument, the file is the interpreter that runs this.

local mg = require "mmapguard"

local TYPES = { [0] = "NULL", "PROGBITS", "SYMTAB", "STRTAB", "RELA", "HASH", "DYNAMIC", "NOTE", "NOBITS", "REL",
  "SHLIB", "DYNSYM", [14] = "INIT_ARRAY", [15] = "FINI_ARRAY", [16] = "PREINIT_ARRAY", [17] = "GROUP",
  [18] = "SYMTAB_SHNDX",
  [0x6ffffff6] = "GNU_HASH", [0x6ffffffd] = "VERDEF", [0x6ffffffe] = "VERNEED", [0x6fffffff] = "VERSYM" }
local FLAGS = { { 1, "W" }, { 2, "A" }, { 4, "X" }, { 16, "M" }, { 32, "S" }, { 64, "I" }, { 128, "L" }, { 1024, "T" } }

--- Returns the formats of the file header and of a section header, for the class and the byte order of the file.
local function formats(region)
  local order = region[6] == 1 and "<" or ">"
  if region[5] == 2 then
    return { header = order .. "I8 I4 I2 I2 I2 I2 I2 I2", header_at = 41, section = order .. "I4 I4 I8 I8 I8 I8" }
  end
  return { header = order .. "I4 I4 I2 I2 I2 I2 I2 I2", header_at = 33, section = order .. "I4 I4 I4 I4 I4 I4" }
end

local function flags_of(number)
  local letters = ""
  for _, flag in ipairs(FLAGS) do
    if math.floor(number / flag[1]) % 2 == 1 then letters = letters .. flag[2] end
  end
  return letters
end

local function print_sections(region)
  local format = formats(region)
  local table_at, _, _, _, _, size, count, names_index = region:unpack(format.header, format.header_at)
  if table_at == 0 then
    print("There are no sections in this file.")
    return
  end
  local function section(index)
    local name, kind, flags, address, offset, length = region:unpack(format.section, table_at + index * size + 1)
    return { name = name, kind = kind, flags = flags, address = address, offset = offset, length = length }
  end
  -- More than 65 279 sections: their number, and that of the section with the names, stand in the first of them.
  if count == 0 then count = section(0).length end
  local names = section(names_index)
  print(("%-4s %-24s %-14s %-16s %10s %10s  %s"):format("", "name", "type", "address", "offset", "size", "flags"))
  for index = 0, count - 1 do
    local s = section(index)
    local name = region:unpack("z", names.offset + s.name + 1)
    print(("%4d %-24s %-14s %016x %10d %10d  %s"):format(index, name, TYPES[s.kind] or ("0x%x"):format(s.kind),
      s.address, s.offset, s.length, flags_of(s.flags)))
  end
end

local function interpreter()
  local lowest = 0
  while arg[lowest - 1] do lowest = lowest - 1 end
  local found = mg.open("/proc/self/exe") -- on Linux; the name in `arg` would need a search in PATH
  if found then found:close() end
  return found and "/proc/self/exe" or arg[lowest]
end

local path = arg[1] or interpreter()
local region, message = mg.open(path)
if not region then
  io.stderr:write("elf_sections: ", message, "\n")
  os.exit(1)
end
if region:sub(1, 4) ~= "\127ELF" then
  io.stderr:write("elf_sections: ", path, " is no ELF file\n")
  os.exit(1)
end
local good, problem = pcall(print_sections, region)
local still_true, loss = pcall(region.close, region) -- close raises an error if the file was cut short meanwhile
if not good or not still_true then
  io.stderr:write("elf_sections: ", tostring(good and loss or problem), "\n")
  os.exit(1)
end
