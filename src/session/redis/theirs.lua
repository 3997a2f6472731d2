-- KEYS[1] a session; ARGV: 1 a user, 2 'E' to end the session if it is the user's, 3 the last of Redis's
-- time in ms at which it is ended. Replies its head, 1 where it was ended, 2 where it is not the user's or
-- not there, 6 newer format, 7 corrupt, or Redis's time, negative: too late.
local head = redis.pcall('GETRANGE', KEYS[1], 0, 627)
if type(head) ~= 'string' then return 7 end
local format = string.byte(head, 1)
if not format then return 2 end
if format > 1 then return 6 end
if format < 1 or #head < 117 then return 7 end
if string.sub(head, 118, 117 + struct.unpack('>I2', head, 115)) ~= ARGV[1] then return 2 end
if ARGV[2] ~= 'E' then return head end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
if now > tonumber(ARGV[3]) then return -now end
redis.call('DEL', KEYS[1])
return 1
