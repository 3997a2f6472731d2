//! Prometheus text, read.

use std::collections::BTreeMap;

use crate::support::http::Client;

/// The samples of one scrape, without the crate's prefix: `requests_total{outcome="served"}`.
#[derive(Debug)]
pub(super) struct Scrape {
    pub(super) text: String,
    samples: BTreeMap<String, f64>,
}

impl Scrape {
    pub(super) fn read(text: &str) -> Self {
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        let samples = lines.filter_map(|line| {
            let (name, value) = line.rsplit_once(' ')?;
            let name = name.strip_prefix("tower_handoff_").expect("our prefix");
            Some((name.to_owned(), value.parse().expect("a number")))
        });
        Self {
            samples: samples.collect(),
            text: text.to_owned(),
        }
    }

    pub(super) async fn of(client: &mut Client) -> Self {
        let answer = client.get("/metrics").await;
        assert_eq!(answer.status, 200, "{answer:?}");
        Self::read(&answer.text())
    }

    #[track_caller]
    pub(super) fn value(&self, sample: &str) -> f64 {
        let found = self.samples.get(sample).copied();
        found.unwrap_or_else(|| panic!("no {sample} in\n{}", self.text))
    }

    /// Exactly these, of these samples.
    #[track_caller]
    pub(super) fn is(&self, expected: &[(&str, f64)]) {
        for (sample, value) in expected {
            assert_eq!(self.value(sample), *value, "{sample} in\n{}", self.text);
        }
    }
}
