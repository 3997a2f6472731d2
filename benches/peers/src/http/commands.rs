//! The commands that Redis is sent, as it sees them come in.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::time::Duration;

use super::caller::Caller;
use super::workload::Workload;
use crate::Error;

const REQUESTS: u64 = 100;
const END: &str = "end of the count";

/// Commands of one request, by name: those sent, and those that scripts ran.
pub struct Commands {
    sent: BTreeMap<String, u64>,
    scripted: BTreeMap<String, u64>,
}

impl Commands {
    /// Watches Redis while one caller asks one hundred times, one after the other.
    pub fn of(workload: Workload, port: u16, redis: &str) -> Result<Self, Error> {
        let mut caller = Caller::connect(port)?;
        let mut cookie = caller.seed()?;
        let mut ask = || -> Result<(), Error> {
            let answer = caller.get(workload.route(), &cookie)?;
            if workload.renames() {
                cookie = answer.cookie().ok_or("no cookie")?.to_owned();
            }
            Ok(())
        };
        ask()?;

        let address = redis.trim_start_matches("redis://");
        let mut monitor = TcpStream::connect(address)?;
        monitor.set_read_timeout(Some(Duration::from_secs(10)))?;
        monitor.write_all(b"MONITOR\r\n")?;
        let mut lines = BufReader::new(monitor).lines();
        let said = lines.next().ok_or("MONITOR was not answered")??;
        if said != "+OK" {
            return Err(format!("MONITOR was answered {said:?}").into());
        }
        (0..REQUESTS).try_for_each(|_| ask())?;
        let mut connection = redis::Client::open(redis)?.get_connection()?;
        redis::cmd("ECHO").arg(END).exec(&mut connection)?;

        let mut commands = Self {
            sent: BTreeMap::new(),
            scripted: BTreeMap::new(),
        };
        for line in lines {
            let line = line?;
            if line.contains(END) {
                return Ok(commands);
            }
            // +1700000000.000000 [0 127.0.0.1:50000] "GET" "key"
            let (origin, command) = line.split_once("] \"").ok_or("MONITOR is not understood")?;
            let name = command.split('"').next().unwrap_or_default().to_lowercase();
            // What connecting costs this function.
            if ["client", "hello"].contains(&name.as_str()) {
                continue;
            }
            let kind = match origin.ends_with(" lua") {
                true => &mut commands.scripted,
                false => &mut commands.sent,
            };
            *kind.entry(name).or_default() += 1;
        }
        Err("MONITOR ended".into())
    }

    pub fn sent_each(&self) -> f64 {
        self.sent.values().sum::<u64>() as f64 / REQUESTS as f64
    }
}

/// `1.00: evalsha (runs get, set, time)`
impl std::fmt::Display for Commands {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names = |of: &BTreeMap<String, u64>| of.keys().cloned().collect::<Vec<_>>().join(", ");
        write!(f, "{:.2}", self.sent_each())?;
        if !self.sent.is_empty() {
            write!(f, ": {}", names(&self.sent))?;
        }
        if !self.scripted.is_empty() {
            write!(f, " (runs {})", names(&self.scripted))?;
        }
        Ok(())
    }
}
