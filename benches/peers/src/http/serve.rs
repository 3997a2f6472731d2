//! The process that serves one candidate.

use std::io::{Read, Write};

use crate::Error;
use crate::candidates::Candidate;

/// Serves on one worker thread until standard input ends, which it does at the latest with the
/// process that holds its other end. Writes its port first.
pub fn run(candidate: Candidate, redis: &str) -> Result<(), Error> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()?;
    let redis = redis.to_owned();
    let serving = runtime.block_on(async {
        let router = candidate.router(&redis).await?;
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        let port = listener.local_addr()?.port();
        // On the worker, as everything else.
        let serving = tokio::spawn(async { axum::serve(listener, router).await });
        Ok::<_, Error>((serving, port))
    });
    let (_serving, port) = serving?;
    println!("{port}");
    std::io::stdout().flush()?;
    let _ = std::io::stdin().read(&mut [0]);
    runtime.shutdown_background();
    Ok(())
}
