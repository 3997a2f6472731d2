//! A real `redis-server` of the test's own, stopped when the test ends, however it ends.

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};

/// A server on a Unix socket or a free TCP port of its own.
///
/// A shell watches a pipe held by the test: when the pipe closes, because the value is dropped
/// or the test process died, the shell stops the server by its process id.
#[derive(Debug)]
pub(crate) struct RedisServer {
    watcher: Child,
    pipe: Option<ChildStdin>,
    pid: u32,
    port: u16,
    dir: PathBuf,
}

const WATCHER: &str = r#"
"$0" "$@" &
server=$!
echo "pid $server"
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
        let dir = scratch_dir();
        let socket = dir.join("redis.sock");
        let mut watcher = Command::new("sh")
            .arg("-c")
            .arg(WATCHER)
            .arg(binary())
            .args(["--port", &port.to_string(), "--bind", "127.0.0.1"])
            .args([
                "--save",
                "",
                "--appendonly",
                "no",
                "--enable-debug-command",
                "yes",
            ])
            .args(["--dir".as_ref(), dir.as_os_str()])
            .args(["--unixsocket".as_ref(), socket.as_os_str()])
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("sh starts");
        let pipe = watcher.stdin.take();
        let mut lines = BufReader::new(watcher.stdout.take().expect("stdout is piped"));
        let mut pid = 0;
        let mut log = String::new();
        let mut ready = false;
        // The shell and the server write to the same pipe: their lines come in any order.
        while pid == 0 || !ready {
            let mut line = String::new();
            if lines.read_line(&mut line).unwrap_or(0) == 0 {
                panic!("redis-server did not start:\n{log}");
            }
            if let Some(id) = line.strip_prefix("pid ") {
                pid = id.trim().parse().expect("the shell prints a process id");
            }
            log.push_str(&line);
            ready |= line.contains("Ready to accept connections");
        }
        // Somebody must read on, or the server blocks on a full pipe.
        std::thread::spawn(move || {
            let _ = lines.read_to_end(&mut Vec::new());
        });
        Self {
            watcher,
            pipe,
            pid,
            port,
            dir,
        }
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
        self.pid
    }

    /// Sends the server a signal, by its process id: `STOP`, `CONT`, `KILL`.
    pub(crate) fn signal(&self, name: &str) {
        signal(self.pid, name);
    }

    /// Runs one command on a fresh connection, outside of everything under test.
    pub(crate) fn command(&self, arguments: &[&str]) -> redis::Value {
        let client = redis::Client::open(self.url()).expect("the url is well-formed");
        let mut connection = client.get_connection().expect("the server answers");
        let mut command = redis::cmd(arguments[0]);
        command.arg(&arguments[1..]);
        command
            .query(&mut connection)
            .expect("the command is accepted")
    }

    /// How often Redis ran each command since `CONFIG RESETSTAT`, from its own count.
    pub(crate) fn command_counts(&self) -> std::collections::BTreeMap<String, u64> {
        let text: String =
            redis::from_redis_value(self.command(&["INFO", "commandstats"])).expect("text");
        text.lines()
            .filter_map(|line| {
                let (name, rest) = line.strip_prefix("cmdstat_")?.split_once(':')?;
                let calls = rest.strip_prefix("calls=")?.split(',').next()?;
                Some((name.to_owned(), calls.parse().ok()?))
            })
            .collect()
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        drop(self.pipe.take());
        let _ = self.watcher.wait();
        let _ = std::fs::remove_dir_all(&self.dir);
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

fn binary() -> PathBuf {
    let name = std::env::var_os("REDIS_SERVER").unwrap_or_else(|| "redis-server".into());
    let found = Path::new(&name).is_file()
        || std::env::var_os("PATH")
            .is_some_and(|path| std::env::split_paths(&path).any(|dir| dir.join(&name).is_file()));
    assert!(
        found,
        "no redis-server found: run ./scripts/test, which installs one, or install it yourself (apt-get install redis-server)"
    );
    PathBuf::from(name)
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
