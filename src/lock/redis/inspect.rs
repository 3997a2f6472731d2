//! Who holds a lock, as its value says.
//!
//! Floor 4.

use redis::Value;
use tokio::time::Duration;

use crate::lock::error::LockError;
use crate::lock::holder::Holder;
use crate::lock::lease::Fence;
use crate::lock::lock_key::LockKey;
use crate::lock::note::Note;
use crate::lock::redis::adapter::RedisLocks;
use crate::lock::redis::ask::DAY;
use crate::lock::redis::names::Names;
use crate::lock::redis::reply;
use crate::redis::script::{Script, script};

static INSPECT: Script = script!("inspect.lua");

impl RedisLocks {
    pub(super) async fn holder_of(&self, key: &LockKey) -> Result<Option<Holder>, LockError> {
        let names = Names::new(self.handle.keyspace(), key);
        let reply = self.handle.run(&INSPECT, &names.all(), &[]).await;
        read(&reply.map_err(reply::failed)?)
    }
}

/// Reads what the script answers.
pub(super) fn read(reply: &Value) -> Result<Option<Holder>, LockError> {
    match reply {
        Value::Int(0) => return Ok(None),
        Value::Int(-2) => return Err(reply::newer()),
        Value::Array(items) => {
            if let [
                Value::BulkString(value),
                Value::Int(kept),
                Value::Int(waiting),
            ] = &items[..]
            {
                return holder(value, *kept, *waiting).map(Some);
            }
        }
        _ => {}
    }
    Err(reply::unreadable())
}

/// Of what follows the owner: 16 digits of fence, whether others wait, the channel, and a note.
fn holder(value: &[u8], kept: i64, waiting: i64) -> Result<Holder, LockError> {
    let (fence, rest) = value
        .split_first_chunk::<16>()
        .ok_or_else(reply::unreadable)?;
    let fence = std::str::from_utf8(fence)
        .ok()
        .and_then(|it| it.parse().ok());
    let fence = Fence::new(fence.ok_or_else(reply::unreadable)?);
    let remaining = u64::try_from(kept).map_or(Duration::MAX, |kept| {
        Duration::from_millis(kept).saturating_sub(DAY)
    });
    let mut words = rest
        .get(1..)
        .unwrap_or_default()
        .splitn(2, |byte| *byte == b' ');
    let channel = String::from_utf8_lossy(words.next().unwrap_or_default());
    let mut holder = process(Holder::new(fence, remaining), &channel);
    holder.note = Note::read(words.next().unwrap_or_default());
    holder.waiting = usize::try_from(waiting).unwrap_or_default();
    Ok(holder)
}

/// Whose inbox it is: `{prefix}:inbox1:{name}[/{instance}][@{host}:{pid}]`.
fn process(mut holder: Holder, channel: &str) -> Holder {
    let name = channel
        .split_once(":inbox1:")
        .map_or(channel, |(_, name)| name);
    let name = match name.rsplit_once('@') {
        Some((name, place)) => {
            holder = holder.with_place(place);
            name
        }
        None => name,
    };
    let (random, instance) = name.split_once('/').unwrap_or((name, ""));
    // Whoever has no name is told from others by the first digits of what was drawn for it.
    let drawn = || random.get(..12).unwrap_or(random);
    let instance = Some(instance).filter(|instance| !instance.is_empty());
    holder.instance = Some(instance.unwrap_or_else(drawn).to_owned());
    holder
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_older_and_newer_versions_write_is_read_as_far_as_it_goes() {
        let read = |rest: &str| {
            let value = format!("1700000000000001-{rest}");
            holder(value.as_bytes(), 86_401_500, 2).unwrap()
        };
        let old = read("app:inbox1:0123456789abcdef0123456789abcdef");
        assert_eq!(old.instance.as_deref(), Some("0123456789ab"));
        assert_eq!((old.host.as_deref(), old.pid), (None, None));
        assert_eq!(old.remaining, Duration::from_millis(1_500));
        assert_eq!((old.waiting, old.note.as_str()), (2, ""));
        let new = read("a:inbox1::inbox1:0123/b@c/d@web-1:4711 pay - id later");
        assert_eq!(new.host.as_deref(), Some("web-1"));
        assert_eq!(new.pid, Some(4711));
        assert_eq!(new.note.as_str(), "pay - id");
        for damaged in [&b""[..], b"17", b"x700000000000001-"] {
            assert!(holder(damaged, 0, 0).is_err());
        }
        assert_eq!(
            holder(b"0000000000000001", -1, -1).unwrap().remaining,
            Duration::MAX
        );
    }
}
