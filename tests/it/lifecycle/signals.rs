//! Real signals at moments that no other test hits, to a process of their own.

use std::future::{Future, pending};
use std::io::{self, Write};
use std::process::Stdio;
use std::sync::{Arc, Barrier};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout};
use tokio::time::sleep;
use tower_handoff::lifecycle::{Lifecycle, LifecycleBuilder, Phase, PhaseWatch, PlatformKind};

use super::common::{own_test, within};

const SECOND: Duration = Duration::from_secs(1);
/// What comes sooner after the first is no second one.
const SAME_REQUEST: Duration = Duration::from_millis(1100);
/// Longer than a test is waited for; what is run by hand ends all the same.
const LONG: Duration = Duration::from_secs(60);

struct Process {
    child: Child,
    says: Lines<BufReader<ChildStdout>>,
}

impl Process {
    fn start(test: &str) -> Self {
        let mut command = tokio::process::Command::from(own_test(module_path!(), test));
        command.arg("--nocapture").stdout(Stdio::piped());
        let mut child = command.kill_on_drop(true).spawn().unwrap();
        let says = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, says }
    }

    async fn until(&mut self, phase: Phase) {
        self.says(&format!("phase {phase}")).await;
    }

    async fn says(&mut self, what: &str) {
        let heard = async {
            while let Some(line) = self.says.next_line().await.unwrap() {
                if line.contains(what) {
                    return;
                }
            }
            panic!("it never said {what}");
        };
        within(what, heard).await;
    }

    fn terminate(&self) {
        self.signal("TERM");
    }

    fn signal(&self, name: &str) {
        let pid = self.child.id().expect("it runs").to_string();
        let sent = std::process::Command::new("kill")
            .args(["-s", name, &pid])
            .status();
        assert!(sent.unwrap().success());
    }

    async fn code(mut self) -> Option<i32> {
        // What it still says has to go somewhere.
        let rest = async { while let Ok(Some(_)) = self.says.next_line().await {} };
        within("the last words", rest).await;
        within("the exit", self.child.wait()).await.unwrap().code()
    }
}

#[tokio::test]
async fn the_first_one_ends_a_start_up_that_is_still_running() {
    let mut process = Process::start("starts_for_ever");
    process.until(Phase::Starting).await;
    process.terminate();
    assert_eq!(process.code().await, Some(0));
}

#[tokio::test]
async fn the_second_one_ends_it_at_once_though_it_never_was_ready() {
    let mut process = Process::start("starts_and_settles_for_ever");
    process.until(Phase::Starting).await;
    process.terminate();
    process.until(Phase::Settling).await;
    sleep(SAME_REQUEST).await;
    process.terminate();
    assert_eq!(process.code().await, Some(130));
}

#[tokio::test]
async fn the_second_one_ends_it_at_once_though_the_drain_is_forced() {
    let mut process = Process::start("is_forced");
    process.until(Phase::Ready).await;
    process.terminate();
    process.until(Phase::Forcing).await;
    sleep(SAME_REQUEST).await;
    process.terminate();
    assert_eq!(process.code().await, Some(130));
}

#[tokio::test]
async fn both_are_heard_though_handlers_block_every_thread() {
    for blocked in ["blocks_every_worker", "blocks_its_only_thread"] {
        let mut process = Process::start(blocked);
        process.says("all blocked").await;
        process.terminate();
        process.until(Phase::Settling).await;
        sleep(SAME_REQUEST).await;
        process.signal("INT");
        assert_eq!(process.code().await, Some(130), "{blocked}");
    }
}

#[tokio::test]
async fn both_are_heard_though_the_log_takes_nothing_in() {
    let mut process = Process::start("has_a_log_that_is_stuck");
    process.until(Phase::Ready).await;
    process.terminate();
    process.until(Phase::Settling).await;
    sleep(SAME_REQUEST).await;
    process.terminate();
    assert_eq!(process.code().await, Some(130));
}

