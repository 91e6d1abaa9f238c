-- SPDX-License-Identifier: MIT OR Apache-2.0
--
-- Uses a region in finalizers that the end of the interpreter runs, and prints what they get:
--
--     lua last_words.lua MODULE PATH

package.path = (arg[0]:match("^(.*/)[^/]*$") or "./") .. "?.lua;" .. package.path
local support = require "support"

local mg = require(arg[1])
local region, span, iterator

local function speak(name)
  local words = {}
  for _, call in ipairs {
    function() return region:byte(1) end, function() return region:sub(2, 3) end, function() return span[1] end,
    function() return span:find("9") end, function() return iterator() end,
  } do
    local _, result = pcall(call)
    words[#words + 1] = tostring(result):gsub("^.*: ", "")
  end
  io.write(name, ": ", table.concat(words, ", "), "\n")
end

local before = support.with_finalizer(function()
  speak "made before"
  io.write("close: ", tostring(region:close()), ", ", tostring(region), "\n")
end)
region = assert(mg.open(arg[2]))
span, iterator = region:span(3), region:lines(4)
local after = support.with_finalizer(function() speak "made after" end)

-- A coroutine that never ends, and the objects above, are left to the end of the interpreter.
local routine = coroutine.wrap(function()
  for part in region:lines(2) do coroutine.yield(part) end
end)
io.write("first: ", routine(), "\n")
kept = { before, after, routine } -- luacheck: ignore
