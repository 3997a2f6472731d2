//! Locks: alone, wanted by many in one process and in two, and how fast who waits is woken.

mod alone;
mod bursts;
mod contended;
mod fleet;
mod lock;
mod route;
mod wake;
pub mod worker;

use std::time::Duration;

use crate::Error;
use crate::redis_server::Server;

/// All parts, or the one that is named.
pub async fn run(part: Option<&str>, slice: Duration) -> Result<(), Error> {
    const PARTS: [&str; 5] = ["alone", "route", "wake", "contended", "bursts"];
    if let Some(part) = part.filter(|part| !PARTS.contains(part)) {
        return Err(format!("locks:{part}; accepted: {}", PARTS.join(", ")).into());
    }
    let server = Server::start()?;
    let wanted = |name: &str| part.is_none_or(|part| part == name);
    if wanted("alone") {
        alone::run(&server, slice).await?;
    }
    if wanted("route") {
        route::run(&server).await?;
    }
    if wanted("wake") {
        wake::run(&server).await?;
    }
    if wanted("contended") {
        contended::run(&server, slice)?;
    }
    if wanted("bursts") {
        bursts::run(&server, slice)?;
    }
    Ok(())
}
