//! One caller that waits for each answer, for everything but the load.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use super::message::{Answer, request};
use crate::Error;

/// A connection that is kept.
pub struct Caller {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Caller {
    pub fn connect(port: u16) -> Result<Self, Error> {
        let stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        Ok(Self {
            stream,
            buffer: Vec::new(),
        })
    }

    /// Whatever the status.
    pub fn ask(&mut self, method: &str, route: &str, cookie: &str) -> Result<Answer<'_>, Error> {
        self.stream.write_all(&request(method, route, cookie))?;
        self.buffer.clear();
        let mut chunk = [0; 4096];
        while Answer::parse(&self.buffer)?.is_none() {
            match self.stream.read(&mut chunk)? {
                0 => return Err("the server closed the connection".into()),
                count => self.buffer.extend_from_slice(&chunk[..count]),
            }
        }
        Answer::parse(&self.buffer)?.ok_or_else(|| "no answer".into())
    }

    /// A 200, or an error.
    pub fn get(&mut self, route: &str, cookie: &str) -> Result<Answer<'_>, Error> {
        let answer = self.ask("GET", route, cookie)?;
        match answer.status() {
            "200" => Ok(answer),
            status => Err(format!("GET {route} answered {status}").into()),
        }
    }

    /// The cookie of a new session.
    pub fn seed(&mut self) -> Result<String, Error> {
        let answer = self.ask("PUT", "/seed", "")?;
        let cookie = answer.cookie().ok_or("PUT /seed set no cookie")?;
        Ok(cookie.to_owned())
    }
}
