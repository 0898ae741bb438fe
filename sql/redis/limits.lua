-- limits - what nodes have counted of some limits is put together; answers what is owed of each.
--
-- KEYS[i]: who is limited. Its value: "full full full", the times at which its three buckets
-- (events, requests, bytes) are full again, in microseconds since 2026 (so that a double tells
-- nanoseconds apart), by this server's clock. It goes by itself once all are full.
-- ARGV[i]: "0 cost cost cost", what a node has let in since it asked last; or "1 debt debt debt",
-- all that a node knows to be owed, where it cannot tell what of that is known here. Nanoseconds.
-- Answers three numbers a key: what is owed now, in nanoseconds.
local time = redis.call('TIME')
local now = (time[1] - 1767225600) * 1000000 + time[2]
local owed = {}
for i, key in ipairs(KEYS) do
  local kind, a, b, c = string.match(ARGV[i], '^(%d) (%S+) (%S+) (%S+)$')
  local told = {a / 1000, b / 1000, c / 1000}
  local kept = {string.match(redis.call('GET', key) or '', '^(%S+) (%S+) (%S+)$')}
  local last = now
  for what = 1, 3 do
    local full = math.max(tonumber(kept[what]) or now, now)
    if kind == '1' then
      full = math.max(full, now + told[what])
    else
      full = math.max(full + told[what], now) -- below 0: given back
    end
    last = math.max(last, full)
    kept[what] = string.format('%.3f', full)
    owed[#owed + 1] = math.floor((full - now) * 1000 + 0.5)
  end
  redis.call('SET', key, table.concat(kept, ' '), 'PX', math.ceil((last - now) / 1000) + 1000)
end
return owed
