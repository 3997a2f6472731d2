//! A list that is of one nearly always, and then takes no memory of its own.
//!
//! Floor 0.

use std::mem;
use std::ops::Deref;

#[derive(Debug)]
pub(crate) enum Few<T> {
    AtMostOne(Option<T>),
    Several(Vec<T>),
}

impl<T> Few<T> {
    pub(crate) fn push(&mut self, item: T) {
        *self = match mem::take(self) {
            Self::AtMostOne(None) => Self::AtMostOne(Some(item)),
            Self::AtMostOne(Some(first)) => Self::Several(vec![first, item]),
            Self::Several(mut all) => {
                all.push(item);
                Self::Several(all)
            }
        };
    }
}

impl<T> Default for Few<T> {
    fn default() -> Self {
        Self::AtMostOne(None)
    }
}

impl<T> From<T> for Few<T> {
    fn from(item: T) -> Self {
        Self::AtMostOne(Some(item))
    }
}

impl<T> Deref for Few<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        match self {
            Self::AtMostOne(one) => one.as_slice(),
            Self::Several(all) => all,
        }
    }
}
