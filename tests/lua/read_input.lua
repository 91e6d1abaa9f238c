-- SPDX-License-Identifier: MIT OR Apache-2.0
--
-- Counts the lines of standard input: lua read_input.lua MODULE

local region = assert(require(arg[1]).load("-"))
local count = 0
for _ in region:lines() do count = count + 1 end
print(("%d lines, %d bytes, %s"):format(count, #region, region:info().backing_reason))
region:close()
