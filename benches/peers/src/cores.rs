//! Two cores told apart: one for what is measured, one for Redis and whoever asks.
//!
//! Threads and processes that a pinned thread starts inherit its core on Linux, so nothing that is
//! measured need know of it. Elsewhere nothing is pinned, and the output says so.

use std::sync::OnceLock;

use core_affinity::CoreId;

/// Whose core.
#[derive(Debug, Clone, Copy)]
pub enum Core {
    Measured,
    Others,
}

/// The first and the last core of this process: never two threads of one core, but where there
/// are no others. `None` where cores cannot be told apart.
fn cores() -> Option<(CoreId, CoreId)> {
    static CORES: OnceLock<Option<(CoreId, CoreId)>> = OnceLock::new();
    *CORES.get_or_init(|| {
        let cores = cfg!(target_os = "linux").then(core_affinity::get_core_ids)??;
        let pair = (*cores.first()?, *cores.last()?);
        let works = |core| std::thread::spawn(move || core_affinity::set_for_current(core)).join();
        let both = [pair.0, pair.1]
            .map(works)
            .into_iter()
            .all(|set| matches!(set, Ok(true)));
        (cores.len() > 1 && both).then_some(pair)
    })
}

/// Keeps this thread, and whatever it starts from here on, on a core.
pub fn pin(core: Core) {
    if let Some((measured, others)) = cores() {
        core_affinity::set_for_current(match core {
            Core::Measured => measured,
            Core::Others => others,
        });
    }
}

/// Runs `start` on a core; the processes that it starts stay there, this thread does not move.
pub fn on<T: Send>(core: Core, start: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| {
        let started = scope.spawn(|| {
            pin(core);
            start()
        });
        started
            .join()
            .expect("what starts a process does not panic")
    })
}

/// Where everything runs, for the reader of the figures.
pub fn described() -> String {
    match cores() {
        Some((measured, others)) => format!(
            "what is measured on core {}, Redis and the load on core {}",
            measured.id, others.id
        ),
        None => "NOT PINNED: cores cannot be told apart here (Linux with two of them is needed), \
                 so what is measured competes with Redis and the load; do not quote these figures"
            .to_owned(),
    }
}
