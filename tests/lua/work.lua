-- SPDX-License-Identifier: MIT OR Apache-2.0
--
-- Does one piece of work on a region or by hand, so that its instructions can be counted:
--
--     lua work.lua MODULE CASE region|hand TIMES PATH
--
-- The script makes the file PATH when it does not exist. "hand" uses a Lua string that was read from the file; in
-- LuaJIT with the module mmapguard.ffi, it uses a raw pointer.

local name, case, side, times, path = arg[1], arg[2], arg[3], tonumber(arg[4]), arg[5]
local mg = require(name)
local by_pointer = name == "mmapguard.ffi"

local file = io.open(path, "rb")
if not file then
  local lines, seed = {}, 7
  for k = 1, 2000 do
    seed = (seed * 16807) % 2147483647
    lines[k] = ("%d GET /images/logo.png%s 200"):format(seed, ("x"):rep(seed % 40))
  end
  local made = assert(io.open(path, "wb"))
  made:write(table.concat(lines, "\n"), "\n")
  made:close()
  file = assert(io.open(path, "rb"))
end
local text = file:read("*a")
file:close()
local region = assert(mg.open(path, { backing = "map" }))
local size = #text
assert(#region == size)

local places, seed = {}, 42
for k = 1, 256 do
  seed = (seed * 16807) % 2147483647
  places[k] = seed % (size - 8192) + 1
end

local kept = {}

local function lines_by_find()
  local start, total = 1, 0
  while true do
    local stop = text:find("\n", start, true)
    if not stop then return total end
    kept[1] = text:sub(start, stop - 1)
    total = total + #kept[1]
    start = stop + 1
  end
end

local function hits(where, word)
  local start, total = 1, 0
  while true do
    local first, last = where:find(word, start, true)
    if not first then return total end
    total = total + first
    start = last + 1
  end
end

-- Each piece of work returns a number, which must be the same on both sides.
local works = {
  index = {
    region = function(n)
      local sum = 0
      for k = 1, n do sum = sum + region[places[k % 256 + 1]] end
      return sum
    end,
    hand = function(n)
      local sum = 0
      for k = 1, n do sum = sum + text:byte(places[k % 256 + 1]) end
      return sum
    end,
  },
  byte = {
    region = function(n)
      local sum = 0
      for k = 1, n do sum = sum + region:byte(places[k % 256 + 1]) end
      return sum
    end,
  },
  sub = {
    region = function(n)
      local sum = 0
      for k = 1, n do
        local at = places[k % 256 + 1]
        kept[1] = region:sub(at, at + 15)
        sum = sum + #kept[1]
      end
      return sum
    end,
    hand = function(n)
      local sum = 0
      for k = 1, n do
        local at = places[k % 256 + 1]
        kept[1] = text:sub(at, at + 15)
        sum = sum + #kept[1]
      end
      return sum
    end,
  },
  find = {
    region = function(n)
      local sum = 0
      for k = 1, n do sum = sum + region:find("\n", places[k % 256 + 1], true) end
      return sum
    end,
    hand = function(n)
      local sum = 0
      for k = 1, n do sum = sum + text:find("\n", places[k % 256 + 1], true) end
      return sum
    end,
  },
  hits = {
    region = function(n)
      local sum = 0
      for _ = 1, n / 2000 do sum = sum + hits(region, "logo.png") end
      return sum
    end,
    hand = function(n)
      local sum = 0
      for _ = 1, n / 2000 do sum = sum + hits(text, "logo.png") end
      return sum
    end,
  },
  lines = {
    region = function(n)
      local total = 0
      for _ = 1, n / 2000 do
        for line in region:lines() do
          kept[1] = line
          total = total + #line
        end
      end
      return total
    end,
    hand = function(n)
      local total = 0
      for _ = 1, n / 2000 do total = total + lines_by_find() end
      return total
    end,
  },
}
works.byte.hand = works.index.hand

-- The work that is the same code for a string and for a region.
local like_string = {
  bytes = function(where, n)
    local sum = 0
    for k = 1, n do
      local at = places[k % 256 + 1]
      local a, _, _, _, _, _, _, h = where:byte(at, at + 7)
      sum = sum + a + h
    end
    return sum
  end,
  pattern = function(where, n)
    local sum = 0
    for k = 1, n do sum = sum + where:find("/(%a+)%.png", places[k % 256 + 1]) end
    return sum
  end,
}
for what, work in pairs(like_string) do
  works[what] = {
    region = function(n) return work(region, n) end,
    hand = function(n) return work(text, n) end,
  }
end

-- A zero may be a lost byte, so it is what takes the most care.
local zeros = ("\0"):rep(size)
local zero_region
if case == "zeros" then
  local zero_path = path .. ".zeros"
  local made = assert(io.open(zero_path, "wb"))
  made:write(zeros)
  made:close()
  zero_region = assert(mg.open(zero_path, { backing = "map" }))
  os.remove(zero_path)
end
works.zeros = {
  region = function(n)
    local sum = 0
    for k = 1, n do sum = sum + zero_region[places[k % 256 + 1]] end
    return sum
  end,
  hand = function(n)
    local sum = 0
    for k = 1, n do sum = sum + zeros:byte(places[k % 256 + 1]) end
    return sum
  end,
}

if by_pointer then
  local ffi = require "ffi"
  ffi.cdef "void *memchr(const void *bytes, int byte, size_t size);"
  local memory = ffi.new("uint8_t[?]", size)
  ffi.copy(memory, text, size)
  local bytes = ffi.cast("const uint8_t *", memory)
  local pointer = ffi.typeof("const uint8_t *")
  works.index.hand = function(n)
    local sum = 0
    for k = 1, n do sum = sum + bytes[places[k % 256 + 1] - 1] end
    return sum
  end
  works.byte.hand = works.index.hand
  works.zeros.hand = function(n)
    local sum, none = 0, ffi.cast("const uint8_t *", zeros)
    for k = 1, n do sum = sum + none[places[k % 256 + 1] - 1] end
    return sum
  end
  works.sub.hand = function(n)
    local sum = 0
    for k = 1, n do
      kept[1] = ffi.string(bytes + (places[k % 256 + 1] - 1), 16)
      sum = sum + #kept[1]
    end
    return sum
  end
  works.lines.hand = function(n)
    local total = 0
    for _ = 1, n / 2000 do
      local start = 0
      while start < size do
        local newline = ffi.C.memchr(bytes + start, 10, size - start)
        local length = newline ~= nil and tonumber(ffi.cast(pointer, newline) - bytes) - start or size - start
        kept[1] = ffi.string(bytes + start, length)
        total = total + length
        start = start + length + 1
      end
    end
    return total
  end
  works.sequence = {
    region = function(n)
      local sum = 0
      for k = 1, n do sum = sum + region[k] end
      return sum
    end,
    hand = function(n)
      local sum = 0
      for k = 0, n - 1 do sum = sum + bytes[k] end
      return sum
    end,
  }
end

print(("%.0f"):format(works[case][side](times)))
