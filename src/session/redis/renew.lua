-- KEYS[1] the session; ARGV: 1 verifier's hash. Marks it as used now and moves its expiry.
-- Enters it into its user's list again, should Redis have evicted that.
-- Replies Redis's time in ms where done, 2 absent, 6 newer format, 7 corrupt.
local header = redis.call('GETRANGE', KEYS[1], 0, 372)
if header == '' then return redis.call('EXISTS', KEYS[1]) == 1 and 7 or 2 end
local format = string.byte(header, 1)
if format > 1 then return 6 end
if format < 1 or #header < 117 then return 7 end
if string.sub(header, 10, 41) ~= ARGV[1] then return 2 end
local rotated, created, seen, idle, deadline, _, user_length = struct.unpack('>I8I8I8I8I8BI2', header, 74)
if user_length > 256 or math.max(rotated, created, seen, idle, deadline) >= 2^53 then return 7 end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local life = math.min(idle, deadline - now)
if life < 1 then return 2 end
-- What takes no memory first: behind it Redis lets a script write though it has none left.
redis.call('PEXPIRE', KEYS[1], string.format('%.0f', life))
redis.pcall('SETRANGE', KEYS[1], 89, struct.pack('>I8', now))
local user = string.sub(header, 118, 117 + user_length)
if user ~= '' then
  local entered, told = pcall(enter, user, deadline, now)
  if entered and told then return told end
end
return now
