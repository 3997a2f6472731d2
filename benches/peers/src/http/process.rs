//! A candidate's process as its parent sees it, and what processes have cost.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use crate::Error;
use crate::candidates::Candidate;
use crate::cores::{self, Core};

/// Ends with this value.
pub struct Process {
    child: Child,
    port: u16,
}

impl Process {
    pub fn start(candidate: Candidate, redis: &str) -> Result<Self, Error> {
        let mut command = Command::new(std::env::current_exe()?);
        command
            .args(["serve", candidate.name(), redis])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let child = cores::on(Core::Measured, || command.spawn())?;
        let mut process = Self { child, port: 0 };
        let mut line = String::new();
        if let Some(stdout) = process.child.stdout.take() {
            BufReader::new(stdout).read_line(&mut line)?;
        }
        process.port = line
            .trim()
            .parse()
            .map_err(|_| format!("the server of {} did not start", candidate.name()))?;
        Ok(process)
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn cpu(&self) -> Option<f64> {
        cpu(&self.child.id().to_string())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Seconds of CPU that this process has used.
pub fn own_cpu() -> Option<f64> {
    cpu("self")
}

/// `None` where the system has no `/proc`.
fn cpu(pid: &str) -> Option<f64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // After the name, which may hold anything: the state is the third field, the times 14 and 15.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    let mut ticks = || fields.next()?.parse::<f64>().ok();
    // Linux counts in hundredths wherever it shows them.
    Some((ticks()? + ticks()?) / 100.0)
}
