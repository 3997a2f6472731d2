//! A process that has no descriptor left when its sockets close.

use std::fs::File;
use std::process::Command;

use futures_util::FutureExt;
use tokio::net::{TcpListener, TcpStream};
use tower_handoff::lifecycle::{Outcome, Phase};

use super::common::{own_test, quiet_builder, within};

/// In a process of its own, whose limit is nobody else's.
#[test]
fn a_full_table_of_descriptors_resets_nobody_and_holds_nothing_up() {
    for test in ["that_become_free", "that_stay_taken"] {
        passes_with_few(test);
    }
}

fn passes_with_few(test: &str) {
    let own = own_test(module_path!(), test);
    let child = Command::new("sh")
        .args(["-c", "ulimit -n 100 && exec \"$0\" \"$@\""])
        .arg(own.get_program())
        .args(own.get_args())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&child.stdout);
    assert!(child.status.success(), "{said}");
    assert!(said.contains("1 passed"), "{said}");
}

#[tokio::test(start_paused = true)]
#[ignore = "run by the test above, with a low limit"]
async fn that_become_free() {
    let (run, taken) = ends(true).await;
    assert_eq!((run, taken), (Outcome::Clean, 5));
}

#[tokio::test(start_paused = true)]
#[ignore = "run by the test above, with a low limit"]
async fn that_stay_taken() {
    let (run, taken) = ends(false).await;
    assert_eq!((run, taken), (Outcome::Clean, 2));
}

/// Has an instance end that has five clients in its queue and two descriptors left, and says how many
/// it took in.
async fn ends(become_free: bool) -> (Outcome, usize) {
    let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = tcp.local_addr().unwrap();
    let lifecycle = quiet_builder().build().unwrap();
    let handle = lifecycle.handle();
    let mut listener = lifecycle.tcp_listener(tcp);
    let mut clients = Vec::new();
    for _ in 0..5 {
        clients.push(TcpStream::connect(address).await.unwrap());
    }
    let mut fillers = Vec::new();
    while let Ok(file) = File::open("/dev/null") {
        fillers.push(file);
        assert!(fillers.len() < 100, "the limit is not low");
    }
    // Two are free for those that wait.
    fillers.truncate(fillers.len() - 2);
    handle.shutdown();
    let run = tokio::spawn(lifecycle.run(handle.stop_accepting()));
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    let mut taken = Vec::new();
    while let Some(Some((stream, peer))) = listener.accept().now_or_never() {
        taken.push((stream, peer));
    }
    assert_eq!((taken.len(), handle.phase()), (2, Phase::Settling));
    if become_free {
        fillers.clear();
    }
    while let Some(connection) = within("accept", listener.accept()).await {
        taken.push(connection);
    }
    let peers: Vec<_> = taken.iter().map(|(_, peer)| *peer).collect();
    let theirs = clients.iter().map(|client| client.local_addr().unwrap());
    assert!(theirs.collect::<Vec<_>>().starts_with(&peers));
    drop((fillers, taken));
    let report = within("the run", run).await.unwrap();
    (report.outcome, peers.len())
}
