//! A redis-server for this run alone.

use std::collections::BTreeMap;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::Error;

pub struct Server {
    child: Child,
    port: u16,
}

impl Server {
    pub fn start() -> Result<Self, Error> {
        let port = std::net::TcpListener::bind("127.0.0.1:0")?
            .local_addr()?
            .port();
        let binary = std::env::var("REDIS_SERVER").unwrap_or_else(|_| "redis-server".to_owned());
        let mut command = if second_core() {
            let mut command = Command::new("taskset");
            command.args(["-c", "1", &binary]);
            command
        } else {
            Command::new(&binary)
        };
        let child = command
            .args([
                "--port",
                &port.to_string(),
                "--bind",
                "127.0.0.1",
                "--save",
                "",
                "--appendonly",
                "no",
            ])
            .stdout(Stdio::null())
            .spawn()
            .map_err(|e| format!("{binary} does not start ({e}); ./scripts/test installs one"))?;
        let server = Self { child, port };
        let deadline = Instant::now() + Duration::from_secs(5);
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            if Instant::now() > deadline {
                return Err("redis-server does not answer".into());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(server)
    }

    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// What Redis has done so far, by its own count.
    pub fn usage(&self) -> Result<Usage, Error> {
        let mut connection = redis::Client::open(self.url())?.get_connection()?;
        let stats: String = redis::cmd("INFO")
            .arg("commandstats")
            .query(&mut connection)?;
        let cpu: String = redis::cmd("INFO").arg("cpu").query(&mut connection)?;
        let mut commands = BTreeMap::new();
        for line in stats.lines() {
            let Some((name, calls)) = line
                .strip_prefix("cmdstat_")
                .and_then(|rest| rest.split_once(":calls="))
            else {
                continue;
            };
            // What this function and connecting cost.
            if !["info", "client|setinfo", "hello", "time", "ping"].contains(&name) {
                commands.insert(
                    name.to_owned(),
                    calls.split(',').next().unwrap_or("0").parse()?,
                );
            }
        }
        let seconds = |name: &str| -> f64 {
            cpu.lines()
                .find_map(|line| {
                    line.strip_prefix(name)?
                        .strip_prefix(':')?
                        .trim()
                        .parse()
                        .ok()
                })
                .unwrap_or(0.0)
        };
        Ok(Usage {
            commands,
            cpu: seconds("used_cpu_sys") + seconds("used_cpu_user"),
        })
    }
}

/// Redis's own counts; commands inside scripts are among them.
#[derive(Debug, Clone)]
pub struct Usage {
    commands: BTreeMap<String, u64>,
    pub cpu: f64,
}

impl Usage {
    /// `get 1.00, evalsha 1.00`: commands since `before`, per unit of work.
    pub fn commands_since(&self, before: &Self, work: u64) -> String {
        let cells: Vec<_> = self
            .commands
            .iter()
            .map(|(name, calls)| {
                (
                    name,
                    calls - before.commands.get(name).copied().unwrap_or(0),
                )
            })
            .map(|(name, calls)| (name, calls as f64 / work as f64))
            .filter(|(_, calls)| *calls >= 0.005)
            .map(|(name, calls)| format!("{name} {calls:.2}"))
            .collect();
        if cells.is_empty() {
            "none".to_owned()
        } else {
            cells.join(", ")
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn second_core() -> bool {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    cores > 1
        && Command::new("taskset")
            .arg("--version")
            .stdout(Stdio::null())
            .status()
            .is_ok()
}

/// Leaves the second core to Redis. Threads started from here on inherit it.
pub fn pin_to_first_core() {
    if second_core() {
        let pid = std::process::id().to_string();
        let _ = Command::new("taskset")
            .args(["-cp", "0", &pid])
            .stdout(Stdio::null())
            .status();
    }
}
