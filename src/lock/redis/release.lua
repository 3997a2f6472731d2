local time = redis.call('TIME')
local now_us = time[1] * 1000000 + time[2]
if held then
  local passed_on, fence = hand_over(now_us, value, ARGV[3])
  if passed_on == 'given' then
    return 2
  end
  local floor = string.format('0%016d', fence) .. (passed_on == 'newer' and 'w' or '')
  redis.call('SET', KEYS[1], floor, 'KEEPTTL')
  return 1
end
local waited = redis.call('LREM', KEYS[2], 1, ARGV[1] .. ARGV[2])
if not lease_of(value) then
  -- The lease ran out unnoticed: do not let the others wait for their next look.
  hand_over(now_us, value, ARGV[3])
end
return waited * 3
