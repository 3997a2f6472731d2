//! A real nginx or HAProxy with the configuration of `deploy/`, stopped when the test ends.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::Duration;

use super::eventually::eventually;
use super::redis_server::free_port;

/// As for the other servers: the shell stops the program when the pipe closes.
const WATCHER: &str = r#"
"$0" "$@" &
server=$!
read -r _
kill -TERM "$server" 2>/dev/null
wait "$server" 2>/dev/null
"#;

/// Which load balancer stands in front.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Kind {
    Nginx,
    Haproxy,
}

/// A running load balancer in front of three addresses.
#[derive(Debug)]
pub(crate) struct Balancer {
    addr: String,
    watcher: Child,
    pipe: Option<ChildStdin>,
    dir: PathBuf,
}

impl Balancer {
    /// Starts it and waits until it listens.
    pub(crate) async fn start(kind: Kind, instances: &[String; 3]) -> Self {
        let addr = format!("127.0.0.1:{}", free_port());
        let dir = super::redis_server::scratch_dir();
        let (program, arguments) = match kind {
            Kind::Nginx => nginx(&dir, &addr, instances),
            Kind::Haproxy => haproxy(&dir, &addr, instances),
        };
        let mut watcher = Command::new("sh")
            .arg("-c")
            .arg(WATCHER)
            .arg(&program)
            .args(arguments)
            // nginx takes it for sockets to inherit.
            .env_remove("NGINX")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(std::fs::File::create(dir.join("log")).expect("a file"))
            .spawn()
            .expect("sh starts");
        let pipe = watcher.stdin.take();
        let balancer = Self {
            addr,
            watcher,
            pipe,
            dir,
        };
        eventually(&format!("{} listens", program.display()), async || {
            let listens = TcpStream::connect(&balancer.addr).is_ok();
            assert!(
                listens || !balancer.log().contains("emerg") && !balancer.log().contains("ALERT"),
                "{}",
                balancer.log()
            );
            listens
        })
        .await;
        balancer
    }

    pub(crate) fn addr(&self) -> &str {
        &self.addr
    }

    /// Which instance nginx says that each request failed on, from its start on.
    pub(crate) fn failed_on(&self, instances: &[String; 3]) -> Vec<usize> {
        let failed_on = |line: &str| {
            let upstream = line.split("upstream: \"http://").nth(1)?;
            let ends = |addr: &String| upstream.starts_with(&format!("{addr}/"));
            instances.iter().position(ends)
        };
        let errors = self.log();
        let errors = errors.lines().filter(|line| line.contains("[error]"));
        errors.filter_map(failed_on).collect()
    }

    /// How many requests HAProxy gave to each instance without an answer from there, from its
    /// start on. It logs no failure on a kept connection, but it counts.
    pub(crate) fn unanswered(&self) -> [usize; 3] {
        let mut socket = UnixStream::connect(self.dir.join("stats")).expect("it listens");
        socket.write_all(b"show stat\n").expect("a buffer");
        let mut table = String::new();
        socket.read_to_string(&mut table).expect("text");
        let mut lines = table.trim_start_matches("# ").lines();
        let columns: Vec<_> = lines.next().expect("names").split(',').collect();
        let rows: Vec<Vec<_>> = lines.map(|line| line.split(',').collect()).collect();
        let column = |name| columns.iter().position(|column| *column == name);
        let [server, given, answered, elsewhere] =
            ["svname", "stot", "req_tot", "wredis"].map(|name| column(name).expect("a column"));
        ["one", "two", "three"].map(|name| {
            let row = rows.iter().find(|row| row.get(server) == Some(&name));
            let row = row.unwrap_or_else(|| panic!("no {name}: {table}"));
            let number = |column: usize| row[column].parse::<usize>().expect("a number");
            // A refused connect is made up for at another instance.
            number(given) - number(answered) - number(elsewhere)
        })
    }

