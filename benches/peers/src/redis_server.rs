//! A redis-server for this run alone.

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::Error;
use crate::cores::{self, Core};
use crate::redis_usage::Usage;

pub struct Server {
    child: Child,
    url: String,
}

impl Server {
    /// Keeps nothing on disk. `REDIS_SERVER` names another binary.
    pub fn start() -> Result<Self, Error> {
        let port = std::net::TcpListener::bind("127.0.0.1:0")?
            .local_addr()?
            .port();
        let binary = std::env::var("REDIS_SERVER").unwrap_or_else(|_| "redis-server".to_owned());
        let mut command = Command::new(&binary);
        command
            .args(["--port", &port.to_string(), "--bind", "127.0.0.1"])
            .args(["--save", "", "--appendonly", "no"])
            .stdout(Stdio::null());
        let child = cores::on(Core::Others, || command.spawn())
            .map_err(|e| format!("{binary} does not start ({e}); ./scripts/test installs one"))?;
        let url = format!("redis://127.0.0.1:{port}");
        let server = Self { child, url };
        let deadline = Instant::now() + Duration::from_secs(5);
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            if Instant::now() > deadline {
                return Err("redis-server does not answer".into());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(server)
    }

    pub fn url(&self) -> &str {
        &self.url
    }

    pub fn usage(&self) -> Result<Usage, Error> {
        Usage::of(&self.url)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
