-- KEYS: the lock, its line. ARGV: token, how long to keep the value in ms (the lease and a day).
-- Returns the fence, negative where others wait, or 0 where the lock is not the token's or its
-- lease is over.

local value = redis.call('GET', KEYS[1])
local kept = value and string.sub(value, 1, 17) == ARGV[1] and redis.call('PTTL', KEYS[1]) or 0
if kept > 86400000 then
  -- Never for less: one token serves claims with different leases, and others may go by the longer.
  if kept < tonumber(ARGV[2]) then
    redis.call('PEXPIRE', KEYS[1], ARGV[2])
  end
  local fence = tonumber(string.sub(value, 18, 33))
  -- Whoever waited may have gone since.
  local others = string.byte(value, 34) == 119 and redis.call('EXISTS', KEYS[2]) == 1
  return others and -fence or fence
end
return 0
