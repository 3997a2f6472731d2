//! Testbed processes: started with an environment of their own, stopped by their process ids.

use std::ffi::OsStr;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::evidence;
use super::http::Client;
use super::redis_server::signal;

/// Longer than anything here takes on a loaded machine; a test that waits this long has failed.
const PATIENCE: Duration = Duration::from_secs(30);

/// Starts the program and kills it when standard input closes, which it does when this test
/// process ends in any way.
pub(crate) const WATCHER: &str = r#"
exec 3<&0
"$0" "$@" </dev/null &
program=$!
echo "pid $program"
{ read -r _ <&3; kill -CONT "$program"; kill -KILL "$program"; } 2>/dev/null &
watcher=$!
wait "$program"
code=$?
kill "$watcher" 2>/dev/null
echo "exit $code"
"#;

/// One running instance.
#[derive(Debug)]
pub(crate) struct Testbed {
    pid: u32,
    addr: String,
    probes: Option<String>,
    lines: Lines<BufReader<ChildStdout>>,
    /// Read all the time: a full pipe would hold up whoever logs.
    stderr: Option<JoinHandle<String>>,
    shell: Child,
    _pipe: Option<ChildStdin>,
}

/// How an instance ended.
#[derive(Debug)]
pub(crate) struct Exit {
    pub(crate) code: i32,
    /// The lines on stdout between the start and the end.
    pub(crate) stdout: Vec<String>,
    pub(crate) stderr: String,
}

impl Exit {
    /// The shutdown report: the last line of stdout.
    pub(crate) fn report(&self) -> Value {
        let line = self
            .stdout
            .last()
            .unwrap_or_else(|| panic!("no report: {self:?}"));
        serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {self:?}"))
    }
}

