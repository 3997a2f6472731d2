//! A TCP connection to whoever answers first under a name.
//!
//! Floor 3.

use std::io;

use tokio::net::TcpStream;
use tokio::task::JoinSet;

use super::failure::Failure;
use super::lookup::Lookups;

/// All of a name's addresses at once, or one that swallows everything would hide the others.
///
/// Dropping the future closes whatever was opened.
pub(crate) async fn connect(
    lookups: &Lookups,
    host: &str,
    port: u16,
) -> Result<TcpStream, Failure> {
    let first = first_of_all(lookups, host, port).await;
    first.map_err(|error| Failure::unreachable(error.to_string()))
}

async fn first_of_all(lookups: &Lookups, host: &str, port: u16) -> io::Result<TcpStream> {
    let mut attempts = JoinSet::new();
    for address in lookups.of(host, port).await? {
        attempts.spawn(TcpStream::connect(address));
    }
    let mut outcome = Err(io::Error::other("the host name has no address"));
    while let Some(ended) = attempts.join_next().await {
        outcome = ended.unwrap_or_else(|error| Err(io::Error::other(error)));
        if outcome.is_ok() {
            break;
        }
    }
    let socket = outcome?;
    // A second pipeline must not wait for the first one's acknowledgement.
    socket.set_nodelay(true)?;
    Ok(socket)
}
