-- KEYS: the job's lock, what is kept of the job. ARGV[1]: the token under which the lock is held.
-- Kept is '1d' and the result of a job that is done, for as long as it counts; '1r', a token and
-- who it is for one that was begun under that token, for a day: it runs as long as the lock is
-- that token's.
-- Returns 0 where the lock is not the token's or its lease is over (what its value exceeds a day
-- by: see acquire_free.lua) · -2 where something else is kept than this version knows.

local lock = redis.call('GET', KEYS[1])
if not lock or string.sub(lock, 1, 17) ~= ARGV[1] or redis.call('PTTL', KEYS[1]) <= 86400000 then
  return 0
end
local kept = redis.call('GET', KEYS[2])
local what = kept and string.sub(kept, 1, 2)
if what and what ~= '1d' and what ~= '1r' then
  return -2
end
