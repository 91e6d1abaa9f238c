-- SPDX-License-Identifier: MIT OR Apache-2.0
--
-- Regions at the end of everything else: of the interpreter, of a coroutine, of the C stack. A part of suite.lua.

local support = require "support"
local test, equal, raises = support.test, support.equal, support.raises

return function(mg, shared)
  test("finalizers at the end of the interpreter find regions open or closed, as their order says", function()
    local text, status = support.child("last_words.lua", shared.module, support.file("abc0123456789"))
    equal(status, 0, text)
    equal(text, "first: ab\nmade after: 97, bc, 99, 11, abc0\nmade before: " ..
      "attempt to use a closed region, attempt to use a closed region, attempt to use a closed span, " ..
      "attempt to use a closed span, attempt to use a closed region\nclose: true, region (closed)\n")
  end)

  test("a region that its finalizer has closed stays closed, though another finalizer keeps it", function()
    local path, saved = support.file("abc"), nil
    local handles = shared.live()
    do
      local early
      local proxy = support.with_finalizer(function() saved = early end)
      early = assert(mg.open(path)) -- collected before the proxy, which was made before
      equal(early:byte(1), 97)
      assert(proxy)
    end
    shared.collect()
    shared.collect()
    raises("attempt to use a closed region", function() return saved:byte(1) end)
    raises("attempt to use a closed region", function() return saved[1] end)
    raises("attempt to use a closed region", function() return #saved end)
    equal(shared.live(), handles)
    local other = assert(mg.open(path)) -- may get the memory of a region that was freed
    equal(other:byte(2), 98)
    raises("attempt to use a closed region", function() return saved:byte(2) end)
    other:close()
  end)

  test("of many regions that come and go, each is open or closed by itself", function()
    local random, open, closed = support.random(11), {}, {}
    local paths = { support.file("a"), support.file("b"), support.file("c") }
    for round = 1, 4000 do
      local which = random(1, 3)
      open[#open + 1] = { region = assert(mg.open(paths[which])), byte = 96 + which }
      local chosen = random(1, #open)
      equal(open[chosen].region:byte(), open[chosen].byte)
      equal(open[chosen].region[1], open[chosen].byte)
      if #open > 100 then
        local gone = table.remove(open, random(1, #open))
        gone.region:close()
        closed[round % 50 + 1] = gone.region -- a former one is left to the collector
        for _, one in pairs(closed) do raises("attempt to use a closed region", one.byte, one) end
      end
    end
    for _, one in ipairs(open) do one.region:close() end
  end)
end
