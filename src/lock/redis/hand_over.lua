
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

-- How many stand in line, once hand_over has looked. From then on they are counted: the line goes with
-- its last entry, and where the slot is on its way to another node of a Cluster, Redis ends a script that
-- looks for a key that is not there, halfway through.
local waiting

-- Returns whether others wait.
local function grant(token, channel, fence, keep)
  local others = waiting > 0
  local value = token .. string.format('%016d', fence) .. (others and 'w' or '-') .. channel
  redis.call('SET', KEYS[1], value, 'PX', keep)
  return others
end

-- Gives the free key to the oldest waiter whose process still listens. Returns 'given' where it
-- did, 'self' where `token` is the oldest waiter, 'newer' where that one's place is in a format
-- of a newer version, which is left alone, and 'nobody'.
local function hand_over(now_us, last, keep, token)
  local fence = now_us > last and now_us or last + 1
  waiting = redis.call('LLEN', KEYS[2])
  while waiting > 0 do
    local entry = redis.call('LINDEX', KEYS[2], 0)
    if string.byte(entry) ~= 49 then
      return 'newer', fence
    end
    redis.call('LPOP', KEYS[2])
    waiting = waiting - 1
    local oldest, channel = string.sub(entry, 1, 17), string.sub(entry, 18)
    if oldest == token then
      return 'self', fence
    end
    local deadline = math.floor(now_us / 1000) + keep - 86400000
    local message = oldest .. string.format('%016d%016d%d', fence, deadline, waiting > 0 and 1 or 0)
    -- Where publishing is forbidden nobody hears anything: the key must come free all the same.
    local heard = redis.pcall('PUBLISH', channel, message)
    if type(heard) == 'number' and heard > 0 then
      grant(oldest, channel, fence, keep)
      return 'given'
    end
  end
  return 'nobody', fence
end

