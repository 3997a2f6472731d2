//! Who runs a job, and what the others are told.

use std::sync::Arc;

use futures_util::future::join_all;
use tokio::sync::Notify;
use tower_handoff::lock::{HeldLocks, LockBackend};
use tower_handoff::once::{Job, Once, OnceError, OnceStore, Outcome};

use super::rig::{Count, Fleet, comes_free, fresh_for, job, lost, ms, occupy, on_both, run};
use crate::support::eventually::eventually;

on_both!(
    one_of_many_runs_and_the_others_hear_who,
    those_who_wait_read_the_result,
    those_who_wait_take_over_from_one_that_fails,
    a_job_without_a_time_runs_again,
    a_slot_is_done_once,
    what_is_done_runs_again_when_its_time_is_over,
    jobs_do_not_meet,
    a_wait_ends,
    a_job_that_fails_or_panics_is_free_at_once,
    a_drain_stops_what_runs_and_lets_nothing_begin,
);

async fn one_of_many_runs_and_the_others_hear_who<S: OnceStore + Clone>(fleet: Fleet<S>) {
    for round in 0..5 {
        let (count, go_on) = (Count::default(), Arc::new(Notify::new()));
        let job = job(&format!("{round}"));
        let tasks: Vec<_> = (0..40)
            .map(|number| {
                let once = if number % 2 == 0 { &fleet.a } else { &fleet.b };
                let (once, job) = (once.clone(), job.clone());
                let (count, go_on) = (count.clone(), go_on.clone());
                tokio::spawn(async move {
                    let name = if number % 2 == 0 { "a" } else { "b" };
                    let work = |_| async move {
                        count.add();
                        go_on.notified().await;
                        Ok::<_, std::convert::Infallible>(name.to_owned())
                    };
                    once.run(&job, work).await
                })
            })
            .collect();
        eventually("all others are back", async || {
            tasks.iter().filter(|task| task.is_finished()).count() == 39
        })
        .await;
        go_on.notify_one();
        let outcomes: Vec<_> = join_all(tasks)
            .await
            .into_iter()
            .map(|task| task.unwrap().unwrap())
            .collect();
        let ran = outcomes.iter().find_map(|outcome| match outcome {
            Outcome::Ran(name) => Some(name.clone()),
            _ => None,
        });
        let skipped = Outcome::Skipped { by: ran };
        let skips = outcomes.iter().filter(|outcome| **outcome == skipped);
        assert_eq!((count.get(), skips.count()), (1, 39), "{outcomes:?}");
    }
}

async fn those_who_wait_read_the_result<S: OnceStore + Clone>(fleet: Fleet<S>) {
    let [a, b] = [&fleet.a, &fleet.b].map(|once| once.clone().with_wait(ms(60_000)).unwrap());
    let (count, go_on) = (Count::default(), Arc::new(Notify::new()));
    let tasks: Vec<_> = (0..100)
        .map(|number| {
            let once = if number % 2 == 0 { &a } else { &b }.clone();
            let (count, go_on) = (count.clone(), go_on.clone());
            tokio::spawn(async move {
                let work = |_| async move {
                    count.add();
                    go_on.notified().await;
                    Ok::<_, std::convert::Infallible>(17)
                };
                once.run(&job("rates"), work).await.unwrap()
            })
        })
        .collect();
    eventually("one runs it", async || count.get() == 1).await;
    go_on.notify_one();
    let outcomes = join_all(tasks).await;
    let fresh = outcomes
        .iter()
        .filter(|outcome| matches!(outcome, Ok(Outcome::Fresh(17))));
    assert_eq!((count.get(), fresh.count()), (1, 99));
}

async fn those_who_wait_take_over_from_one_that_fails<S: OnceStore + Clone>(fleet: Fleet<S>) {
    let go_on = Arc::new(Notify::new());
    let (once, told) = (fleet.a.clone(), go_on.clone());
    let fails = tokio::spawn(async move {
        let work = |_| async move {
            told.notified().await;
            Err::<u64, _>("on purpose")
        };
        once.run(&job("x"), work).await
    });
    fleet.a_holds().await;
    let waiting = fleet.b.clone().with_wait(ms(60_000)).unwrap();
    let takes_over = tokio::spawn(async move { run(&waiting, &job("x"), 2).await });
    let held = fleet.stores[0].locks().held();
    tokio::task::yield_now().await;
    assert_eq!(held.names().len(), 1);
    go_on.notify_one();
    assert!(matches!(
        fails.await.unwrap(),
        Err(OnceError::Job("on purpose"))
    ));
    assert_eq!(takes_over.await.unwrap().unwrap(), Outcome::Ran(2));
}

