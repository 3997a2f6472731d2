-- KEYS[1] the session; ARGV: 1 version, 2 verifier's hash, 3 idle ms, 4 absolute ms, 5 flags, 6 user,
-- 7 label, 8 fields. Replies 1, or 0 where the key is taken.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local idle, absolute = tonumber(ARGV[3]), tonumber(ARGV[4])
if ARGV[6] ~= '' then
  if redis.call('EXISTS', KEYS[1]) == 1 then return 0 end
  enter(ARGV[6], now + absolute, now)
end
local done = redis.call('SET', KEYS[1],
  '\1' .. ARGV[1] .. ARGV[2] .. string.rep('\0', 40)
    .. struct.pack('>I8I8I8I8BI2B', now, now, idle, now + absolute, ARGV[5], #ARGV[6], #ARGV[7])
    .. ARGV[6] .. ARGV[7] .. ARGV[8],
  'NX', 'PX', string.format('%.0f', math.min(idle, absolute)))
return done and 1 or 0
