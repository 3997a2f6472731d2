//! The processes of a history: this test binary again, with an errand.

use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStdin, Command, Stdio};

use super::worker::{Errand, VARIABLE, name};
use crate::support::redis_server::signal;
use crate::support::testbed::WATCHER;

/// One process. Killed when the value is dropped, or when this process ends in any way.
#[derive(Debug)]
pub(super) struct Process {
    pub(super) number: u32,
    pid: u32,
    shell: Child,
    pipe: Option<ChildStdin>,
}

impl Process {
    pub(super) fn start(errand: &Errand) -> Self {
        let process = errand.process;
        let errand_text = serde_json::to_string(errand).expect("text");
        let mut shell = Command::new("sh")
            .args(["-c", WATCHER])
            .arg(std::env::current_exe().expect("this test has a path"))
            .args([&name(), "--exact", "--ignored", "--nocapture"])
            .env(VARIABLE, errand_text)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("sh starts");
        let pipe = shell.stdin.take();
        let mut lines = BufReader::new(shell.stdout.take().expect("stdout is piped"));
        let mut line = String::new();
        while !line.starts_with("pid ") {
            line.clear();
            let read = lines.read_line(&mut line).expect("text");
            assert!(read > 0, "the process did not start");
        }
        // Somebody must read on, or the process blocks on a full pipe.
        std::thread::spawn(move || std::io::copy(&mut lines, &mut std::io::sink()));
        let stderr = BufReader::new(shell.stderr.take().expect("stderr is piped"));
        std::thread::spawn(move || {
            let lines = stderr.lines().map_while(Result::ok);
            // The shell's word on every process that it was told to kill.
            for line in lines.filter(|line| line != "Killed") {
                eprintln!("process {process}: {line}");
            }
        });
        let pid = line[4..].trim().parse().expect("a process id");
        Self {
            number: process,
            pid,
            shell,
            pipe,
        }
    }

    /// Sends the process a signal: `STOP`, `CONT`.
    pub(super) fn signal(&self, name: &str) {
        signal(self.pid, name);
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.pipe.take());
        let _ = self.shell.wait();
    }
}
