//! How state stands in Redis: a hash for each kind, with `<revision> <record>` of every key, and `<revision>` alone of one whose
//! record was removed; beside it the revision of the last change. What gateways tell each other is the change itself.

use serde_json::Value;

use super::change::Change;
use crate::state::kind::Kind;

/// The form of all this. Another form gets other keys, so that two releases of Serin can share one Redis.
const VERSION: &str = "v1";

/// The names of everything in Redis. What is between braces is the same in all of them: in a cluster they are on one node,
/// so that one script can work on several.
#[derive(Clone, Debug)]
pub(super) struct Names {
    base: String,
}

impl Names {
    pub(super) fn new(prefix: &str) -> Self {
        Self {
            base: format!("{prefix}{{s}}:{VERSION}"),
        }
    }

    /// The hash of a kind's records.
    pub(super) fn records(&self, kind: Kind) -> String {
        format!("{}:{}", self.base, kind.name())
    }

    /// Where the revision of a kind's last change stands.
    pub(super) fn revision(&self, kind: Kind) -> String {
        format!("{}:{}:revision", self.base, kind.name())
    }

    /// A text that stands beside the records.
    pub(super) fn text(&self, name: &str) -> String {
        format!("{}:flags-snapshot:{name}", self.base)
    }

    /// The stream of all gateways' audit trails.
    pub(super) fn trail(&self) -> String {
        format!("{}:audit", self.base)
    }

    /// The number of the last entry of one trail that is in the stream.
    pub(super) fn trail_of(&self, chain: &str) -> String {
        format!("{}:audit:{chain}", self.base)
    }

    /// A key, and a channel, that nobody reads.
    pub(super) fn probe(&self) -> String {
        format!("{}:probe", self.base)
    }

    /// The channel on which changes are told.
    pub(super) fn channel(&self) -> String {
        format!("{}:changes", self.base)
    }
}

/// What stands in Redis under a key.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Stored {
    Record(u64, Value),
    Removal(u64),
    Unreadable,
}

impl Stored {
    pub(super) fn read(text: &str) -> Self {
        let (revision, record) = match text.split_once(' ') {
            Some((revision, record)) => (revision, Some(record)),
            None => (text, None),
        };
        let record = record.map(serde_json::from_str).transpose();
        match (revision.parse(), record) {
            (Ok(revision), Ok(Some(record))) => Self::Record(revision, record),
            (Ok(revision), Ok(None)) => Self::Removal(revision),
            _ => Self::Unreadable,
        }
    }

    pub(super) fn revision(&self) -> Option<u64> {
        match self {
            Self::Record(revision, _) | Self::Removal(revision) => Some(*revision),
            Self::Unreadable => None,
        }
    }
}

/// What Redis is to get for one key, as the script takes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Owed {
    pub(super) key: String,
    /// A revision; `new`: the record gets one; `forget`: the removal is forgotten.
    pub(super) revision: String,
    /// The record, or nothing.
    pub(super) record: String,
}

impl Owed {
    pub(super) fn entry(key: &str, revision: Option<u64>, record: Option<&Value>) -> Self {
        let revision = revision.map(|revision| revision.to_string());
        Self {
            key: key.to_owned(),
            revision: revision.unwrap_or_else(|| "new".to_owned()),
            record: record.map(ToString::to_string).unwrap_or_default(),
        }
    }

    pub(super) fn forget(key: &str, revision: u64) -> Self {
        Self {
            key: key.to_owned(),
            revision: "forget".to_owned(),
            record: revision.to_string(),
        }
    }
}

/// The changes as other gateways are told of them.
pub(super) fn told(changes: &[Change]) -> String {
    let changes = changes.iter();
    let changes = changes.map(|change| (&change.key, &change.record));
    serde_json::to_string(&changes.collect::<Vec<_>>()).unwrap_or_default()
}

/// What another gateway, or this one, has told of.
#[derive(Debug, PartialEq)]
pub(super) struct Message {
    pub(super) kind: Kind,
    /// The revision of the change before it.
    pub(super) after: u64,
    pub(super) revision: u64,
    /// The new records by key, `None` for one that was removed; empty: it is for readers to find out.
    pub(super) changes: Vec<(String, Option<Value>)>,
}

impl Message {
    /// `None`: it is of no form that is known here.
    pub(super) fn read(text: &str) -> Option<Self> {
        let (head, changes) = text.split_once('\n')?;
        let mut head = head.split(' ');
        let name = head.next()?;
        let kind = Kind::ALL.into_iter().find(|kind| kind.name() == name)?;
        let mut number = || head.next()?.parse().ok();
        Some(Self {
            kind,
            after: number()?,
            revision: number()?,
            changes: match changes {
                "" => Vec::new(),
                changes => serde_json::from_str(changes).ok()?,
            },
        })
    }
}

