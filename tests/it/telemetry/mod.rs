//! Metrics: what a scrape shows of things done on purpose.

mod e2e;
mod flush;
mod in_process;
mod scrape;
