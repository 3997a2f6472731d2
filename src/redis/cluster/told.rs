//! What a node says of a command whose key it does not have: not carried out, and where to go.
//!
//! Floor 1.

use redis::ServerError;

use super::node::Node;
use super::slot::SLOTS;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Told {
    /// The slot is that node's.
    Moved(u16, Node),
    /// The slot is on its way to that node, and the key may be there already.
    Ask(Node),
    /// At a node that is not named so that it could be found.
    Elsewhere,
    /// Of several keys of a slot on its way only some have arrived.
    Later,
    /// The cluster as a whole does not serve, or nobody has the slot.
    Down,
}

impl Told {
    pub(crate) fn read(error: &ServerError, said_by: &Node) -> Option<Self> {
        match error.code() {
            "MOVED" => Some(match place(error, said_by) {
                Some((slot, node)) => Self::Moved(slot, node),
                None => Self::Elsewhere,
            }),
            "ASK" => {
                Some(place(error, said_by).map_or(Self::Elsewhere, |(_, node)| Self::Ask(node)))
            }
            "TRYAGAIN" => Some(Self::Later),
            "CLUSTERDOWN" => Some(Self::Down),
            _ => None,
        }
    }
}

/// `slot host:port`
fn place(error: &ServerError, said_by: &Node) -> Option<(u16, Node)> {
    let (slot, node) = error.details()?.trim().split_once(' ')?;
    let slot = slot.parse().ok().filter(|slot| *slot < SLOTS)?;
    Some((slot, Node::read(node, said_by)?))
}

#[cfg(test)]
mod tests {
    use redis::Value;

    use super::*;

    fn read(reply: &str) -> Option<Told> {
        let said_by = Node {
            host: "db".to_owned(),
            port: 7000,
        };
        match redis::parse_redis_value(reply.as_bytes()) {
            Ok(Value::ServerError(error)) => Told::read(&error, &said_by),
            other => panic!("{reply}: {other:?}"),
        }
    }

    #[test]
    fn every_form_is_read_and_nonsense_is_not() {
        let node = |host: &str, port| Node {
            host: host.to_owned(),
            port,
        };
        for (reply, told) in [
            (
                "MOVED 1 10.0.0.1:7001",
                Told::Moved(1, node("10.0.0.1", 7001)),
            ),
            ("MOVED 1 :7001", Told::Moved(1, node("db", 7001))),
            ("MOVED 1 ::1:7001", Told::Moved(1, node("::1", 7001))),
            ("ASK 16383 a.b:1", Told::Ask(node("a.b", 1))),
            ("TRYAGAIN Multiple keys", Told::Later),
            ("CLUSTERDOWN Hash slot not served", Told::Down),
        ] {
            assert_eq!(read(&format!("-{reply}\r\n")), Some(told), "{reply}");
        }
        for reply in [
            "MOVED",
            "MOVED 1",
            "MOVED 16384 a:1",
            "MOVED x a:1",
            "MOVED 1 a",
            "MOVED 1 a:x",
            "MOVED 1 a:0",
            "MOVED 1 ?:1",
            "ASK 1",
        ] {
            let told = read(&format!("-{reply}\r\n"));
            assert_eq!(told, Some(Told::Elsewhere), "{reply}");
        }
        for reply in ["ERR MOVED 1 a:1", "NOSCRIPT none"] {
            assert_eq!(read(&format!("-{reply}\r\n")), None, "{reply}");
        }
    }
}
