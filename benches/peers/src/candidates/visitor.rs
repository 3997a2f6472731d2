//! What the sessions hold.

use std::sync::atomic::{AtomicU64, Ordering};

use serde::{Deserialize, Serialize};

/// The count and nine texts: ten keys, about 500 bytes with their names.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Visitor {
    pub n: i64,
    pub field_1: String,
    pub field_2: String,
    pub field_3: String,
    pub field_4: String,
    pub field_5: String,
    pub field_6: String,
    pub field_7: String,
    pub field_8: String,
    pub field_9: String,
}

impl Visitor {
    pub fn new() -> Self {
        let text = || "x".repeat(40);
        Self {
            n: 0,
            field_1: text(),
            field_2: text(),
            field_3: text(),
            field_4: text(),
            field_5: text(),
            field_6: text(),
            field_7: text(),
            field_8: text(),
            field_9: text(),
        }
    }

    /// For those that keep fields one by one.
    pub fn texts(self) -> [(&'static str, String); 9] {
        [
            (READ, self.field_3),
            (SET, self.field_5),
            (LOGIN, self.field_7),
            ("field-1", self.field_1),
            ("field-2", self.field_2),
            ("field-4", self.field_4),
            ("field-6", self.field_6),
            ("field-8", self.field_8),
            ("field-9", self.field_9),
        ]
    }
}

/// The field that `/read` reads, `/set` sets, `/login` writes.
pub const READ: &str = "field-3";
pub const SET: &str = "field-5";
pub const LOGIN: &str = "field-7";

/// A text as long as the others that was never written before: nobody may leave out the write.
pub fn fresh() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    format!("{:040}", NEXT.fetch_add(1, Ordering::Relaxed))
}
