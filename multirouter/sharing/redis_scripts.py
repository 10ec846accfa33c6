"""Lua scripts that Redis runs: each reads and changes the shared state of one fleet in one step.

All keys of a fleet have the same hash tag, so a cluster keeps them on one node. Times are those of
Redis (`TIME`), in milliseconds. A stored fact is `UNTIL JSON`, with 0 for what lasts.
"""

from __future__ import annotations

from multirouter.core.sharing.shares import EVEN, LEAST

SHARES = (
    """
-- Demands are `HOLDER KEPT LIMITS DEMAND... (SPENT USD LIMIT LEFT)...` from ARGV[place], their keys
-- from KEYS[first] on. As core.sharing.shares.granted computes it; stored as `SHARE DEMAND UNTIL`.
local holder, kept, limits = unpack(ARGV, place, place + 2)
local shares = {}
local last = first - 1 + limits
for i = first, last do
    local demand = tonumber(ARGV[place + 3 + i - first])
    local held, total, count = 0, demand, 1
    local stored = redis.call('HGETALL', KEYS[i])
    for j = 1, #stored, 2 do
        local share, needed, till = string.match(stored[j + 1], '(%S+) (%S+) (%S+)')
        if stored[j] == holder or tonumber(till) <= now then
            redis.call('HDEL', KEYS[i], stored[j])
        else
            held, total, count = held + share, total + needed, count + 1
        end
    end
    local by_demand = total > 0 and demand / total or 1 / count
    local due = EVEN_REST * by_demand + EVEN / count
    local share = math.max(math.min(due, 1 - held), LEAST / count)
    local grant = string.format('%.6f %.6g ', share, demand) .. text(now + kept)
    redis.call('HSET', KEYS[i], holder, grant)
    redis.call('PEXPIRE', KEYS[i], kept)
    shares[#shares + 1] = string.format('%.6f', share)
end
-- As core.sharing.shares.reserved computes it; stored as `ALLOWANCE SPENT UNTIL`.
local budgets = {}
for i = last + 1, #KEYS do
    local at = place + 3 + limits + 4 * (i - last - 1)
    local mine, usd, limit, left = unpack(ARGV, at, at + 3)
    local committed, spent_by_others = 0, 0
    local stored = redis.call('HGETALL', KEYS[i])
    for j = 1, #stored, 2 do
        if stored[j] ~= holder then
            local allowance, spent, till = string.match(stored[j + 1], '(%S+) (%S+) (%S+)')
            committed = committed + (tonumber(till) > now and allowance or spent)
            spent_by_others = spent_by_others + spent
        end
    end
    local due = shares[tonumber(limit)] * (usd - spent_by_others - mine)
    local allowance = mine + math.max(0, math.min(due, usd - committed - mine))
    local reserve = string.format('%.9f %.9f ', allowance, mine) .. text(now + kept)
    redis.call('HSET', KEYS[i], holder, reserve)
    redis.call('PEXPIRE', KEYS[i], left)
    budgets[#budgets + 1] = string.format('%.9f', allowance)
    budgets[#budgets + 1] = string.format('%.9f', spent_by_others)
end
""".replace("EVEN_REST", str(1.0 - EVEN))
    .replace("EVEN", str(EVEN))
    .replace("LEAST", str(LEAST))
)

NOW = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local function text(number) return string.format('%.0f', number) end
"""

EPOCH = """
local epoch = redis.call('HGET', KEYS[1], 'epoch')
if not epoch then
    epoch = ARGV[1] .. ' ' .. text(now)
    redis.call('HSET', KEYS[1], 'epoch', epoch, 'version', 0)
end
"""

EXCHANGE = (
    NOW
    + EPOCH
    + """
local meta, facts, alive, hosts, members = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local origin, host, ttl, known_epoch, known_version, report = unpack(ARGV, 1, 6)
redis.call('ZADD', alive, now + ttl, origin)
redis.call('ZADD', hosts, now + ttl, host)
for _, gone in ipairs(redis.call('ZRANGEBYSCORE', alive, '-inf', text(now))) do
    redis.call('ZREM', alive, gone)
    redis.call('HDEL', members, gone)
end
redis.call('ZREMRANGEBYSCORE', hosts, '-inf', text(now))
if report ~= '' or redis.call('HEXISTS', members, origin) == 0 then
    redis.call('HSET', members, origin, report)
end
local version = redis.call('HGET', meta, 'version')
local counts = {redis.call('ZCARD', alive), redis.call('ZCARD', hosts)}
local answer = {text(now), epoch, version, counts[1], counts[2]}
if epoch ~= known_epoch or version ~= known_version then
    local stored = redis.call('HGETALL', facts)
    local found = {}
    for i = 1, #stored, 2 do
        local space = string.find(stored[i + 1], ' ', 1, true)
        local till = tonumber(string.sub(stored[i + 1], 1, space - 1))
        if till > 0 and till <= now then
            redis.call('HDEL', facts, stored[i])
        else
            local left = till > 0 and text(till - now) or ''
            found[#found + 1] = left
            found[#found + 1] = string.sub(stored[i + 1], space + 1)
        end
    end
    answer[6] = found
end
local first, place = 6, 7
"""
    + SHARES
    + """
answer[6] = answer[6] or ''
answer[7], answer[8] = shares, budgets
return answer
"""
)

RENEW_SHARES = NOW + "local first, place = 1, 1\n" + SHARES + "return {shares, budgets}\n"

PUBLISH = (
    NOW
    + EPOCH
    + """
local meta, facts, channel = KEYS[1], KEYS[2], ARGV[2]
local news = {}
for i = 3, #ARGV, 3 do
    local slot, left, raw = ARGV[i], ARGV[i + 1], ARGV[i + 2]
    local old = redis.call('HGET', facts, slot)
    local fresh = true
    if old then
        local a = cjson.decode(string.sub(old, string.find(old, ' ', 1, true) + 1))
        local b = cjson.decode(raw)
        fresh = b[3] > a[3] or (b[3] == a[3] and b[4] > a[4])
    end
    if fresh then
        local till = left == '' and '0' or text(now + left)
        redis.call('HSET', facts, slot, till .. ' ' .. raw)
        news[#news + 1] = raw
    end
end
if #news > 0 then
    local version = redis.call('HINCRBY', meta, 'version', 1)
    local message = text(now) .. ' ' .. text(version) .. ' [' .. table.concat(news, ',') .. ']'
    redis.call('PUBLISH', channel, message)
end
return #news
"""
)

ACQUIRE = """
local owner = redis.call('GET', KEYS[1])
if owner and owner ~= ARGV[1] then return redis.call('PTTL', KEYS[1]) end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 0
"""

RELEASE = """
if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end
return 0
"""

MEMBERS = (
    NOW
    + """
return {text(now), redis.call('ZRANGE', KEYS[1], 0, -1, 'WITHSCORES'),
    redis.call('HGETALL', KEYS[2])}
"""
)

LEAVE = """
redis.call('ZREM', KEYS[1], ARGV[1])
return redis.call('HDEL', KEYS[2], ARGV[1])
"""
