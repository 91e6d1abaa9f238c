-- SPDX-License-Identifier: MIT OR Apache-2.0
--
-- Guarding the mappings of other modules. A part of suite.lua. tests/lua/mapper.c makes the mappings.

local support = require "support"
local test, equal, raises, skip = support.test, support.equal, support.raises, support.skip

return function(mg, shared)
  local map = require "mapper"
  local SIZE, LEFT = 262144, 12288

  -- A file that another module has mapped, and a function that cuts it and reads its last byte.
  local function mapped()
    local path = support.file(("x"):rep(SIZE))
    local byte = map(path, SIZE)
    return path, function()
      local _, status = support.execute("truncate -s " .. LEFT .. " " .. path)
      equal(status, 0)
      equal(byte(1), 120)
      equal(byte(SIZE), 0)
    end
  end

  test("a process that is not guarded dies of the file of another module", function()
    local text, status = support.child("foreign_cut.lua", support.file(("x"):rep(SIZE)), SIZE)
    equal(status, 135, "128 and SIGBUS; " .. text)
    assert(text:find("reading", 1, true) and not text:find("alive", 1, true), text)
  end)

  test("a guarded process lives, and the guard tells path and offset", function()
    local guard = assert(mg.guard_process())
    local path, lose = mapped()
    equal(guard:check(), guard)
    lose()
    raises({ path, "truncated", "offset " .. LEFT, "(MMG_E_TRUNCATED)" }, guard.check, guard)
    local list, mark, missing = guard:losses()
    equal(#list, 1)
    equal(missing, 0)
    equal(list[1].path, path)
    equal(list[1].offset, LEFT)
    equal(list[1].length, SIZE - LEFT)
    equal(list[1].cause, "MMG_E_TRUNCATED")
    equal(list[1].origin, "foreign")
    raises(path, guard.stop, guard)
    equal(guard:stop(), true)
    raises("has ended", guard.check, guard)
    equal(#mg.losses(mark), 0)
    equal(#mg.losses(mark - 1), 1)
  end)

  test("guards nest, and take options by name", function()
    local outer = assert(mg.guard_process({ shared_writable = true }))
    local inner = assert(mg.guard_process({ chain_first = true, shared_writable = false }))
    equal(inner:stop(), true)
    local path, lose = mapped()
    lose()
    raises(path, outer.stop, outer)
    raises("unknown option", mg.guard_process, { nonsense = true })
    raises("boolean expected", mg.guard_process, { chain_first = 1 })
  end)

  test("a guard ends with its scope", function()
    if not support.is_54 then skip("<close> came with Lua 5.4") end
    local path, lose = mapped()
    local work = assert(support.load([[
      local mg, lose, fail = ...
      local guard <close> = assert(mg.guard_process())
      lose()
      if fail then error("the error of the block", 0) end
    ]]))
    raises({ path, "(MMG_E_TRUNCATED)" }, work, mg, lose)
    path, lose = mapped()
    raises("the error of the block", work, mg, lose, true)
  end)

  test("a guard that nobody stops ends with the collector", function()
    for _ = 1, 100 do assert(mg.guard_process()) end
    shared.collect()
    local text, status = support.child("foreign_cut.lua", support.file(("x"):rep(SIZE)), SIZE, shared.module)
    equal(status, 135, "128 and SIGBUS; " .. text)
  end)

  test("losses of regions are in the ledger, and told by the regions", function()
    local _, mark = mg.losses()
    local guard = assert(mg.guard_process())
    local path = support.file(("x"):rep(SIZE))
    local region = assert(mg.open(path, { backing = "map" }))
    support.execute("truncate -s " .. LEFT .. " " .. path)
    raises("(MMG_E_TRUNCATED)", function() return region:sub(-10) end)
    raises("(MMG_E_TRUNCATED)", region.close, region)
    equal(guard:stop(), true)
    for _, loss in ipairs((mg.losses(mark))) do equal(loss.origin, "own") end
    raises("no such mark", mg.losses, select(2, mg.losses()) + 1)
    raises("not negative", mg.losses, -1)
  end)
end