/// A runtime that ends waits for `spawn_blocking`.
#[tokio::test]
async fn the_second_one_ends_it_at_once_though_the_run_is_over() {
    let mut process = Process::start("runs_and_goes_on_blocking");
    process.until(Phase::Ready).await;
    process.terminate();
    // The same request again; the kernel would make one of two that are alike.
    process.signal("INT");
    process.until(Phase::Stopped).await;
    sleep(SAME_REQUEST).await;
    assert_eq!(process.child.try_wait().unwrap(), None);
    process.terminate();
    assert_eq!(process.code().await, Some(130));
}

/// systemd sends its SIGTERM also to what has ended by an `ExecStop` and is flushing.
#[tokio::test]
async fn one_that_comes_when_a_run_is_over_that_heard_none_is_a_first_one() {
    let mut process = Process::start("ends_by_itself_and_goes_on_blocking");
    process.until(Phase::Stopped).await;
    process.terminate();
    sleep(SAME_REQUEST).await;
    assert_eq!(process.child.try_wait().unwrap(), None);
    process.signal("INT");
    assert_eq!(process.code().await, Some(130));
}

#[tokio::test]
async fn one_that_comes_between_two_runs_ends_the_next() {
    let mut process = Process::start("runs_again");
    process.until(Phase::Stopped).await;
    process.terminate();
    assert_eq!(process.code().await, Some(0));
}

#[tokio::test]
async fn the_first_one_reaches_all_lifecycles_that_run() {
    for two in ["is_two", "is_two_with_a_log_that_is_stuck"] {
        let mut process = Process::start(two);
        process.says("both ready").await;
        process.terminate();
        assert_eq!(process.code().await, Some(0), "{two}");
    }
}

/// Runs it to its end and exits, saying each phase.
async fn run<S>(builder: LifecycleBuilder, server: impl FnOnce(PhaseWatch) -> S)
where
    S: Future<Output = ()>,
{
    let lifecycle = builder.build().unwrap();
    let phases = [Phase::Ready, Phase::Settling, Phase::Forcing];
    for phase in phases {
        let reached = lifecycle.watch().reached(phase);
        tokio::spawn(async move {
            reached.await;
            println!("phase {phase}");
        });
    }
    let server = server(lifecycle.watch());
    let report = lifecycle.run(server).await;
    std::process::exit(report.exit_status().into());
}

fn builder() -> LifecycleBuilder {
    Lifecycle::builder().platform(PlatformKind::Unknown)
}

/// Signals are watched by the time that gates run.
fn never_starts(builder: LifecycleBuilder) -> LifecycleBuilder {
    builder.on_start("hangs", async {
        println!("phase {}", Phase::Starting);
        sleep(LONG).await;
        Err("nobody ended it".into())
    })
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "run and signalled by a test above"]
async fn starts_for_ever() {
    let lifecycle = never_starts(builder()).build().unwrap();
    let stop = lifecycle.stop_accepting();
    let report = lifecycle.run(stop).await;
    std::process::exit(report.exit_status().into());
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "run and signalled by a test above"]
async fn starts_and_settles_for_ever() {
    let builder = builder().grace(300 * SECOND).settle(200 * SECOND);
    run(never_starts(builder), |_| pending()).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "run and signalled by a test above"]
async fn is_forced() {
    let builder = builder().grace(120 * SECOND).hook_time(118 * SECOND);
    let builder = builder.on_shutdown("hangs", 118 * SECOND, pending);
    // The run cannot go on to the next phase while its server has the thread.
    let server = |watch: PhaseWatch| async move {
        watch.reached(Phase::Forcing).await;
        #[allow(clippy::disallowed_methods, reason = "it is to block")]
        std::thread::sleep(LONG);
    };
    run(builder, server).await;
}

