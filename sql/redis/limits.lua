-- limits - what nodes have counted of some limits is put together; answers what is owed of each.
--
-- KEYS[i]: who is limited. Its value: "owed owed owed at": what was owed of its three buckets
-- (events, requests, bytes) in microseconds, and when, by this server's clock, since 2026. A clock
-- that steps back only stands still. The key goes by itself once nothing is owed; of another type,
-- it is overwritten.
-- ARGV[i]: "0 cost cost cost", what a node has let in since it asked last; or "1 debt debt debt",
-- all that a node knows to be owed, where it cannot tell what of that is known here. Nanoseconds.
-- Answers three numbers a key: what is owed now, in nanoseconds.
local time = redis.call('TIME')
local now = (time[1] - 1767225600) * 1000000 + time[2]
local answer = {}
for i, key in ipairs(KEYS) do
  local kind, a, b, c = string.match(ARGV[i], '^(%d) (%S+) (%S+) (%S+)$')
  local told = {a / 1000, b / 1000, c / 1000}
  local text = redis.pcall('GET', key)
  if type(text) ~= 'string' then
    text = ''
  end
  local kept = {string.match(text, '^(%S+) (%S+) (%S+) (%S+)$')}
  local since = math.max(now - (tonumber(kept[4]) or now), 0)
  local longest = 0
  for what = 1, 3 do
    local owed = math.max((tonumber(kept[what]) or 0) - since, 0)
    if kind == '1' then
      owed = math.max(owed, told[what])
    else
      owed = math.max(owed + told[what], 0) -- told below 0: given back
    end
    longest = math.max(longest, owed)
    kept[what] = string.format('%.3f', owed)
    answer[#answer + 1] = math.floor(owed * 1000 + 0.5)
  end
  kept[4] = string.format('%.0f', now)
  redis.call('SET', key, table.concat(kept, ' '), 'PX', math.ceil(longest / 1000) + 1000)
end
return answer