async fn a_job_without_a_time_runs_again<S: OnceStore + Clone>(fleet: Fleet<S>) {
    let job = Job::new("x").unwrap();
    for once in [&fleet.a, &fleet.b, &fleet.a] {
        comes_free(once, &job).await;
    }
}

async fn a_slot_is_done_once<S: OnceStore + Clone>(fleet: Fleet<S>) {
    let count = Count::default();
    for tick in 0..5 {
        let job = Job::new("sweep")
            .unwrap()
            .with_slot(tick.to_string())
            .unwrap();
        for (number, once) in [&fleet.a, &fleet.b, &fleet.a].into_iter().enumerate() {
            let work = |_| async { Ok::<_, std::convert::Infallible>(count.add()) };
            let expected = match number {
                0 => Outcome::Ran(tick),
                _ => Outcome::Fresh(tick),
            };
            assert_eq!(once.run(&job, work).await.unwrap(), expected);
        }
    }
}

async fn what_is_done_runs_again_when_its_time_is_over<S: OnceStore + Clone>(fleet: Fleet<S>) {
    let short = fresh_for("x", ms(400));
    assert_eq!(run(&fleet.a, &short, 1).await.unwrap(), Outcome::Ran(1));
    comes_free(&fleet.b, &short).await;
    // How long is a matter of the one who ran it.
    assert_eq!(run(&fleet.a, &job("y"), 1).await.unwrap(), Outcome::Ran(1));
    let brief = fresh_for("y", ms(1));
    assert_eq!(run(&fleet.b, &brief, 2).await.unwrap(), Outcome::Fresh(1));
}

async fn jobs_do_not_meet<S: OnceStore + Clone>(fleet: Fleet<S>) {
    let jobs = [
        job("a"),
        job("a:b"),
        job("a").with_slot("b").unwrap(),
        job("a").with_slot("b:").unwrap(),
        job("A"),
        job("{a}"),
        job("\u{e9}\0"),
    ];
    for (number, job) in (1..).zip(&jobs) {
        assert_eq!(
            run(&fleet.a, job, number).await.unwrap(),
            Outcome::Ran(number)
        );
    }
    for (number, job) in (1..).zip(&jobs) {
        assert_eq!(run(&fleet.b, job, 0).await.unwrap(), Outcome::Fresh(number));
    }
}

async fn a_wait_ends<S: OnceStore + Clone>(fleet: Fleet<S>) {
    let runs = occupy(&fleet.a, &job("x")).await;
    let waiting = fleet.b.clone().with_wait(ms(200)).unwrap();
    let by = Some("a".to_owned());
    assert_eq!(
        run(&waiting, &job("x"), 1).await.unwrap(),
        Outcome::Skipped { by }
    );
    runs.abort();
    comes_free(&fleet.b, &job("x")).await;
}

async fn a_job_that_fails_or_panics_is_free_at_once<S: OnceStore + Clone>(fleet: Fleet<S>) {
    let x = job("x");
    let failed = fleet.a.run(&x, |_| async { Err::<u64, _>("on purpose") });
    assert!(matches!(failed.await, Err(OnceError::Job("on purpose"))));
    comes_free(&fleet.b, &job("x")).await;

    let once = fleet.a.clone();
    let work = async |once: Once, late: bool| {
        let work = |_| async move {
            tokio::task::yield_now().await;
            if late {
                panic!("on purpose");
            }
            Ok::<u64, &str>(0)
        };
        once.run(&job("y"), work).await
    };
    let panicked = tokio::spawn(async move { work(once, true).await });
    assert!(panicked.await.unwrap_err().is_panic());
    comes_free(&fleet.b, &job("y")).await;
}

async fn a_drain_stops_what_runs_and_lets_nothing_begin<S: OnceStore + Clone>(fleet: Fleet<S>) {
    let runs = occupy(&fleet.a, &job("x")).await;
    let held: HeldLocks = fleet.stores[0].locks().held();
    held.release_all().await;
    lost(runs.await.unwrap());
    let refused = run(&fleet.a, &job("y"), 1).await;
    assert!(matches!(refused, Err(OnceError::Draining)), "{refused:?}");
}
