-- KEYS: the lock, its line. Returns the lock's value without its first 17 bytes, which name its
-- owner and are nobody else's to know, for how many ms it is kept, and how many wait;
-- 0 where it is free, or -2 where a newer version holds it.

local value = redis.call('GET', KEYS[1])
local format = value and string.byte(value) or 48
local kept = redis.call('PTTL', KEYS[1])
if format == 48 or (kept >= 0 and kept <= 86400000) then
  return 0
end
return format == 49 and { string.sub(value, 18), kept, redis.call('LLEN', KEYS[2]) } or -2
