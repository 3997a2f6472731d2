//! Phases go forward only, and whoever waits for one hears of it whenever it asks.

use std::time::Duration;

use tokio::time::timeout;
use tower_handoff::lifecycle::{Phase, PhaseControl};

const PHASES: [Phase; 7] = [
    Phase::Starting,
    Phase::Ready,
    Phase::Settling,
    Phase::Draining,
    Phase::Forcing,
    Phase::Stopping,
    Phase::Stopped,
];

#[test]
fn a_phase_never_goes_back() {
    for from in PHASES {
        for to in PHASES {
            let control = PhaseControl::new();
            control.advance(from);
            control.advance(to);
            assert_eq!(control.watch().current(), from.max(to), "{from} to {to}");
        }
    }
}

#[test]
fn outsiders_are_not_shown_forcing_and_stopped() {
    let shown: Vec<_> = PHASES.map(Phase::public_str).into();
    let expected = "starting ready settling draining draining stopping stopping";
    assert_eq!(shown.join(" "), expected);
    assert_eq!(Phase::Forcing.to_string(), "forcing");
}

#[tokio::test(start_paused = true)]
async fn reached_is_a_level_and_not_an_edge() {
    let control = PhaseControl::new();
    control.advance(Phase::Stopping);
    // Long over, and never set itself.
    control.watch().reached(Phase::Draining).await;
    control.watch().reached(Phase::Stopping).await;
    let later = control.watch().reached(Phase::Stopped);
    assert!(timeout(Duration::from_secs(60), later).await.is_err());
}

#[tokio::test]
async fn everybody_who_waits_is_woken_by_a_jump_past_what_they_wait_for() {
    let control = PhaseControl::new();
    let waiting: Vec<_> = PHASES
        .into_iter()
        .map(|phase| tokio::spawn(control.watch().reached(phase)))
        .collect();
    tokio::task::yield_now().await;
    // Dropped after its first poll: takes nobody's wake-up along.
    let given_up = tokio::spawn(control.watch().reached(Phase::Stopped));
    tokio::task::yield_now().await;
    given_up.abort();
    control.advance(Phase::Stopped);
    for waiter in waiting {
        timeout(Duration::from_secs(20), waiter)
            .await
            .unwrap()
            .unwrap();
    }
}
