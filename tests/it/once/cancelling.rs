//! Wherever a run is dropped, the job comes free.

use tower_handoff::lock::LockBackend;
use tower_handoff::once::{Job, OnceStore};

use super::rig::{Fleet, comes_free, hang, job, ms, occupy, on_both, run};
use crate::support::drop_after::drop_after;
use crate::support::eventually::eventually;

on_both!(
    a_run_dropped_at_any_await_leaves_nothing,
    a_wait_dropped_at_any_await_leaves_nothing,
    a_run_dropped_while_its_result_is_kept_is_free_or_done,
);

async fn a_run_dropped_at_any_await_leaves_nothing<S: OnceStore + Clone>(fleet: Fleet<S>) {
    for polls in 0..12 {
        let job = job(&format!("{polls}"));
        drop_after(polls, hang(fleet.a.clone(), job.clone())).await;
        comes_free(&fleet.b, &job).await;
    }
    nothing_is_held(&fleet).await;
}

async fn a_wait_dropped_at_any_await_leaves_nothing<S: OnceStore + Clone>(fleet: Fleet<S>) {
    let waiting = fleet.b.clone().with_wait(ms(60_000)).unwrap();
    for polls in 0..12 {
        let job = job(&format!("{polls}"));
        let runs = occupy(&fleet.a, &job).await;
        drop_after(polls, hang(waiting.clone(), job.clone())).await;
        runs.abort();
        comes_free(&fleet.a, &job).await;
        nothing_is_held(&fleet).await;
    }
}

async fn a_run_dropped_while_its_result_is_kept_is_free_or_done<S: OnceStore + Clone>(
    fleet: Fleet<S>,
) {
    for polls in 0..12 {
        let job = Job::new(polls.to_string()).unwrap().with_slot("s").unwrap();
        drop_after(polls as usize, run(&fleet.a, &job, polls)).await;
        eventually("it is free or done", async || {
            let outcome = run(&fleet.b, &job, polls).await.unwrap();
            outcome.into_value() == Some(polls)
        })
        .await;
    }
    nothing_is_held(&fleet).await;
}

async fn nothing_is_held<S: OnceStore + Clone>(fleet: &Fleet<S>) {
    for store in &fleet.stores {
        let held = store.locks().held();
        eventually("nothing is held", async || held.names().is_empty()).await;
    }
}
