-- SPDX-License-Identifier: MIT OR Apache-2.0
--
-- Tests what only the FFI module can do. This is a part of suite.lua, in a file of its own because other versions of
-- Lua cannot read LuaJIT's 64-bit numbers.

local support = require "support"
local test, equal, raises, skip = support.test, support.equal, support.raises, support.skip

return function(mg, shared)
  local live, collect, cut, is_loss = shared.live, shared.collect, shared.cut, shared.is_loss
  local ffi = require "ffi"

  test("data is a pointer to the bytes, the same each time", function()
    local text = support.numbered_lines(3000)
    local region = assert(mg.open(support.file(text), { backing = "map" }))
    local bytes = region.data
    assert(ffi.istype("const uint8_t *", bytes))
    equal(region.data, bytes)
    for _, i in ipairs({ 0, 1, 4095, 4096, #text - 1 }) do equal(bytes[i], text:byte(i + 1)) end
    equal(ffi.string(bytes + 5, 9), "000000001")
    assert(not pcall(function() bytes[0] = 1 end), "it is read-only")
    local span = region:span(11, 20)
    equal(ffi.string(span.data, 10), text:sub(11, 20))
    region:close()
    equal(bytes[1], text:byte(2), "after the region was closed")
    raises("attempt to use a closed region", function() return region.data end)
    span:close()
  end)

  test("a pointer keeps its bytes when region and span are gone", function()
    local handles, _, mappings = live()
    local text = support.numbered_lines(3000)
    local path = support.file(text)
    local pointers = {}
    for i = 1, 30 do
      local region = assert(mg.open(path, { backing = "map" }))
      pointers[i] = i % 2 == 0 and region.data or region:span(i * 1000).data
      if i % 3 == 0 then region:close() end
    end
    collect()
    for i = 1, 30 do
      local at = i % 2 == 0 and 0 or i * 1000 - 1
      for k = 0, 2000, 100 do equal(pointers[i][k], text:byte(at + k + 1)) end
    end
    pointers = nil
    local now_handles, _, now_mappings = live()
    equal(now_handles, handles)
    equal(now_mappings, mappings)
  end)

  test("a compiled loop keeps what it reads", function()
    local path = support.file(support.numbered_lines(6000))
    local sums = {}
    for round = 1, 40 do
      local bytes = assert(mg.open(path)).data
      local sum = 0
      for i = 0, 100000 do
        sum = sum + bytes[i]
        if i % 25000 == 0 then collectgarbage() end
      end
      sums[round] = sum
      equal(sum, sums[1])
    end
  end)

  test("a loop over the pointer of a file cut short ends, and check tells the offset", function()
    local said = cut("pointer")
    assert(is_loss(said.read, 65636), said.read)
    assert(is_loss(said.close, 65636), said.close)
  end)

  for _, way in ipairs({ "index", "byte", "bytes", "sub", "find" }) do
    test("a compiled loop that calls nothing else gets the error for a loss under way: " .. way, function()
      local text, status = support.execute(("timeout 300 %s %s %s %s"):format(support.quote(support.interpreter()),
        support.quote(support.directory .. "compiled.lua"), way, support.quote(support.path())))
      equal(status, 0, text)
      assert(is_loss(text, 4096), text)
    end)
  end

  test("64-bit integers are positions, too", function()
    local region = assert(mg.open(support.file("abc")))
    equal(region[2LL], 98)
    equal(region[-1LL], 99)
    equal(region:sub(2LL, 3ULL), "bc")
    raises("2^53", function() return region:byte(2LL ^ 53 + 1) end)
    region:close()
  end)

  test("more than 2^31 bytes have positions", function()
    local path = support.path()
    local _, status = support.execute("truncate -s 3000000000 " .. path .. " && printf END >>" .. path)
    if status ~= 0 then skip("no room for a sparse file of 3 GB") end
    local region = assert(mg.open(path, { backing = "map" }))
    equal(#region, 3000000003)
    equal(region[3000000001], 69)
    equal(region:sub(-3), "END")
    equal(region.data[3000000002], 68)
    equal(region:find("END", 2999990000, true), 3000000001)
    local sum = 0
    for i = 2999999000, 3000000003 do sum = sum + region[i] end
    equal(sum, 69 + 78 + 68)
    region:close()
    os.remove(path)
  end)

  test("the module is mmapguard itself, also when it is loaded twice", function()
    equal(require "mmapguard", mg)
    package.loaded["mmapguard.ffi"] = nil
    equal(require "mmapguard.ffi", mg)
    local region = assert(mg.open(support.file("abc")))
    equal(region:sub(1, 2), "ab")
    equal(region[2], 98)
    equal(region.data[2], 99)
    region:close()
  end)

  test("a C module of another build is refused", function()
    local loaded = package.loaded.mmapguard
    package.loaded["mmapguard.ffi"] = nil
    package.loaded.mmapguard = { abi_version = mg.abi_version }
    local good, message = pcall(require, "mmapguard.ffi")
    package.loaded.mmapguard = loaded
    package.loaded["mmapguard.ffi"] = mg
    assert(not good and message:find("different builds", 1, true), message)
  end)

  test("the declarations of the header are the FFI's", function()
    assert(ffi.sizeof("mmg_info") > 100 and ffi.new("mmg_span").size == 0)
  end)
end
