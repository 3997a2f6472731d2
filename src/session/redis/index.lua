-- In front of the scripts of one session, KEYS[1]: the list of its user's sessions. A sorted set of
-- ids by absolute deadline, which expires with the last of them.
local function index(user)
  local base, id = string.match(KEYS[1], '^(.*):s1:{(.*)}$')
  local escaped = string.gsub(user, '[^%w%-._~]', function(char)
    return string.format('%%%02X', string.byte(char))
  end)
  return base .. ':u1:{' .. escaped .. '}', id
end

local function enter(user, deadline, now)
  local key, id = index(user)
  put(key, id, deadline, now)
end

-- What stays behind is found dead by whoever reads the list.
local function leave(user)
  local key, id = index(user)
  redis.pcall('ZREM', key, id)
end

