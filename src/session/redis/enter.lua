-- KEYS[1] the list of a user's sessions; ARGV: 1 an id, 2 its deadline in ms, or '', 3 or how far off
-- that is.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
put(KEYS[1], ARGV[1], tonumber(ARGV[2]) or now + ARGV[3], now)
return 0
