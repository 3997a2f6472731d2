//! A judge that finds nothing is worth nothing: here is something to be found.

use super::faults::{Fault, Stage};
use super::judge::judge;
use super::resource::Resource;
use super::worker::Errand;
use super::{errand, seeds};

async fn found(checks: bool, wanted: &str) -> bool {
    let resource = Resource::start(checks);
    let seed = seeds(1)[0];
    let errand = Errand {
        lease_ms: 500,
        keys: 1,
        careless: true,
        ..errand(seed, &resource)
    };
    let mut stage = Stage::start(2, errand, &resource).await;
    for _ in 0..20 {
        stage.suffer(&[Fault::StopHolder; 4]).await;
        let (uses, disturbances) = resource.history();
        let violations = judge(&uses, &disturbances).violations;
        if violations.iter().any(|said| said.starts_with(wanted)) {
            return true;
        }
    }
    false
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_holder_that_does_not_look_at_its_lease_is_found_out() {
    assert!(found(true, "two hold the key").await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_resource_that_does_not_look_at_fences_is_found_out() {
    assert!(found(false, "a write of the past").await);
}
