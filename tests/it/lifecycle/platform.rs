//! The platform is told by its environment, and code stands over variables over detection.

use std::path::Path;
use std::time::Duration;

use tower_handoff::lifecycle::{Lifecycle, Platform, PlatformKind};

fn platform(variables: &[(&str, &str)], docker: bool, terminal: bool) -> Platform {
    Platform::detect_with(
        |name| {
            let found = variables.iter().find(|(set, _)| *set == name);
            found.map(|(_, value)| value.to_string())
        },
        |path| docker && path == Path::new("/.dockerenv"),
        terminal,
    )
}

fn times(platform: Platform) -> Result<(u128, u128), String> {
    let built = Lifecycle::builder()
        .platform(platform)
        .hook_time(Duration::ZERO)
        .build();
    let lifecycle = built.map_err(|error| error.to_string())?;
    let budget = lifecycle.budget();
    Ok((budget.grace().as_millis(), budget.settle().as_millis()))
}

#[test]
fn each_platform_is_known_by_its_variables() {
    let table: [(&[&str], PlatformKind, (u128, u128)); 13] = [
        (
            &["KUBERNETES_SERVICE_HOST"],
            PlatformKind::Kubernetes,
            (30_000, 5000),
        ),
        (
            &["K_SERVICE", "KUBERNETES_SERVICE_HOST"],
            PlatformKind::Kubernetes,
            (30_000, 5000),
        ),
        (&["K_SERVICE"], PlatformKind::CloudRun, (10_000, 0)),
        (&["CLOUD_RUN_JOB"], PlatformKind::CloudRun, (10_000, 0)),
        (
            &["ECS_CONTAINER_METADATA_URI_V4"],
            PlatformKind::Ecs,
            (30_000, 2000),
        ),
        (&["FLY_MACHINE_ID"], PlatformKind::Fly, (5000, 500)),
        (&["FLY_APP_NAME"], PlatformKind::Fly, (5000, 500)),
        (&["NOMAD_ALLOC_ID"], PlatformKind::Nomad, (5000, 0)),
        (&["DYNO"], PlatformKind::Paas, (30_000, 2000)),
        (&["RENDER"], PlatformKind::Paas, (30_000, 2000)),
        (&["CONTAINER_APP_NAME"], PlatformKind::Paas, (30_000, 2000)),
        (&["NOTIFY_SOCKET"], PlatformKind::Systemd, (90_000, 0)),
        (&[], PlatformKind::Unknown, (10_000, 0)),
    ];
    for (names, kind, expected) in table {
        let variables: Vec<_> = names.iter().map(|name| (*name, "x")).collect();
        let found = platform(&variables, false, false);
        assert_eq!(found.kind(), kind, "{names:?}");
        assert_eq!(times(found).unwrap(), expected, "{names:?}");
        if kind != PlatformKind::Unknown {
            assert_eq!(
                platform(&variables, true, true).kind(),
                kind,
                "{names:?} in a container"
            );
        }
    }
    assert_eq!(platform(&[], true, true).kind(), PlatformKind::Docker);
    assert_eq!(platform(&[], false, true).kind(), PlatformKind::Terminal);
    assert_eq!(
        platform(&[("DYNO", "")], false, true).kind(),
        PlatformKind::Terminal
    );
}

#[test]
fn code_stands_over_variables_and_variables_over_detection() {
    let set = [
        ("HANDOFF_GRACE_MS", "7000"),
        ("HANDOFF_SETTLE_MS", " 300 "),
        ("NOTIFY_SOCKET", "/run/x"),
    ];
    assert_eq!(times(platform(&set, false, false)).unwrap(), (7000, 300));
    let built = Lifecycle::builder()
        .platform(platform(&set, false, false))
        .grace(Duration::from_secs(2))
        .settle(Duration::ZERO)
        .build()
        .unwrap();
    assert_eq!(built.budget().grace(), Duration::from_secs(2));
    assert_eq!(built.budget().settle(), Duration::ZERO);
    let empty = [("HANDOFF_GRACE_MS", " "), ("HANDOFF_SETTLE_MS", "")];
    assert_eq!(times(platform(&empty, false, false)).unwrap(), (10_000, 0));
}

#[test]
fn a_variable_that_is_no_number_is_named() {
    for bad in [
        "soon",
        "-1",
        "1.5",
        "86400001",
        "99999999999999999999",
        "5s",
    ] {
        for name in ["HANDOFF_GRACE_MS", "HANDOFF_SETTLE_MS"] {
            let error = times(platform(&[(name, bad)], false, false)).unwrap_err();
            let expected =
                format!("{name} is {bad:?}; accepted: milliseconds, an integer from 0 to 86400000");
            assert_eq!(error, expected);
        }
    }
}
