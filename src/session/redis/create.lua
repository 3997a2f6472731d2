-- KEYS[1] the session; ARGV: 1 version, 2 verifier's hash, 3 idle ms, 4 absolute ms, 5 fields.
-- Replies 1, or 0 where the key is taken.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local idle, absolute = tonumber(ARGV[3]), tonumber(ARGV[4])
local record = '\1' .. ARGV[1] .. ARGV[2] .. string.rep('\0', 40)
  .. struct.pack('>I8I8I8I8', now, now, idle, now + absolute) .. '\0' .. ARGV[5]
local life = string.format('%.0f', math.min(idle, absolute))
if redis.call('SET', KEYS[1], record, 'NX', 'PX', life) then return 1 end
return 0
