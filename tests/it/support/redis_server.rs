//! A real `redis-server` of the test's own, stopped when the test ends, however it ends.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use binary::{binary, version};
use history::{history, keep_what_is_sent};

// By their paths, because benches take this file by its own.
#[path = "redis_binary.rs"]
pub(crate) mod binary;
#[path = "redis_history.rs"]
mod history;

/// A server on a Unix socket or a free TCP port of its own.
///
/// A shell watches a pipe held by the test: when the pipe closes, because the value is dropped
/// or the test process died, the shell stops the server by its process id. It holds no end of the
/// server's output: a server that ends by itself is noticed.
#[derive(Debug)]
pub(crate) struct RedisServer {
    process: Process,
    port: u16,
    dir: PathBuf,
}

/// A watched process: gone when the value is.
#[derive(Debug)]
pub(crate) struct Process {
    watcher: Child,
    pipe: Option<ChildStdin>,
    pid: u32,
}

const WATCHER: &str = r#"
"$0" "$@" &
server=$!
echo "pid $server"
exec >&-
read -r _
kill -CONT "$server" 2>/dev/null
kill -KILL "$server" 2>/dev/null
wait "$server" 2>/dev/null
"#;

impl RedisServer {
    /// Starts a server on a free TCP port of 127.0.0.1 and waits until it answers.
    pub(crate) fn start() -> Self {
        let port = free_port();
        Self::start_on(port, &[])
    }

    /// Starts a server on `port` with further arguments, e.g. to come back after a kill.
    pub(crate) fn start_on(port: u16, arguments: &[&str]) -> Self {
        let evidence = std::env::var_os("TOWER_HANDOFF_EVIDENCE").map(PathBuf::from);
        Self::start_watched(port, arguments, evidence.as_deref())
    }

    /// Starts a server that writes all it is told to a file in `dir`, synced as `appendfsync` says, and
    /// begins with what it finds there.
    pub(crate) fn start_durable(port: u16, dir: &Path, appendfsync: &str) -> Self {
        let dir = dir.to_str().expect("UTF-8");
        let durable = ["--appendonly", "yes", "--appendfsync", appendfsync];
        Self::start_on(port, &[&durable[..], &["--dir", dir]].concat())
    }

    /// As [`start_on`](Self::start_on), and leaves behind in `evidence` what the server held and
    /// was sent: `evidence.rs`.
    pub(crate) fn start_watched(port: u16, arguments: &[&str], evidence: Option<&Path>) -> Self {
        let dir = scratch_dir();
        let name = dir.file_name().expect("named below");
        let evidence = evidence.map(|folder| folder.join(name));
        let socket = dir.join("redis.sock");
        let mut command = watched();
        command
            .args(["--port", &port.to_string(), "--bind", "127.0.0.1"])
            .args(["--save", ""])
            .args(debug())
            .args(history(&dir, evidence.as_deref()))
            .args(["--unixsocket".as_ref(), socket.as_os_str()])
            .args(arguments);
        let process = Process::start(&mut command, "Ready to accept connections");
        if let Some(evidence) = evidence {
            keep_what_is_sent(port, &evidence);
        }
        Self { process, port, dir }
    }

    /// `redis://127.0.0.1:port`
    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// The TCP port.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// The Unix socket.
    pub(crate) fn socket(&self) -> PathBuf {
        self.dir.join("redis.sock")
    }

    /// The server's process id.
    #[allow(dead_code, reason = "the benches pin it to a processor")]
    pub(crate) fn pid(&self) -> u32 {
        self.process.pid
    }

    /// Sends the server a signal, by its process id: `STOP`, `CONT`, `KILL`.
    pub(crate) fn signal(&self, name: &str) {
        self.process.signal(name);
    }

    /// Runs one command on a fresh connection, outside of everything under test.
    pub(crate) fn command(&self, arguments: &[&str]) -> redis::Value {
        self.try_command(arguments)
            .expect("the command is accepted")
    }

    /// As [`command`](Self::command), where the server may hang up.
    pub(crate) fn try_command(&self, arguments: &[&str]) -> redis::RedisResult<redis::Value> {
        let client = redis::Client::open(self.url()).expect("the url is well-formed");
        let mut connection = client.get_connection()?;
        let mut command = redis::cmd(arguments[0]);
        command.arg(&arguments[1..]);
        command.query(&mut connection)
    }

    /// Gives it keys, and has it take a millisecond for each when it reads them anew. Meanwhile it
    /// answers every 100 keys or so.
    pub(crate) fn is_slow_to_load(&self, keys: &str) {
        if version() < (7, 0) {
            // It looks up every 2 MB of its file.
            self.command(&["CONFIG", "SET", "rdbcompression", "no"]);
            self.command(&["DEBUG", "POPULATE", keys, "key", "20000"]);
        } else {
            self.command(&[
                "CONFIG",
                "SET",
                "loading-process-events-interval-bytes",
                "1024",
            ]);
            self.command(&["DEBUG", "POPULATE", keys]);
        }
        self.command(&["CONFIG", "SET", "key-load-delay", "1000"]);
    }

