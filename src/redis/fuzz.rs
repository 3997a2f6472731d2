//! What must hold for whatever a server, a node or a sentinel says of itself.
//!
//! Floor 4.
//!
//! Not part of the API: the fuzz target calls it.

#[cfg(any(feature = "cluster", feature = "sentinel"))]
use ::redis::Value;

use super::probe::{LATEST_MS, Server, evicts, milliseconds};

/// A reply to what connections begin with, to a look at a Cluster, or to a question to a sentinel.
#[allow(missing_docs, reason = "it says whose bytes they are")]
pub fn reply(data: &[u8]) {
    let Ok(value) = ::redis::parse_redis_value(data) else {
        return;
    };
    let server = Server::read(value.clone());
    let _ = (server.is_supported(), server.is_for(true));
    let _ = (server.is_for(false), server.takes_writes());
    assert!(milliseconds(value.clone()).is_none_or(|ms| ms <= LATEST_MS));
    let _ = evicts(value.clone());
    #[cfg(feature = "cluster")]
    in_a_cluster(value.clone());
    #[cfg(feature = "sentinel")]
    of_a_sentinel(value);
}

#[cfg(feature = "cluster")]
fn in_a_cluster(value: Value) {
    use super::cluster::node::Node;
    use super::cluster::slot::SLOTS;
    use super::cluster::slots_reply::Slots;
    use super::cluster::told::Told;

    let said_by = Node {
        host: "db".to_owned(),
        port: 7000,
    };
    if let Value::ServerError(error) = &value
        && let Some(Told::Moved(slot, node)) = Told::read(error, &said_by)
    {
        assert!(slot < SLOTS && node.port != 0);
    }
    if let Some(slots) = Slots::read(value, &said_by) {
        for (range, node) in slots.owners {
            assert!(range.start() <= range.end() && *range.end() < SLOTS);
            assert!(slots.nodes.contains(&node) && node.port != 0);
        }
    }
}

/// The same bytes as each of its two answers.
#[cfg(feature = "sentinel")]
fn of_a_sentinel(value: Value) {
    use super::sentinel::ask::read;

    let fields = ["config-epoch", "7"].map(|field| Value::BulkString(field.into()));
    let fields = Value::Array(fields.to_vec());
    for (address, master) in [(value.clone(), fields), (Value::Nil, value)] {
        if let Ok(master) = read("main", address, master) {
            assert!(!master.host.is_empty() && master.port != 0);
        }
    }
}
