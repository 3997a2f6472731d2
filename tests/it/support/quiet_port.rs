//! Ports for servers that are started by the dozen.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::net::TcpListener;
use std::sync::atomic::{AtomicU16, Ordering};

/// For a node of a cluster: free, and below those that the system gives to connections: a cluster takes
/// a dozen, and a server whose port was taken meanwhile would never say that it is ready.
pub(crate) fn quiet_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let start = RandomState::new().build_hasher().finish() as u16;
    let _ = NEXT.compare_exchange(0, start.max(1), Ordering::SeqCst, Ordering::SeqCst);
    let mut ports = (0..1000).map(|_| 10_000 + NEXT.fetch_add(1, Ordering::SeqCst) % 12_000);
    let free = |port: u16| TcpListener::bind(("127.0.0.1", port)).is_ok();
    // Before 7.0 the nodes speak to each other on one that is so much higher.
    ports
        .find(|port| free(*port) && free(port + 10_000))
        .expect("a free port")
}
