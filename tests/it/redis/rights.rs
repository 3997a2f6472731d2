//! Rights that every user of this library needs: asked for where a connection begins, not by the first
//! request.

use std::sync::Arc;

use tower_handoff::lifecycle::{HealthCheck, Managed};
use tower_handoff::redis::RedisHandle;

use super::said::own_lines;
use crate::support::eventually::eventually;
use crate::support::log::Log;
use crate::support::redis_server::RedisServer;

struct World {
    server: RedisServer,
    handle: RedisHandle,
    check: Arc<dyn HealthCheck>,
    log: Log,
    _guard: tracing::subscriber::DefaultGuard,
}

/// Connected as a user with these rights beside those to connect.
async fn with(rights: &[&str]) -> World {
    let (log, guard) = Log::of_this_thread(tracing::Level::INFO);
    let server = RedisServer::start();
    let me = ["ACL", "SETUSER", "me", "on", ">pw", "&*", "+@all"];
    server.command(&[&me[..], rights].concat());
    let url = format!("redis://me:pw@127.0.0.1:{}", server.port());
    let handle = RedisHandle::connect(&url).expect("a good url");
    let check = handle.health_check().expect("there is one");
    check.check().await.expect("what it may it can do");
    World {
        server,
        handle,
        check,
        log,
        _guard: guard,
    }
}

// One thread, so that the subscriber of this thread sees the supervisor too.
#[tokio::test]
async fn a_right_that_is_missing_is_named_before_anybody_needs_it() {
    for (rights, named) in [
        (&["~app:*", "-evalsha"][..], "EVALSHA"),
        (&["~other:*"], "app:"),
    ] {
        let world = with(rights).await;
        let warning = world.handle.warning().expect("a right is missing");
        assert!(
            warning.contains("NOPERM") && warning.contains(named),
            "{rights:?}: {warning}"
        );
        let error = world.check.check().await.expect_err("it is not well");
        assert!(error.to_string().contains(named), "{error}");
        let text = world.log.text();
        let said = own_lines(&text).into_iter();
        let said = said.filter(|line| line.contains("WARN") && line.contains(named));
        assert_eq!(said.count(), 1, "{rights:?}: {text}");
        // Nobody has asked for it meanwhile; that is no sign that it is there.
        tokio::time::pause();
        tokio::time::advance(std::time::Duration::from_secs(61)).await;
        tokio::time::resume();
        eventually("it is up", async || world.handle.ping().await.is_ok()).await;
        assert!(world.handle.warning().is_some(), "{rights:?}");
        // Once it is there and used, all is well.
        let all = ["ACL", "SETUSER", "me", "allkeys", "+@all"];
        world.server.command(&all);
        world.server.command(&["SCRIPT", "FLUSH"]);
        eventually("it is used", async || {
            let ran = world.handle.wire().run_echo(b"key", b"").await;
            ran.expect("now it may");
            world.handle.warning().is_none()
        })
        .await;
    }
}

#[tokio::test]
async fn a_user_of_sessions_alone_or_locks_alone_lacks_nothing() {
    for rights in [&["~app:*"][..], &["~app:s1:*", "~app:u1:*"], &["~app:l1:*"]] {
        let world = with(rights).await;
        let text = world.log.text();
        assert_eq!(world.handle.warning(), None, "{rights:?}");
        assert!(!text.contains("WARN"), "{rights:?}: {text}");
        world.check.check().await.expect("it is well");
    }
}