/// A server that blocks, and so do as many workers beside it as are said.
async fn blocks(workers: usize) {
    let lifecycle = builder().grace(300 * SECOND).build().unwrap();
    let watch = lifecycle.watch();
    let all = Arc::new(Barrier::new(workers + 2));
    for _ in 0..workers {
        let all = all.clone();
        tokio::spawn(async move { block(&all) });
    }
    // No runtime gets to say it.
    let (sees, blocked) = (watch, all.clone());
    std::thread::spawn(move || {
        blocked.wait();
        println!("all blocked");
        while sees.current() < Phase::Settling {
            std::thread::yield_now();
        }
        println!("phase {}", Phase::Settling);
    });
    lifecycle.run(async move { block(&all) }).await;
}

#[allow(clippy::disallowed_methods, reason = "it is to block")]
fn block(all: &Barrier) {
    all.wait();
    std::thread::sleep(LONG);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "run and signalled by a test above"]
async fn blocks_every_worker() {
    blocks(2).await;
}

#[tokio::test]
#[ignore = "run and signalled by a test above"]
async fn blocks_its_only_thread() {
    blocks(0).await;
}

/// A log that never takes in a line with one of these words.
fn log_is_stuck_at(words: &'static [&'static str]) {
    struct Stuck(&'static [&'static str]);
    impl Write for Stuck {
        #[allow(clippy::disallowed_methods, reason = "it is to block")]
        fn write(&mut self, line: &[u8]) -> io::Result<usize> {
            let text = String::from_utf8_lossy(line);
            if self.0.iter().any(|word| text.contains(word)) {
                std::thread::sleep(LONG);
            }
            Ok(line.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let log = tracing_subscriber::fmt().with_ansi(false);
    log.with_writer(move || Stuck(words)).init();
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "run and signalled by a test above"]
async fn has_a_log_that_is_stuck() {
    log_is_stuck_at(&["asked for", "second signal"]);
    run(builder().grace(300 * SECOND), |_| pending()).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "run and signalled by a test above"]
async fn runs_and_goes_on_blocking() {
    goes_on_blocking(|watch| async move {
        watch.reached(Phase::Ready).await;
        println!("phase {}", Phase::Ready);
        watch.reached(Phase::Draining).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "run and signalled by a test above"]
async fn ends_by_itself_and_goes_on_blocking() {
    goes_on_blocking(|_| std::future::ready(())).await;
}

/// When it has been signalled.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "run and signalled by a test above"]
async fn runs_again() {
    use tokio::signal::unix::{SignalKind, signal};

    let mut signalled = signal(SignalKind::terminate()).unwrap();
    builder().build().unwrap().run(std::future::ready(())).await;
    println!("phase {}", Phase::Stopped);
    signalled.recv().await;
    // The lifecycle's own thread hears of it at about this time.
    sleep(Duration::from_millis(100)).await;
    let lifecycle = builder().build().unwrap();
    let stop = lifecycle.stop_accepting();
    let report = lifecycle.run(stop).await;
    std::process::exit(report.exit_status().into());
}

async fn goes_on_blocking<S: Future<Output = ()>>(server: impl FnOnce(PhaseWatch) -> S) {
    let lifecycle = builder().build().unwrap();
    let begun = Arc::new(Barrier::new(2));
    let blocking = begun.clone();
    tokio::task::spawn_blocking(move || block(&blocking));
    begun.wait();
    let server = server(lifecycle.watch());
    lifecycle.run(server).await;
    println!("phase {}", Phase::Stopped);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "run and signalled by a test above"]
async fn is_two() {
    both_run().await;
}

/// Where each says that it settles.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "run and signalled by a test above"]
async fn is_two_with_a_log_that_is_stuck() {
    log_is_stuck_at(&["asked for", ": settling"]);
    both_run().await;
}

async fn both_run() {
    let two = [builder(), builder()].map(|builder| builder.build().unwrap());
    let watches = two.each_ref().map(|lifecycle| lifecycle.watch());
    tokio::spawn(async move {
        for watch in watches {
            watch.reached(Phase::Ready).await;
        }
        println!("both ready");
    });
    let [one, other] = two.map(|lifecycle| {
        let stop = lifecycle.stop_accepting();
        lifecycle.run(stop)
    });
    let (one, other) = tokio::join!(one, other);
    std::process::exit((one.exit_status() + other.exit_status()).into());
}
