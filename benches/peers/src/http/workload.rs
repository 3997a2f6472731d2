//! What is asked of the candidates.

/// One route, asked again and again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Workload {
    Untouched,
    Read,
    ReadThenWrite,
    BlindWrite,
    Increment,
    Login,
}

impl Workload {
    pub const ALL: [Self; 6] = [
        Self::Untouched,
        Self::Read,
        Self::ReadThenWrite,
        Self::BlindWrite,
        Self::Increment,
        Self::Login,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::Untouched => "untouched",
            Self::Read => "read",
            Self::ReadThenWrite => "read-then-write",
            Self::BlindWrite => "blind write",
            Self::Increment => "increment",
            Self::Login => "login (rotate + write)",
        }
    }

    pub fn route(self) -> &'static str {
        match self {
            Self::Untouched => "/none",
            Self::Read => "/read",
            Self::ReadThenWrite => "/write",
            Self::BlindWrite => "/set",
            Self::Increment => "/increment",
            Self::Login => "/login",
        }
    }

    /// Whether each request adds one to the session's number.
    pub fn counts(self) -> bool {
        matches!(self, Self::ReadThenWrite | Self::Increment)
    }

    /// Whether each answer brings a new cookie, in place of the one that was sent.
    pub fn renames(self) -> bool {
        self == Self::Login
    }
}
