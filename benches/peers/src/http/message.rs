//! As much of HTTP/1.1 as the load needs: requests without a body, answers with a length.

use crate::Error;

pub fn request(method: &str, route: &str, cookie: &str) -> Vec<u8> {
    format!("{method} {route} HTTP/1.1\r\nhost: peers\r\ncookie: {cookie}\r\n\r\n").into_bytes()
}

/// An answer that has come in whole.
pub struct Answer<'a> {
    head: &'a str,
    pub body: &'a str,
}

impl<'a> Answer<'a> {
    /// `None` while some of it is missing.
    pub fn parse(bytes: &'a [u8]) -> Result<Option<Self>, Error> {
        let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else {
            return Ok(None);
        };
        let head = std::str::from_utf8(&bytes[..end])?;
        let length = field(head, "content-length").ok_or("an answer without a length")?;
        let body = &bytes[end + 4..];
        match body.len().checked_sub(length.parse()?) {
            None => Ok(None),
            Some(0) => Ok(Some(Self {
                head,
                body: std::str::from_utf8(body)?,
            })),
            Some(_) => Err("more came than was asked for".into()),
        }
    }

    pub fn status(&self) -> &'a str {
        self.head.get(9..12).unwrap_or(self.head)
    }

    /// Name and value of the cookie that is set, if one is.
    pub fn cookie(&self) -> Option<&'a str> {
        field(self.head, "set-cookie")?.split(';').next()
    }
}

/// The servers under test write names in lower case.
fn field<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
        .map(str::trim)
}
