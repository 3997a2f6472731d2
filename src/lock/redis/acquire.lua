-- The lock is held, or others stand in line. What acquire_free.lua says of the arguments and of
-- the answer goes for both.

local token, channel = ARGV[1], ARGV[4]
if value and string.byte(value) ~= 48 and string.byte(value) ~= 49 then
  return { -2, now, 0 }
end
local left = lease_of(value)
if left and string.sub(value, 1, 17) == token then
  -- Sent again: the same grant, and its lease from now on, but never for less; see renew.lua.
  if left + 86400000 < tonumber(ARGV[2]) then
    redis.call('PEXPIRE', KEYS[1], ARGV[2])
  end
  return { string.byte(value, 34) == 45 and 1 or 3, now, fence_of(value) }
end
if not left then
  local passed_on, fence = hand_over(now_us, last_of(value), ARGV[5], token)
  if passed_on ~= 'given' then
    if passed_on == 'newer' then
      -- Who holds does not wait, also when it stood behind a place that this version cannot read.
      redis.call('LREM', KEYS[2], 1, token .. channel)
    end
    return { grant(token, channel .. (ARGV[7] ~= '' and ' ' .. ARGV[7] or ''), fence, ARGV[2]) and 3 or 1, now, fence }
  end
  left = ARGV[5] - 86400000
  value = redis.call('GET', KEYS[1])
end
local most = tonumber(ARGV[6])
if most >= 0 then
  local entry = token .. channel
  -- The last in line was served just now: see hand_over.lua.
  local gone = waiting == 0
  if gone or not redis.call('LPOS', KEYS[2], entry) then
    if (gone and 0 or redis.call('LLEN', KEYS[2])) >= most then
      return { 2, now, 0 }
    end
    local push = gone and redis.pcall or redis.call
    if type(push('RPUSH', KEYS[2], entry)) == 'table' then
      -- No line can begin here while the slot is on its way: busy, and no place until asked again.
      return { 0, now, left }
    end
    if string.byte(value, 34) == 45 then
      redis.call('SETRANGE', KEYS[1], 33, 'w')
      -- The holder's process passes the key on within itself until it knows.
      redis.pcall('PUBLISH', string.match(value, '^[^ ]*', 35), 'w' .. string.sub(value, 1, 17))
    end
  end
  -- Longer than anybody waits, so that a line nobody serves any more goes away.
  redis.call('PEXPIRE', KEYS[2], 900000)
end
return { 0, now, left }
