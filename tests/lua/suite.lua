-- SPDX-License-Identifier: MIT OR Apache-2.0
--
-- Tests the promises of the Lua modules. The same file runs with Lua 5.1 to 5.4 and LuaJIT, and for both modules:
--
--     lua tests/lua/suite.lua [MODULE [WORD]]
--
-- MODULE is "mmapguard", the default, or "mmapguard.ffi". With WORD, only the tests with this word in their name run.
-- The variable MMAPGUARD_LUAJIT names a LuaJIT for the twin with a plain mmap(2). MMAPGUARD_LUA_OPENS is the number
-- of regions that are opened without being closed.

package.path = (arg[0]:match("^(.*/)[^/]*$") or "./") .. "?.lua;" .. package.path
local support = require "support"
local test, equal, same, raises, skip = support.test, support.equal, support.same, support.raises, support.skip
local pack, unpack = support.pack, support.unpack

local module = arg[1] or "mmapguard"
local is_ffi = module == "mmapguard.ffi"
local is_51 = _VERSION == "Lua 5.1" -- LuaJIT, too

local globals_before = {}
for name in pairs(_G) do globals_before[name] = true end
local mg = require(module)

local function is_integer(value)
  return type(value) == "number" and value % 1 == 0 and (not math.type or math.type(value) == "integer")
end