    /// What it wrote to stderr.
    pub(crate) fn log(&self) -> String {
        let mut text = String::new();
        if let Ok(mut file) = std::fs::File::open(self.dir.join("log")) {
            let _ = file.read_to_string(&mut text);
        }
        text
    }
}

impl Drop for Balancer {
    fn drop(&mut self) {
        drop(self.pipe.take());
        let _ = self.watcher.wait();
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

/// How long an idle connection to an instance lives, or how often it is checked, in the tests.
/// The settle of the instances has to be longer.
pub(crate) const LOOKS_AWAY: Duration = Duration::from_millis(300);

fn nginx(dir: &Path, addr: &str, instances: &[String; 3]) -> (PathBuf, Vec<String>) {
    let site = Config::of("nginx.conf", instances)
        .replaced(
            "keepalive_timeout 3s;",
            &format!("keepalive_timeout {}ms;", LOOKS_AWAY.as_millis()),
        )
        .replaced("listen 80;", &format!("listen {addr};"));
    std::fs::write(dir.join("site.conf"), site.0).expect("a file");
    let paths: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|what| format!("    {what}_temp_path {what}_temp;\n"))
        .concat();
    let user = if is_root() { "user root;\n" } else { "" };
    let main = format!(
        "{user}daemon off;\nworker_processes 1;\npid nginx.pid;\nerror_log stderr warn;\n\
         events {{ worker_connections 1024; }}\n\
         http {{\n{paths}    access_log off;\n    include site.conf;\n}}\n"
    );
    std::fs::write(dir.join("nginx.conf"), main).expect("a file");
    let dir = dir.display().to_string();
    let arguments = ["-p", &dir, "-e", "stderr", "-c", "nginx.conf"];
    (installed("nginx"), arguments.map(str::to_owned).to_vec())
}

fn haproxy(dir: &Path, addr: &str, instances: &[String; 3]) -> (PathBuf, Vec<String>) {
    let config = Config::of("haproxy.cfg", instances)
        .replaced("inter 1s", &format!("inter {}ms", LOOKS_AWAY.as_millis()))
        .replaced("bind :80", &format!("bind {addr}"));
    let stats = dir.join("stats");
    let global = format!("global\n    stats socket {}\n", stats.display());
    std::fs::write(dir.join("haproxy.cfg"), global + &config.0).expect("a file");
    let file = dir.join("haproxy.cfg").display().to_string();
    let arguments = ["-db", "-q", "-f", &file];
    (installed("haproxy"), arguments.map(str::to_owned).to_vec())
}

/// A file of `deploy/`, with what a test has to change.
struct Config(String);

impl Config {
    fn of(file: &str, instances: &[String; 3]) -> Self {
        let path = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("deploy")
            .join(file);
        let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{path:?}: {e}"));
        let numbered = instances.iter().zip(1..);
        numbered.fold(Self(text), |config, (addr, n)| {
            config.replaced(&format!("10.0.0.{n}:3000"), addr)
        })
    }

    /// Replaces what has to be there: a test of another file than the published one is worthless.
    fn replaced(self, from: &str, to: &str) -> Self {
        assert!(self.0.contains(from), "deploy/ no longer says '{from}'");
        Self(self.0.replace(from, to))
    }
}

/// The program that `NGINX_PROGRAM` or `HAPROXY_PROGRAM` names, else where packages put it:
/// `/usr/sbin` is not in everybody's `PATH`.
fn installed(name: &str) -> PathBuf {
    let variable = format!("{}_PROGRAM", name.to_uppercase());
    if let Some(program) = std::env::var_os(&variable) {
        return program.into();
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin".into(), "/usr/local/sbin".into()])
        .map(|dir| dir.join(name))
        .find(|file| file.is_file())
        .unwrap_or_else(|| {
            panic!("no {name} found: run ./scripts/test, which installs it, or install it yourself (apt-get install {name})")
        })
}

fn is_root() -> bool {
    let id = Command::new("id").arg("-u").output().expect("id runs");
    id.stdout.trim_ascii() == b"0"
}
