-- KEYS: the lock, its line. ARGV: token, this process's channel, keep for a hand-over in ms.
-- Returns 1 freed · 2 handed over · 3 taken out of the line · 0 nothing there.
--
-- What is left is the fence, for the day that the value is kept after its lease. Where the value
-- says that nobody waits, no clock is read and no line looked at: see acquire_free.lua.

local value = redis.call('GET', KEYS[1])
local held = value and string.sub(value, 1, 17) == ARGV[1]
if held and string.byte(value, 34) == 45 then
  redis.call('SET', KEYS[1], '0' .. string.sub(value, 18, 33), 'KEEPTTL')
  return 1
end
