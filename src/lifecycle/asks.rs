//! What a request asks for, by its method.
//!
//! Floor 1.

/// What the last request wants of its connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asks {
    Answer,
    /// An answer, and it may have a body.
    Upload,
    /// A tunnel.
    Connect,
}

const METHODS: [&[u8]; 9] = [
    b"GET ",
    b"HEAD ",
    b"POST ",
    b"PUT ",
    b"PATCH ",
    b"DELETE ",
    b"OPTIONS ",
    b"TRACE ",
    CONNECT,
];
const UPLOADS: [&[u8]; 3] = [b"POST ", b"PUT ", b"PATCH "];
const CONNECT: &[u8] = b"CONNECT ";

impl Asks {
    /// As the first bytes of a request say it.
    pub(crate) fn of(bytes: &[u8]) -> Self {
        if begin_one_of(bytes, &UPLOADS) {
            Self::Upload
        } else if begin_one_of(bytes, &[CONNECT]) {
            Self::Connect
        } else {
            Self::Answer
        }
    }
}

/// Whether a request begins so. A body may still be coming, so no other word counts.
pub(crate) fn begin_request(bytes: &[u8]) -> bool {
    !bytes.is_empty() && begin_one_of(bytes, &METHODS)
}

/// Also where the method is not whole yet.
fn begin_one_of(bytes: &[u8], methods: &[&[u8]]) -> bool {
    let begins = |method: &&[u8]| bytes.iter().zip(*method).all(|(a, b)| a == b);
    methods.iter().any(begins)
}
