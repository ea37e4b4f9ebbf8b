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
| `minute:<provider>` | its requests that count, each until a second; permits held; workers that lack some |
| `permits:<worker>` | what it said of its permits, by provider, and in which turn |
| `holders` | until when each worker's permits count as held; then they count as used |

A worker that is not heard for as long as a lease is taken out of the sums by whoever comes next. What it said of its
permits before it said something newer is not heard, in whatever order it comes: two words would not add up.

The clock may be set back, most of all where another Redis takes over: what lies further ahead than anybody writes is of
no moment, or for as long as it lies ahead nothing newer would be believed.
"""

EXCHANGE = """
local key, me = KEYS[1], ARGV[1]
local lease, probe_lease, kept = tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local asks, turn = cjson.decode(ARGV[5]), tonumber(ARGV[6])
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

local totals, workers, holders = load('totals'), load('workers'), load('holders')
local minutes, gone, permits = {}, {}, load('permits:' .. me)
permits.of = permits.of or {}
local is_newest = turn > (permits.turn or -1)

local function minute_of(provider)
  if not minutes[provider] then
    local known = load('minute:' .. provider)
    local minute = {held = known.held or 0, lacking = known.lacking or 0, used = {}}
    for ends, count in pairs(known.used or {}) do
      -- The clock was set back: it counts from now.
      local second = math.min(tonumber(ends), math.floor(now / 1000) + 61)
      if second * 1000 > now then
        local until_then = string.format('%.0f', second)
        minute.used[until_then] = (minute.used[until_then] or 0) + count
      end
    end
    minutes[provider] = minute
  end
  return minutes[provider]
end

local function count_used(minute, count)
  if count > 0 then
    local second = string.format('%.0f', math.floor(now / 1000) + 61)
    minute.used[second] = (minute.used[second] or 0) + count
  end
end

local function used_in(minute)
  local sum = 0
  for _, count in pairs(minute.used) do
    sum = sum + count
  end
  return sum
end

local function hear_of_permits(provider, said)
  local before, minute = permits.of[provider], minute_of(provider)
  count_used(minute, before and math.max(0, said.used - before.used) or said.recent)
  minute.held = math.max(0, minute.held + said.held - (before and before.held or 0))
  minute.lacking = math.max(0, minute.lacking + said.lacks - (before and before.lacks or 0))
  permits.of[provider] = {held = said.held, used = said.used, lacks = said.lacks}
end

local function end_permits(worker, of)
  for provider, said in pairs(of or {}) do
    local minute = minute_of(provider)
    minute.held = math.max(0, minute.held - said.held)
    minute.lacking = math.max(0, minute.lacking - said.lacks)
    count_used(minute, said.held)
  end
  redis.call('HDEL', key, 'permits:' .. worker)
  holders[worker] = nil
end

local function save_permits()
  if next(minutes) or next(gone) then
    for provider, minute in pairs(minutes) do
      save('minute:' .. provider, minute)
    end
    save('holders', holders)
  end
end

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
for worker, ends in pairs(holders) do
  if worker ~= me and (ends <= now or (lease > 0 and ends > now + 2 * lease)) then
    gone[#gone + 1] = worker
  end
end
for _, worker in ipairs(gone) do
  end_permits(worker, load('permits:' .. worker).of)
end
if is_newest then
  for _, ask in ipairs(asks) do
    if ask.minute.quota then
      hear_of_permits(ask.provider, ask.minute)
    end
  end
end
if lease == 0 then
  end_permits(me, permits.of)
  save_permits()
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

local function grant_permits(provider, said)
  if not said.quota then
    return {0, 0, 0, 0}
  end
  local mine, minute, granted = permits.of[provider], minute_of(provider), 0
  if settled and is_newest then
    granted = math.max(0, math.min(said.wanted - said.held, said.quota - used_in(minute) - minute.held))
    mine.held = mine.held + granted
    minute.held = minute.held + granted
  end
  return {granted, used_in(minute), minute.held, math.max(0, minute.lacking - said.lacks)}
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
  local probes, breaker = may_probe(provider, ask.probe), newest(provider, ask.breaker)
  answers[i] = {granted, probes, breaker, cjson.encode(total), grant_permits(provider, ask.minute)}
end
if is_newest and next(permits.of) then
  permits.turn, holders[me] = turn, now + lease
  save('permits:' .. me, permits)
end
save_permits()
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
