-- KEYS: the lock. ARGV: token, how long to keep the value in ms (the lease and a day).
-- Returns the fence, or 0 where the lock is not the token's or its lease is over.

local value = redis.call('GET', KEYS[1])
if value and string.sub(value, 1, 17) == ARGV[1] and redis.call('PTTL', KEYS[1]) > 86400000 then
  redis.call('PEXPIRE', KEYS[1], ARGV[2])
  return tonumber(string.sub(value, 18, 33))
end
return 0