-- Returns each kind of object that reads like a string: a copy, a mapping, a window of it, and a span.
local function kinds_of(text)
  local path = support.file(text)
  local windowed = support.file("before" .. text .. "after")
  local kinds = {
    copy = assert(mg.open(path, { backing = "copy" })),
    window = assert(mg.open(windowed, { offset = 6, length = #text > 0 and #text or nil, lock = "none" })),
  }
  if #text > 0 then
    kinds.map = assert(mg.open(path, { backing = "map" }))
    kinds["mapped window"] = assert(mg.open(windowed, { backing = "map", offset = 6, length = #text }))
    kinds.span = assert(mg.open(windowed, { backing = "map", lock = "none" })):span(7, 6 + #text)
    kinds["span of a span"] = kinds.span:span(1, -1)
  else
    kinds.window = assert(mg.open(windowed)):span(7, 6)
  end
  return kinds
end

local function end_of(kinds)
  for _, view in pairs(kinds) do view:close() end
end

local texts = {
  [""] = "",
  one = "x",
  zero = "\0",
  words = "The quick brown fox\njumps over\n\nthe lazy dog\n\0\255\1end",
  bytes = (function()
    local bytes = {}
    for i = 0, 255 do bytes[#bytes + 1] = string.char(i) end
    return table.concat(bytes)
  end)(),
}

-------------------------------------------------------------------------------------------------------- like a string

-- string.sub, interpreted: in compiled code, LuaJIT 2.1.0-beta3 forgets to remove the last byte.
local function sub(text, ...)
  return string.sub(text, ...)
end
if jit then jit.off(sub) end

test("positions mean what they mean for a string, in byte, sub, span, [] and #", function()
  for name, text in pairs(texts) do
    local kinds = kinds_of(text)
    for kind, view in pairs(kinds) do
      local what = kind .. " of " .. name
      equal(#view, #text, what)
      assert(is_integer(#view))
      local places = { 1, 2, 3, 5, #text - 1, #text, #text + 1, #text + 7, 0, -1, -2, -#text, -#text - 1, -#text - 9 }
      for _, i in ipairs(places) do
        same(pack(view:byte(i)), pack(text:byte(i)), what .. " byte " .. i)
        equal(view:sub(i), sub(text, i), what .. " sub " .. i)
        local from = i < 0 and #text + 1 + i or i
        equal(view[i], from >= 1 and text:byte(from) or nil, what .. " [" .. i .. "]")
        for _, j in ipairs(places) do
          same(pack(view:byte(i, j)), pack(text:byte(i, j)), what .. " byte " .. i .. " to " .. j)
          local part = sub(text, i, j)
          equal(view:sub(i, j), part, what .. " sub " .. i .. " to " .. j)
          local span = view:span(i, j)
          equal(span:sub(1), part, what .. " span " .. i .. " to " .. j)
          span:close()
        end
      end
      same(pack(view:byte()), pack(text:byte()), what .. " byte without a position")
      equal(view:span():sub(1), text, what .. " span without positions")
    end
    end_of(kinds)
  end
end)

test("names that are no methods and keys that are no positions are nil", function()
  local region = assert(mg.open(support.file("abc")))
  equal(region.nothing, nil)
  equal(region[true], nil)
  equal(region[{}], nil)
  equal(region["1"], nil)
  region:close()
end)

test("ipairs-like loops end behind the last byte", function()
  local region = assert(mg.open(support.file("abc")))
  local i, seen = 1, {}
  while region[i] do
    seen[i] = string.char(region[i])
    i = i + 1
  end
  equal(table.concat(seen), "abc")
  region:close()
end)

local plain_needles = { "", "T", "the", "fox\njumps", "lazy dog\n", "end", "\0", "\0\255", "\255", "nowhere", "e", "  ",
  ("x"):rep(200) }

test("find of plain text finds what string.find finds", function()
  for name, text in pairs(texts) do
    local kinds = kinds_of(text)
    for kind, view in pairs(kinds) do
      for _, needle in ipairs(plain_needles) do
        for init = -#text - 2, #text + 4, #text > 100 and 7 or 1 do
          local what = ("%s of %s, %q from %d"):format(kind, name, needle, init)
          same(pack(view:find(needle, init, true)), pack(text:find(needle, init, true)), what)
        end
        same(pack(view:find(needle, nil, true)), pack(text:find(needle, nil, true)), kind .. " of " .. name)
      end
      for _, needle in ipairs({ "", "x", "$", "^", "()", "x*", "%f[%z]" }) do
        for _, init in ipairs({ #text + 1, #text + 2, #text + 50 }) do
          for plain = 0, 1 do
            same(pack(view:find(needle, init, plain == 1)), pack(text:find(needle, init, plain == 1)),
              ("%s of %s, %q from %d, behind the end"):format(kind, name, needle, init))
          end
        end
      end
    end
    end_of(kinds)
  end
end)

test("find of plain text is right around every boundary that a search may have", function()
  local filler = ("ab"):rep(6000)
  for _, place in ipairs({ 1, 2, 4090, 4095, 4096, 4097, 8191, 8192, 11990 }) do
    local text = filler:sub(1, place - 1) .. "NEEDLE" .. filler:sub(place + 6)
    local region = assert(mg.open(support.file(text), { backing = "map" }))
    same(pack(region:find("NEEDLE", 1, true)), pack(text:find("NEEDLE", 1, true)), "place " .. place)
    same(pack(region:find("NEEDLE")), pack(text:find("NEEDLE")), "place " .. place)
    same(pack(region:find("NEE(D)LE")), pack(text:find("NEE(D)LE")), "place " .. place)
    same(pack(region:find("NEEDLE", place + 1, true)), pack(nil), "behind place " .. place)
    local long = text:sub(place, place + 4200)
    same(pack(region:find(long, 1, true)), pack(text:find(long, 1, true)), "long needle at " .. place)
    region:close()
  end
end)

local patterns = { "quick", "q%a+k", "(%a+) (%a+)", "()fox()", "^The", "^quick", "dog\n", "end$", "o.-o", "o.*o",
  "o.?", "%s+",
  "[aeiou]+", "[^%s]+", "[a-f]+%s", "%f[%a]%a+", "%bTe", "%b  ", "(.)%1", "((%a)(%a))%s", "[]]", "[^]]", "[%]]", "[a-]",
  "[%a-]", "%z", "\255?\1", ".", "", "^", "$", "^$", "x*", "x-", "x-$", "%d", "%D+", "%W", "%p", "%u%l", "%x+",
  "%c", "a*(.)b?",
  "(a*(.)%w(%s*))", "%.", "%%", "[+-%]]x]", "([%w_]*)", "(()())", "over\n\nthe", "q.-%f[%s]", "[%z]",
  "[%z\255]+", "%S*$" }

test("find with a pattern finds what string.find finds, captures too", function()
  for name, text in pairs(texts) do
    local kinds = kinds_of(text)
    for kind, view in pairs(kinds) do
      for _, pattern in ipairs(patterns) do
        -- From Lua 5.2 on, %z is deprecated, and some builds do not have it.
        local skipped = pattern:find("%z", 1, true) and not is_51
        for init = -2, math.min(#text + 1, 12) do
          if not skipped then
            same(pack(view:find(pattern, init)), pack(text:find(pattern, init)),
              ("%s of %s, %q from %d"):format(kind, name, pattern, init))
          end
        end
      end
    end
    end_of(kinds)
  end
end)

test("find agrees with string.find on patterns made at random", function()
  local random = support.random(2026)
  local pieces = { "a", "b", "c", ".", "%a", "%A", "%s", "[ab]", "[^ab]", "[a-c]", "[%a_]", "(", ")", "()", "*",
    "+", "-", "?",
    "%1", "%2", "%bab", "%f[a]", "%f[^%a]", "^", "$", "%", "[", "]", " ", "%w", "x" }
  local text = "abcab cab_ba  aabbcc abba\nxaxb"
  local region = assert(mg.open(support.file(text), { backing = "map" }))
  local compared, refused = 0, 0
  for _ = 1, 6000 do
    local pattern = {}
    for k = 1, random(1, 7) do pattern[k] = pieces[random(1, #pieces)] end
    pattern = table.concat(pattern)
    local init = random(-3, 8)
    local theirs, ours = pack(pcall(text.find, text, pattern, init)), pack(pcall(region.find, region, pattern, init))
    if ours[1] then
      if not theirs[1] then error(("%q is wrong (%s), and was taken"):format(pattern, tostring(theirs[2]))) end
      same(ours, theirs, ("%q from %d"):format(pattern, init))
      compared = compared + 1
    else
      -- A wrong pattern is an error at once, also where string.find does not reach the wrong part.
      assert(ours[2]:find("bad argument #%d to '.-' %(.*%)$"), ours[2])
      assert(ours[2]:find("pattern") or ours[2]:find("capture"), ours[2])
      refused = refused + 1
    end
  end
  assert(compared > 1500 and refused > 500, compared .. " compared, " .. refused .. " refused")
  region:close()
end)

test("a malformed pattern is an error that names the argument", function()
  local region = assert(mg.open(support.file("abc")))
  for pattern, what in pairs({
    ["%"] = "malformed pattern (ends with '%')",
    ["abc%"] = "malformed pattern (ends with '%')",
    ["[abc"] = "malformed pattern (missing ']')",
    ["[^"] = "malformed pattern (missing ']')",
    ["[%"] = "malformed pattern (missing ']')",
    ["%bx"] = "malformed pattern (missing arguments to '%b')",
    ["%f"] = "missing '[' after '%f' in pattern",
    ["(a"] = "unfinished capture",
    ["a*)"] = "invalid pattern capture",
    ["%1"] = "invalid capture index",
    ["(%1)"] = "invalid capture index",
    ["%0"] = "invalid capture index",
    [("()"):rep(33)] = "too many captures",
  }) do
    raises({ "bad argument #1 to 'find'", what }, function() local _ = region:find(pattern) end)
  end
  local deep = assert(mg.open(support.file(("a"):rep(1000))))
  raises({ "bad argument #1 to 'find'", "pattern too complex" }, function()
    local _ = deep:find(("a?"):rep(500) .. "b")
  end)
  equal(region:find("%", 1, true), nil)
  region:close()
  deep:close()
end)

test("a pattern over megabytes is matched in place", function()
  local text = support.numbered_lines(60000)
  local region = assert(mg.open(support.file(text)))
  equal(region:info().backing, "map")
  collectgarbage()
  collectgarbage("stop")
  local before = collectgarbage("count")
  same(pack(region:find("line (%d*)59999 of")), pack(text:find("line (%d*)59999 of")), "a capture far behind")
  same(pack(region:find("(text)\n$", -5)), pack(text:find("(text)\n$", -5)), "the last word")
  same(pack(region:find("l[^l]-nowhere")), pack(nil), "nothing")
  local used = collectgarbage("count") - before
  collectgarbage("restart")
  assert(used < 256, used .. " KiB used for a text of " .. #text / 1024)
  region:close()
end)

test("lines are those that io.lines gives", function()
  local samples = { "", "\n", "\n\n", "a", "a\n", "a\nb", "\na\n\nb\n", "a\0b\nc",
    ("x"):rep(10000) .. "\n" .. ("y"):rep(300),
    support.numbered_lines(5000) }
  for _, text in ipairs(samples) do
    local path = support.file(text)
    local region = assert(mg.open(path))
    local expected = {}
    local file = assert(io.open(path, "rb"))
    local is_simple = support.has_integers or not text:find("\0", 1, true) -- before 5.3, a zero byte ended a line
    if is_simple then
      for line in file:lines() do expected[#expected + 1] = line end
      local got = {}
      for line in region:lines() do got[#got + 1] = line end
      same(pack(unpack(got, 1, math.min(#got, 200))), pack(unpack(expected, 1, math.min(#expected, 200))), "lines")
      equal(#got, #expected, "number of lines")
      equal(got[#got], expected[#expected], "last line")
    end
    file:close()
    for _, format in ipairs({ "L", "*L", 1, 7, 4096, 1000000 }) do
      local parts = {}
      for part in region:lines(format) do
        parts[#parts + 1] = part
        assert(type(format) == "string" and part:find("^[^\n]*\n?$") or #part <= (tonumber(format) or 0))
        if #parts > 20000 then break end
      end
      if #parts <= 20000 then equal(table.concat(parts), text, "parts put together") end
    end
    local star = {}
    for line in region:lines("*l") do star[#star + 1] = line end
    local nothing = {}
    for line in region:lines("l") do nothing[#nothing + 1] = line end
    equal(#star, #nothing)
    region:close()
  end
end)

test("two iterators over one region do not disturb each other", function()
  local region = assert(mg.open(support.file("a\nb\nc\n")))
  local seen = {}
  for one in region:lines() do
    for other in region:lines() do seen[#seen + 1] = one .. other end
  end
  equal(table.concat(seen, " "), "aa ab ac ba bb bc ca cb cc")
  region:close()
end)

--------------------------------------------------------------------------------------------------------------- unpack

test("unpack reads every option of string.unpack", function()
  local text = "\1\2\3\4\5\6\7\8\255\254\253\252\251\250\249\248" .. "\0\0\128\63" .. "\0\0\0\0\0\0\240\63"
    .. "\5hello" .. "zero\0" .. "\0\0\0\3abc"
  local kinds = kinds_of(text)
  for kind, view in pairs(kinds) do
    local function check(format, pos, ...)
      same(pack(view:unpack(format, pos)), pack(...), kind .. " unpack " .. format)
    end
    check("<B", 1, 1, 2)
    check("<b", 9, -1, 10)
    check("<BBB", 1, 1, 2, 3, 4)
    check("<H>H", 1, 0x0201, 0x0304, 5)
    check("<h", 9, -257, 11)
    check("<I3", 1, 0x030201, 4)
    check(">i3", 9, -1 * (0x1000000 - 0xfffefd), 12)
    check("<I4", 1, 0x04030201, 5)
    check("<i4", 9, 0xfcfdfeff - 0x100000000, 13)
    check("<I6", 1, 0x060504030201, 7)
    check(">I2 I1", -4, 3 * 256 + 97, 98, #text)
    check("<f", 17, 1.0, 21)
    check("<d", 21, 1.0, 29)
    check("<n", 21, 1.0, 29)
    check("s1", 29, "hello", 35)
    check("z", 35, "zero", 40)
    check(">s4", 40, "abc", 47)
    check("c3", 30, "hel", 33)
    check("c0", 47, "", 47)
    check("xxB", 1, 3, 4)
    check("!4 <B !4 I4", 4, 4, 0x08070605, 9)
    check("<!2 B I4", 2, 2, 0x06050403, 7)
    check("<B Xi4 B", 1, 1, 2, 3)
    check("<!4 B Xi4 B", 1, 1, 5, 6)
    check("", 1, 1)
    check("", 47, 47)
    check(" < > = ! ", 3, 3)
    check("<I4", nil, 0x04030201, 5)
    check("<I4", -#text, 0x04030201, 5)
    check("<I4", -#text - 5, 0x04030201, 5)
  end
  end_of(kinds)
end)

test("unpack agrees with string.unpack on formats made at random", function()
  if not string.unpack then skip("this Lua has no string.unpack") end
  local random = support.random(77)
  local pieces = { "b", "B", "h", "H", "i", "I", "l", "L", "j", "J", "T", "f", "d", "n", "i1", "I3", "i7", "I8", "i9",
    "I16", "s1",
    "s2", "z", "c1", "c5", "x", "X", "Xi4", "<", ">", "=", "!", "!2", "!8", " ", "i17", "q", "c", "!3" }
  local bytes = {}
  for k = 1, 400 do bytes[k] = string.char(random(1, 3) == 1 and random(0, 255) or random(0, 2)) end
  local text = table.concat(bytes)
  local region = assert(mg.open(support.file(text), { backing = "map" }))
  local good = 0
  for _ = 1, 8000 do
    local format = {}
    for k = 1, random(1, 6) do format[k] = pieces[random(1, #pieces)] end
    format = table.concat(format)
    local pos = random(_VERSION == "Lua 5.3" and 1 or -410, 410) -- Lua 5.3 refuses positions before the first
    local theirs = pack(pcall(string.unpack, format, text, pos))
    local ours = pack(pcall(region.unpack, region, format, pos))
    equal(ours[1], theirs[1], ("%q at %d: %s and %s"):format(format, pos, tostring(theirs[2]), tostring(ours[2])))
    if ours[1] then
      for k = 1, theirs.n do
        if theirs[k] ~= theirs[k] then ours[k], theirs[k] = 0, 0 end -- NaN
      end
      same(ours, theirs, ("%q at %d"):format(format, pos))
      good = good + 1
    end
  end
  assert(good > 2000, good .. " good formats")
  region:close()
end)

test("unpack refuses what it cannot read, and names the argument", function()
  local region = assert(mg.open(support.file(("\255"):rep(32))))
  local function refuses(parts, ...)
    local arguments = pack(...)
    raises(parts, function() local _ = region:unpack(unpack(arguments, 1, arguments.n)) end)
  end
  refuses({ "bad argument #1 to 'unpack'", "data string too short" }, "<I4", 30)
  refuses({ "bad argument #1 to 'unpack'", "data string too short" }, "c33")
  refuses({ "bad argument #1 to 'unpack'", "data string too short" }, "s1")
  refuses({ "bad argument #1 to 'unpack'", "data string too short" }, "s6")
  refuses({ "bad argument #1 to 'unpack'", "unfinished string" }, "z")
  refuses({ "bad argument #1 to 'unpack'", "invalid format option" }, "q")
  refuses({ "bad argument #1 to 'unpack'", "missing size" }, "c")
  refuses({ "bad argument #1 to 'unpack'", "out of limits" }, "I17")
  refuses({ "bad argument #1 to 'unpack'", "out of limits" }, "i0")
  refuses({ "bad argument #1 to 'unpack'", "invalid next option" }, "X")
  refuses({ "bad argument #1 to 'unpack'", "power of 2" }, "!4 i3 i3")
  refuses({ "bad argument #1 to 'unpack'", "does not fit" }, "<I16")
  refuses({ "bad argument #2 to 'unpack'", "out of" }, "B", 34)
  refuses({ "bad argument #1 to 'unpack'", "string expected" }, {})
  refuses({ "bad argument #2 to 'unpack'", "number" }, "B", "x")
  same(pack(region:unpack("<i16")), pack(-1, 17), "sixteen bytes of -1")
  same(pack(region:unpack("<i8")), pack(-1, 9), "eight bytes of -1")
  region:close()
end)

test("an integer is never rounded: beyond 2^53 it is exact, or it is refused", function()
  local region = assert(mg.open(support.file("\1\0\0\0\0\0\32\0" .. "\0\0\0\0\0\0\32\0" ..
    "\255\255\255\255\255\255\31\0")))
  equal((region:unpack("<I8", 9)), 2 ^ 53, "2^53")
  equal((region:unpack("<I8", 17)), 2 ^ 53 - 1, "2^53 - 1")
  if support.has_integers then
    equal((region:unpack("<I8")) - math.tointeger(2 ^ 53), 1, "2^53 + 1")
  else
    raises({ "bad argument #1 to 'unpack'", "2^53" }, function() local _ = region:unpack("<I8") end)
  end
  region:close()
end)

-------------------------------------------------------------------------------------------------------------- opening

test("a failure to open is nil, a message and a code", function()
  local function fails(code, path, options)
    local region, message, number = mg.open(path, options)
    equal(region, nil)
    equal(number, code, path)
    assert(is_integer(number))
    assert(type(message) == "string" and (message:find(path, 1, true) or #path > 300), message)
    equal(mg.status_name(number):sub(1, 6), "MMG_E_")
  end
  fails(mg.E_NOT_FOUND, "/no/such/file")
  fails(mg.E_NOT_MAPPABLE, "/")
  local path = support.file(("x"):rep(1000))
  fails(mg.E_RANGE, path, { offset = 1001 })
  fails(mg.E_RANGE, path, { offset = 900, length = 101 })
  fails(mg.E_TOO_BIG, path, { backing = "copy", max_bytes = 999 })
  fails(mg.E_EMPTY, support.file(""), { reject_empty = true })
  fails(mg.E_ARGUMENT, ("x/"):rep(3000))
  local message = select(2, pcall(function() return assert(mg.open("/no/such/file")) end))
  assert(tostring(message):find("no such file", 1, true) or tostring(message):find("No such file", 1, true), message)
  equal(mg.stats().handles >= 0, true)
end)

test("a lock held elsewhere is a failure, not a wait", function()
  local path = support.file(("x"):rep(1000))
  local _, missing = support.execute("command -v flock")
  if missing ~= 0 then skip("there is no command flock") end
  local pipe = io.popen("exec flock -x " .. path .. " sh -c 'read line'", "w")
  local deadline, region, message, code = os.time() + 20, nil, nil, nil
  repeat
    if region then region:close() end
    region, message, code = mg.open(path, { backing = "map" })
  until code == mg.E_WOULD_BLOCK or os.time() > deadline
  pipe:write("\n")
  pipe:close()
  equal(code, mg.E_WOULD_BLOCK, tostring(message))
end)

test("options are taken by name, as words, numbers and booleans", function()
  local path = support.file(("0123456789"):rep(1000))
  local function info_of(options)
    local region = assert(mg.open(path, options))
    local info = region:info()
    info.text = region:sub(1, 3)
    info.length = #region
    region:close()
    return info
  end
  equal(info_of().backing, "copy")
  equal(info_of({ backing = "map" }).backing, "map")
  equal(info_of({ backing = mg.BACKING_MAP }).backing, "map")
  equal(info_of({ copy_threshold = 100 }).backing, "map")
  equal(info_of({ backing = "map", copy_threshold = math.huge }).backing, "map")
  equal(info_of({ backing = "map", lock = "ofd" }).lock, "ofd")
  equal(info_of({ backing = "map", lock = "none" }).lock, "none")
  equal(info_of({ backing = "map" }).lock, "shared")
  equal(info_of({ backing = "map", access = "random", populate = true }).backing, "map")
  equal(info_of({ stable = true, backing = "copy" }).guarantee, "stable")
  equal(info_of({ guarantee = "stable" }).guarantee, "stable")
  equal(info_of({ stable = false, nofollow = true, lock_wait_ms = 0, max_bytes = math.huge }).backing, "copy")
  equal(info_of({ backing = "map", no_fault_guard = true }).guarantee, "none")
  local info = info_of({ offset = 5, length = 7 })
  equal(info.text, "567")
  equal(info.length, 7)
  equal(info.offset, 5)
  equal(info_of({ offset = 9990 }).length, 10)
end)

test("a wrong option is an error that names it", function()
  local path = support.file("abc")
  local function refuses(options, ...)
    raises({ "bad argument #2 to ", ... }, function() local _ = mg.open(path, options) end)
  end
  refuses({ lcok = "none" }, "lcok", "unknown option")
  refuses({ lock = "flock" }, "lock", "unknown word 'flock'")
  refuses({ lock = true }, "lock", "number expected, got boolean")
  refuses({ offset = "much" }, "offset", "number expected, got string")
  refuses({ offset = -1 }, "offset", "out of range")
  refuses({ offset = 1.5 }, "offset", "no integer representation")
  refuses({ offset = 0 / 0 }, "offset", "no integer representation")
  refuses({ offset = math.huge }, "offset", "no integer representation")
  refuses({ lock_wait_ms = 2 ^ 32 }, "lock_wait_ms", "out of range")
  refuses({ nofollow = 1 }, "nofollow", "boolean expected, got number")
  refuses({ stable = "yes" }, "stable", "boolean expected, got string")
  refuses({ "map" }, "names of options are strings")
  refuses("map", "table expected, got string")
  raises({ "bad argument #1 to ", "zero byte" }, function() local _ = mg.open("a\0b") end)
  raises({ "bad argument #1 to ", "string expected" }, function() local _ = mg.open() end)
  raises({ "bad argument #1 to ", "string expected" }, function() local _ = mg.open({}) end)
  local region, _, code = mg.open(path, { backing = 77 })
  equal(region, nil)
  equal(code, mg.E_ARGUMENT)
end)

test("offsets beyond 2^53 are exact, or they are refused", function()
  local path = "/dev/shm/mmapguard-lua-" .. tostring(os.time()) .. "-" .. tostring({}):gsub("[^%w]", "")
  local _, status = support.execute("truncate -s 9007199254745088 " .. path .. " && printf AB | dd of=" .. path ..
    " bs=1 seek=9007199254740992 conv=notrunc status=none")
  if status ~= 0 then
    os.remove(path)
    skip("/dev/shm takes no file of 2^53 bytes")
  end
  local function read(offset)
    local region = assert(mg.open(path, { backing = "map", offset = offset, length = 2 }))
    local text = region:sub(1)
    if support.has_integers then equal(region:info().offset, offset) end
    region:close()
    return text
  end
  local good, problem = pcall(function()
    if support.has_integers then
      equal(read(math.tointeger(2 ^ 53)), "AB", "2^53")
      equal(read(math.tointeger(2 ^ 53) + 1), "B\0", "2^53 + 1")
    else
      raises({ "bad argument #2 to ", "offset", "2^53" }, read, 2 ^ 53 + 1)
      raises({ "bad argument #2 to ", "offset", "2^53" }, read, 2 ^ 53)
      equal(read(2 ^ 53 - 1), "\0A", "2^53 - 1")
    end
  end)
  os.remove(path)
  assert(good, problem)
end)

test("an empty file is an empty region", function()
  local region = assert(mg.open(support.file("")))
  equal(#region, 0)
  equal(region[1], nil)
  equal(region:sub(1), "")
  equal(region:find("", 1, true), 1)
  equal(region:find("x"), nil)
  equal(region:lines()(), nil)
  equal(region:info().backing_reason, "empty")
  equal(#region:span(), 0)
  region:check()
  region:close()
end)

test("load reads standard input where the path is -", function()
  local text, status = support.execute("printf 'one\\ntwo\\n' | " .. support.quote(support.interpreter()) .. " " ..
    support.quote(support.directory .. "read_input.lua") .. " " .. module)
  equal(text, "2 lines, 8 bytes, stream\n")
  equal(status, 0)
  local region = assert(mg.load(support.file("abc")))
  equal(region:sub(1), "abc")
  region:close()
  local nothing, _, code = mg.load("/no/such/file")
  equal(nothing, nil)
  equal(code, mg.E_NOT_FOUND)
end)

------------------------------------------------------------------------------------------------------------ bad input

local function everything_on(view)
  return {
    byte = function() return view:byte(1) end,
    sub = function() return view:sub(1) end,
    find = function() return view:find("a") end,
    unpack = function() return view:unpack("B") end,
    lines = function() return view:lines() end,
    span = function() return view:span(1, 1) end,
    check = function() return view:check() end,
    info = function() return view:info() end,
    changed = function() return view:changed() end,
    advise = function() return view:advise("normal") end,
    length = function() return #view end,
    index = function() return view[1] end,
  }
end

test("a closed region or span is an error, and still has a name", function()
  for _, what in ipairs({ "region", "span" }) do
    local view = assert(mg.open(support.file("abc")))
    if what == "span" then view = view:span(1, 2) end
    local next_line = view:lines()
    assert(tostring(view):find("^" .. what .. " %(.* bytes%)$"), tostring(view))
    equal(view:close(), true)
    equal(tostring(view), what .. " (closed)")
    for name, call in pairs(everything_on(view)) do
      local message = raises("attempt to use a closed " .. what, call)
      assert(message:find("suite.lua", 1, true) or message:find("^attempt"), name .. ": " .. message)
    end
    raises("attempt to use a closed " .. what, next_line)
    equal(view:close(), true, "closed again")
  end
end)

test("a method refuses what is no region", function()
  local region = assert(mg.open(support.file("abc")))
  for _, name in ipairs({ "byte", "sub", "find", "unpack", "lines", "span", "check", "info", "changed", "advise",
    "close" }) do
    for _, wrong in ipairs({ io.stdout, {}, "abc", 5, print, coroutine.create(function() end) }) do
      raises({ "bad argument #1 to ", "region or span expected" }, region[name], wrong, 1)
    end
    raises({ "bad argument #1 to ", "region or span expected" }, region[name])
  end
  region:close()
end)

test("positions that are none are refused, by number of the argument", function()
  local region = assert(mg.open(support.file("abc"), { backing = "map" }))
  local none = { 0 / 0, 1.5, -2.5, math.huge, -math.huge }
  if not support.has_integers then
    none[#none + 1] = 2 ^ 53 + 1
    none[#none + 1] = -2 ^ 53
    none[#none + 1] = 2 ^ 60
  else
    none[#none + 1] = 2.0 ^ 64
    equal(region:byte(math.tointeger(2 ^ 53) + 1), nil)
    equal(region[math.maxinteger], nil)
    equal(region[math.mininteger], nil)
    equal(region:sub(math.mininteger, math.maxinteger), "abc")
    equal(region:sub(math.maxinteger, math.mininteger), "")
  end
  for _, i in ipairs(none) do
    local is_whole = i == i and math.abs(i) < math.huge and i % 1 == 0
    local why = is_whole and not support.has_integers and "2^53" or "no integer representation"
    raises({ "bad argument #1 to '[]'", why }, function() return region[i] end)
    raises({ "bad argument #1 to 'byte'", why }, function() local _ = region:byte(i) end)
    raises({ "bad argument #2 to 'byte'", why }, function() local _ = region:byte(1, i) end)
    raises({ "bad argument #1 to 'sub'", why }, function() local _ = region:sub(i) end)
    raises({ "bad argument #2 to 'sub'", why }, function() local _ = region:sub(1, i) end)
    raises({ "bad argument #2 to 'find'", why }, function() local _ = region:find("a", i) end)
    raises({ "bad argument #2 to 'unpack'", why }, function() local _ = region:unpack("B", i) end)
    raises({ "bad argument #1 to 'span'", why }, function() local _ = region:span(i) end)
    raises({ "bad argument #2 to 'span'", why }, function() local _ = region:span(1, i) end)
    raises({ "bad argument #2 to 'advise'", why }, function() local _ = region:advise("normal", i) end)
  end
  raises({ "bad argument #1 to 'sub'", "number expected" }, function() local _ = region:sub() end)
  raises({ "bad argument #1 to 'byte'", "number expected" }, function() local _ = region:byte({}) end)
  raises({ "bad argument #1 to 'find'", "string expected" }, function() local _ = region:find() end)
  raises({ "bad argument #1 to 'find'", "string expected" }, function() local _ = region:find({}) end)
  raises({ "bad argument #1 to 'lines'", "invalid format" }, function() local _ = region:lines("a") end)
  raises({ "bad argument #1 to 'lines'", "out of range" }, function() local _ = region:lines(0) end)
  raises({ "bad argument #1 to 'advise'", "unknown advice" }, function() local _ = region:advise("quickly") end)
  raises({ "bad argument #1 to 'advise'", "unknown advice" }, function() local _ = region:advise(77) end)
  raises({ "bad argument #1 to 'advise'", "out of range" }, function() local _ = region:advise(-1) end)
  equal(region:sub("2", "3"), "bc", "digits are numbers, as for a string")
  region:close()
end)

test("a region cannot be written to, and shows no metatable", function()
  local region = assert(mg.open(support.file("abc")))
  raises("read-only", function() region[1] = 5 end)
  raises("read-only", function() region.name = 5 end)
  local metatable = getmetatable(region)
  equal(metatable, false)
  assert(not pcall(setmetatable, region, {}))
  region:close()
end)

test("no key and no result is a handle", function()
  local region = assert(mg.open(support.file("abc"), { backing = "map" }))
  for _, name in ipairs({ "handle", "pin", "shared", "state", "holder" }) do
    assert(not pcall(function() assert(region[name] ~= nil) end), name)
  end
  for name in pairs(region:info()) do assert(not name:find("handle"), name) end
  for name in pairs(mg) do
    assert(not name:find("^mmg_") and not name:find("handle") and not name:find("pin") and not name:find("swig"), name)
  end
  region:close()
end)

test("nothing but the module is left behind by require", function()
  for name in pairs(_G) do assert(globals_before[name], "the global " .. tostring(name)) end
end)

test("the module is a plain table", function()
  equal(debug.getmetatable(mg), nil)
  equal(mg.no_such_name, nil)
  for name, value in pairs(mg) do
    assert(type(name) == "string" and (type(value) == "function" or type(value) == "number"), tostring(name))
  end
end)

test("calls with arbitrary arguments never crash", function()
  local random = support.random(99)
  local region = assert(mg.open(support.file(support.numbered_lines(300)), { backing = "map" }))
  local span = region:span(100, 2000)
  local closed = assert(mg.open(support.file("x")))
  closed:close()
  local names = { "byte", "sub", "find", "unpack", "lines", "span", "check", "info", "changed", "advise", "nothing" }
  local values = { 0, 1, -1, 2, 17, 1e9, -1e9, 2 ^ 31, 2 ^ 32, 2 ^ 53, -2 ^ 53, 2 ^ 63, 1e308, 0 / 0, 1 / 0, "",
    "a", "%", "[", "<I4", "s8", "i16", "z", "l", "L", "normal", "\0", ("x"):rep(500), true, false, {}, print, io.stdout,
    region, span, closed }
  local calls = 0
  for _ = 1, 20000 do
    local view = ({ region, span, closed })[random(1, 3)]
    local arguments, count = {}, random(0, 4)
    for k = 1, count do arguments[k] = values[random(1, #values)] end
    local good, results = pcall(function()
      local method = view[names[random(1, #names)]]
      return pack(method(view, unpack(arguments, 1, count)))
    end)
    if good and type(results[1]) == "function" then pcall(results[1]) end
    calls = calls + 1
    pcall(function() return view[values[random(1, #values)]] end)
  end
  equal(calls, 20000)
  region:close()
  span:close()
end)

-------------------------------------------------------------------------------------------------------------- numbers

test("what counts is an integer", function()
  local region = assert(mg.open(support.file(support.numbered_lines(1000)), { backing = "map" }))
  local info = region:info()
  for _, name in ipairs({ "size", "offset", "file_size", "device", "inode", "mtime_seconds", "ctime_seconds",
    "mtime_nanoseconds", "ctime_nanoseconds", "faults", "pins", "mapped_bytes", "heap_bytes", "page_size" }) do
    assert(is_integer(info[name]), name .. " is " .. tostring(info[name]))
  end
  for _, name in ipairs({ "backing", "backing_reason", "guarantee", "means", "shortfall", "lock", "lock_reason",
    "file_system" }) do
    equal(type(info[name]), "string", name)
    assert(info[name] ~= "unknown", name)
  end
  for _, name in ipairs({ "fault_cause", "fault_offset", "lock_error", "os_error" }) do equal(info[name], nil, name) end
  equal(next(info.exceptions), nil)
  equal(#info.means_order, 0)
  equal(info.size, #region)
  for name, value in pairs(mg.stats()) do assert(is_integer(value), name) end
  for _, value in ipairs(pack(region:find("()line()"))) do assert(is_integer(value)) end
  for _, value in ipairs(pack(region:unpack("<B i4 I6"))) do assert(is_integer(value)) end
  assert(is_integer(region[1]) and is_integer((region:byte(1))))
  for name, value in pairs(mg) do
    if type(value) == "number" then
      assert(is_integer(value), name)
      assert(name:find("^[%u%d_]+$"), name)
    end
  end
  assert(is_integer(mg.guard_state()) and is_integer(mg.abi_version()) and is_integer(mg.supports(1)))
  region:close()
end)

test("constants, words and statuses are the library's", function()
  equal(mg.OK, 0)
  equal(mg.E_TRUNCATED, -40)
  equal(mg.ADVICE_POPULATE, 6)
  equal(mg.ADVICE_EVICT, 7)
  equal(mg.status_name(mg.E_TRUNCATED), "MMG_E_TRUNCATED")
  equal(mg.status_message(0), "success")
  equal(mg.status_name(-9999), "MMG_E_UNKNOWN")
  equal(mg.term(mg.TERM_MEANS, mg.MEANS_LEASE), "lease")
  equal(mg.term(99, 99), "unknown")
  equal(mg.supports(mg.FEATURE_FAULT_GUARD), 1)
  equal(mg.supports(9999), 0)
  equal(math.floor(mg.abi_version() / 65536), 1)
  assert(mg.version():find("^%d+%.%d+%.%d+"))
  local region = assert(mg.open(support.file(support.numbered_lines(1000)), { backing = "map" }))
  equal(mg.guard_state(), mg.GUARD_TOP)
  mg.guard_install()
  equal(mg.term(mg.TERM_GUARD, mg.guard_state()), "top")
  region:close()
end)

test("a function of the module refuses what is no number, whatever it is", function()
  local wrong = { io.stdout, {}, "x", true, print, coroutine.create(function() end),
    assert(mg.open(support.file("abc"))) }
  for _, name in ipairs({ "status_name", "status_message", "supports", "term" }) do
    for _, value in ipairs(wrong) do
      local message = raises({ "bad argument #1 to '", "number expected, got " }, mg[name], value, 1)
      assert(not message:find("uint32_t", 1, true), message)
    end
    raises({ "bad argument #1 to '", "number expected, got no value" }, mg[name])
    raises({ "bad argument #1 to '", "out of range" }, mg[name], 2 ^ 40, 1)
    raises({ "bad argument #1 to '", "no integer representation" }, mg[name], 1.5, 1)
  end
  raises({ "bad argument #2 to '", "number expected, got no value" }, mg.term, 1)
end)

------------------------------------------------------------------------------------------------------------- state of
--------------------------------------------------------------------------------------------------------------- a file

test("a file that was written to is a warning at the end, or an error", function()
  local size = #support.numbered_lines(10000)
  local function rewrite(path)
    local file = assert(io.open(path, "r+b"))
    assert(file:write("another text"))
    assert(file:close())
  end
  local function cut(path)
    assert(os.execute(("truncate --size=%d '%s'"):format(size - 1, path)))
  end
  local function cut_and_grow(path)
    assert(os.execute(("truncate --size=0 '%s' && truncate --size=%d '%s'"):format(path, size, path)))
  end
  for _, case in ipairs({ { rewrite, "MMG_E_CHANGED" }, { cut_and_grow, "MMG_E_" }, { cut, "MMG_E_TRUNCATED" } }) do
    local path = support.file(support.numbered_lines(10000))
    local region = assert(mg.open(path, { backing = "map", on_change = "raise" }))
    equal(region:verify(), region)
    repeat case[1](path) until region:changed()      -- with a coarse clock the file times change one tick later
    for _, method in ipairs({ "verify", "close" }) do
      local good, message = pcall(region[method], region)
      assert(not good and message:find(case[2], 1, true), tostring(message))
    end
    equal(tostring(region), "region (closed)")
  end
  local good, message = pcall(mg.open, support.file("x"), { on_change = "shout" })
  assert(not good and message:find("'warn' or 'raise' expected", 1, true), message)
end)

test("a change is a warning each time it is asked for, whatever warn() was told", function()
  for _, word in ipairs({ "@off", "@on" }) do
    local path = support.path()
    local text, status = support.child("changed.lua", module, path, word)
    equal(status, 0, text)
    local warning = ("mmapguard: warning: %s: %s (MMG_E_CHANGED)\n"):format(path, mg.status_message(mg.E_CHANGED))
    local expected = tonumber(text:match("expected: (%d+)\n"))
    assert(expected >= 6, text)
    equal(text, warning:rep(expected) .. ("expected: %d\n"):format(expected))
  end
end)

test("changed tells what happened to the file", function()
  local path = support.file(("x"):rep(100))
  local region = assert(mg.open(path, { backing = "map", lock = "none" }))
  equal(region:changed(), false)
  local file = assert(io.open(path, "ab"))
  file:write("more")
  file:close()
  local what = region:changed()
  assert(what and what.size and not what.path, "the size changed")
  os.remove(path)
  assert(region:changed().path, "the path is gone")
  region:close()
end)

test("advise takes words, numbers and a range", function()
  local region = assert(mg.open(support.file(("x"):rep(100000)), { backing = "map" }))
  for _, word in ipairs({ "normal", "sequential", "random", "willneed", "hugepage", "dontneed", "populate", "evict" }) do
    equal(region:advise(word), region, word)
  end
  equal(region:advise(mg.ADVICE_WILLNEED, 5000, 9000), region)
  equal(region:advise("dontneed", -10), region)
  equal(region:sub(-3), "xxx")
  equal(region:span(50, 60000):advise("random"):byte(1), 120)
  region:close()
end)

----------------------------------------------------------------------------------------------------------------- life

-- Two rounds, since objects with a finalizer may need them. Code that LuaJIT compiled keeps its iterators alive.
local function collect()
  if jit then jit.flush() end
  collectgarbage()
  collectgarbage()
end

local function live()
  collect()
  local stats = mg.stats()
  return stats.handles, stats.regions, stats.mappings
end

test("a span outlives its region, and the last one closes the file", function()
  local handles = live()
  local region = assert(mg.open(support.file(support.numbered_lines(3000)), { backing = "map" }))
  local head, tail = region:span(1, 10), region:span(-5)
  local inner = tail:span(1, 4)
  region:close()
  equal(head:sub(1), "line 00000")
  equal(inner:sub(1), "text")
  head:check()
  head:close()
  tail:close()
  equal(inner:sub(1), "text")
  equal(mg.stats().handles, handles + 1)
  inner:close()
  equal(mg.stats().handles, handles)
end)

test("what is not closed is collected, spans and iterators too", function()
  local handles, regions, mappings = live()
  local path = support.file(support.numbered_lines(3000))
  for _ = 1, 50 do
    local region = assert(mg.open(path, { backing = "map" }))
    local span = region:span(5, 100):span(2)
    local next_line = region:lines()
    next_line()
    span:find("(l)(i)")
  end
  local now_handles, now_regions, now_mappings = live()
  equal(now_handles, handles)
  equal(now_regions, regions)
  equal(now_mappings, mappings)
end)

test("an iterator keeps its region", function()
  local path = support.file(support.numbered_lines(3000))
  local count = 0
  for line in assert(mg.open(path, { backing = "map" })):lines() do
    if count % 500 == 0 then collect() end
    count = count + 1
    assert(line:find("of the text", 1, true))
  end
  equal(count, 3000)
end)

test("close and the finalizer may be called twice, in any order, through the metatable", function()
  local handles = live()
  local region = assert(mg.open(support.file(support.numbered_lines(3000)), { backing = "map" }))
  local span = region:span(1, 5)
  local metatable = debug.getmetatable(region)
  metatable.__gc(span)
  metatable.__gc(region)
  metatable.__gc(region)
  metatable.__close(region)
  metatable.__close(span, "an error")
  raises("attempt to use a closed region", region.sub, region, 1)
  metatable.__gc(io.stdout) -- a file is no view, so the call changes nothing
  metatable.__gc({})
  metatable.__gc()
  raises("region or span expected", metatable.__len, "text")
  raises("region or span expected", metatable.__index, io.stdout, 1)
  raises("region or span expected", metatable.__tostring, io.stdout)
  region:close()
  region:close()
  span:close()
  equal(mg.stats().handles, handles)
end)

test("a value that only looks like a region is none", function()
  local region = assert(mg.open(support.file("abc")))
  local forged = {}
  debug.setmetatable(forged, debug.getmetatable(region))
  raises("region or span expected", function() return forged[1] end)
  raises("region or span expected", function() return forged:sub(1) end)
  raises("region or span expected", function() return forged.check(forged) end)
  region:close()
end)

test("regions work in coroutines and survive errors in them", function()
  local handles = live()
  local path = support.file(support.numbered_lines(3000))
  for _ = 1, 20 do
    local routine = coroutine.create(function()
      local region = assert(mg.open(path, { backing = "map" }))
      for line in region:lines() do coroutine.yield(line) end
    end)
    for _ = 1, 10 do assert(coroutine.resume(routine)) end -- the coroutine is left in this state
    local failing = coroutine.create(function()
      local region = assert(mg.open(path, { backing = "map" }))
      region:span(1, 10):find("%")
    end)
    equal(coroutine.resume(failing), false)
  end
  local now = live()
  equal(now, handles)
end)

test("an error during any call leaks nothing", function()
  local handles, regions, mappings = live()
  local path = support.file(support.numbered_lines(3000))
  for _ = 1, 200 do
    pcall(function()
      local region = assert(mg.open(path, { backing = "map" }))
      region:unpack("q")
    end)
    pcall(mg.open, path, { offset = "x" })
    pcall(mg.open, "/no/such/file")
  end
  local now_handles, now_regions, now_mappings = live()
  equal(now_handles, handles)
  equal(now_regions, regions)
  equal(now_mappings, mappings)
end)

local function opens()
  return tonumber(os.getenv("MMAPGUARD_LUA_OPENS")) or 20000
end

local function resident_bytes()
  local file = io.open("/proc/self/statm")
  if not file then skip("there is no /proc") end
  local _, pages = file:read("*n", "*n")
  file:close()
  return pages * 4096
end

local function open_and_forget(path, options, check)
  local most, count = 0, opens()
  for i = 1, count do
    local region = assert(mg.open(path, options))
    assert(region[1] == 108)
    if i % 64 == 0 then most = math.max(most, check()) end
  end
  return most
end

test("mapped regions that nobody closes do not pile up", function()
  local _, _, before = live()
  local path = support.file(support.numbered_lines(6000))
  local most = open_and_forget(path, nil, function() return mg.stats().mappings end)
  assert(most - before <= 600, most - before .. " mappings at once")
  local _, _, after = live()
  equal(after, before)
end)

test("copied regions that nobody closes do not pile up", function()
  local path = support.file(support.numbered_lines(1200))
  live()
  local before, memory = mg.stats().heap_bytes, resident_bytes()
  local most = open_and_forget(path, { backing = "copy" }, function() return mg.stats().heap_bytes end)
  assert(most - before <= 130 * 1048576, (most - before) / 1048576 .. " MiB at once")
  live()
  equal(mg.stats().heap_bytes, before)
  assert(resident_bytes() - memory < 200 * 1048576, "memory stays with the process")
end)

test("regions that are kept may be many", function()
  local path = support.file("small")
  local kept = {}
  for i = 1, 3000 do kept[i] = assert(mg.open(path)) end
  for i = 1, 3000, 7 do equal(kept[i]:sub(1), "small") end
  for i = 1, 3000 do kept[i]:close() end
end)

--------------------------------------------------------------------------------------------------------------- losses

-- A read must report the loss of a whole page. Only the size of the file shows a loss within a page, so only check
-- and close report it.
local told_at_once = { "index", "byte", "sub", "sub_of_few", "sub_of_pages", "find_far", "find_near", "find_pattern",
  "find_balanced", "lines", "unpack", "unpack_counted", "coroutine", "twice" }
local told_at_the_end = { "bytes", "sub_over_the_edge", "find_anchored", "unpack_string", "unpack_to_zero", "nothing",
  "span_made_before" }

local function cut(case, environment)
  local text, status = support.child("cut.lua", module, case, support.path())
  equal(status, 0, case .. ": " .. text)
  assert(text:find("\nalive\n$"), case .. ": " .. text)
  assert(text:find("left: 0 handles, 0 regions", 1, true), case .. ": " .. text)
  return setmetatable({ text = text }, { __index = function(_, what)
    return text:match("%f[^\n%z]" .. what .. ": ([^\n]*)") or error(what .. " is not in " .. text, 2)
  end }), environment
end

local function is_loss(line, offset)
  return line:find("truncated", 1, true) and line:find("offset " .. offset, 1, true)
    and line:find("(MMG_E_TRUNCATED)", 1, true)
end

for _, case in ipairs(told_at_once) do
  test("a file cut short under a read is an error with the offset, and the interpreter lives: " .. case, function()
    local said = cut(case)
    assert(is_loss(said.read, 65636), said.read)
    assert(is_loss(said.check, 65636), said.check)
    assert(is_loss(said.close, 65636), said.close)
    equal(said["close again"], "no error")
    equal(said["good part"], "no error")
    equal(said["span before"], "no error")
    assert(is_loss(said["span across"], 65636), said["span across"])
    equal(said["span before after close"], "no error")
    assert(is_loss(said["close of span across"], 65636), said.text)
  end)
end

for _, case in ipairs(told_at_the_end) do
  test("a loss that no read can see is reported by check and close: " .. case, function()
    local said = cut(case)
    equal(said.read, "no error")
    assert(is_loss(said.check, 65636), said.check)
    assert(is_loss(said.close, 65636), said.close)
    assert(is_loss(said["span across"], 65636), said["span across"])
  end)
end

test("a loss within the last page, which faults nowhere, is reported by check and close", function()
  local said = cut("in_a_page")
  assert(is_loss(said.check, 1048476), said.check)
  assert(is_loss(said.close, 1048476), said.close)
  equal(said["span before"], "no error")
end)

test("leaving a scope raises if bytes were lost, and an error under way is not replaced", function()
  if not support.is_54 then skip("<close> came with Lua 5.4") end
  local said = cut("scope")
  assert(is_loss(said.read, 5), said.read)
  said = cut("scope_with_error")
  assert(said.read:find("the error of the block", 1, true), said.read)
end)

test("the same loop over mmap as it comes is killed", function()
  local luajit = os.getenv("MMAPGUARD_LUAJIT") or "luajit"
  local _, missing = support.execute("command -v " .. support.quote(luajit))
  if missing ~= 0 then skip("there is no LuaJIT to run the twin with") end
  local text, status = support.execute(support.quote(luajit) .. " " ..
    support.quote(support.directory .. "plain_mmap.lua") .. " " .. support.quote(support.path()))
  equal(status, 135, "128 and SIGBUS; " .. text)
  assert(text:find("reading", 1, true) and not text:find("alive", 1, true), text)
end)

------------------------------------------------------------------------------------------------- what only one can do

if support.is_54 then
  test("a scope closes regions and spans, however it is left", function()
    local body = assert(support.load([[
      local mg, path = ...
      local seen = {}
      for i = 1, 3 do
        local region <close> = assert(mg.open(path))
        local span <close> = region:span(1, 2)
        seen[#seen + 1] = region
        seen[#seen + 1] = span
        if i == 2 then break end
      end
      pcall(function()
        local region <close> = assert(mg.open(path))
        seen[#seen + 1] = region
        error("left by an error")
      end)
      local routine = coroutine.create(function()
        local region <close> = assert(mg.open(path))
        seen[#seen + 1] = region
        coroutine.yield()
      end)
      coroutine.resume(routine)
      coroutine.close(routine)
      return seen
    ]]))
    local handles = live()
    local seen = body(mg, support.file("abc"))
    equal(#seen, 6)
    for _, view in ipairs(seen) do assert(tostring(view):find("(closed)", 1, true)) end
    equal(mg.stats().handles, handles)
  end)
end

require("ends")(mg, { collect = collect, live = live, module = module })
require("foreign")(mg, { collect = collect, module = module })
if is_ffi then require("only_ffi")(mg, { live = live, collect = collect, cut = cut, is_loss = is_loss }) end

support.run((jit and jit.version or _VERSION) .. ", " .. module, arg[2])
