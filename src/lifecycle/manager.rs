//! What systemd, or who else started the process, is told of its life.
//!
//! Floor 3.

use std::time::Duration;

use tokio::time::timeout;

use crate::lifecycle::budget::Budget;
use crate::lifecycle::phase::Phase;

/// The variable that names the socket to tell.
pub(crate) const NOTIFY_VARIABLE: &str = "NOTIFY_SOCKET";

/// How long it may take to be told that the start is over. It takes the text from a queue, where
/// it stands at once unless the manager has not read for long.
const PATIENCE: Duration = Duration::from_secs(1);

/// The same, when there is little time to lose: later on it is the exit's.
fn patience(phase: Phase, budget: &Budget) -> Duration {
    if phase < Phase::Settling {
        return PATIENCE;
    }
    PATIENCE.min(budget.margin() / 8)
}

/// The service manager, if one wants to hear. Nothing that goes wrong here is more than logged: an
/// instance that serves is worth more than one that is known to.
pub(crate) struct ServiceManager(Option<socket::Socket>);

impl ServiceManager {
    /// Connects to the socket at `address`: a path, or a name that begins with `@`.
    ///
    /// # Panics
    /// With an address, outside a tokio runtime.
    pub(crate) fn connect(address: Option<&str>) -> Self {
        let socket = address.map(socket::connect).transpose();
        Self(socket.unwrap_or_else(|error| {
            tracing::error!(address, %error, "{NOTIFY_VARIABLE} cannot be told");
            None
        }))
    }

    /// Says which phase has begun. The time from the signal to the exit is said with `Settling`,
    /// so that a unit with less patience than that waits; one with more is not made to wait less.
    ///
    /// Takes a second at most, and an eighth of the margin from the signal on. Dropped, it may have
    /// told or not.
    pub(crate) async fn tell(&self, phase: Phase, in_flight: u64, budget: &Budget) {
        let Some(socket) = &self.0 else { return };
        let text = message(phase, in_flight, budget.grace());
        match timeout(patience(phase, budget), socket.send(text.as_bytes())).await {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => tracing::error!(%phase, %error, "{NOTIFY_VARIABLE} was not told"),
            Err(_) => tracing::error!(%phase, "{NOTIFY_VARIABLE} takes nothing in"),
        }
    }
}

/// In the words of `sd_notify(3)`.
fn message(phase: Phase, in_flight: u64, grace: Duration) -> String {
    match phase {
        Phase::Ready => format!("READY=1\nSTATUS={phase}"),
        Phase::Settling => format!(
            "STOPPING=1\nSTATUS={phase}, {in_flight} in flight\nEXTEND_TIMEOUT_USEC={}",
            grace.as_micros()
        ),
        Phase::Draining => format!("STATUS={phase}, {in_flight} in flight"),
        _ => format!("STATUS={phase}"),
    }
}

#[cfg(unix)]
mod socket {
    use std::io;
    use std::os::unix::net::{SocketAddr, UnixDatagram};

    pub(super) type Socket = tokio::net::UnixDatagram;

    pub(super) fn connect(address: &str) -> io::Result<Socket> {
        let socket = UnixDatagram::unbound()?;
        socket.connect_addr(&parse(address)?)?;
        socket.set_nonblocking(true)?;
        Socket::from_std(socket)
    }

    fn parse(address: &str) -> io::Result<SocketAddr> {
        match address.strip_prefix('@') {
            Some(name) => in_no_folder(name),
            None if address.starts_with('/') => SocketAddr::from_pathname(address),
            None => Err(unsupported("neither a path nor an abstract name")),
        }
    }

    #[cfg(any(target_os = "linux", target_os = "android"))]
    fn in_no_folder(name: &str) -> io::Result<SocketAddr> {
        #[cfg(target_os = "android")]
        use std::os::android::net::SocketAddrExt;
        #[cfg(target_os = "linux")]
        use std::os::linux::net::SocketAddrExt;
        SocketAddr::from_abstract_name(name)
    }

    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    fn in_no_folder(_: &str) -> io::Result<SocketAddr> {
        Err(unsupported("this system has no abstract names"))
    }

    fn unsupported(text: &str) -> io::Error {
        io::Error::new(io::ErrorKind::Unsupported, text)
    }
}

#[cfg(not(unix))]
mod socket {
    use std::io;

    pub(super) enum Socket {}

    pub(super) fn connect(_: &str) -> io::Result<Socket> {
        Err(io::ErrorKind::Unsupported.into())
    }

    impl Socket {
        pub(super) async fn send(&self, _: &[u8]) -> io::Result<usize> {
            match *self {}
        }
    }
}
