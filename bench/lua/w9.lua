-- SPDX-License-Identifier: MIT OR Apache-2.0
--
-- Compares reading through a region with reading the same bytes from a Lua string, in one process and in turn, and
-- prints the medians of several rounds and their ratio. Both sides must give the same result before they are timed.
--
--     lua bench/lua/w9.lua [MODULE [MIB [ROUNDS]]]
--
-- MODULE is "mmapguard" (the default) or, for LuaJIT, "mmapguard.ffi". MIB is the size of the large file whose last
-- line is read. The targets are for 1024.

local name = arg[1] or "mmapguard"
local large_mib = tonumber(arg[2] or 1024)
if jit then large_mib = math.min(large_mib, 256) end -- LuaJIT has only 2 GiB for several copies of the file
local rounds = tonumber(arg[3] or 7)

local mg = require(name)
local clock = os.clock

local function median(list)
  table.sort(list)
  return list[math.floor((#list + 1) / 2)]
end

local function format_time(seconds)
  if seconds < 1e-6 then return ("%.1f ns"):format(seconds * 1e9) end
  if seconds < 1e-3 then return ("%.2f us"):format(seconds * 1e6) end
  if seconds < 1 then return ("%.2f ms"):format(seconds * 1e3) end
  return ("%.2f s"):format(seconds)
end

local missed = 0

--- Time two functions in turn. Each function gets the number of repetitions and returns a number, which must be the
--- same for both.
local function compare(title, times, target, theirs, ours)
  local expected, got = theirs(times), ours(times)
  assert(expected == got, ("%s: %s and %s differ"):format(title, tostring(expected), tostring(got)))
  local a, b = {}, {}
  for round = 1, rounds do
    collectgarbage()
    local begin = clock()
    theirs(times)
    a[round] = (clock() - begin) / times
    collectgarbage()
    begin = clock()
    ours(times)
    b[round] = (clock() - begin) / times
  end
  local x, y = median(a), median(b)
  local verdict = ""
  if target then
    verdict = y / x <= target and ("at most %.2f: met"):format(target) or ("at most %.2f: MISSED"):format(target)
    if y / x > target then missed = missed + 1 end
  end
  print(("%-44s %10s %10s %7.2f  %s"):format(title, format_time(x), format_time(y), y / x, verdict))
end

------------------------------------------------------------------------------------------------------------- the data

local path = os.tmpname()
local words = { "GET", "POST", "index.html", "search", "cart", "images/logo.png", "200", "404",
  "curl/8.0", "Mozilla/5.0" }

local function write_text(target, bytes)
  local file = assert(io.open(target, "wb"))
  local lines, size, seed = {}, 0, 7
  while size < 1048576 do
    local line = {}
    for i = 1, 9 do
      seed = (seed * 16807) % 2147483647
      line[i] = words[seed % #words + 1]
    end
    line = table.concat(line, " ") .. "\n"
    lines[#lines + 1] = line
    size = size + #line
  end
  local block = table.concat(lines)
  local written = 0
  while written < bytes do
    file:write(block)
    written = written + #block
  end
  file:write("the last line of all\n")
  file:close()
end

write_text(path, 16 * 1048576)
local region = assert(mg.open(path))
local file = assert(io.open(path, "rb"))
local text = file:read("*a")
file:close()
assert(#region == #text)

local places, seed = {}, 42
for i = 1, 4096 do
  seed = (seed * 16807) % 2147483647
  places[i] = seed % (#text - 65536) + 1
end

print(("%s, %s %s, %.0f MiB of text, medians of %d rounds"):format(jit and jit.version or _VERSION, name, mg.version(),
  #text / 1048576, rounds))
print(("%-44s %10s %10s %7s"):format("", "string", "region", "ratio"))

--------------------------------------------------------------------------------------------------------- single bytes

local strict = not jit
local function goal(value) return strict and value or nil end

compare("[i], random", 2000000, goal(1.3), function(n)
  local sum = 0
  for k = 1, n do sum = sum + text:byte(places[k % 4096 + 1]) end
  return sum
end, function(n)
  local sum = 0
  for k = 1, n do sum = sum + region[places[k % 4096 + 1]] end
  return sum
end)

compare("[i], one after another", 2000000, goal(1.3), function(n)
  local sum = 0
  for k = 1, n do sum = sum + text:byte(k) end
  return sum
end, function(n)
  local sum = 0
  for k = 1, n do sum = sum + region[k] end
  return sum
end)

compare("byte(i), random", 2000000, goal(1.5), function(n)
  local sum = 0
  for k = 1, n do sum = sum + text:byte(places[k % 4096 + 1]) end
  return sum
end, function(n)
  local sum = 0
  for k = 1, n do sum = sum + region:byte(places[k % 4096 + 1]) end
  return sum
end)

compare("byte(i, i + 7)", 1000000, goal(1.6), function(n)
  local sum = 0
  for k = 1, n do
    local i = places[k % 4096 + 1]
    local a, _, _, _, _, _, _, h = text:byte(i, i + 7)
    sum = sum + a + h
  end
  return sum
end, function(n)
  local sum = 0
  for k = 1, n do
    local i = places[k % 4096 + 1]
    local a, _, _, _, _, _, _, h = region:byte(i, i + 7)
    sum = sum + a + h
  end
  return sum
end)

---------------------------------------------------------------------------------------------------------------- parts

local kept = {}

for _, length in ipairs({ 4, 16, 200, 4096 }) do
  compare(("sub, %d bytes"):format(length), length > 1000 and 200000 or 1000000, goal(1.3), function(n)
    local sum = 0
    for k = 1, n do
      local i = places[k % 4096 + 1]
      kept[1] = text:sub(i, i + length - 1) -- kept, since otherwise LuaJIT would not make the string
      sum = sum + #kept[1]
    end
    return sum
  end, function(n)
    local sum = 0
    for k = 1, n do
      local i = places[k % 4096 + 1]
      kept[1] = region:sub(i, i + length - 1)
      sum = sum + #kept[1]
    end
    return sum
  end)
end

------------------------------------------------------------------------------------------------------------ searching

local function compare_find(title, times, pattern, plain, everywhere)
  local function search(where)
    return function(n)
      local sum = 0
      for k = 1, n do
        local first, last = where:find(pattern, everywhere and k % 8 + 1 or places[k % 4096 + 1], plain)
        sum = sum + (first or 0) + (last or 0)
      end
      return sum
    end
  end
  compare(title, times, goal(1.3), search(text), search(region))
end

compare_find("find, plain, the next newline", 500000, "\n", true)
compare_find("find, plain, a word nearby", 500000, "logo", true)
compare_find("find, plain, at the far end", 20, "last line of", true, true)
compare_find("find, plain, not there", 20, "no such text", true, true)
compare_find("find, pattern nearby", 200000, "(%a+)/(%d)%.")
compare_find("find, pattern with a set nearby", 200000, "[%w_]+%.png")
compare_find("find, pattern at the far end", 5, "last (%a+) of", false, true)

compare("lines", 1, goal(1.5), function()
  local count, size = 0, 0
  for line in text:gmatch("([^\n]*)\n") do
    count = count + 1
    size = size + #line
  end
  return count + size
end, function()
  local count, size = 0, 0
  for line in region:lines() do
    count = count + 1
    size = size + #line
  end
  return count + size
end)

if string.unpack then
  compare("unpack, \"<I4\"", 1000000, nil, function(n)
    local sum = 0
    for k = 1, n do sum = sum + string.unpack("<I4", text, places[k % 4096 + 1]) end
    return sum
  end, function(n)
    local sum = 0
    for k = 1, n do sum = sum + region:unpack("<I4", places[k % 4096 + 1]) end
    return sum
  end)
end

-------------------------------------------------------------------------------------------- bytes that are often zero

region:close()
os.remove(path)
local binary = {}
for i = 1, 65536 do
  seed = (seed * 16807) % 2147483647
  binary[i] = string.char(seed % 4 == 0 and seed % 251 or 0)
end
binary = table.concat(binary):rep(64)
file = assert(io.open(path, "wb"))
file:write(binary)
file:close()
region = assert(mg.open(path))

compare("[i] in a file with three zeroes in four bytes", 1000000, nil, function(n)
  local sum = 0
  for k = 1, n do sum = sum + binary:byte(places[k % 4096 + 1] % 4000000 + 1) end
  return sum
end, function(n)
  local sum = 0
  for k = 1, n do sum = sum + region[places[k % 4096 + 1] % 4000000 + 1] end
  return sum
end)

compare("sub, 16 bytes of the same file", 1000000, nil, function(n)
  local sum = 0
  for k = 1, n do
    local i = places[k % 4096 + 1] % 4000000 + 1
    kept[1] = binary:sub(i, i + 15)
    sum = sum + #kept[1]
  end
  return sum
end, function(n)
  local sum = 0
  for k = 1, n do
    local i = places[k % 4096 + 1] % 4000000 + 1
    kept[1] = region:sub(i, i + 15)
    sum = sum + #kept[1]
  end
  return sum
end)
region:close()

------------------------------------------------------------------------------------------------------ the raw pointer

if name == "mmapguard.ffi" then
  local ffi = require "ffi"
  write_text(path, 16 * 1048576)
  region = assert(mg.open(path))
  local size = #region
  local raw = ffi.new("uint8_t[?]", size)
  ffi.copy(raw, region.data, size)
  local plain = ffi.cast("const uint8_t *", raw)
  local span = region:span(1, size)
  local data = span.data
  -- A pointer counts from 0 and a span from 1. Each side gets the numbers that it takes, so that neither has to add.
  local offsets = {}
  for k, place in ipairs(places) do offsets[k] = place - 1 end

  local function sum_of(bytes)
    return function(n)
      local sum = 0
      for _ = 1, n do
        for i = 0, size - 1 do sum = sum + bytes[i] end
      end
      return sum
    end
  end

  local function random_sum_of(bytes)
    return function(n)
      local sum = 0
      for k = 1, n do sum = sum + bytes[offsets[k % 4096 + 1]] end
      return sum
    end
  end

  print(("%-44s %10s %10s %7s"):format("", "raw", "span", "ratio"))
  compare("span.data[i], all bytes of 16 MiB", 3, 1.1, sum_of(plain), sum_of(data))
  compare("span.data[i], random", 20000000, 1.1, random_sum_of(plain), random_sum_of(data))
  compare("span[i], all bytes of 16 MiB", 3, 1.3, sum_of(plain), function(n)
    local sum = 0
    for _ = 1, n do
      for i = 1, size do sum = sum + span[i] end
    end
    return sum
  end)
  compare("span[i], random", 20000000, 1.3, random_sum_of(plain), function(n)
    local sum = 0
    for k = 1, n do sum = sum + span[places[k % 4096 + 1]] end
    return sum
  end)
  compare("span:byte(i), random", 20000000, 1.3, random_sum_of(plain), function(n)
    local sum = 0
    for k = 1, n do sum = sum + span:byte(places[k % 4096 + 1]) end
    return sum
  end)
  local function sub_of_span(n)
    local sum = 0
    for k = 1, n do
      local i = places[k % 4096 + 1]
      kept[1] = span:sub(i, i + 15)
      sum = sum + #kept[1]
    end
    return sum
  end
  compare("span:sub(i, i + 15)", 1000000, 1.3, function(n)
    local sum = 0
    for k = 1, n do
      kept[1] = ffi.string(plain + offsets[k % 4096 + 1], 16)
      sum = sum + #kept[1]
    end
    return sum
  end, sub_of_span)
  -- The raw memory belongs to this process alone, so the row above makes strings from it without a copy. From a file
  -- that another process may write to, a string must be made from a copy, because LuaJIT hashes the bytes before it
  -- copies them. The hash reads what was just written, and some processors wait for that some nanoseconds. In this row
  -- both sides make a copy.
  local copy = ffi.new("uint8_t[16]")
  compare("span:sub(i, i + 15), raw copied first", 1000000, 1.3, function(n)
    local sum = 0
    for k = 1, n do
      ffi.copy(copy, plain + offsets[k % 4096 + 1], 16)
      kept[1] = ffi.string(copy, 16)
      sum = sum + #kept[1]
    end
    return sum
  end, sub_of_span)
  ffi.cdef "void *memchr(const void *bytes, int byte, size_t size);"
  compare("lines", 3, 1.3, function(n)
    local sum = 0
    for _ = 1, n do
      local start = 0
      while start < size do
        local newline = ffi.C.memchr(plain + start, 10, size - start)
        local length = tonumber(ffi.cast("const uint8_t *", newline) - plain) - start
        kept[1] = ffi.string(plain + start, length)
        sum = sum + length
        start = start + length + 1
      end
    end
    return sum
  end, function(n)
    local sum = 0
    for _ = 1, n do
      for line in span:lines() do
        kept[1] = line
        sum = sum + #line
      end
    end
    return sum
  end)
  span:close()
  region:close()
end

-------------------------------------------------------------------------------------------------------- the last line

write_text(path, large_mib * 1048576)

local function last_line_of(tail)
  return tail:match("^.*\n([^\n]+)\n?$")
end

local function read_all()
  local whole = assert(io.open(path, "rb"))
  local contents = whole:read("*a")
  whole:close()
  return last_line_of(contents:sub(-4096))
end

local function read_the_end()
  local opened = assert(mg.open(path))
  local line = last_line_of(opened:sub(-4096))
  opened:close()
  return line
end

assert(read_all() == read_the_end() and read_the_end() == "the last line of all")
local slow, fast = {}, {}
for round = 1, math.min(rounds, 5) do
  collectgarbage()
  local begin = clock()
  read_all()
  slow[round] = clock() - begin
  collectgarbage()
  begin = clock()
  for _ = 1, 1000 do read_the_end() end
  fast[round] = (clock() - begin) / 1000
end
os.remove(path)
local factor = median(slow) / median(fast)
if large_mib >= 1024 and factor < 1000 then missed = missed + 1 end
print(("%-44s %10s %10s %7s  %s"):format(("last line of a file of %d MiB"):format(large_mib), format_time(median(slow)),
  format_time(median(fast)), ("1/%.0f"):format(factor),
  large_mib >= 1024 and ("at least 1000 times: %s"):format(factor >= 1000 and "met" or "MISSED") or ""))
print(missed == 0 and "all targets met" or missed .. " targets MISSED")
