//! Faults at random under load: every command ends, and no reply reaches the wrong caller.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use redis::Value;
use tower_handoff::redis::RedisHandle;

use crate::support::eventually::eventually;
use crate::support::proxy::Proxy;
use crate::support::redis_server::RedisServer;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn under_faults_every_command_ends_and_no_reply_goes_astray() {
    let server = RedisServer::start();
    let proxy = Proxy::start(server.port()).await;
    let handle = RedisHandle::builder(proxy.url())
        .command_timeout(Duration::from_millis(100))
        .connect()
        .expect("good settings");
    let stop = Arc::new(AtomicBool::new(false));
    let good = Arc::new(AtomicUsize::new(0));
    let callers: Vec<_> = (0..32_u64)
        .map(|caller| {
            let (wire, stop, good) = (handle.wire(), Arc::clone(&stop), Arc::clone(&good));
            tokio::spawn(async move {
                let mut number = caller << 32;
                while !stop.load(Ordering::Relaxed) {
                    number += 1;
                    let mut echo = redis::cmd("ECHO");
                    echo.arg(number);
                    let reply = if number % 5 == 0 {
                        // Gives up long before the time-out: its reply must go to nobody.
                        let patience = Duration::from_micros(50);
                        match tokio::time::timeout(patience, wire.send(echo)).await {
                            Ok(reply) => reply,
                            Err(_) => continue,
                        }
                    } else {
                        wire.send(echo).await
                    };
                    match reply {
                        Ok(reply) => {
                            assert_eq!(reply, Value::BulkString(number.to_string().into_bytes()));
                            good.fetch_add(1, Ordering::Relaxed);
                        }
                        Err(_) => tokio::time::sleep(Duration::from_millis(1)).await,
                    }
                }
            })
        })
        .collect();

    for round in 0..12_u32 {
        eventually("commands succeed between faults", {
            let good = &good;
            let before = good.load(Ordering::Relaxed);
            async move || good.load(Ordering::Relaxed) > before + 100
        })
        .await;
        match round % 4 {
            0 => proxy.cut(),
            1 => {
                server.command(&["CLIENT", "KILL", "TYPE", "normal"]);
            }
            2 => {
                proxy.black_hole(true);
                eventually("the hole is noticed", async || !handle.status().is_up()).await;
                proxy.black_hole(false);
            }
            _ => {
                server.signal("STOP");
                eventually("the stop is noticed", async || !handle.status().is_up()).await;
                server.signal("CONT");
            }
        }
    }
    stop.store(true, Ordering::Relaxed);
    for caller in callers {
        let ended = tokio::time::timeout(Duration::from_secs(20), caller).await;
        ended
            .expect("no command waits for ever")
            .expect("no reply goes astray");
    }
}
