-- KEYS[1] the session. ARGV: 1 verifier's hash, 2 next version, 3 plan (M merge, W replace or merge,
-- C replace or report, A merge and add), 4 base version, 5 whole fields, 6 names to cut, 7 new
-- fields, 8 next verifier's hash or '', 9 limit, 10 idle ms or '', 11 absolute ms or '',
-- 12 name to add to, 13 addend, 14 ':' and a user, or '', 15 ':' and a label, or '', 16 how the cookie
-- is kept, or ''.
-- Replies {0, lifetime ms, sum or '', flags, Redis's time in ms} saved, {1, record} conflict,
-- {2} absent, {3} superseded,
-- {4} too large, {5} not an integer, {6} newer format, {7} corrupt.
-- Lengths become numbers; of the values only the one that is added to.
local record = redis.call('GET', KEYS[1])
if not record then return {2} end
local format = string.byte(record, 1) or 0
if format > 1 then return {6} end
if format < 1 or #record < 117 then return {7} end
local flags, user_length, label_length = struct.unpack('>BI2B', record, 114)
local label_at = 118 + user_length
local fields_at = label_at + label_length
local rotated, created, seen, idle, deadline = struct.unpack('>I8I8I8I8I8', record, 74)
if user_length > 256 or #record < fields_at - 1
  or math.max(rotated, created, seen, idle, deadline) >= 2^53 then return {7} end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
if string.sub(record, 10, 41) ~= ARGV[1] then
  local late = now - rotated < 60000
  if late and string.sub(record, 42, 73) == ARGV[1] then return {3} end
  return {2}
end

-- The fields but for those named, and the value of the last one cut.
local function without(fields, names)
  local kept, from, at, value = {}, 1, 1, nil
  while at <= #fields do
    local name, a, b, c, d = string.byte(fields, at, at + 4)
    if not d or name == 0 then return nil end
    local value_at = at + 5 + name
    local next_at = value_at + ((a * 256 + b) * 256 + c) * 256 + d
    if next_at > #fields + 1 then return nil end
    if names[string.sub(fields, at + 5, value_at - 1)] then
      kept[#kept + 1] = string.sub(fields, from, at - 1)
      value = string.sub(fields, value_at, next_at - 1)
      from = next_at
    end
    at = next_at
  end
  kept[#kept + 1] = string.sub(fields, from)
  return table.concat(kept), value
end

local plan, sum = ARGV[3], ''
local fields
if (plan == 'W' or plan == 'C') and string.sub(record, 2, 9) == ARGV[4] then
  fields = ARGV[5]
elseif plan == 'C' then
  return {1, record}
else
  local names, at = {}, 1
  while at <= #ARGV[6] do
    local stop = at + string.byte(ARGV[6], at)
    names[string.sub(ARGV[6], at + 1, stop)] = true
    at = stop + 1
  end
  fields = without(string.sub(record, fields_at), names)
  if not fields then return {7} end
  fields = fields .. ARGV[7]
  if plan == 'A' then
    local rest, value = without(fields, {[ARGV[12]] = true})
    value = value or '0'
    local digits = string.match(value, '^%-?(%d+)$')
    if not digits or #digits > 16 then return {5} end
    local max = 9007199254740991
    local number = tonumber(value)
    if math.abs(number) > max then return {5} end
    number = number + tonumber(ARGV[13])
    if math.abs(number) > max then return {5} end
    sum = string.format('%.0f', number)
    fields = rest .. struct.pack('>BI4', #ARGV[12], #sum) .. ARGV[12] .. sum
  end
end
if #fields > tonumber(ARGV[9]) and #fields > #record - fields_at + 1 then return {4} end

if ARGV[10] ~= '' then
  idle, deadline = tonumber(ARGV[10]), now + tonumber(ARGV[11])
end
local hashes = string.sub(record, 10, 81)
if ARGV[8] ~= '' then
  hashes = ARGV[8] .. ARGV[1] .. struct.pack('>I8', now)
end
local old = string.sub(record, 118, label_at - 1)
local user, label = old, string.sub(record, label_at, fields_at - 1)
if ARGV[14] ~= '' then user = string.sub(ARGV[14], 2) end
if #ARGV[14] > 1 then created = now end
if ARGV[15] ~= '' then label = string.sub(ARGV[15], 2) end
if ARGV[16] ~= '' then flags = flags - flags % 4 + ARGV[16] end
local life = math.min(idle, deadline - now)
if life < 1 then return {2} end
-- The list first: a session that is somebody's is in it, whatever fails. `enter` and `leave` are there
-- where 10, 14, 15 or 16 say anything.
if user ~= '' and (user ~= old or ARGV[10] ~= '') then enter(user, deadline, now) end
if old ~= '' and old ~= user then leave(old) end
redis.call('SET', KEYS[1],
  '\1' .. ARGV[2] .. hashes
    .. struct.pack('>I8I8I8I8BI2B', created, now, idle, deadline, flags, #user, #label)
    .. user .. label .. fields,
  'PX', string.format('%.0f', life))
return {0, deadline - now, sum, flags, now}
