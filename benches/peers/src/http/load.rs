//! The load: each connection asks again as soon as it is answered.
//!
//! One thread and one poll for all: it shares its core with Redis and must not be what limits.

use std::io::{ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};

use super::caller::Caller;
use super::message::{Answer, request};
use super::workload::Workload;
use crate::Error;

pub const CONNECTIONS: usize = 64;

const SILENCE: Duration = Duration::from_secs(5);

/// Connections that are kept between runs, each with a session of its own.
pub struct Load {
    port: u16,
    poll: Poll,
    connections: Vec<Connection>,
}

struct Connection {
    stream: TcpStream,
    cookie: String,
    request: Vec<u8>,
    buffer: Box<[u8; 4096]>,
    filled: usize,
    /// How often the session's number was to grow.
    counted: u64,
}

impl Load {
    pub fn connect(port: u16) -> Result<Self, Error> {
        let (poll, mut seeder) = (Poll::new()?, Caller::connect(port)?);
        let mut connections = Vec::with_capacity(CONNECTIONS);
        for at in 0..CONNECTIONS {
            let stream = std::net::TcpStream::connect(SocketAddr::from(([127, 0, 0, 1], port)))?;
            stream.set_nodelay(true)?;
            stream.set_nonblocking(true)?;
            let mut stream = TcpStream::from_std(stream);
            poll.registry()
                .register(&mut stream, Token(at), Interest::READABLE)?;
            connections.push(Connection {
                stream,
                cookie: seeder.seed()?,
                request: Vec::new(),
                buffer: Box::new([0; 4096]),
                filled: 0,
                counted: 0,
            });
        }
        Ok(Self {
            port,
            poll,
            connections,
        })
    }

    /// Asks for `time`, and answers how many requests were answered and how long that took. An
    /// answer that is not 200 is an error: nobody wins by failing.
    pub fn run(&mut self, workload: Workload, time: Duration) -> Result<(u64, Duration), Error> {
        let start = Instant::now();
        for connection in &mut self.connections {
            connection.request = request("GET", workload.route(), &connection.cookie);
            connection.ask(workload)?;
        }
        let (mut answered, mut asking) = (0, self.connections.len());
        let mut events = Events::with_capacity(CONNECTIONS);
        while asking > 0 {
            self.poll.poll(&mut events, Some(SILENCE))?;
            if events.is_empty() {
                return Err(format!("{}: no answer for {SILENCE:?}", workload.route()).into());
            }
            let more = start.elapsed() < time;
            for event in &events {
                let connection = &mut self.connections[event.token().0];
                if !connection.answered(workload)? {
                    continue;
                }
                answered += 1;
                match more {
                    true => connection.ask(workload)?,
                    false => asking -= 1,
                }
            }
        }
        Ok((answered, start.elapsed()))
    }

    /// Whether every session counted what it was to count.
    pub fn check_counts(&self) -> Result<(), Error> {
        let mut caller = Caller::connect(self.port)?;
        for Connection {
            cookie, counted, ..
        } in &self.connections
        {
            let answer = caller.get("/state", cookie)?;
            let n = answer.body.split(' ').next().unwrap_or_default();
            if n != counted.to_string() {
                return Err(format!("{counted} requests counted one each, to {n}").into());
            }
        }
        Ok(())
    }
}

impl Connection {
    fn ask(&mut self, workload: Workload) -> Result<(), Error> {
        // It is small, and nothing else waits to be sent: the kernel takes all of it.
        if self.stream.write(&self.request)? != self.request.len() {
            return Err("a request was sent in part".into());
        }
        self.counted += u64::from(workload.counts());
        Ok(())
    }

    /// Whether the answer has come in whole.
    fn answered(&mut self, workload: Workload) -> Result<bool, Error> {
        loop {
            match self.stream.read(&mut self.buffer[self.filled..]) {
                Ok(0) => return Err("the server closed a connection".into()),
                Ok(count) => self.filled += count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error.into()),
            }
            let Some(answer) = Answer::parse(&self.buffer[..self.filled])? else {
                continue;
            };
            if answer.status() != "200" {
                let (route, status) = (workload.route(), answer.status());
                return Err(format!("{route} answered {status} under load").into());
            }
            if workload.renames() {
                let cookie = answer.cookie().ok_or("a login without a cookie")?;
                cookie.clone_into(&mut self.cookie);
                self.request = request("GET", workload.route(), &self.cookie);
            }
            self.filled = 0;
            return Ok(true);
        }
    }
}
