local time = redis.call('TIME')
local now_us = time[1] * 1000000 + time[2]
if held then
  local again, channel = ARGV[5], ARGV[2]
  if again ~= '' then
    if not redis.call('LPOS', KEYS[2], again .. channel) then
      redis.call('RPUSH', KEYS[2], again .. channel)
    end
    redis.call('PEXPIRE', KEYS[2], 900000)
  end
  local passed_on, fence = hand_over(now_us, tonumber(last), ARGV[3], again)
  if passed_on == 'given' then
    return again == '' and 2 or { 2, math.floor(now_us / 1000), 0 }
  end
  if again ~= '' then
    if passed_on == 'newer' then
      redis.call('LREM', KEYS[2], 1, again .. channel)
    end
    grant(again, channel, fence, ARGV[6])
    return { 1, math.floor(now_us / 1000), fence }
  end
  redis.call('SET', KEYS[1], '0' .. last .. (passed_on == 'newer' and 'w' or ''), 'PXAT', stays)
  return 1
end
local waited = redis.call('LREM', KEYS[2], 1, ARGV[1] .. ARGV[2])
if not lease_of(value) then
  -- The lease ran out unnoticed: do not let the others wait for their next look.
  hand_over(now_us, last_of(value), ARGV[3])
end
return waited * 3
