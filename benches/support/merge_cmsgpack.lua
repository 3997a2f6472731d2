-- The merge that the library does not use: as `save.lua` merges, with the same guards and replies, of
-- a record whose fields are one MessagePack map, by `cmsgpack`.
-- KEYS[1] the session. ARGV: 1 packed verifier's hash, next version, limit, Redis's time in ms as the
-- caller knows it; 2 names to cut, 3 new fields, both MessagePack.
local key, call, sub = KEYS[1], redis.call, string.sub
local record = call('GET', key)
if not record then return 2 end
local verifier, version, limit, asked = struct.unpack('>c32c8I4I8', ARGV[1])
local format = string.byte(record, 1) or 0
if format > 1 then return 6 end
if format < 1 or #record < 117 then return 7 end
local seen, idle, deadline, flags, user_length, label_length =
  struct.unpack('>I8I8I8BI2B', record, 90)
local fields_at = 118 + user_length + label_length
if #record < fields_at then return 7 end
if sub(record, 10, 41) ~= verifier then return 2 end
local fields = cmsgpack.unpack(sub(record, fields_at))
for _, name in ipairs(cmsgpack.unpack(ARGV[2])) do fields[name] = nil end
for name, value in pairs(cmsgpack.unpack(ARGV[3])) do fields[name] = value end
local whole = '\1' .. version .. sub(record, 10, fields_at - 1) .. cmsgpack.pack(fields)
if #whole - fields_at + 1 > limit and #whole > #record then return 4 end
if math.abs(asked - seen) >= math.min(math.floor(idle / 10), 60000) then return 7 end
call('SET', key, whole, 'KEEPTTL')
return sub(record, 106, 114) .. '\0\0\0\0\0\0\0\0'
