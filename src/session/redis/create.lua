-- KEYS[1] the session; ARGV: 1 the record as far as its clocks, 2 what follows them, 3 idle ms,
-- 4 absolute ms, 5 user, 6 the last of Redis's time in ms at which anything is done. Replies Redis's time
-- in ms, negative where that is over, or 0 where the key is taken.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
if now > tonumber(ARGV[6]) then return -now end
local idle, absolute = tonumber(ARGV[3]), tonumber(ARGV[4])
if ARGV[5] ~= '' then
  if redis.call('EXISTS', KEYS[1]) == 1 then return 0 end
  enter(ARGV[5], now + absolute, now)
end
local done = redis.call('SET', KEYS[1],
  ARGV[1] .. struct.pack('>I8I8I8I8', now, now, idle, now + absolute) .. ARGV[2],
  'NX', 'PX', string.format('%.0f', math.min(idle, absolute)))
return done and now or 0
