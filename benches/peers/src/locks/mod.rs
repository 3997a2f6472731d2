//! Locks: alone, wanted by many in one process and in two, and how fast who waits is woken.

mod alone;
mod contended;
mod lock;
mod wake;
pub mod worker;

use std::time::Duration;

use crate::Error;
use crate::redis_server::Server;

pub async fn run(slice: Duration) -> Result<(), Error> {
    let server = Server::start()?;
    alone::run(&server, slice).await?;
    wake::run(&server).await?;
    contended::run(&server, slice)
}
