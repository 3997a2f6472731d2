-- KEYS[1] the session. ARGV: 1 the first 97 bytes of the session as it was read, if nothing but its
-- version and fields changes and no renewal is due, else ''; 2 the whole record to store in its place,
-- or ''; 3 packed: plan (M merge, W replace or merge, C replace or report, A merge and add), verifier's
-- hash, next version, version as it was read, limit, Redis's time in ms as the caller knows it, and the
-- last at which anything is done; 4 names to cut; 5 new fields.
-- Maybe: 6 name to add to, 7 addend. And: 8 next verifier's hash or '', 9 idle ms or '', 10 absolute
-- ms or '', 11 ':' and a user, or '', 12 ':' and a label, or '', 13 how the cookie is kept, or ''.
-- Replies 0 saved as it was read, else deadline, flags, Redis's time in ms, packed, and the sum;
-- {record} conflict, 2 absent, 3 superseded, 4 too large, 5 not an integer, 6 newer format, 7 corrupt, or
-- Redis's time, negative: too late.
-- Lengths become numbers; of the values only the one that is added to.
local key, call, sub = KEYS[1], redis.call, string.sub
-- Verifier, version and clocks, all at once: the record is the one that the caller knows.
if ARGV[1] ~= '' and call('GETRANGE', key, '0', '96') == ARGV[1] then
  -- Whoever was told that nobody knows, and finds nothing done, asks again; then it would be done twice.
  local time = call('TIME')
  local now = time[1] * 1000 + math.floor(time[2] / 1000)
  if now > struct.unpack('>I8', ARGV[3], 62) then return -now end
  call('SET', key, ARGV[2], 'KEEPTTL')
  return 0
end
local record = call('GET', key)
if not record then return 2 end
local unpack, byte = struct.unpack, string.byte
local plan, verifier, version, base, limit, asked, last = unpack('>c1c32c8c8I4I8I8', ARGV[3])
local format = byte(record, 1) or 0
if format > 1 then return 6 end
if format < 1 or #record < 117 then return 7 end
local rotated, created, seen, idle, deadline, flags, user_length, label_length =
  unpack('>I8I8I8I8I8BI2B', record, 74)
local label_at = 118 + user_length
local fields_at = label_at + label_length
if user_length > 256 or #record < fields_at - 1
  or math.max(rotated, created, seen, idle, deadline) >= 2^53 then return 7 end

local time = call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
if now > last then return -now end

if sub(record, 10, 41) ~= verifier then
  if now - rotated < 60000 and sub(record, 42, 73) == verifier then return 3 end
  return 2
end

-- Cuts the fields that are named, `count` names, out of what begins at `at`: what stays in front of
-- the last of them, where what stays behind it begins, and the value of the one called `wanted`; nil
-- where these are no fields. Names are found by their lengths first, and lengths byte by byte: making
-- a string costs more than anything else that is done here.
local function without(bytes, at, names, count, wanted)
  local kept, from, size, value = nil, at, #bytes, nil
  while at <= size do
    local length, a, b, c, d = byte(bytes, at, at + 4)
    if not d or length == 0 then return nil end
    local value_at = at + 5 + length
    local next_at = value_at + ((a * 256 + b) * 256 + c) * 256 + d
    if count > 0 and names[length] and next_at <= size + 1 then
      local name = sub(bytes, at + 5, value_at - 1)
      if names[name] then
        if from < at then
          kept = kept or {}
          kept[#kept + 1] = sub(bytes, from, at - 1)
        end
        from, count = next_at, count - 1
        if name == wanted then value = sub(bytes, value_at, next_at - 1) end
      end
    end
    at = next_at
  end
  if at > size + 1 then return nil end
  return kept and table.concat(kept) or '', from, value
end

-- The fields are `new`, `kept` and the record from `rest_at` on.
local new, kept, rest_at, sum = ARGV[5], '', nil, ''
if (plan == 'W' or plan == 'C') and sub(record, 2, 9) == base then
  -- Behind the head that is there, not the one that was read: it may have been renewed since.
  new, rest_at = sub(ARGV[2], fields_at), #record + 1
elseif plan == 'C' then
  return {record}
else
  local cut, names, count, at = ARGV[4], {}, 0, 1
  while at <= #cut do
    local length = byte(cut, at)
    names[length] = true
    names[sub(cut, at + 1, at + length)] = true
    at, count = at + 1 + length, count + 1
  end
  local added, said, value = ARGV[6], nil, nil
  if plan == 'A' then
    said = names[added]
    if not said then count = count + 1 end
    names[#added], names[added] = true, true
  end
  kept, rest_at, value = without(record, fields_at, names, count, added)
  if not kept then return 7 end
  if plan == 'A' then
    if said then
      -- What is set and added to begins with what it is set to.
      local front, behind
      front, behind, value = without(new, 1, {[#added] = true, [added] = true}, 1, added)
      new = front .. sub(new, behind)
    end
    value = value or '0'
    local digits = string.match(value, '^%-?(%d+)$')
    if not digits or #digits > 16 then return 5 end
    local max, number = 9007199254740991, tonumber(value)
    if number > max or number < -max then return 5 end
    number = number + ARGV[7]
    if number > max or number < -max then return 5 end
    sum = string.format('%.0f', number)
    new = struct.pack('>BI4', #added, #sum) .. added .. sum .. new
  end
end
local length, before = #new + #kept + #record + 1 - rest_at, #record + 1 - fields_at
if length > limit and length > before then return 4 end

-- Used again within a renewal window: its clocks stand.
if not ARGV[8] and math.abs(asked - seen) < math.min(math.floor(idle / 10), 60000) then
  local front = version .. sub(record, 10, fields_at - 1) .. new
  if kept == '' and length == before then
    -- What changes stood in front, as long as it is now.
    call('SETRANGE', key, '1', front)
  else
    call('SET', key, '\1' .. front .. kept .. sub(record, rest_at), 'KEEPTTL')
  end
  return sub(record, 106, 114) .. struct.pack('>I8', now) .. sum
end

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
    .. user .. label .. new .. kept .. sub(record, rest_at),
  'PX', string.format('%.0f', life))
return struct.pack('>I8BI8', deadline, flags, now) .. sum
