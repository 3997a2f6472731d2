//! What the visitors were told, and what has to be so afterwards.

use http::StatusCode;

use super::site::{Answer, Site};

/// A column of the table, in its order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ask {
    Untouched,
    Read,
    Write,
    Rotate,
    Logout,
    Lock,
    Wait,
    Once,
}

pub(super) const ASKS: [Ask; 8] = [
    Ask::Untouched,
    Ask::Read,
    Ask::Write,
    Ask::Rotate,
    Ask::Logout,
    Ask::Lock,
    Ask::Wait,
    Ask::Once,
];

/// What becomes of what was asked under a fault. What was answered well is there in any case, once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::redis) enum Kept {
    /// What was refused was not done.
    Exactly,
    /// What was refused may have been done, once: its outcome was unknown.
    Perhaps,
    /// As before, of what waits for replicas. A job does not: its result may be lost with its master, and
    /// then it runs again.
    #[cfg(any(feature = "cluster", feature = "sentinel"))]
    ByReplicas,
    /// Redis has lost everything.
    Nothing,
}

/// One question under way.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) ask: Ask,
    pub(super) path: String,
    pub(super) cookie: String,
    number: u64,
}

#[derive(Debug, Default)]
pub(super) struct Ledger {
    /// What the session that is written to may hold: what was last answered, and what was refused
    /// since.
    values: Vec<u64>,
    cookie: String,
    rotating: String,
    /// Sessions that are there to be ended; those that were refused to be; those that were.
    live: Vec<String>,
    unsure: Vec<String>,
    ended: Vec<String>,
    /// Jobs that were answered, and that were refused.
    done: Vec<u64>,
    refused: Vec<u64>,
    fence: u64,
    next: u64,
    /// Whether the fault may come in the middle of what is asked: a lock whose release was not answered may
    /// still be held when the next one asks, a job may run and lose its lease.
    overlaps: bool,
}

const OK: StatusCode = StatusCode::OK;
const AWAY: StatusCode = StatusCode::SERVICE_UNAVAILABLE;
const CUT_OFF: StatusCode = StatusCode::INTERNAL_SERVER_ERROR;

impl Ledger {
    /// For those who go on asking while the fault lasts.
    #[cfg(any(feature = "cluster", feature = "sentinel"))]
    pub(super) fn under_load() -> Self {
        Self {
            overlaps: true,
            ..Self::default()
        }
    }

    /// Sessions to work with: each holds a 1. `false` where none can begin yet, as too few replicas follow.
    pub(super) async fn prepare(&mut self, site: &Site) -> bool {
        let mut cookies = Vec::new();
        for _ in 0..8 {
            let answer = site.send("/write/1", "").await;
            if self.overlaps && answer.status == AWAY {
                return false;
            }
            cookies.push(answer.cookie.expect("a session begins"));
        }
        self.cookie = cookies.pop().expect("eight");
        self.rotating = cookies.pop().expect("eight");
        self.live = cookies;
        self.values = vec![1];
        true
    }

    /// Sessions that can be ended while nobody can begin one.
    #[cfg(any(feature = "cluster", feature = "sentinel"))]
    pub(super) async fn has_some_to_end(&mut self, site: &Site) {
        while self.live.len() < 4 {
            let answer = site.send("/write/1", "").await;
            match answer.cookie {
                Some(cookie) => self.live.push(cookie),
                None => return assert_eq!(answer.status, AWAY),
            }
        }
    }

    pub(super) fn ask(&mut self, ask: Ask) -> Asked {
        self.next += 1;
        let number = self.next;
        let (path, cookie) = match ask {
            Ask::Untouched => ("/untouched".to_owned(), self.cookie.clone()),
            Ask::Read => ("/read".to_owned(), self.cookie.clone()),
            Ask::Write => {
                self.values.push(number);
                (format!("/write/{number}"), self.cookie.clone())
            }
            Ask::Rotate => ("/rotate".to_owned(), self.rotating.clone()),
            Ask::Logout => {
                let cookie = self.live.pop().or_else(|| self.unsure.pop());
                ("/logout".to_owned(), cookie.unwrap_or_default())
            }
            Ask::Lock => ("/lock/a".to_owned(), String::new()),
            Ask::Wait => ("/wait/wanted".to_owned(), String::new()),
            Ask::Once => (format!("/once/{number}"), String::new()),
        };
        Asked {
            ask,
            path,
            cookie,
            number,
        }
    }

