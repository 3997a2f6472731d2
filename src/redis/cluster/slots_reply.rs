//! Who has which slots, as a node sees it.
//!
//! Floor 1.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;

use redis::{FromRedisValue, Value, from_redis_value};

use super::node::Node;
use super::slot::SLOTS;

/// The masters with their slots, and every node that was named.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Slots {
    pub(crate) owners: Vec<(RangeInclusive<u16>, Node)>,
    pub(crate) nodes: BTreeSet<Node>,
}

impl Slots {
    /// Reads what `CLUSTER SLOTS` answers: of each range its first and last slot, its master, its
    /// replicas. `None` where it makes no sense; a node whose host is not known is left out.
    pub(crate) fn read(reply: Value, said_by: &Node) -> Option<Self> {
        let mut slots = Self::default();
        for range in list(reply)? {
            let mut parts = list(range)?.into_iter();
            let first: u16 = scalar(parts.next()?)?;
            let last: u16 = scalar(parts.next()?)?;
            if first > last || last >= SLOTS {
                return None;
            }
            for (at, node) in parts.enumerate() {
                if let Some(node) = node_of(node, said_by)? {
                    if at == 0 {
                        slots.owners.push((first..=last, node.clone()));
                    }
                    slots.nodes.insert(node);
                }
            }
        }
        Some(slots)
    }
}

/// Host, port, and what is of no interest here.
fn node_of(value: Value, said_by: &Node) -> Option<Option<Node>> {
    let mut parts = list(value)?.into_iter();
    let host: Option<String> = scalar(parts.next()?)?;
    let port: u16 = scalar(parts.next()?)?;
    let host = host.unwrap_or_default();
    Some(Node::read(&format!("{host}:{port}"), said_by))
}

fn list(value: Value) -> Option<Vec<Value>> {
    match value {
        Value::Array(items) => Some(items),
        _ => None,
    }
}

fn scalar<T: FromRedisValue>(value: Value) -> Option<T> {
    from_redis_value(value).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(host: &str, port: u16) -> Node {
        Node {
            host: host.to_owned(),
            port,
        }
    }

    fn range(first: i64, last: i64, nodes: &[(Value, i64)]) -> Value {
        let mut parts = vec![Value::Int(first), Value::Int(last)];
        for (host, port) in nodes {
            let id = Value::BulkString(b"id".to_vec());
            let metadata = Value::Array(Vec::new());
            parts.push(Value::Array(vec![
                host.clone(),
                Value::Int(*port),
                id,
                metadata,
            ]));
        }
        Value::Array(parts)
    }

    #[test]
    fn a_reply_is_read_with_the_hosts_that_are_not_announced() {
        let text = |text: &str| Value::BulkString(text.as_bytes().to_vec());
        let reply = Value::Array(vec![
            range(0, 99, &[(text("a"), 1), (text("b"), 2)]),
            range(100, 100, &[(Value::Nil, 3)]),
            range(101, 101, &[(text(""), 4)]),
            range(102, 200, &[(text("?"), 5), (text("c"), 6)]),
        ]);
        let slots = Slots::read(reply, &node("me", 9)).expect("well-formed");
        let owners = [
            (0..=99, node("a", 1)),
            (100..=100, node("me", 3)),
            (101..=101, node("me", 4)),
        ];
        assert_eq!(slots.owners, owners);
        assert_eq!(slots.nodes.len(), 5, "{:?}", slots.nodes);
    }

    #[test]
    fn nonsense_is_refused() {
        let owner = (Value::BulkString(b"a".to_vec()), 1);
        for reply in [
            Value::Nil,
            Value::Array(vec![Value::Int(1)]),
            Value::Array(vec![range(5, 4, std::slice::from_ref(&owner))]),
            Value::Array(vec![range(0, 16_384, std::slice::from_ref(&owner))]),
            Value::Array(vec![range(-1, 4, &[owner])]),
            Value::Array(vec![Value::Array(vec![
                Value::Int(0),
                Value::Int(1),
                Value::Int(2),
            ])]),
        ] {
            assert_eq!(
                Slots::read(reply.clone(), &node("me", 9)),
                None,
                "{reply:?}"
            );
        }
    }
}
