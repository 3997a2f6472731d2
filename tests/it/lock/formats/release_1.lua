-- KEYS: the lock, its line. ARGV: token, this process's channel, keep for a hand-over in ms, the
-- last fence used (16 digits) or '', the token to get in line with again or '', its own keep.
-- Returns 1 freed · 2 handed over · 3 taken out of the line · 0 nothing there;
-- where it is in line again { 2, now, 0 }, or { 1, now, fence } where it has the key already.
--
-- What is left is the fence, for the day that the value is kept after its lease. Where the value
-- says that nobody waits, no clock is read and no line looked at: see acquire_free.lua.

local value = redis.call('GET', KEYS[1])
local held = value and string.sub(value, 1, 17) == ARGV[1]
local last = ARGV[4] ~= '' and ARGV[4] or held and string.sub(value, 18, 33)
if held and string.byte(value, 34) == 45 and ARGV[5] == '' then
  redis.call('SET', KEYS[1], '0' .. last, 'KEEPTTL')
  return 1
end

-- An entry of the line: a token, and the channel of its owner's process.
-- What only keys need that others want or wanted; a free one is served before it comes to this.

-- The fence in the value; 0 where it is no number, or beyond what can be counted exactly.
local function fence_of(value)
  local format = value and string.byte(value)
  local digits = format == 49 and string.sub(value, 18, 33) or format == 48 and string.sub(value, 2, 17)
  local fence = digits and tonumber(string.match(digits, '^%d+$'))
  return fence and fence <= 9007199254000000 and fence or 0
end

-- How long the lock's lease lasts in ms, -1 for ever, or nil where it is free.
local function lease_of(value)
  if value and string.byte(value) ~= 48 then
    local kept = redis.call('PTTL', KEYS[1])
    if kept < 0 then
      return -1
    end
    return kept > 86400000 and kept - 86400000 or nil
  end
end

-- A process passes the key on within itself under fences above that of its grant, and says with
-- its release which was the last. Of one that died nobody knows: it had at most so many.
local function last_of(value)
  local reserved = value and string.byte(value) == 49 and 65536 or 0
  return fence_of(value) + reserved
end

-- Returns whether others wait.
local function grant(token, channel, fence, keep)
  local others = redis.call('EXISTS', KEYS[2]) == 1
  local value = token .. string.format('%016d', fence) .. (others and 'w' or '-') .. channel
  redis.call('SET', KEYS[1], value, 'PX', keep)
  return others
end

-- Gives the free key to the oldest waiter whose process still listens. Returns 'given' where it
-- did, 'self' where `token` is the oldest waiter, 'newer' where that one's place is in a format
-- of a newer version, which is left alone, and 'nobody'.
local function hand_over(now_us, last, keep, token)
  local fence = now_us > last and now_us or last + 1
  local entry = redis.call('LINDEX', KEYS[2], 0)
  while entry and string.byte(entry) == 49 do
    redis.call('LPOP', KEYS[2])
    local oldest, channel = string.sub(entry, 1, 17), string.sub(entry, 18)
    if oldest == token then
      return 'self', fence
    end
    local deadline = math.floor(now_us / 1000) + keep - 86400000
    local others = redis.call('EXISTS', KEYS[2])
    local message = oldest .. string.format('%016d%016d%d', fence, deadline, others)
    -- Where publishing is forbidden nobody hears anything: the key must come free all the same.
    local heard = redis.pcall('PUBLISH', channel, message)
    if type(heard) == 'number' and heard > 0 then
      grant(oldest, channel, fence, keep)
      return 'given'
    end
    entry = redis.call('LINDEX', KEYS[2], 0)
  end
  return entry and 'newer' or 'nobody', fence
end

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
  redis.call('SET', KEYS[1], '0' .. last .. (passed_on == 'newer' and 'w' or ''), 'KEEPTTL')
  return 1
end
local waited = redis.call('LREM', KEYS[2], 1, ARGV[1] .. ARGV[2])
if not lease_of(value) then
  -- The lease ran out unnoticed: do not let the others wait for their next look.
  hand_over(now_us, last_of(value), ARGV[3])
end
return waited * 3
