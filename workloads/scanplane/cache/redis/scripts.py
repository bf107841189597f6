"""The steps that Redis takes as one: Lua scripts, each one round trip.

The fence is the field ``#generation`` of a state's hash. A script that finds a greater generation there does nothing at
all; one that brings a greater generation raises it. Lua's numbers hold generations exactly: they are far below 2**53.

Every push goes out on a channel named like the key: ``=`` and the value, or ``+``, the entry's id, a space and its value.
"""

__all__ = ["APPENDED", "FENCED", "GENERATION_FIELD", "LOST", "MARK_FIELD", "REPLACED", "SAVE_STATE", "WRITE"]

FENCED = "FENCED"
"""How the scripts' error begins when a newer generation holds the baton."""

LOST = "LOST"
"""How the error of ``SAVE_STATE`` begins when the state does not bear the mark of the save before."""

GENERATION_FIELD = "#generation"
MARK_FIELD = "#mark"
REPLACED = b"="
APPENDED = b"+"

_CHECK_FENCE = """
local current = redis.call('HGET', KEYS[1], '#generation')
local generation = tonumber(ARGV[1])
if current and tonumber(current) > generation then
    return redis.error_reply('FENCED by generation ' .. current)
end
if not current or tonumber(current) < generation then
    redis.call('HSET', KEYS[1], '#generation', ARGV[1])
end
"""

_IN_PARTS = """
local function in_parts(command, key, first, last)
    for part = first, last, 2000 do
        redis.call(command, key, unpack(ARGV, part, math.min(last, part + 1999)))
    end
end
"""
"""Lua's stack does not hold the arguments of a whole market at once."""

WRITE = (
    _IN_PARTS
    + _CHECK_FENCE
    + """
local value_count, removal_count, table_count = tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local max_length = ARGV[5]
local key, argument = 2, 6
for _ = 1, value_count do
    redis.call('SET', KEYS[key], ARGV[argument])
    redis.call('PUBLISH', KEYS[key], '=' .. ARGV[argument])
    key, argument = key + 1, argument + 1
end
for _ = 1, removal_count do
    local last = argument + tonumber(ARGV[argument])
    in_parts('HDEL', KEYS[key], argument + 1, last)
    argument, key = last + 1, key + 1
end
for _ = 1, table_count do
    local last = argument + 2 * tonumber(ARGV[argument])
    in_parts('HSET', KEYS[key], argument + 1, last)
    argument, key = last + 1, key + 1
end
local skipped = 0
while key <= #KEYS do
    local last = argument + 2 * tonumber(ARGV[argument])
    argument = argument + 1
    while argument <= last do
        local id, value = ARGV[argument], ARGV[argument + 1]
        local reply = redis.pcall('XADD', KEYS[key], 'MAXLEN', '~', max_length, id, 'value', value)
        if type(reply) == 'table' and reply['err'] then
            if not string.find(reply['err'], 'The ID specified in XADD', 1, true) then
                return reply
            end
            skipped = skipped + 1
        else
            redis.call('PUBLISH', KEYS[key], '+' .. id .. ' ' .. value)
        end
        argument = argument + 2
    end
    key = key + 1
end
return skipped
"""
)
"""KEYS: fence, values, tables with rows to remove, tables with rows to set, streams. ARGV: generation, numbers of values and of
both kinds of tables, stream length; then for each value the value; for each table the number of rows to remove, and the rows;
for each table the number of rows to set, then row and value; for each stream the number of entries, then id and value.
Returns how many entries were there already."""

SAVE_STATE = (
    _IN_PARTS
    + _CHECK_FENCE
    + """
local mark, previous = ARGV[2], ARGV[3]
if mark ~= '' then
    local held = redis.call('HGET', KEYS[1], '#mark')
    if previous == '' then
        local held_generation = redis.call('HGET', KEYS[1], '#generation')
        redis.call('DEL', KEYS[1])
        redis.call('HSET', KEYS[1], '#generation', held_generation)
    elseif held ~= previous and held ~= mark then
        return redis.error_reply('LOST what was saved last')
    end
    redis.call('HSET', KEYS[1], '#mark', mark)
end
local set_count = tonumber(ARGV[4])
local last = 4 + 2 * set_count
in_parts('HSET', KEYS[1], 5, last)
in_parts('HDEL', KEYS[1], last + 1, #ARGV)
return 0
"""
)
"""KEYS: state. ARGV: generation, mark, previous mark, number of fields to set; then field and value of each; then
fields to remove. A save that bears its own mark already is a repeat, and repeats are harmless."""
