-- SPDX-License-Identifier: MIT OR Apache-2.0
--
-- Random calls on regions and spans whose files change under them: lua fuzz.lua MODULE SECONDS [SEED]. As long as
-- nothing is lost, every result is compared with the same call on a string. The script prints the seed, with which a
-- run can be repeated.

package.path = (arg[0]:match("^(.*/)[^/]*$") or "./") .. "?.lua;" .. package.path
local support = require "support"

local mg, seconds = require(arg[1]), tonumber(arg[2])
local seed = tonumber(arg[3] or os.time() % 1000000 + 1)
print(("seed %d"):format(seed))
local random = support.random(seed)
local function pick(list) return list[random(1, #list)] end

local pieces = { "a line\n", "\n", "\0", ("\0"):rep(5000), "key=12;", "\255\254", ("x"):rep(9000), "PK\3\4", " " }
local names = { "byte", "sub", "find", "unpack", "lines", "span", "check", "info", "changed", "advise" }
local words = { "", "a", "\n", "%", "[", "(%a+)", "()", "^x-", "key=(%d+)", "%f[%a]", "%b()", "<I4", ">i2 z", "s4", "!8 Xi8 d",
  "l", "L", "willneed", "dontneed", "nonsense", ("a?"):rep(40), ("x"):rep(300) }
local numbers = { 0, 1, -1, 4096, 4097, 2 ^ 31, 2 ^ 32, -2 ^ 53, 2 ^ 53, 2 ^ 63, 0 / 0, 1 / 0, 1.5, 1e308 }

local function argument(size)
  local kind = random(1, 10)
  if kind <= 6 then return random(-size - 2, size + 2) end
  if kind == 7 then return pick(numbers) end
  if kind <= 9 then return pick(words) end
  return pick({ true, false, {}, print })
end

local function write(path, text)
  local file = assert(io.open(path, "wb"))
  assert(file:write(text))
  assert(file:close())
end

-- Compares the methods that a string has as well.
local like_string = { byte = string.byte, sub = string.sub, find = string.find, unpack = string.unpack }
local compared, calls, rounds, last = 0, 0, 0, os.time() + seconds

local function compare(view, text, name, arguments, count)
  local ours = support.pack(pcall(view[name], view, support.unpack(arguments, 1, count)))
  calls = calls + 1
  local method = like_string[name]
  if not text or not method or not ours[1] then return ours end
  for k = 1, count do
    -- LuaJIT and Lua 5.1 take a large position modulo 2^32.
    if type(arguments[k]) == "number" and math.abs(arguments[k]) >= 2 ^ 31 then return ours end
  end
  local theirs = support.pack(pcall(method, name == "unpack" and arguments[1] or text, name == "unpack" and text or
    arguments[1], support.unpack(arguments, 2, math.max(count, 1))))
  if theirs[1] then
    for k = 1, theirs.n do
      if theirs[k] ~= theirs[k] then ours[k], theirs[k] = 0, 0 end
    end
    support.same(ours, theirs, name)
    compared = compared + 1
  end
  return ours
end

if jit then jit.off(compare) end -- string.sub of LuaJIT 2.1.0-beta3 is wrong in compiled code

local path = support.path()
while os.time() < last do
  local parts = {}
  for k = 1, random(0, 40) do parts[k] = pick(pieces) end
  local text = table.concat(parts)
  write(path, text)
  local region = assert(mg.open(path, { backing = pick({ "auto", "map", "copy" }), lock = "none",
    stable = random(1, 8) == 1 and #text > 0 or nil, access = pick({ "normal", "random", "sequential" }) }))
  local views = { { region, text } }
  for _ = 1, random(1, 60) do
    local view = pick(views)
    local name, arguments, count = pick(names), {}, random(0, 3)
    for n = 1, count do arguments[n] = argument(#text) end
    local result = compare(view[1], view[2], name, arguments, count)
    if result[1] and name == "lines" then
      for _ = 1, 5 do pcall(result[2]) end
    elseif result[1] and name == "span" and #views < 6 then
      views[#views + 1] = { result[2], view[2] and result[2]:sub(1) }
    end
    pcall(function() return view[1][argument(#text)] end)
    if random(1, 80) == 1 then
      write(path, text:sub(1, random(0, #text)))
      for _, changed in ipairs(views) do changed[2] = nil end -- from here on the process must only live
    end
    if random(1, 50) == 1 then
      pcall(view[1].close, view[1])
      view[2] = nil
    end
  end
  for _, view in ipairs(views) do
    if random(1, 2) == 1 then pcall(view[1].close, view[1]) end
  end
  rounds = rounds + 1
end

collectgarbage()
if jit then jit.flush() end
collectgarbage()
collectgarbage()
support.remove_files()
local left = mg.stats()
print(("%d calls in %d rounds, %d compared with a string"):format(calls, rounds, compared))
assert(left.handles == 0 and left.regions == 0, left.handles .. " handles are left")
assert(rounds > 0 and calls > rounds)
