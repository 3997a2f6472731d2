//! What the suite leaves behind for `tests/it/evidence`, where the environment names a folder.
//!
//! There: the TRACE log of this process and of every testbed, what each Redis server wrote and was
//! sent (`redis_server.rs` sees to that), what testbeds answered, and every answer that hands a
//! token out or takes one away. Without the variable nothing is kept.

use std::fs::File;
use std::io::Write;
use std::path::PathBuf;
use std::sync::{Once, OnceLock};

use http::{HeaderMap, Request, Response};
use serde::{Deserialize, Serialize};
use tower::{Service, ServiceExt};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::format::FmtSpan;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// Names the folder; `scripts/test` sets it.
pub(crate) const VARIABLE: &str = "TOWER_HANDOFF_EVIDENCE";
/// Ends the names of the files that hold tokens, because they are answers.
pub(crate) const ANSWERS: &str = ".answers";

/// An answer that hands a token out or takes one away, and what it answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Answer {
    /// The thread, which the test's name is given to.
    pub(crate) test: String,
    /// The tokens in the request.
    pub(crate) presented: Vec<String>,
    pub(crate) headers: Vec<(String, String)>,
}

/// What has a token's form in a text, wherever it stands.
pub(crate) fn tokens_in(text: &str) -> impl Iterator<Item = &str> {
    let part_of_token = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    text.split(move |c| !part_of_token(c))
        .filter(|part| part.len() == 55 && part.starts_with('1'))
}

/// The folder, once there is something to put there.
pub(crate) fn folder() -> Option<PathBuf> {
    let folder = PathBuf::from(std::env::var_os(VARIABLE)?);
    std::fs::create_dir_all(&folder).expect("the evidence's folder is writable");
    Some(folder)
}

/// A file of this process, one write a line: threads do not mix, and nothing waits in a buffer.
struct Lines(OnceLock<Option<File>>);

impl Lines {
    const fn new() -> Self {
        Self(OnceLock::new())
    }

    fn open(&self, name: &str) -> Option<&File> {
        let open = || {
            let name = format!("{}{name}", std::process::id());
            Some(File::create(folder()?.join(name)).expect("the evidence is writable"))
        };
        self.0.get_or_init(open).as_ref()
    }

    fn write(&self, name: &str, line: impl FnOnce() -> Vec<u8>) {
        if let Some(mut file) = self.open(name) {
            let mut line = line();
            line.push(b'\n');
            file.write_all(&line).expect("the evidence is writable");
        }
    }
}

/// The log of this process; `None` where none is kept.
pub(super) fn log() -> Option<&'static File> {
    static LOG: Lines = Lines::new();
    LOG.open(".log")
}

/// From now on the log is kept. To be called before anything that could issue a token.
pub(crate) fn begin() {
    static BEGUN: Once = Once::new();
    BEGUN.call_once(|| {
        if let Some(log) = log() {
            // HTTP/2's own account of each frame and stream, which leaves out what headers hold: nine tenths
            // of all that would be written, and slow enough to disturb the tests. What takes headers apart
            // and puts them together is heard in full.
            let heard = Targets::new()
                .with_default(LevelFilter::TRACE)
                .with_target("h2", LevelFilter::DEBUG)
                .with_target("h2::hpack", LevelFilter::TRACE)
                .with_target("h2::frame", LevelFilter::TRACE);
            tracing_subscriber::fmt()
                .with_max_level(LevelFilter::TRACE)
                // All that a span is given, and what it was given later.
                .with_span_events(FmtSpan::NEW | FmtSpan::CLOSE)
                .with_ansi(false)
                .with_writer(move || log)
                .finish()
                .with(heard)
                .init();
        }
    });
}

/// Keeps an answer, if it says anything about a token.
pub(crate) fn answer(request: &HeaderMap, answer: &HeaderMap) {
    static ANSWERED: Lines = Lines::new();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let headers: Vec<_> = (answer.iter())
        .map(|(name, value)| (name.to_string(), text(value.as_bytes())))
        .collect();
    let hands_out = |(name, value): &(String, String)| {
        name == "set-cookie" || tokens_in(value).next().is_some()
    };
    if headers.iter().any(hands_out) {
        let presented = request.values().map(|value| text(value.as_bytes()));
        let presented = presented.flat_map(|value| {
            let tokens: Vec<_> = tokens_in(&value).map(str::to_owned).collect();
            tokens
        });
        let thread = std::thread::current();
        let answer = Answer {
            test: thread.name().unwrap_or("?").to_owned(),
            presented: presented.collect(),
            headers,
        };
        ANSWERED.write(ANSWERS, || serde_json::to_vec(&answer).expect("text"));
    }
}

/// Keeps what a testbed said in a body, a report or on stderr: none of it may hold a token.
pub(crate) fn said(text: &[u8]) {
    static SAID: Lines = Lines::new();
    SAID.write(".said", || text.to_vec());
}

/// [`ServiceExt::oneshot`], and the answer is kept.
pub(crate) async fn oneshot<S, B, R>(
    service: S,
    request: Request<B>,
) -> Result<Response<R>, S::Error>
where
    S: Service<Request<B>, Response = Response<R>>,
{
    begin();
    let asked = request.headers().clone();
    let response = service.oneshot(request).await?;
    answer(&asked, response.headers());
    Ok(response)
}
