-- ARGV[2]: the result. ARGV[3]: how long it counts, in ms from now on this clock. Returns 1.
if ARGV[3] == '0' then
  redis.call('DEL', KEYS[2])
else
  redis.call('SET', KEYS[2], '1d' .. ARGV[2], 'PX', ARGV[3])
end
return 1