    pub(super) fn told(&mut self, site: &Site, asked: Asked, answer: &Answer) {
        let is_ok = answer.status == OK;
        let is_busy = asked.ask == Ask::Lock && answer.status == StatusCode::CONFLICT;
        let is_cut_off = asked.ask == Ask::Once && answer.status == CUT_OFF;
        let is_known = is_ok || answer.status == AWAY || self.overlaps && (is_busy || is_cut_off);
        assert!(is_known, "{asked:?}: {answer:?}");
        match (asked.ask, is_ok) {
            (Ask::Read, true) => self.reads(&answer.body),
            (Ask::Write, true) => self.values = vec![asked.number],
            (Ask::Rotate, true) => {
                let Some(cookie) = answer.cookie.clone() else {
                    // A rotation that nobody heard of has cost the session.
                    assert!(self.overlaps, "another cookie");
                    return;
                };
                let old = std::mem::replace(&mut self.rotating, cookie);
                assert_ne!(old, self.rotating);
                self.ended.push(old);
            }
            // It is rotated where the master stays, and not where a replica follows.
            (Ask::Rotate, false) => {
                if let Some(cookie) = answer.cookie.clone() {
                    self.rotating = cookie;
                }
            }
            (Ask::Logout, true) => self.ended.push(asked.cookie),
            (Ask::Logout, false) => self.unsure.push(asked.cookie),
            (Ask::Lock, true) => {
                let fence = answer.body.parse().expect("a fence");
                assert!(fence > self.fence, "{fence} after {}", self.fence);
                self.fence = fence;
            }
            (Ask::Once, true) => {
                assert_eq!(site.runs(asked.number), 1, "{asked:?}");
                self.done.push(asked.number);
            }
            (Ask::Once, false) if is_cut_off => assert_eq!(site.runs(asked.number), 1, "{asked:?}"),
            (Ask::Once, false) => {
                assert_eq!(site.runs(asked.number), 0, "{asked:?}");
                self.refused.push(asked.number);
            }
            _ => {}
        }
    }

    fn reads(&self, body: &str) {
        let value = body.parse().expect("a number");
        assert!(self.values.contains(&value), "{value} of {:?}", self.values);
    }

    /// Redis is back. To be called before anything else is asked.
    pub(super) async fn check(&mut self, site: &Site, kept: Kept) {
        let value = async |cookie: &str| {
            let answer = site.send("/read", cookie).await;
            assert_eq!(answer.status, OK, "{answer:?}");
            answer.body
        };
        let stays = |value: String, sure: bool| {
            let is_gone = value == "null";
            let may_be_gone = kept == Kept::Nothing || kept != Kept::Exactly && !sure;
            let has_to_be = kept == Kept::Nothing;
            assert!(if is_gone { may_be_gone } else { !has_to_be }, "{value}");
        };
        let n = value(&self.cookie).await;
        stays(n.clone(), true);
        if kept != Kept::Nothing {
            if kept == Kept::Exactly {
                self.values.truncate(1);
            }
            self.reads(&n);
        }
        // The old cookie may be useless where nobody knows whether it was replaced.
        stays(value(&self.rotating).await, false);
        for cookie in &self.live {
            stays(value(cookie).await, true);
        }
        for cookie in self.unsure.drain(..) {
            stays(value(&cookie).await, false);
        }
        for cookie in self.ended.drain(..) {
            assert_eq!(value(&cookie).await, "null", "it was ended, and is back");
        }
        let runs = match kept {
            Kept::Exactly | Kept::Perhaps => 1..=1,
            #[cfg(any(feature = "cluster", feature = "sentinel"))]
            Kept::ByReplicas => 1..=2,
            Kept::Nothing => 2..=2,
        };
        for job in self.done.drain(..) {
            let answer = site.send(&format!("/once/{job}"), "").await;
            assert_eq!((answer.status, answer.body), (OK, job.to_string()));
            assert!(runs.contains(&site.runs(job)), "job {job}");
        }
    }

    /// What was refused can be had now.
    pub(super) async fn jobs_are_free(&mut self, site: &Site) -> bool {
        while let Some(&job) = self.refused.last() {
            if site.send(&format!("/once/{job}"), "").await.status != OK {
                return false;
            }
            assert_eq!(site.runs(job), 1, "job {job}");
            self.refused.pop();
        }
        true
    }
}
