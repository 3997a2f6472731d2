-- KEYS: the lock. ARGV: owner, lease in ms. Returns the fence, or 0 where it is not the owner's.

local value = redis.call('GET', KEYS[1])
if value and string.sub(value, 1, 17) == '1' .. ARGV[1] then
  redis.call('PEXPIRE', KEYS[1], ARGV[2])
  return tonumber(string.sub(value, 18, 33))
end
return 0
