-- ARGV[2]: who. Returns 1 begun · what is kept, where it is done.
if what == '1d' then
  return kept
end
redis.call('SET', KEYS[2], '1r' .. ARGV[1] .. ARGV[2], 'PX', 86400000)
return 1
