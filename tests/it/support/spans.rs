//! The spans of one test.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex};

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::DefaultGuard;
use tracing::{Level, Subscriber};
use tracing_subscriber::layer::{Context, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::{Layer, Registry, fmt as log};

use super::evidence;

/// The fields of a span that has ended, as text.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Ended(BTreeMap<&'static str, String>);

/// The spans of one name that have ended on this thread, in the order of their ends.
#[derive(Debug, Clone)]
pub(crate) struct Spans {
    name: &'static str,
    ended: Arc<Mutex<Vec<Ended>>>,
}

impl Spans {
    /// Keeps them until the guard is dropped. Tests on a runtime of one thread see every task.
    pub(crate) fn of_this_thread(name: &'static str) -> (Self, DefaultGuard) {
        let ended = Arc::default();
        let spans = Self { name, ended };
        // The process's own log goes on.
        let all = evidence::log().map(|all| {
            let layer = log::layer().with_ansi(false);
            layer.with_writer(move || all)
        });
        let subscriber = Registry::default().with(spans.clone()).with(all);
        (spans, tracing::subscriber::set_default(subscriber))
    }

    /// Those that have ended since it was last asked.
    pub(crate) fn take(&self) -> Vec<Ended> {
        std::mem::take(&mut *self.ended.lock().expect("no panic"))
    }
}

impl Ended {
    /// Empty where nothing was recorded.
    pub(crate) fn get(&self, field: &str) -> &str {
        self.0.get(field).map_or("", String::as_str)
    }

    pub(crate) fn number(&self, field: &str) -> u64 {
        let text = self.get(field);
        text.parse()
            .unwrap_or_else(|_| panic!("{field} is no number in {self:?}"))
    }

    pub(crate) fn fields(&self) -> Vec<&'static str> {
        self.0.keys().copied().collect()
    }
}

impl Visit for Ended {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.insert(field.name(), value.to_owned());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.0.insert(field.name(), format!("{value:?}"));
    }
}

impl<S> Layer<S> for Spans
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let span = context.span(id).expect("it is new");
        if span.name() == self.name {
            assert_eq!(*span.metadata().level(), Level::DEBUG);
            let mut fields = Ended::default();
            attributes.record(&mut fields);
            span.extensions_mut().insert(fields);
        }
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        let span = context.span(id).expect("it is open");
        if let Some(fields) = span.extensions_mut().get_mut::<Ended>() {
            values.record(fields);
        }
    }

    fn on_close(&self, id: Id, context: Context<'_, S>) {
        let span = context.span(&id).expect("it closes");
        if let Some(fields) = span.extensions_mut().remove::<Ended>() {
            self.ended.lock().expect("no panic").push(fields);
        }
    }
}
