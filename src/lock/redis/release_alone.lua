-- KEYS: the lock, its line. ARGV: token, this process's channel, keep for a hand-over in ms, the
-- last fence used (16 digits) or '', the token to get in line with again or '', its own keep.
-- Returns 1 freed · 2 handed over · 3 taken out of the line · 0 nothing there;
-- where it is in line again { 2, now, 0 }, or { 1, now, fence } where it has the key already.
--
-- What is left is the fence, until this clock is ten minutes past it: clients choose keys, so what each
-- of them leaves behind has to be little, and gone soon. Where the value says that nobody waits, no clock
-- is read and no line looked at: see acquire_free.lua.

local value = redis.call('GET', KEYS[1])
local held = value and string.sub(value, 1, 17) == ARGV[1]
local last = ARGV[4] ~= '' and ARGV[4] or held and string.sub(value, 18, 33)
local stays = held and string.format('%d', math.floor((tonumber(last) or 0) / 1000) + 600000)
if held and string.byte(value, 34) == 45 and ARGV[5] == '' then
  if redis.pcall('SET', KEYS[1], '0' .. last, 'PXAT', stays).err then
    -- Out of memory: end the lease at least, which takes none.
    redis.call('PEXPIRE', KEYS[1], 86400000)
  end
  return 1
end
