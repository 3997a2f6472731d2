//! What a request asks for, by its method.
//!
//! Floor 1.

/// What the last request wants of its connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asks {
    Answer,
    /// An answer, and it may have a body.
    Upload,
    /// A tunnel, where the whole word has been read; so much of it has.
    Connect {
        read: u8,
    },
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
    /// As the first bytes of a request say it. Where they are `P`, an upload: a wrong guess is over
    /// with the answer. A tunnel is not.
    pub(crate) fn of(bytes: &[u8]) -> Self {
        if begin_one_of(bytes, &UPLOADS) {
            Self::Upload
        } else {
            connect(0, bytes)
        }
    }

    /// More of the request has come.
    #[inline]
    pub(crate) fn go_on(&mut self, bytes: &[u8]) {
        if let Self::Connect { read } = *self {
            *self = connect(read, bytes);
        }
    }

    pub(crate) fn is_connect(self) -> bool {
        matches!(self, Self::Connect { read } if usize::from(read) == CONNECT.len())
    }
}

fn connect(read: u8, bytes: &[u8]) -> Asks {
    let rest = &CONNECT[usize::from(read)..];
    let same = rest.iter().zip(bytes).take_while(|(a, b)| a == b).count();
    match u8::try_from(same) {
        Ok(more) if same == rest.len() || same == bytes.len() => {
            Asks::Connect { read: read + more }
        }
        _ => Asks::Answer,
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
