-- SPDX-License-Identifier: MIT OR Apache-2.0
--
-- Reads a file that another module has mapped, after it was cut: lua foreign_cut.lua PATH SIZE [MODULE]. With MODULE,
-- a guard of that module has started and stopped before. The process must be killed in both cases.

local path, size, module = arg[1], tonumber(arg[2]), arg[3]

if module then
  assert(require(module).guard_process())
  collectgarbage()
  collectgarbage()
end
local byte = require "mapper"(path, size)
local file = assert(io.open(path, "wb"))
file:close()
print("reading")
io.stdout:flush()
print("alive", byte(size))
