-- The lock's value: format '1', 16 bytes of owner, 16 digits of fence.
-- An entry of the line: format '1', 16 bytes of owner, the channel of the owner's process.
-- The lock, its fence floor and its line: KEYS[1], KEYS[2], KEYS[3].

local time = redis.call('TIME')
local now_us = time[1] * 1000000 + time[2]
local now = math.floor(now_us / 1000)

-- Larger than any fence before it. The floor matters when Redis's clock was set back; when the
-- floor was lost, the clock is ahead of every fence it ever gave. One that is no number, or beyond
-- what can be counted exactly, is lost.
local function next_fence()
  local fence = now_us
  local last = tonumber(string.match(redis.call('GET', KEYS[2]) or '', '^%d+$'))
  if last and last >= fence and last < 2^53 - 1 then
    fence = last + 1
  end
  return string.format('%016.0f', fence)
end

local function grant(owner, fence, lease)
  redis.call('SET', KEYS[2], fence, 'PX', 86400000)
  redis.call('SET', KEYS[1], '1' .. owner .. fence, 'PXAT', string.format('%.0f', now + lease))
end

-- Gives the free key to the oldest waiter whose process still listens. Returns 'given' where it
-- did, 'self' where `owner` is the oldest waiter, 'newer' where that one's place is in a format
-- of a newer version, which is left alone, and 'nobody'.
local function hand_over(lease, owner)
  local entry = redis.call('LINDEX', KEYS[3], 0)
  while entry and string.sub(entry, 1, 1) == '1' do
    redis.call('LPOP', KEYS[3])
    local next_owner = string.sub(entry, 2, 17)
    if next_owner == owner then
      return 'self'
    end
    local fence = next_fence()
    local message = '1' .. next_owner .. fence .. string.format('%016.0f', now + lease)
    -- Where publishing is forbidden nobody hears anything: the key must come free all the same.
    local heard = redis.pcall('PUBLISH', string.sub(entry, 18), message)
    if type(heard) == 'number' and heard > 0 then
      grant(next_owner, fence, lease)
      return 'given'
    end
    entry = redis.call('LINDEX', KEYS[3], 0)
  end
  return entry and 'newer' or 'nobody'
end
