"""The exchange of one worker with all others, as Redis runs it: at once, and by its own clock.

A pool is one hash, so that what belongs together is kept, moved and lost together:

| field | holds |
|---|---|
| `since` | when the hash was made; younger than a lease it may lack what workers have not said again yet |
| `workers` | until when each worker's word counts |
| `word:<worker>` | its counts, by provider |
| `totals` | the sums of all words, by provider |
| `breaker:<provider>` | the newest state that anybody has told of |
| `probe:<provider>` | who may probe it, and until when |

A worker that is not heard for as long as a lease is taken out of the sums by whoever comes next.

The clock may be set back, most of all where another Redis takes over: what lies further ahead than anybody writes is of
no moment, or for as long as it lies ahead nothing newer would be believed.
"""

EXCHANGE = """
local key, me = KEYS[1], ARGV[1]
local lease, probe_lease, kept = tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local asks = cjson.decode(ARGV[5])
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local HELD = 1

local function load(field)
  local text = redis.call('HGET', key, field)
  return text and cjson.decode(text) or {}
end

local function save(field, value)
  if next(value) == nil then
    redis.call('HDEL', key, field)
  else
    redis.call('HSET', key, field, cjson.encode(value))
  end
end

local function added(one, two, sign)
  local sums = {}
  for i = 1, math.max(#one, #two) do
    sums[i] = math.max(0, (one[i] or 0) + sign * (two[i] or 0))
  end
  return sums
end

local totals, workers = load('totals'), load('workers')

local function forget(worker)
  for provider, numbers in pairs(load('word:' .. worker)) do
    totals[provider] = added(totals[provider] or {}, numbers, -1)
  end
  redis.call('HDEL', key, 'word:' .. worker)
  workers[worker] = nil
end

local over = {}
for worker, ends in pairs(workers) do
  if worker == me or ends <= now or (lease > 0 and ends > now + 2 * lease) then
    over[#over + 1] = worker
  end
end
for _, worker in ipairs(over) do
  forget(worker)
end
if next(workers) == nil then
  totals = {}
end
if lease == 0 then
  save('workers', workers)
  save('totals', totals)
  return {}
end

local since = tonumber(redis.call('HGET', key, 'since'))
if not since or since > now then
  since = now
  redis.call('HSET', key, 'since', string.format('%.0f', now))
end
local settled = now - since >= lease

local function grant(quota, wanted, numbers, total)
  if not settled or quota == 0 then
    return 0
  end
  local granted = math.max(0, math.min(wanted - numbers[HELD], quota - total[HELD]))
  numbers[HELD] = numbers[HELD] + granted
  total[HELD] = total[HELD] + granted
  return granted
end

local function is_sound(text)
  local read, numbers = pcall(cjson.decode, text)
  if not read or type(numbers) ~= 'table' then
    return false
  end
  local since, ends = tonumber(numbers[1]), tonumber(numbers[3])
  return since and ends and since <= now + lease and ends <= now + 2 * kept
end

local function newest(provider, told)
  local field = 'breaker:' .. provider
  local known = redis.call('HGET', key, field)
  if known and not is_sound(known) then
    known = nil
  end
  if told == '' or not is_sound(told) then
    return known or ''
  end
  if known then
    local one, two = cjson.decode(told), cjson.decode(known)
    for i = 1, #two do
      if one[i] ~= two[i] then
        if (one[i] or 0) < two[i] then
          return known
        end
        break
      end
    end
  end
  redis.call('HSET', key, field, told)
  return told
end

local function may_probe(provider, wish)
  local field = 'probe:' .. provider
  local holder, ends = unpack(load(field))
  if holder and ends > now + probe_lease then
    holder, ends = nil, nil
  end
  local mine = holder == me
  if wish == 'none' then
    if mine then
      redis.call('HDEL', key, field)
    end
    return 0
  end
  if not settled or (holder and not mine and ends > now) then
    return 0
  end
  if wish == 'held' or not mine or ends <= now then
    save(field, {me, now + probe_lease})
  end
  return 1
end

local word, answers = {}, {}
for i, ask in ipairs(asks) do
  local provider, numbers = ask.provider, ask.numbers
  local total = added(totals[provider] or {}, numbers, 1)
  local granted = grant(ask.quota, ask.wanted, numbers, total)
  word[provider], totals[provider] = numbers, total
  answers[i] = {granted, may_probe(provider, ask.probe), newest(provider, ask.breaker), cjson.encode(total)}
end
workers[me] = now + lease
local count = 0
for _ in pairs(workers) do
  count = count + 1
end
save('word:' .. me, word)
save('totals', totals)
save('workers', workers)
redis.call('PEXPIRE', key, kept)
return {string.format('%.0f', now), settled and 1 or 0, count, answers}
"""