/// Carries out changes, all of them or none, as of one revision, and tells of them. `KEYS`: the records, the revision. `ARGV`:
/// the channel, the kind's name, the highest revision that the gateway knows, what is told, and of each change its key,
/// condition, and record (empty: it is removed). Returns `changed` and the key of a condition that does not hold, or
/// `stored`, the revision before, and the new one.
pub(super) const WRITE: &str = r"
local is_record = {}
for i = 5, #ARGV, 3 do
  local key, expected = ARGV[i], ARGV[i + 1]
  local held = redis.call('HGET', KEYS[1], key)
  is_record[key] = held and string.find(held, ' ', 1, true) and true or false
  local fits = true
  if expected == 'absent' then
    fits = not is_record[key]
  elseif expected ~= 'any' then
    fits = is_record[key] and string.sub(held, 1, #expected + 1) == expected .. ' '
  end
  if not fits then return { 'changed', key, '' } end
end
local before = redis.call('GET', KEYS[2]) or '0'
local time = redis.call('TIME')
local revision = math.max(tonumber(before), tonumber(ARGV[3])) + 1
revision = string.format('%.0f', math.max(revision, time[1] * 1000000 + time[2]))
for i = 5, #ARGV, 3 do
  local key, record = ARGV[i], ARGV[i + 2]
  if record ~= '' then
    redis.call('HSET', KEYS[1], key, revision .. ' ' .. record)
  elseif is_record[key] then
    redis.call('HSET', KEYS[1], key, revision)
  end
end
redis.call('SET', KEYS[2], revision)
redis.call('PUBLISH', ARGV[1], ARGV[2] .. ' ' .. before .. ' ' .. revision .. '\n' .. ARGV[4])
return { 'stored', before, revision }
";

/// Keeps a text, unless a later one is there. `KEYS`: where. `ARGV`: its moment, its digest, the text, for how many milliseconds.
/// No moment is later than Redis' own: a gateway whose clock is ahead does not keep others from writing.
pub(super) const KEEP: &str = r"
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local at = tonumber(redis.call('HGET', KEYS[1], 'at') or '')
if at and at <= now and at >= tonumber(ARGV[1]) then return 0 end
at = string.format('%.0f', math.min(tonumber(ARGV[1]), now))
redis.call('HSET', KEYS[1], 'at', at, 'digest', ARGV[2], 'text', ARGV[3])
redis.call('PEXPIRE', KEYS[1], ARGV[4])
return 1
";

/// Adds entries of one audit trail to the stream, those aside that are there. `KEYS`: the stream, the number of the trail's last
/// entry in it. `ARGV`: how many entries the stream keeps, for how many seconds the number is known, and of each entry its number
/// and its line.
pub(super) const ENTER: &str = r"
local last = tonumber(redis.call('GET', KEYS[2]) or '0')
for i = 3, #ARGV, 2 do
  local number = tonumber(ARGV[i])
  if number > last then
    redis.call('XADD', KEYS[1], 'MAXLEN', '~', ARGV[1], '*', 'line', ARGV[i + 1])
    last = number
  end
end
redis.call('SET', KEYS[2], string.format('%.0f', last), 'EX', ARGV[2])
return 1
";

/// Finds out whether Redis takes what it is given: it may be full, a replica, or allow this user too little. `KEYS`: one that
/// nobody reads. `ARGV`: a channel of the same kind.
pub(super) const PROBE: &str = r"
redis.call('HSET', KEYS[1], 'probe', '1')
redis.call('HDEL', KEYS[1], 'probe')
return redis.call('PUBLISH', ARGV[1], '')
";

/// Gives Redis what it lacks, key by key, unless it has a later revision of it. `KEYS` as above. `ARGV`: the channel, the kind's
/// name, the highest revision that the gateway knows, and of each key what [`Owed`] has.
pub(super) const MEND: &str = r"
local before = redis.call('GET', KEYS[2]) or '0'
local time = redis.call('TIME')
local new = math.max(tonumber(before), tonumber(ARGV[3])) + 1
new = string.format('%.0f', math.max(new, time[1] * 1000000 + time[2]))
local has_changed = false
for i = 4, #ARGV, 3 do
  local key, revision, record = ARGV[i], ARGV[i + 1], ARGV[i + 2]
  local held = redis.call('HGET', KEYS[1], key)
  if revision == 'forget' then
    if held == record then redis.call('HDEL', KEYS[1], key) end
  elseif revision == 'new' then
    if not held or not string.find(held, ' ', 1, true) then
      redis.call('HSET', KEYS[1], key, new .. ' ' .. record)
      has_changed = true
    end
  else
    local number = held and tonumber(string.match(held, '^%d+'))
    if not held or (number and number < tonumber(revision)) then
      redis.call('HSET', KEYS[1], key, record == '' and revision or revision .. ' ' .. record)
      has_changed = true
    end
  end
end
if has_changed then
  redis.call('SET', KEYS[2], new)
  redis.call('PUBLISH', ARGV[1], ARGV[2] .. ' ' .. before .. ' ' .. new .. '\n')
end
return has_changed and 1 or 0
";

#[cfg(test)]
mod tests;
