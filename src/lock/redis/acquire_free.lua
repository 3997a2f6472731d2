-- KEYS: the lock, its line. ARGV: token (format '1' and 16 bytes of owner), how long to keep the
-- value in ms (the lease and a day), not after (ms of this clock), this process's channel, the
-- same keep for a hand-over, the most who may wait or '-1' not to wait, what operators are told.
-- Returns a fence that is this clock's time in us: granted · or { what, now, detail }:
--         1 granted, fence · 3 the same, and others wait · 0 busy, ms left · 2 the line is full · -1 came too late ·
--         -2 held in a format of a newer version.
--
-- The lock's value: '1', 16 bytes of owner, 16 digits of fence, '-' or 'w' where others wait, the
-- channel of the holder's process, and where operators are told anything a space and that. Let go, it
-- becomes '0' and 16 digits of fence, the floor of the next one, and 'w' where somebody stands in line
-- all the same. A version that knows of nothing behind the channel publishes to all of it: where there
-- is something, the holder learns that others wait from the 'w', at its renewal: a third of a lease late.
--
-- A held value stays for a day after its lease, and the lease is what its time to live exceeds a day
-- by. So one key is the lock and the fence's floor at once: a free key is taken with one GET and
-- one SET, and the floor outlives a holder that died. Of a key that was let go the floor stays until ten
-- minutes after this clock has reached it (earlier versions: for a day always), so perhaps not at all; it
-- is free whatever its time to live. Why fences only grow: they are this clock's microseconds, and one
-- more than the last where the clock was set back. Where the value is lost (evicted, flushed, its time
-- over) the clock has passed all fences, unless it was set back since, by more than those ten minutes.
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
  redis.call('SET', KEYS[1], ARGV[1] .. string.format('%016d-', fence) .. ARGV[4] .. (ARGV[7] ~= '' and ' ' .. ARGV[7] or ''), 'PX', ARGV[2])
  return fence == now_us and fence or { 1, now, fence }
end
