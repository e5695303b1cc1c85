-- Appends one entry to a session's timeline or chunk stream and brings its fold up to date: both, or neither.
-- KEYS: state, stream, fence, lease, then all that shall expire once the session is over.
-- ARGV[1], JSON: data; create?; owner?, fence? (commands have none); from {status: true}; to?; put {}; add {};
--   cursor? (the entry's id is the session's newest); maxlen?; expire_ms? (nobody holds the session from now on);
--   key? (names the entry among its owner's, who asks again with the same one when an answer got lost);
--   after? (the key of the owner's entry before: where that is not the newest, some of its entries were lost).
-- Answers {'ok', id}, {'exists'}, {'missing'}, {'fenced'}, {'lost'} or {'refused', status}.
local state, stream, fence, lease = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local ask = cjson.decode(ARGV[1])
local status = redis.call('HGET', state, 'status')

if ask.create then
  if status then return {'exists'} end
else
  if not status then return {'missing'} end
  if ask.key then
    local key, id = unpack(redis.call('HMGET', state, 'written_key', 'written_id'))
    if key == ask.key then return {'ok', id} end
  end
  if ask.fence and tonumber(redis.call('GET', fence) or '0') ~= ask.fence then return {'fenced'} end
  if ask.owner and redis.call('HGET', state, 'owner') ~= ask.owner then return {'fenced'} end
  if ask.after and redis.call('HGET', state, 'written_key') ~= ask.after then return {'lost'} end
  if not ask.from[status] then return {'refused', status} end
end

local id
if ask.maxlen then
  id = redis.call('XADD', stream, 'MAXLEN', '~', ask.maxlen, '*', 'data', ask.data)
else
  id = redis.call('XADD', stream, '*', 'data', ask.data)
end

for name, value in pairs(ask.put) do redis.call('HSET', state, name, value) end
for name, step in pairs(ask.add) do redis.call('HINCRBY', state, name, step) end
if ask.to then redis.call('HSET', state, 'status', ask.to) end
if ask.cursor then redis.call('HSET', state, 'last_event_id', id) end
if ask.key then redis.call('HSET', state, 'written_key', ask.key, 'written_id', id) end
if ask.create then redis.call('HSET', state, 'created_at', string.match(id, '^%d+')) end
if ask.expire_ms then
  redis.call('DEL', lease)
  for i = 5, #KEYS do redis.call('PEXPIRE', KEYS[i], ask.expire_ms) end
end
return {'ok', id}
