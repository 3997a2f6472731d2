//! From the start of the process to the line that says it listens, and from SIGTERM to the exit.
//!
//! `cargo bench --bench start`: builds the release testbed and starts it again and again, without
//! Redis, with a Redis that nobody answers for, and with an address that swallows connections.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use tokio::time::Instant;

const STARTS: usize = 21;

fn main() {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let built = Command::new(cargo)
        .args([
            "build",
            "--release",
            "--quiet",
            "--all-features",
            "--example",
            "testbed",
        ])
        .status()
        .expect("cargo runs");
    assert!(built.success(), "the testbed builds");
    let here = std::env::current_exe().expect("this program has a path");
    let testbed = here
        .ancestors()
        .nth(2)
        .expect("target/release/deps")
        .join("examples/testbed");

    // A full accept queue: connections hang, as they do where packets are dropped.
    let deaf = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let deaf = format!("redis://{}", deaf.local_addr().expect("bound"));
    println!("| Redis | ms to listening, median (min–max) | ms from SIGTERM to exit |");
    println!("|---|---|---|");
    for (name, url) in [
        ("none", ""),
        ("refused", "redis://127.0.0.1:1"),
        ("never answers", &deaf),
    ] {
        let (mut up, mut down) = (Vec::new(), Vec::new());
        for _ in 0..STARTS {
            let begun = Instant::now();
            let mut child = Command::new(&testbed)
                .env("LISTEN", "127.0.0.1:0")
                .env("REDIS_URL", url)
                .stdout(Stdio::piped())
                .stderr(Stdio::null())
                .spawn()
                .expect("the testbed starts");
            let mut line = String::new();
            BufReader::new(child.stdout.take().expect("piped"))
                .read_line(&mut line)
                .expect("a line");
            assert!(line.starts_with("listening on"), "{line}");
            up.push(begun.elapsed().as_secs_f64() * 1e3);
            down.push(stop(&mut child));
        }
        println!("| {name} | {} | {} |", summary(&mut up), summary(&mut down));
    }
}

fn stop(child: &mut Child) -> f64 {
    let begun = Instant::now();
    let pid = child.id().to_string();
    Command::new("kill")
        .args(["-TERM", &pid])
        .status()
        .expect("kill runs");
    child.wait().expect("the testbed ends");
    begun.elapsed().as_secs_f64() * 1e3
}

fn summary(values: &mut [f64]) -> String {
    values.sort_by(f64::total_cmp);
    format!(
        "{:.1} ({:.1}–{:.1})",
        values[STARTS / 2],
        values[0],
        values[STARTS - 1]
    )
}
