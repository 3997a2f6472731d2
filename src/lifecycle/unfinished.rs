//! One piece of work that has not ended: what `/status` lists and the report names.
//!
//! Floor 1.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::Method;
use serde::ser::{Serialize, SerializeStruct, Serializer};

/// How far a piece of work has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Stage {
    /// The response's head has not been made; or it has, with a body of a known size of 64 KiB or
    /// less, which has not ended.
    Handler,
    /// The response's head has been made, and its body, a stream or a large one, has not ended.
    Body,
    /// A background task runs.
    Task,
    /// The head of a request has begun to come in and is not whole: no handler has heard of it.
    Head,
    /// A handshake of TLS has begun and is not over: nobody can say what its peer wants.
    Handshake,
    /// The socket takes no more of an answer: its client does not read, or reads slowly. Where the
    /// answer is a stream, its request is listed besides.
    Unsent,
    /// The connection was upgraded (WebSocket) and is open.
    Upgraded,
    /// A connection of HTTP/2 on which something was asked, whose peer did not let go of it, or has an
    /// answer that it does not take in. Named only when cut off.
    Http2,
}

impl Stage {
    /// The stage's name in lower case.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Handler => "handler",
            Self::Body => "body",
            Self::Task => "task",
            Self::Head => "head",
            Self::Handshake => "handshake",
            Self::Unsent => "unsent",
            Self::Upgraded => "upgraded",
            Self::Http2 => "http2",
        }
    }
}

/// A request, a connection or a background task that has not ended.
///
/// Serialises as `{"method":…,"route":…,"path":…,"age_ms":…,"stage":…}`, with null for what is
/// not known; `request_id` besides where it is known, `name` where the work is a task, `peer` where it
/// is a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Unfinished {
    /// The request's method; none for a task or a connection.
    pub method: Option<Method>,
    /// The route that matched, as the application spells it: `/orders/{id}`.
    pub route: Option<Arc<str>>,
    /// The request's path without its query, only where paths were asked for.
    pub path: Option<String>,
    /// What the request calls itself, only where its header was
    /// [asked for](crate::lifecycle::LifecycleBuilder::request_id_header): 64 visible ASCII
    /// characters at most. The client's word, or a proxy's.
    pub request_id: Option<Box<str>>,
    /// The task's name; none for a request.
    pub name: Option<Arc<str>>,
    /// The other end of the connection, where the work is one.
    pub peer: Option<SocketAddr>,
    /// For how long it has run.
    pub age: Duration,
    /// How far it has come.
    pub stage: Stage,
}

impl Serialize for Unfinished {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let more = [
            self.request_id.is_some(),
            self.name.is_some(),
            self.peer.is_some(),
        ];
        let fields = 5 + more.into_iter().filter(|more| *more).count();
        let mut out = serializer.serialize_struct("Unfinished", fields)?;
        out.serialize_field("method", &self.method.as_ref().map(Method::as_str))?;
        out.serialize_field("route", &self.route.as_deref())?;
        out.serialize_field("path", &self.path)?;
        out.serialize_field("age_ms", &millis(self.age))?;
        out.serialize_field("stage", self.stage.as_str())?;
        if let Some(request_id) = &self.request_id {
            out.serialize_field("request_id", &**request_id)?;
        }
        if let Some(name) = &self.name {
            out.serialize_field("name", &**name)?;
        }
        if let Some(peer) = &self.peer {
            out.serialize_field("peer", &format_args!("{peer}"))?;
        }
        out.end()
    }
}

/// No more are named in one list; strangers decide how many connections there are.
pub(crate) const MOST_NAMED: usize = 1000;

/// Whole milliseconds.
pub(crate) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
