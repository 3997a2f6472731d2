-- Puts a session into a list of them by its deadline. None moves to the front: who walks the list goes
-- on from a deadline, and would pass over it.
local function put(key, id, deadline, now)
  -- It would be gone again at once, and perhaps the list with it.
  if deadline <= now then return end
  local entered = redis.pcall('ZADD', key, 'GT', string.format('%.0f', deadline), id)
  -- Without the error's code: it would say that the session is of the wrong type.
  if type(entered) == 'table' then
    error("the list of the user's sessions: " .. string.gsub(entered.err, '^%S+ ', ''))
  end
  redis.call('ZREMRANGEBYSCORE', key, '-inf', string.format('%.0f', now))
  redis.call('PEXPIREAT', key, redis.call('ZRANGE', key, -1, -1, 'WITHSCORES')[2])
end

