//! What the layers add to a request that they leave alone.
//!
//! `cargo bench --bench stack`: time, with criterion.
//! `cargo bench --bench stack -- instructions`: instructions, counted by callgrind; needs valgrind.

#[path = "support/stack.rs"]
mod stack;

use std::hint::black_box;
use std::process::Command;

use criterion::Criterion;

fn build(kind: &str, name: &str) -> Box<dyn stack::Requests> {
    match kind {
        "tower" => stack::tower_stack(name),
        _ => stack::axum_stack(name),
    }
}

fn time(criterion: &mut Criterion) {
    for (kind, names) in [("tower", &stack::LAYERS[..]), ("axum", &stack::IN_AXUM)] {
        let mut group = criterion.benchmark_group(kind);
        for name in names {
            let mut service = build(kind, name);
            group.bench_function(*name, |bencher| {
                bencher.iter(|| black_box(&mut service).request());
            });
        }
    }
}

/// Instructions of a whole run of this program with `requests` requests.
fn counted(kind: &str, name: &str, requests: u32) -> Result<i64, String> {
    let program = std::env::current_exe().map_err(|e| e.to_string())?;
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(program)
        .args(["requests", kind, name, &requests.to_string()])
        .output()
        .map_err(|e| format!("valgrind does not start: {e}"))?;
    let log = String::from_utf8_lossy(&output.stderr);
    log.lines()
        .find_map(|line| line.split_once("Collected : ")?.1.trim().parse().ok())
        .ok_or_else(|| format!("no count in what valgrind printed:\n{log}"))
}

fn instructions() -> Result<(), String> {
    println!("| stack | layers | instructions a request | over the first |");
    println!("|---|---|---|---|");
    for (kind, names) in [("tower", &stack::LAYERS[..]), ("axum", &stack::IN_AXUM)] {
        let mut first = None;
        for name in names {
            // The difference of two runs leaves out everything but the requests.
            let each = (counted(kind, name, 1200)? - counted(kind, name, 200)?) / 1000;
            let first = *first.get_or_insert(each);
            println!("| {kind} | {name} | {each} | {:+} |", each - first);
        }
    }
    Ok(())
}

fn main() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let _entered = runtime.enter();
    let arguments: Vec<_> = std::env::args()
        .skip(1)
        .filter(|argument| argument != "--bench")
        .collect();
    let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["requests", kind, name, count] => {
            let mut service = build(kind, name);
            for _ in 0..count.parse::<u32>().expect("a number") {
                black_box(&mut service).request();
            }
        }
        ["instructions"] => {
            if let Err(error) = instructions() {
                eprintln!("{error}");
                std::process::exit(1);
            }
        }
        _ => {
            let mut criterion = Criterion::default().configure_from_args();
            time(&mut criterion);
            criterion.final_summary();
        }
    }
}
