-- In front of the scripts of one session, where its user's list is on another node: who runs them
-- is told what is to become of the list.
local function enter(user, deadline, now)
  return { now, user, string.format('%.0f', deadline) }
end

local function leave(user)
  return user
end

