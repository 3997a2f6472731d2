-- KEYS: the lock, its line. ARGV: token (format '1' and 16 bytes of owner), how long to keep the
-- value in ms (the lease and a day), not after (ms of this clock), this process's channel, the
-- same keep for a hand-over, the most who may wait or '-1' not to wait.
-- Returns a fence that is this clock's time in us: granted · or { what, now, detail }:
--         1 granted, fence · 3 the same, and others wait · 0 busy, ms left · 2 the line is full · -1 came too late ·
--         -2 held in a format of a newer version.
--
-- The lock's value: '1', 16 bytes of owner, 16 digits of fence, '-' or 'w' where others wait, the
-- channel of the holder's process. Let go, it becomes '0' and 16 digits of fence, the floor of the
-- next one, and 'w' where somebody stands in line all the same.
--
-- A value stays for a day after its lease, and the lease is what its time to live exceeds a day
-- by. So one key is the lock and the fence's floor at once: a free key is taken with one GET and
-- one SET, and the floor outlives a holder that died. Why fences only grow: they are this clock's
-- microseconds, and one more than the last where the clock was set back. Where the value is lost
-- (evicted, flushed, a day old) no fence was ever ahead of the clock unless it was set back before,
-- so the clock is ahead of all.
--
-- Nobody gets in line for a key that is free, so the line of a key that was let go without a 'w'
-- needs no look. Where there is no value its lease may have been lost with others in line.

local time = redis.call('TIME')
local now_us = time[1] * 1000000 + time[2]
local now = math.floor(now_us / 1000)
if now > tonumber(ARGV[3]) then
  return { -1, now, 0 }
end
local value = redis.call('GET', KEYS[1])
-- A floor that is no number, or beyond what can be counted exactly, is lost.
local floor = 0
local free
if value then
  free = #value == 17 and string.byte(value) == 48
  floor = free and tonumber(string.match(value, '^%d+$')) or 0
  if floor > 9007199254000000 then
    floor = 0
  end
else
  free = redis.call('EXISTS', KEYS[2]) == 0
end
if free then
  local fence = now_us > floor and now_us or floor + 1
  redis.call('SET', KEYS[1], ARGV[1] .. string.format('%016d-', fence) .. ARGV[4], 'PX', ARGV[2])
  return fence == now_us and fence or { 1, now, fence }
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
    return { grant(token, channel, fence, ARGV[2]) and 3 or 1, now, fence }
  end
  left = ARGV[5] - 86400000
  value = redis.call('GET', KEYS[1])
end
local most = tonumber(ARGV[6])
if most >= 0 then
  local entry = token .. channel
  if not redis.call('LPOS', KEYS[2], entry) then
    if redis.call('LLEN', KEYS[2]) >= most then
      return { 2, now, 0 }
    end
    redis.call('RPUSH', KEYS[2], entry)
    if string.byte(value, 34) == 45 then
      redis.call('SETRANGE', KEYS[1], 33, 'w')
      -- The holder's process passes the key on within itself until it knows.
      redis.pcall('PUBLISH', string.sub(value, 35), 'w' .. string.sub(value, 1, 17))
    end
  end
  -- Longer than anybody waits, so that a line nobody serves any more goes away.
  redis.call('PEXPIRE', KEYS[2], 900000)
end
return { 0, now, left }