fn command(variables: &[(&str, impl AsRef<OsStr>)]) -> Command {
    let mut command = Command::new("sh");
    command.arg("-c").arg(WATCHER).arg(binary()).env_clear();
    for name in ["PATH", "LD_LIBRARY_PATH"] {
        if let Some(value) = std::env::var_os(name) {
            command.env(name, value);
        }
    }
    command
        .env("LISTEN", "127.0.0.1:0")
        .env("INSECURE_COOKIE", "1")
        .envs(variables.iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    evidence::begin();
    if let Some(folder) = evidence::folder() {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("{}-testbed-{number}.log", std::process::id());
        command.env("TRACE_FILE", folder.join(name));
    }
    command
}

impl Testbed {
    /// Starts an instance and waits until it listens.
    pub(crate) async fn start(variables: &[(&str, &str)]) -> Self {
        let mut shell = command(variables).spawn().expect("sh starts");
        let pipe = shell.stdin.take();
        let mut lines = BufReader::new(shell.stdout.take().expect("stdout is piped")).lines();
        let (mut pid, mut addr, mut probes) = (0, None, None);
        let wants_probes = variables.iter().any(|(name, _)| *name == "PROBE_LISTEN");
        // The shell and the program write to the same pipe: their lines come in any order.
        while pid == 0 || addr.is_none() || (wants_probes && probes.is_none()) {
            let line = timeout(PATIENCE, lines.next_line())
                .await
                .expect("a line in time")
                .expect("text");
            match line {
                Some(line) if line.starts_with("pid ") => {
                    pid = line[4..].parse().expect("a process id");
                }
                Some(line) if line.starts_with("listening on http://") => {
                    addr = Some(line[20..].to_owned());
                }
                Some(line) if line.starts_with("probes on http://") => {
                    probes = Some(line[17..].to_owned());
                }
                other => {
                    let mut log = String::new();
                    if let Some(mut stderr) = shell.stderr.take() {
                        let _ = stderr.read_to_string(&mut log).await;
                    }
                    panic!("the testbed did not start: {other:?}\n{log}");
                }
            }
        }
        Self {
            pid,
            addr: addr.expect("set above"),
            probes,
            lines,
            stderr: Some(read_stderr(&mut shell)),
            shell,
            _pipe: pipe,
        }
    }

    /// Runs an instance that is expected to end by itself, because its configuration is bad.
    pub(crate) async fn run(variables: &[(&str, impl AsRef<OsStr>)]) -> Exit {
        let mut shell = command(variables).spawn().expect("sh starts");
        let _pipe = shell.stdin.take();
        let lines = BufReader::new(shell.stdout.take().expect("stdout is piped")).lines();
        let stderr = read_stderr(&mut shell);
        read_exit(lines, Some(stderr)).await
    }

    /// The process id.
    pub(crate) fn pid(&self) -> u32 {
        self.pid
    }

    pub(crate) fn addr(&self) -> &str {
        &self.addr
    }

    pub(crate) fn probe_addr(&self) -> &str {
        self.probes.as_deref().expect("PROBE_LISTEN was given")
    }

    /// A client with a cookie jar and one keep-alive connection of its own.
    pub(crate) fn client(&self) -> Client {
        Client::new(&self.addr)
    }

    /// Sends the process a signal: `TERM`, `INT`, `KILL`, `STOP`, `CONT`.
    pub(crate) fn signal(&self, name: &str) {
        signal(self.pid, name);
    }

    /// From now on nobody reads what the process writes to stderr.
    pub(crate) async fn close_stderr(&mut self) {
        if let Some(stderr) = self.stderr.take() {
            stderr.abort();
            let _ = stderr.await;
        }
    }

    /// Waits until `GET path` answers `status`.
    pub(crate) async fn until(&self, path: &str, status: u16) {
        let wait = async {
            loop {
                let answer = self.client().try_send("GET", path, None).await;
                if answer.is_ok_and(|answer| answer.status == status) {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        timeout(PATIENCE, wait)
            .await
            .unwrap_or_else(|_| panic!("{path} never answered {status}"));
    }

    /// Waits for the end of the process.
    pub(crate) async fn exit(self) -> Exit {
        let _shell = self.shell;
        read_exit(self.lines, self.stderr).await
    }
}

fn read_stderr(shell: &mut Child) -> JoinHandle<String> {
    let mut stderr = shell.stderr.take().expect("stderr is piped");
    tokio::spawn(async move {
        let mut log = String::new();
        stderr.read_to_string(&mut log).await.expect("text");
        log
    })
}

async fn read_exit(
    mut lines: Lines<BufReader<ChildStdout>>,
    stderr: Option<JoinHandle<String>>,
) -> Exit {
    let read = async {
        let mut stdout = Vec::new();
        let mut code = None;
        while let Some(line) = lines.next_line().await.expect("text") {
            match line.strip_prefix("exit ") {
                Some(number) => code = Some(number.parse().expect("an exit code")),
                None if line.starts_with("pid ") => {}
                None => stdout.push(line),
            }
        }
        let log = match stderr {
            Some(stderr) => stderr.await.expect("text"),
            None => String::new(),
        };
        evidence::said(stdout.join("\n").as_bytes());
        evidence::said(log.as_bytes());
        Exit {
            code: code.expect("the shell prints the exit code"),
            stdout,
            stderr: log,
        }
    };
    timeout(PATIENCE, read).await.expect("the process ends")
}

/// The testbed's binary, built from the sources as they are now.
fn binary() -> &'static PathBuf {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| {
        let mut cargo = std::process::Command::new(env!("CARGO"));
        // Build scripts that look at what cargo told this test would run again, in both builds.
        for (name, _) in std::env::vars_os() {
            let text = name.to_string_lossy();
            if text.starts_with("CARGO_PKG_") || text.starts_with("CARGO_MANIFEST_") {
                cargo.env_remove(&name);
            }
        }
        let output = cargo
            .args(["build", "--quiet", "--all-features", "--example", "testbed"])
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .output()
            .expect("cargo runs");
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        let here = std::env::current_exe().expect("this test has a path");
        let profile = here.ancestors().nth(2).expect("target/debug/deps/it");
        profile.join("examples").join("testbed")
    })
}
