-- ARGV: owner, lease in ms, hand-over lease in ms, not after (ms of this clock),
--       this process's channel or '' not to wait, the most who may wait.
-- Returns { what, now, detail }: 1 granted, fence · 0 busy, ms left · 2 the line is full ·
--         -1 came too late · -2 held in a format of a newer version.

if now > tonumber(ARGV[4]) then
  return { -1, now, 0 }
end
local owner, lease = ARGV[1], tonumber(ARGV[2])
local value = redis.call('GET', KEYS[1])
if value and string.sub(value, 1, 1) ~= '1' then
  return { -2, now, 0 }
end
if value and string.sub(value, 2, 17) == owner then
  -- Sent again: the same grant, and its lease from now on.
  redis.call('PEXPIREAT', KEYS[1], string.format('%.0f', now + lease))
  return { 1, now, tonumber(string.sub(value, 18, 33)) }
end
local passed_on = not value and hand_over(tonumber(ARGV[3]), owner)
if passed_on == 'newer' then
  -- Who holds does not wait, also when it stood behind a place that this version cannot read.
  redis.call('LREM', KEYS[3], 1, '1' .. owner .. ARGV[5])
end
if passed_on and passed_on ~= 'given' then
  local fence = next_fence()
  grant(owner, fence, lease)
  return { 1, now, tonumber(fence) }
end
if ARGV[5] ~= '' then
  local entry = '1' .. owner .. ARGV[5]
  if not redis.call('LPOS', KEYS[3], entry) then
    if redis.call('LLEN', KEYS[3]) >= tonumber(ARGV[6]) then
      return { 2, now, 0 }
    end
    redis.call('RPUSH', KEYS[3], entry)
  end
  -- Longer than anybody waits, so that a line nobody serves any more goes away.
  redis.call('PEXPIRE', KEYS[3], 900000)
end
return { 0, now, redis.call('PTTL', KEYS[1]) }
