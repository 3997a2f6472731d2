//! Redis's clock runs away from what a process knows of it, or Redis stands still for less than anybody
//! waits: what is refused as late is asked for once more, for whoever still waits.

use std::time::Duration;

use tower_handoff::redis::RedisHandle;
use tower_handoff::session::{SessionLayer, Users};

use super::support::{read, visit};
use super::users::log_in;
use crate::support::eventually::PATIENCE;
use crate::support::redis_server::RedisServer;

struct Stage {
    server: RedisServer,
    handle: RedisHandle,
    layer: SessionLayer,
    users: Users,
}

impl Stage {
    fn start() -> Self {
        let server = RedisServer::start();
        let builder = RedisHandle::builder(server.url()).command_timeout(PATIENCE);
        let handle = builder.connect().unwrap();
        let sessions = handle.sessions();
        Self {
            server,
            handle,
            layer: SessionLayer::new(sessions.clone()),
            users: Users::new(sessions),
        }
    }

    /// What this process knows of Redis's clock is behind it, as where that was set forward.
    fn falls_behind(&self) {
        let wire = self.handle.wire();
        let behind = 3 * u64::try_from(PATIENCE.as_millis()).unwrap();
        wire.observe_time("", wire.now_ms() - behind);
    }

    /// How many scripts Redis runs meanwhile.
    async fn scripts(&self, act: impl Future) -> u64 {
        let run = || self.server.command_counts().get("evalsha").copied();
        let before = run();
        act.await;
        run().unwrap_or_default() - before.unwrap_or_default()
    }
}

#[tokio::test]
async fn a_clock_that_ran_away_costs_the_next_write_a_second_command_and_nothing_else() {
    let stage = Stage::start();
    let (layer, users) = (&stage.layer, &stage.users);
    let cookie = visit(layer, "", "n", "0").await;
    let cookie = log_in(layer, &cookie, "ada").await.token();
    assert_eq!(users.revoke_all("nobody").await.unwrap(), 0);

    stage.falls_behind();
    assert_eq!(stage.scripts(visit(layer, &cookie, "n", "1")).await, 2);
    assert_eq!(stage.scripts(visit(layer, &cookie, "n", "2")).await, 1);
    assert_eq!(read(layer, &cookie, "n").await.as_deref(), Some("2"));
    stage.falls_behind();
    assert_eq!(stage.scripts(visit(layer, "", "n", "0")).await, 2);
    stage.falls_behind();
    let ends = async || assert_eq!(users.revoke_all("ada").await.unwrap(), 1);
    assert_eq!(stage.scripts(ends()).await, 2);
}

#[tokio::test]
async fn a_redis_that_stands_still_for_less_than_the_time_out_refuses_nothing() {
    let stage = Stage::start();
    let cookie = visit(&stage.layer, "", "n", "0").await;
    visit(&stage.layer, &cookie, "n", "1").await;
    let run = stage.scripts(async {
        stage.server.signal("STOP");
        let goes_on = async {
            tokio::time::sleep(Duration::from_millis(300)).await;
            stage.server.signal("CONT");
        };
        tokio::join!(visit(&stage.layer, &cookie, "n", "2"), goes_on);
    });
    assert_eq!(run.await, 1);
}
