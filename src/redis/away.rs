//! Why Redis is away: what an operator has to do about it.
//!
//! Floor 1.

/// Why Redis is [`Away`](crate::redis::RedisStatus::Away): whether waiting helps, or somebody has
/// to change something.
///
/// The library treats all alike: commands fail at once, and a new connection is tried at least
/// every 500 ms, for ever. So whatever is mended at Redis is found by itself; what this process was
/// configured with takes a restart.
///
/// ```
/// use tower_handoff::redis::AwayCause;
///
/// fn wakes_somebody(cause: AwayCause) -> bool {
///     !matches!(cause, AwayCause::Unreachable | AwayCause::NotReady)
/// }
/// assert!(wakes_somebody(AwayCause::Login));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum AwayCause {
    /// Nobody answers: not tried yet, refused, cut off, silent, closed by this process.
    Unreachable,
    /// TLS failed: a certificate that is not trusted or not for this name, a client certificate
    /// that Redis wants or refuses, no common version.
    Tls,
    /// Redis refuses this client: `NOAUTH`, `WRONGPASS`, `NOPERM` for what the connection itself
    /// needs, `DENIED` (protected mode).
    Login,
    /// Redis answers and cannot serve yet: `LOADING`, `MASTERDOWN`, `CLUSTERDOWN`, too many clients
    /// (where its word of that arrives before it hangs up: otherwise it is unreachable).
    NotReady,
    /// A replica, which takes no writes, or a master in whose place the sentinels name another one:
    /// a fail-over is under way, or the URL names the wrong server.
    ReadOnly,
    /// The sentinels watch no master of the URL's name.
    UnknownMaster,
    /// Older than Redis 6.2, or no RESP3; or no Cluster, where the URL says it is one; or a node of a
    /// Cluster or a sentinel, where it does not.
    Unsupported,
}

impl AwayCause {
    /// What this error reply says about the server as a whole, if anything. None of these has
    /// carried out the command.
    pub(crate) fn of_reply(code: &str) -> Option<Self> {
        match code {
            "LOADING" | "MASTERDOWN" => Some(Self::NotReady),
            "READONLY" => Some(Self::ReadOnly),
            "NOAUTH" => Some(Self::Login),
            _ => None,
        }
    }

    /// What it says where it answers what every connection begins with.
    pub(crate) fn at_start(code: &str) -> Self {
        match code {
            "WRONGPASS" | "NOPERM" | "DENIED" => Self::Login,
            code => Self::of_reply(code).unwrap_or(Self::NotReady),
        }
    }
}
