-- SPDX-License-Identifier: MIT OR Apache-2.0
--
-- Both modules for LuaJIT take the same arguments and give the same results: lua differential.lua [CALLS [SEED]]
--
-- Each call is made with the same arguments on a region of the C module and on one of mmapguard.ffi. The results and
-- the texts of errors must be the same. Some of the files are cut short meanwhile.

package.path = (arg[0]:match("^(.*/)[^/]*$") or "./") .. "?.lua;" .. package.path
local support = require "support"

local quick = require "mmapguard.ffi"
package.loaded["mmapguard"] = nil
local plain = require "mmapguard"
assert(plain ~= quick)

local calls, seed = tonumber(arg[1] or 60000), tonumber(arg[2] or 1)
local random = support.random(seed)

local function pick(list) return list[random(1, #list)] end

local text = {}
for k = 1, 300 do text[k] = pick { "a line of text\n", "\n", ("long "):rep(1200) .. "\n", "key=12;\0\0\0\n", ("\0"):rep(9000) } end
text = table.concat(text)

-- There is one pair of regions for each way to hold bytes, pairs of spans, and pairs of closed regions.
local function pair_of(path, options)
  return { assert(plain.open(path, options)), assert(quick.open(path, options)) }
end

local function span_of(pair, i, j) return { pair[1]:span(i, j), pair[2]:span(i, j) } end

local path, cut_path = support.file(text), support.file(text)
local pairs_of = {
  pair_of(path, { backing = "copy" }), pair_of(path, { backing = "map" }),
  pair_of(path, { backing = "map", offset = 4000, length = 90000 }),
  pair_of(cut_path, { backing = "map", lock = "none" }),
  pair_of(support.file("")), pair_of(support.file("x")),
}
pairs_of[#pairs_of + 1] = span_of(pairs_of[2], 5000, 50000)
pairs_of[#pairs_of + 1] = span_of(pairs_of[4], 60000, 80000)
local closed = pair_of(path)
pairs_of[#pairs_of + 1] = closed
closed[1]:close()
closed[2]:close()
assert(plain.stats and debug.getmetatable(pairs_of[1][1]).__index ~= debug.getmetatable(pairs_of[1][2]).__index)

local names = { "byte", "sub", "find", "unpack", "lines", "span", "check", "verify", "changed", "advise", "info", "nothing",
  "tostring", "assign" }
local hot = { "byte", "sub", "find", "[]", "#", "lines", "sub", "byte", "find" }

local methods = { "byte", "sub", "find", "unpack", "lines", "span", "check", "verify", "changed", "advise", "info", "close" }
local functions = { "open", "load", "guard_process", "losses", "status_name", "status_message", "term", "supports", "version",
  "abi_version", "guard_state" }

local ffi = require "ffi"
local others = { 0 / 0, 1 / 0, -1 / 0, 1.5, -0.5, 2 ^ 31, -2 ^ 31, 2 ^ 32, 2 ^ 53, 2 ^ 53 - 1, -2 ^ 53, 2 ^ 63, 1e308, 5e-324,
  "7", "-1", "0x10", " 3 ", "1.5", "1e2", "nan", "x", "", "%", "[a", "(%a+)", "\n",
  "l", "L", "<I4", "z", "normal", true, false, {}, print, io.stdout, ffi.new("int64_t", 5), ffi.new("uint64_t", 2 ^ 40),
  ffi.new("int[2]"), ffi.cast("void *", 0), ffi.new("double", 2.5), coroutine.create(print), newproxy(true), pairs_of[1] }

local function argument()
  local kind = random(1, 12)
  if kind <= 5 then return random(-20, 20) end
  if kind <= 8 then return random(1, #text + 10) end
  if kind == 9 then return -random(1, #text + 10) end
  if kind == 10 then return nil end
  return pick(others)
end

-- Returns the same text on both sides for a value that is a region or a span.
local show
function show(value)
  if type(value) == "userdata" then return (tostring(value):gsub("0x%x+", "")) end
  if type(value) == "table" then
    local words = {}
    -- The numbers of pins differ, since spans are only counted down when they are collected.
    for name, entry in pairs(value) do
      if name ~= "pins" then words[#words + 1] = tostring(name) .. "=" .. tostring(show(entry)) end
    end
    table.sort(words)
    return table.concat(words, ",")
  end
  return value
end

local function run(name, view, arguments, count)
  if name == "[]" then return view[arguments[1]] end
  if name == "#" then return #view end
  if name == "tostring" then return tostring(view) end
  if name == "assign" then
    view[count == 0 and "x" or tostring(arguments[1])] = arguments[2]
    return
  end
  local iterator = view[name](view, support.unpack(arguments, 1, count))
  if name ~= "lines" then return view[name](view, support.unpack(arguments, 1, count)) end
  local parts, size, part = 0, 0, iterator()
  while part and parts < 40 do
    parts, size = parts + 1, size + #part
    part = iterator()
  end
  return parts, size, part
end

-- A function of the module, or a method that is called as a function: with any first argument, or with none.
local function run_plainly(name, view, arguments, count)
  local called = view[name]
  if count == 0 then return called() end
  local result = called(support.unpack(arguments, 1, count))
  return result
end

local said, kinds = 0, { good = 0, bad = 0, lost = 0 }
local function compare(name, pair, arguments, count, runner)
  local one = support.pack(pcall(runner or run, name, pair[1], arguments, count))
  local two = support.pack(pcall(runner or run, name, pair[2], arguments, count))
  local same = one.n == two.n
  for k = 1, one.n do
    local a, b = show(one[k]), show(two[k])
    same = same and (a == b or (a ~= a and b ~= b))
  end
  if not same then
    local words = {}
    for k = 1, count do words[k] = tostring(arguments[k]) end
    error(("%s(%s) of %s: %s and %s"):format(name, table.concat(words, ", "), tostring(pair[1]), tostring(show(one[2])),
      tostring(show(two[2]))))
  end
  said = said + 1
  local kind = one[1] and "good" or tostring(one[2]):find("MMG_E_", 1, true) and "lost" or "bad"
  kinds[kind] = kinds[kind] + 1
end

for k = 1, calls do
  if k == calls / 2 then
    local file = assert(io.open(cut_path, "wb"))
    assert(file:write(text:sub(1, 70000)))
    assert(file:close())
    for _, pair in ipairs(pairs_of) do -- now both sides know of the loss
      pcall(pair[1].sub, pair[1], -5)
      pcall(pair[2].sub, pair[2], -5)
    end
  end
  local arguments, count = {}, random(0, 3)
  for n = 1, count do arguments[n] = argument() end
  compare(random(1, 3) > 1 and pick(hot) or pick(names), pick(pairs_of), arguments, count)
  if k % 8 == 0 then
    compare(pick(methods), pick(pairs_of), arguments, count, run_plainly)
    compare(pick(functions), { plain, quick }, arguments, count, run_plainly)
  end
end

-- open: options of every kind give the same region or the same message.
for _, options in ipairs({ {}, { backing = "map" }, { backing = "none" }, { lock = 1.5 }, { offset = "x" }, { stable = 1 },
  { nonsense = true }, { offset = 2 ^ 60 }, { max_bytes = math.huge }, { [1] = "map" }, { lock_wait_ms = -1 } }) do
  for _, what in ipairs({ path, "/no/such/file", "a\0b", 7 }) do
    local one, two = support.pack(pcall(plain.open, what, options)), support.pack(pcall(quick.open, what, options))
    assert(one.n == two.n, what)
    for n = 1, one.n do assert(show(one[n]) == show(two[n]), tostring(one[n]) .. " and " .. tostring(two[n])) end
  end
end
for name, value in pairs(plain) do
  assert(type(quick[name]) == type(value) and (type(value) ~= "number" or quick[name] == value), name)
end
for name in pairs(quick) do assert(plain[name] ~= nil, name) end

print(("%d calls said the same: %d results, %d errors, %d losses"):format(said, kinds.good, kinds.bad, kinds.lost))
assert(kinds.good > calls / 4 and kinds.bad > calls / 50 and kinds.lost > calls / 500)
support.remove_files()
