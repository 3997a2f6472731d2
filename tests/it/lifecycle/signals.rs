//! Real signals at moments that no other test hits, to a process of their own.

use std::future::{Future, pending};
use std::process::Stdio;
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
        let said = format!("phase {phase}");
        let heard = async {
            while let Some(line) = self.says.next_line().await.unwrap() {
                if line.contains(&said) {
                    return;
                }
            }
            panic!("it never said {said}");
        };
        within(&said, heard).await;
    }

    fn terminate(&self) {
        let pid = self.child.id().expect("it runs").to_string();
        let sent = std::process::Command::new("kill").arg(pid).status();
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
