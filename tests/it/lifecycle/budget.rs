//! The grace period adds up, or the lifecycle is not built.

use std::time::Duration;

use tower_handoff::lifecycle::{Budget, PlatformKind};

use super::common::quiet_builder;

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

#[test]
fn the_parts_always_add_up_to_the_grace() {
    for grace in [70, 1000, 5000, 10_000, 30_000, 90_000, 86_400_000] {
        let budget = Budget::new(ms(grace), ms(10), ms(10)).unwrap();
        let sum = budget.settle() + budget.drain() + budget.hooks() + budget.margin();
        assert_eq!(sum, budget.grace());
        assert!((ms(50)..=ms(1000)).contains(&budget.margin()));
    }
    assert_eq!(
        Budget::new(ms(10_000), ms(0), ms(0)).unwrap().margin(),
        ms(500)
    );
    assert_eq!(Budget::new(ms(100), ms(25), ms(25)).unwrap().drain(), ms(0));
}

#[test]
fn too_little_grace_is_an_error_that_spells_the_sum_out() {
    let error = Budget::new(ms(99), ms(25), ms(25)).unwrap_err();
    let text = "grace is \"99ms\"; \
        accepted: at least 100ms: settle 25ms + hooks 25ms + margin 50ms";
    assert_eq!(error.to_string(), text);
    assert!(Budget::new(Duration::MAX, ms(0), ms(0)).is_err());
    assert!(Budget::new(ms(1000), Duration::MAX, Duration::MAX).is_err());
    let error = quiet_builder().grace(ms(1000)).settle(ms(2000)).build();
    assert_eq!(error.unwrap_err().option(), "grace");
}

#[test]
fn hooks_get_a_share_of_the_grace_or_what_they_ask_for() {
    let hooks = |builder: tower_handoff::lifecycle::LifecycleBuilder| {
        builder.build().unwrap().budget().hooks()
    };
    assert_eq!(hooks(quiet_builder()), ms(2000));
    assert_eq!(
        hooks(quiet_builder().platform(PlatformKind::Systemd)),
        ms(3000)
    );
    assert_eq!(hooks(quiet_builder().hook_time(ms(7))), ms(7));
    let asking = quiet_builder()
        .on_shutdown("one", ms(1500), || async { Ok(()) })
        .on_shutdown("two", ms(500), || async { Ok(()) });
    assert_eq!(hooks(asking), ms(3000));
    let absurd = quiet_builder().on_shutdown("one", Duration::MAX, || async { Ok(()) });
    assert_eq!(absurd.build().unwrap_err().option(), "grace");
}

#[test]
fn a_name_used_twice_or_not_acceptable_is_an_error() {
    let hook = || async { Ok(()) };
    let twice = quiet_builder()
        .on_shutdown("flush", ms(1), hook)
        .on_shutdown("flush", ms(1), hook);
    let error = twice.build().unwrap_err();
    assert_eq!(error.option(), "the name of a hook or managed part");
    assert_eq!(error.value(), "flush");

    let twice = quiet_builder()
        .on_start("warm", async { Ok(()) })
        .on_start("warm", async { Ok(()) });
    assert_eq!(
        twice.build().unwrap_err().option(),
        "the name of a start-up gate"
    );

    use tower_handoff::health::Check;
    let twice = quiet_builder()
        .check(Check::new("db", hook))
        .check(Check::new("db", hook));
    assert_eq!(twice.build().unwrap_err().option(), "the name of a check");

    for bad in ["", "a b", "ä", &"x".repeat(65)] {
        let error = quiet_builder().instance_id(bad).build().unwrap_err();
        assert_eq!(error.option(), "instance_id");
    }
    let generated = quiet_builder().build().unwrap();
    assert_eq!(generated.instance_id().len(), 12);
}
