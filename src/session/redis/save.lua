-- KEYS[1] the session. ARGV: 1 the first 97 bytes of the session as it was read, if nothing but its
-- version and fields changes and no renewal is due, else ''; 2 the whole record to store in its place,
-- or ''; 3 packed: plan (M merge, W replace or merge, C replace or report, A merge and add), verifier's
-- hash, next version, version as it was read, limit, Redis's time in ms as the caller knows it;
-- 4 names to cut; 5 new fields.
-- Maybe: 6 name to add to, 7 addend. And: 8 next verifier's hash or '', 9 idle ms or '', 10 absolute
-- ms or '', 11 ':' and a user, or '', 12 ':' and a label, or '', 13 how the cookie is kept, or ''.
-- Replies 0 saved as it was read, else deadline, flags, Redis's time in ms or 0, packed, and the sum;
-- {record} conflict, 2 absent, 3 superseded, 4 too large, 5 not an integer, 6 newer format, 7 corrupt.
-- Lengths become numbers; of the values only the one that is added to.
local key, call, sub = KEYS[1], redis.call, string.sub
-- Verifier, version and clocks, all at once: the record is the one that the caller knows.
if ARGV[1] ~= '' and call('GETRANGE', key, '0', '96') == ARGV[1] then
  call('SET', key, ARGV[2], 'KEEPTTL')
  return 0
end
local record = call('GET', key)
if not record then return 2 end
local unpack = struct.unpack
local plan, verifier, version, base, limit, asked = unpack('>c1c32c8c8I4I8', ARGV[3])
local format = string.byte(record, 1) or 0
if format > 1 then return 6 end
if format < 1 or #record < 117 then return 7 end
local created, seen, idle, deadline, flags, user_length, label_length =
  unpack('>I8I8I8I8BI2B', record, 82)
local label_at = 118 + user_length
local fields_at = label_at + label_length
if user_length > 256 or #record < fields_at - 1
  or math.max((unpack('>I8', record, 74)), created, seen, idle, deadline) >= 2^53 then return 7 end

local function clock()
  local time = call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

if sub(record, 10, 41) ~= verifier then
  local late = clock() - unpack('>I8', record, 74) < 60000
  if late and sub(record, 42, 73) == verifier then return 3 end
  return 2
end

-- What stands behind `from`, the fields begin at `at`, but for those named; and the value of the last
-- one that is called `wanted`. Names are found by their lengths first.
local function without(bytes, from, at, names, wanted)
  local kept, count, size, value = {}, 0, #bytes, nil
  while at <= size do
    if at + 4 > size then return nil end
    local length, value_length = unpack('>BI4', bytes, at)
    local value_at = at + 5 + length
    local next_at = value_at + value_length
    if length == 0 or next_at > size + 1 then return nil end
    local name = names[length] and sub(bytes, at + 5, value_at - 1)
    if name and names[name] then
      count = count + 1
      kept[count] = sub(bytes, from, at - 1)
      from = next_at
      if name == wanted then value = sub(bytes, value_at, next_at - 1) end
    end
    at = next_at
  end
  kept[count + 1] = sub(bytes, from)
  return table.concat(kept), value
end

-- The record under the next version, else with the head it has.
local whole, sum = nil, ''
local same = sub(record, 2, 9) == base
if same and (plan == 'W' or plan == 'C') then
  -- The head that is there, not the one that was read: it may have been renewed since.
  whole = '\1' .. version .. sub(record, 10, fields_at - 1) .. sub(ARGV[2], fields_at)
elseif plan == 'C' then
  return {record}
else
  local cut, names, at = ARGV[4], {}, 1
  while at <= #cut do
    local length = string.byte(cut, at)
    names[length] = true
    names[sub(cut, at + 1, at + length)] = true
    at = at + 1 + length
  end
  local new, added, value, said = ARGV[5], ARGV[6], nil, nil
  if plan == 'A' then
    said = names[added]
    names[#added], names[added] = true, true
  end
  whole, value = without(record, 10, fields_at, names, added)
  if not whole then return 7 end
  if plan == 'A' then
    -- What is set and added to begins with what it is set to.
    if said then new, value = without(new, 1, 1, {[#added] = true, [added] = true}, added) end
    value = value or '0'
    local digits = string.match(value, '^%-?(%d+)$')
    if not digits or #digits > 16 then return 5 end
    local max = 9007199254740991
    local number = tonumber(value)
    if math.abs(number) > max then return 5 end
    number = number + tonumber(ARGV[7])
    if math.abs(number) > max then return 5 end
    sum = string.format('%.0f', number)
    new = new .. struct.pack('>BI4', #added, #sum) .. added .. sum
  end
  whole = '\1' .. version .. whole .. new
end
if #whole - fields_at + 1 > limit and #whole > #record then return 4 end

-- Used again within a renewal window: its clocks stand.
if not ARGV[8] and math.abs(asked - seen) < math.min(math.floor(idle / 10), 60000) then
  call('SET', key, whole, 'KEEPTTL')
  return sub(record, 106, 114) .. '\0\0\0\0\0\0\0\0' .. sum
end

local now = clock()
local old = sub(record, 118, label_at - 1)
local hashes, user, label = sub(record, 10, 81), old, sub(record, label_at, fields_at - 1)
local renewed = ARGV[9] and ARGV[9] ~= ''
if ARGV[8] then
  if ARGV[8] ~= '' then hashes = ARGV[8] .. verifier .. struct.pack('>I8', now) end
  if renewed then idle, deadline = tonumber(ARGV[9]), now + tonumber(ARGV[10]) end
  if ARGV[11] ~= '' then user = sub(ARGV[11], 2) end
  if #ARGV[11] > 1 then created = now end
  if ARGV[12] ~= '' then label = sub(ARGV[12], 2) end
  if ARGV[13] ~= '' then flags = flags - flags % 4 + ARGV[13] end
end
local life = math.min(idle, deadline - now)
if life < 1 then return 2 end
-- The list first: a session that is somebody's is in it, whatever fails. `enter` and `leave` are there
-- where 9, 11, 12 or 13 say anything.
if user ~= '' and (user ~= old or renewed) then enter(user, deadline, now) end
if old ~= '' and old ~= user then leave(old) end
call('SET', key,
  '\1' .. version .. hashes
    .. struct.pack('>I8I8I8I8BI2B', created, now, idle, deadline, flags, #user, #label)
    .. user .. label .. sub(whole, fields_at),
  'PX', string.format('%.0f', life))
return struct.pack('>I8BI8', deadline, flags, now) .. sum
