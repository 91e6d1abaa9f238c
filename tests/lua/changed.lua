-- SPDX-License-Identifier: MIT OR Apache-2.0
--
-- Writes to a file under a region in this process, and then ends views in every way: lua changed.lua MODULE PATH
-- WORD. The script first calls warn(WORD), where Lua has this function: "@on" or "@off". It prints the expected
-- number of warnings.

local mg, path = require(arg[1]), arg[2]
if warn then warn(arg[3]) end

local function write(contents)
  local file = assert(io.open(path, "r+b"))
  assert(file:write(contents))
  assert(file:close())
end

local function changed_region()
  local region = assert(mg.open(path, { backing = "map", on_change = "warn" }))
  repeat write("another text") until region:changed() -- with a coarse clock the file times change one tick later
  return region
end

local file = assert(io.open(path, "wb"))
assert(file:write((("x"):rep(200000))))
assert(file:close())

local expected = 0
local function one_more(result, wanted)
  assert(result == wanted)
  expected = expected + 1
end

local region = changed_region()
local span = region:span(1, 10)
assert(region:check() == region and span:check() == span) -- these look for losses only
for _ = 1, 3 do one_more(region:verify(), region) end -- the same line of code each time
one_more(span:verify(), span)
one_more(region:close(), true)
assert(region:close() == true)
one_more(span:close(), true)
if _VERSION >= "Lua 5.4" then
  one_more(assert(load([[local region <close> = ...; return #region]]))(changed_region()), 200000)
  local good, message = pcall(assert(load([[local region <close> = ...; error("the error of the block")]])), changed_region())
  assert(not good and message:find("the error of the block", 1, true)) -- which says already that nothing holds
end
changed_region() -- the collector says nothing
collectgarbage()
collectgarbage()
print(("expected: %d"):format(expected))
