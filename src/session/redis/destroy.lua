-- KEYS[1] the session; ARGV: 1 verifier's hash. Deletes it for its owner only, however late
-- this comes: late.rs says why.
-- Replies 0 done, 2 absent, 6 newer format, 7 corrupt.
local header = redis.call('GETRANGE', KEYS[1], 0, 372)
if header == '' then return redis.call('EXISTS', KEYS[1]) == 1 and 7 or 2 end
local format = string.byte(header, 1)
if format > 1 then return 6 end
if format < 1 or #header < 117 then return 7 end
if string.sub(header, 10, 41) ~= ARGV[1] then return 2 end
redis.call('DEL', KEYS[1])
local user = string.sub(header, 118, 117 + struct.unpack('>I2', header, 115))
return user ~= '' and leave(user) or 0
