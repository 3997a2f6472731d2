//! What somebody outside waits for a probe while every check hangs.
//!
//! `cargo bench --bench probes_by_socket --all-features`: one keep-alive connection over loopback, one
//! probe after the other, with a server on a runtime of its own.

use std::future::pending;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::mpsc;
use std::time::Duration;

use axum::Router;
use tokio::time::Instant;
use tower_handoff::health::{Check, ProbeService};
use tower_handoff::lifecycle::Lifecycle;

const PROBES: usize = 20_000;

fn main() {
    println!("| checks that hang | probe | µs, median | p99 | p99.9 | longest |");
    println!("|---|---|---|---|---|---|");
    for hanging in [0, 8] {
        let address = serve(hanging);
        let mut connection = TcpStream::connect(address).expect("it listens");
        connection.set_nodelay(true).expect("a socket");
        for path in ProbeService::PATHS {
            let request = format!("GET {path} HTTP/1.1\r\nHost: bench\r\n\r\n");
            let mut times: Vec<_> = (0..PROBES)
                .map(|_| {
                    let begun = Instant::now();
                    ask(&mut connection, request.as_bytes());
                    begun.elapsed().as_secs_f64() * 1e6
                })
                .collect();
            times.sort_by(f64::total_cmp);
            let at = |share: f64| times[((PROBES - 1) as f64 * share) as usize];
            let [median, p99, p999, longest] = [0.5, 0.99, 0.999, 1.0].map(at);
            println!(
                "| {hanging} | `{path}` | {median:.0} | {p99:.0} | {p999:.0} | {longest:.0} |"
            );
        }
    }
}

/// A server of nothing but probes, to the end of the process.
fn serve(hanging: usize) -> SocketAddr {
    let (tell, told) = mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .expect("a runtime");
        runtime.block_on(async move {
            let mut builder = Lifecycle::builder().signals(false);
            for check in 0..hanging {
                builder = builder.check(Check::new(format!("check-{check}"), pending));
            }
            let lifecycle = builder.build().expect("a lifecycle");
            let tcp = tokio::net::TcpListener::bind("127.0.0.1:0").await;
            let tcp = tcp.expect("a free port");
            let address = tcp.local_addr().expect("bound");
            tokio::spawn(async move {
                // Longer than the first time-out of a check: what hangs is known to.
                tokio::time::sleep(Duration::from_secs(3)).await;
                tell.send(address).expect("heard");
            });
            let app = Router::from(lifecycle.probes());
            let server = axum::serve(lifecycle.listener(tcp), app)
                .with_graceful_shutdown(lifecycle.stop_accepting());
            lifecycle.run(server).await
        });
    });
    told.recv().expect("an address")
}

/// One probe, to the last byte of its answer.
fn ask(connection: &mut TcpStream, request: &[u8]) {
    connection.write_all(request).expect("sent");
    let (mut answer, mut end) = ([0; 4096], 0);
    loop {
        let read = connection.read(&mut answer[end..]).expect("an answer");
        assert!(read > 0, "the connection stays");
        end += read;
        let text = std::str::from_utf8(&answer[..end]).expect("text");
        let Some((head, body)) = text.split_once("\r\n\r\n") else {
            continue;
        };
        let length = head
            .lines()
            .find_map(|line| line.strip_prefix("content-length: "));
        if length.and_then(|length| length.parse().ok()) == Some(body.len()) {
            return;
        }
    }
}
