-- KEYS[1] the list of a user's sessions; ARGV: 1 user, 2 what to do (L list, A end all but that in 3,
-- O end only that in 3), 3 an id or '', 4 the deadline to begin at, 5 how many to look at, 6 the last of
-- Redis's time in ms at which any is ended: later there may be some that began since.
-- Replies Redis's time, negative, where that is over, or {the deadline to go on at or -1, ended, 6 or 7 where a session is unreadable, {id, head, …}}.
-- A session is the user's if its record says so; entries of others and of the dead are removed.
local base = string.match(KEYS[1], '^(.*):u1:{')
local user, task, name = ARGV[1], ARGV[2], ARGV[3]
local size = tonumber(ARGV[5])
if task ~= 'L' then
  local time = redis.call('TIME')
  local now = time[1] * 1000 + math.floor(time[2] / 1000)
  if now > tonumber(ARGV[6]) then return -now end
end
local entries, next_at = {name}, -1
if task ~= 'O' then
  entries = redis.call('ZRANGE', KEYS[1], ARGV[4], '+inf', 'BYSCORE', 'LIMIT', 0, size, 'WITHSCORES')
  if #entries == 2 * size then next_at = math.max(0, math.min(tonumber(entries[#entries]), 2^53)) end
end

local ended, unreadable, found = 0, 0, {}
-- Each is followed by its deadline.
for at = 1, #entries, 2 do
  local id = entries[at]
  local key = base .. ':s1:{' .. id .. '}'
  local head = redis.pcall('GETRANGE', key, 0, 627)
  if type(head) ~= 'string' then head = '\0' end
  local format = string.byte(head, 1)
  local stays = false
  if format and (format > 1 or format < 1 or #head < 117) then
    unreadable = format > 1 and 6 or 7
    stays = true
  elseif format and string.sub(head, 118, 117 + struct.unpack('>I2', head, 115)) == user then
    if task == 'L' then
      found[#found + 1] = id
      found[#found + 1] = head
      stays = true
    elseif task == 'A' and id == name then
      stays = true
    else
      redis.call('DEL', key)
      ended = ended + 1
    end
  end
  if not stays then redis.call('ZREM', KEYS[1], id) end
end
return {next_at, ended, unreadable, found}