    /// The keys of locks that somebody holds or waits for, under a prefix.
    pub(crate) fn locks(&self, prefix: &str) -> Vec<String> {
        let keys = self.command(&["KEYS", &format!("{prefix}:l1:*")]);
        let mut keys: Vec<String> = redis::from_redis_value(keys).expect("keys");
        // What is free begins with 0; a line is there as long as somebody is in it.
        keys.retain(|key| {
            let value = || redis::from_redis_value::<Vec<u8>>(self.command(&["GET", key]));
            key.ends_with(":q") || !value().is_ok_and(|value| value.starts_with(b"0"))
        });
        keys
    }

    /// Those of them whose lease lasts. Of a holder that died the value stays for a day after its lease,
    /// and a line in front of a free key for as long as nobody comes, minutes at most.
    pub(crate) fn locks_in_force(&self, prefix: &str) -> Vec<String> {
        let mut keys = self.locks(prefix);
        keys.retain(|key| {
            let kept = self.command(&["PTTL", key]);
            let kept: i64 = redis::from_redis_value(kept).expect("a number");
            !key.ends_with(":q") && !(0..=86_400_000).contains(&kept)
        });
        keys
    }

    /// How often Redis ran each command since `CONFIG RESETSTAT`, from its own count, but for what only
    /// this test says: `CONFIG`, and the `CLIENT SETINFO` of connections to servers that have it.
    pub(crate) fn command_counts(&self) -> std::collections::BTreeMap<String, u64> {
        let text: String =
            redis::from_redis_value(self.command(&["INFO", "commandstats"])).expect("text");
        text.lines()
            .filter_map(|line| {
                let (name, rest) = line.strip_prefix("cmdstat_")?.split_once(':')?;
                let of_tests = matches!(name.split('|').next(), Some("config" | "client"));
                let calls = rest.strip_prefix("calls=")?.split(',').next()?;
                if of_tests {
                    return None;
                }
                Some((name.to_owned(), calls.parse().ok()?))
            })
            .collect()
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        self.process.stop();
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

/// `redis-server`, to be given its arguments and to [`Process::start`].
pub(crate) fn watched() -> Command {
    let mut command = Command::new("sh");
    command.arg("-c").arg(WATCHER).arg(binary());
    command
}

/// How long a server may take to say that it is ready.
const START: Duration = Duration::from_secs(60);

impl Process {
    /// Waits until the server says `ready`.
    pub(crate) fn start(command: &mut Command, ready: &str) -> Self {
        let command = command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut watcher = command.spawn().expect("sh starts");
        let pipe = watcher.stdin.take();
        let lines = BufReader::new(watcher.stdout.take().expect("stdout is piped"));
        let (say, said) = mpsc::channel();
        // Somebody must read on, or the server blocks on a full pipe.
        std::thread::spawn(move || {
            for line in lines.split(b'\n').map_while(Result::ok) {
                let _ = say.send(String::from_utf8_lossy(&line).into_owned());
            }
        });
        let mut pid = 0;
        let mut log = String::new();
        let mut is_ready = false;
        // The shell and the server write to the same pipe: their lines come in any order.
        while pid == 0 || !is_ready {
            // It ended, or says nothing: the watcher ends it then.
            let Ok(line) = said.recv_timeout(START) else {
                panic!("redis-server did not start:\n{log}");
            };
            if let Some(id) = line.strip_prefix("pid ") {
                pid = id.trim().parse().expect("the shell prints a process id");
            }
            log.push_str(&line);
            log.push('\n');
            is_ready |= line.contains(ready);
        }
        Self { watcher, pipe, pid }
    }

    /// Sends it a signal, by its process id.
    pub(crate) fn signal(&self, name: &str) {
        signal(self.pid, name);
    }

    /// Ends it and waits for its end.
    pub(crate) fn stop(&mut self) {
        drop(self.pipe.take());
        let _ = self.watcher.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Sends a signal to one process, by its id.
pub(crate) fn signal(pid: u32, name: &str) {
    assert_ne!(pid, 0, "that would be every process of this group");
    let status = Command::new("kill")
        .args([&format!("-{name}"), &pid.to_string()])
        .status()
        .expect("kill runs");
    assert!(status.success(), "kill -{name} {pid}");
}

/// A port nobody listens on just now.
pub(crate) fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0")
        .and_then(|listener| listener.local_addr())
        .expect("a free port")
        .port()
}

/// What lets tests use `DEBUG`, which needs no leave before 7.0.
fn debug() -> &'static [&'static str] {
    if version() < (7, 0) {
        return &[];
    }
    &["--enable-debug-command", "yes"]
}

/// A fresh directory for one server.
pub(crate) fn scratch_dir() -> PathBuf {
    use std::sync::atomic::{AtomicU32, Ordering};
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let name = format!(
        "tower-handoff-{}-{}",
        std::process::id(),
        NEXT.fetch_add(1, Ordering::Relaxed)
    );
    let dir = std::env::temp_dir().join(name);
    std::fs::create_dir_all(&dir).expect("the temporary directory is writable");
    dir
}
