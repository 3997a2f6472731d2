//! What requests present.
//! Floor 5.

use http::HeaderValue;

use crate::session::cookie::SessionCookie;
use crate::session::id::SessionId;
use crate::session::token::{Parsed, Token};
use crate::session::transport::{SessionHeader, Transport};

/// A line is a `Cookie` header.
pub fn cookies(data: &[u8]) {
    let Ok(cookie) = SessionCookie::new("s") else {
        unreachable!("a name")
    };
    presented(&Transport::Cookie(cookie), data, |header| {
        let pairs = header.split(|byte| *byte == b';').map(<[u8]>::trim_ascii);
        let ours = pairs.filter(|pair| pair.split(|byte| *byte == b'=').next() == Some(b"s"));
        ours.filter_map(|pair| pair.get(2..)).collect()
    });
}

/// A line is an `Authorization` header, and one of its own.
pub fn headers(data: &[u8]) {
    presented(
        &Transport::Header(SessionHeader::bearer()),
        data,
        |header| {
            let scheme = header.get(..7).map(<[u8]>::to_ascii_lowercase);
            let ours = scheme.as_deref() == Some(b"bearer ");
            Vec::from_iter(ours.then(|| header[7..].trim_ascii()))
        },
    );
    if let Ok(own) = SessionHeader::new("x-session") {
        presented(&Transport::Header(own), data, |header| vec![header]);
    }
}

/// Compares the tokens that are found with those among what `values` cuts out of each line.
fn presented(transport: &Transport, data: &[u8], values: impl Fn(&[u8]) -> Vec<&[u8]>) {
    let lines = data.split(|byte| *byte == b'\n');
    let headers: Vec<_> = lines.flat_map(HeaderValue::from_bytes).collect();
    let found = transport.candidates(headers.iter());
    let values: Vec<_> = headers
        .iter()
        .flat_map(|header| values(header.as_bytes()))
        .collect();
    let well_formed = |value: &&&[u8]| matches!(Token::parse(value), Parsed::Token(_));
    let expected: Vec<&[u8]> = values.iter().filter(well_formed).take(4).copied().collect();
    let tokens: Vec<String> = found.tokens().map(|token| token.expose()).collect();
    assert!(tokens.iter().map(String::as_bytes).eq(expected));
    assert_eq!(
        found.newer,
        values
            .iter()
            .any(|value| matches!(Token::parse(value), Parsed::Newer))
    );
}

/// A cookie's value, and a public id.
pub fn token(data: &[u8]) {
    match Token::parse(data) {
        Parsed::Token(token) => {
            assert_eq!(token.expose().as_bytes(), data, "one spelling a token");
            assert_eq!(token.id().to_string().parse().as_ref(), Ok(token.id()));
            assert!(matches!(
                Token::parse(token.rotated().expose().as_bytes()),
                Parsed::Token(_)
            ));
        }
        Parsed::Newer => {
            assert!(data[0] > b'1' && data.is_ascii() && (55..=513).contains(&data.len()));
        }
        Parsed::Malformed => {}
    }
    let id = std::str::from_utf8(data).map(str::parse::<SessionId>);
    if let Ok(Ok(id)) = id {
        assert_eq!(id.to_string().as_bytes(), data, "one spelling an id");
    }
}
