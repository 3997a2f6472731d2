//! From a release by one handle to who waits behind another, in round trips.
//!
//! Whoever is woken has slept, and so have the cores and their caches: what it is compared with, a
//! command's round trip and a bare message, comes after the same rest.

use std::time::{Duration, Instant};

use http::Request;
use redis::{AsyncCommands, AsyncConnectionConfig, Client, PushInfo, PushKind};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tower::{Layer, ServiceExt};
use tower_handoff::RedisHandle;
use tower_handoff::lock::{Acquired, Claim, LeaseTime, LockBackend, LockKey, LockLayer};

use super::route;
use crate::Error;
use crate::measure::{Series, header, row};
use crate::redis_server::Server;

const ROUNDS: usize = 1000;
const WAIT: Option<Duration> = Some(Duration::from_secs(10));
/// Long enough to stand in Redis's line.
const REST: Duration = Duration::from_millis(3);

pub async fn run(server: &Server) -> Result<(), Error> {
    // On a worker, as handlers run: the thread that blocks on this one is another.
    let [warm, trips, bare, acquires, handlers] =
        tokio::spawn(measure(server.url().to_owned())).await??;
    println!("\n## Locks, from a release to who waits behind another handle, {ROUNDS} rounds\n");
    header(&["after a rest of 3 ms", "µs (median)", "round trips"]);
    for (what, series) in [
        ("round trip of the connection of who waits", &trips),
        ("the same without the rest", &warm),
        (
            "redis-rs alone: PUBLISH to the task that awaits the message",
            &bare,
        ),
        ("release to acquired", &acquires),
        ("release to the handler behind the layer", &handlers),
    ] {
        row(&[
            what.to_owned(),
            format!("{:.0}", series.median()),
            format!("{:.2}", series.median() / trips.median()),
        ]);
    }
    Ok(())
}

async fn measure(url: String) -> Result<[Series; 5], Error> {
    let [here, there] = [(); 2].map(|()| RedisHandle::connect(&url));
    let (here, there) = (here?, there?);
    let mut message = Message::open(&url).await?;
    let mut all: [Series; 5] = Default::default();
    for round in 0..ROUNDS {
        let key = || LockKey::new(format!("wake-{}", round % 16));
        there.ping().await?;
        let times = [
            trip(&there).await?,
            {
                tokio::time::sleep(REST).await;
                trip(&there).await?
            },
            message.passes().await?,
            wake(&here, key()?, || acquires(&there, key()?)).await?,
            wake(&here, key()?, || handles(&there, key()?)).await?,
        ];
        for (series, time) in all.iter_mut().zip(times) {
            series.push(time.as_secs_f64() * 1e6);
        }
    }
    Ok(all)
}

async fn trip(handle: &RedisHandle) -> Result<Duration, Error> {
    let asked = Instant::now();
    handle.ping().await?;
    Ok(asked.elapsed())
}

/// Who waits, and when it had what it waited for.
type Waiting = JoinHandle<Result<Instant, Error>>;

async fn wake(
    here: &RedisHandle,
    key: LockKey,
    waits: impl FnOnce() -> Result<Waiting, Error>,
) -> Result<Duration, Error> {
    let claim = claim(key)?;
    let locks = here.locks();
    granted(locks.acquire(&claim, WAIT).await?)?;
    let waiting = waits()?;
    tokio::time::sleep(REST).await;
    let released = Instant::now();
    locks.release(&claim).await?;
    Ok(waiting.await??.saturating_duration_since(released))
}

fn claim(key: LockKey) -> Result<Claim, Error> {
    Ok(Claim::new(key, LeaseTime::new(Duration::from_secs(10))?))
}

fn granted(acquired: Acquired) -> Result<(), Error> {
    match acquired {
        Acquired::Granted(_) => Ok(()),
        other => Err(format!("not granted: {other:?}").into()),
    }
}

fn acquires(there: &RedisHandle, key: LockKey) -> Result<Waiting, Error> {
    let (locks, claim) = (there.locks(), claim(key)?);
    Ok(tokio::spawn(async move {
        let acquired = locks.acquire(&claim, WAIT).await;
        let woken = Instant::now();
        locks.release(&claim).await?;
        granted(acquired?)?;
        Ok(woken)
    }))
}

fn handles(there: &RedisHandle, key: LockKey) -> Result<Waiting, Error> {
    let service = LockLayer::new(there.locks(), key).layer(route::handler());
    Ok(tokio::spawn(async move {
        let answer = service.oneshot(Request::post("/").body(())?).await?;
        let ran = answer.extensions().get::<route::Ran>();
        Ok(ran.ok_or("refused")?.0)
    }))
}

/// The least that a message costs: a client of its own, no lock, no supervisor.
struct Message {
    from: redis::aio::MultiplexedConnection,
    _to: redis::aio::MultiplexedConnection,
    heard: mpsc::UnboundedReceiver<Instant>,
}

impl Message {
    async fn open(url: &str) -> Result<Self, Error> {
        let from = Client::open(url)?
            .get_multiplexed_async_connection()
            .await?;
        let (push, mut pushes) = mpsc::unbounded_channel::<PushInfo>();
        let config = AsyncConnectionConfig::new().set_push_sender(push);
        let mut to = Client::open(format!("{url}?protocol=resp3"))?
            .get_multiplexed_async_connection_with_config(&config)
            .await?;
        to.subscribe("bare").await?;
        let (tell, heard) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            while let Some(push) = pushes.recv().await {
                if push.kind == PushKind::Message {
                    let _ = tell.send(Instant::now());
                }
            }
        });
        Ok(Self {
            from,
            _to: to,
            heard,
        })
    }

    async fn passes(&mut self) -> Result<Duration, Error> {
        tokio::time::sleep(REST).await;
        let published = Instant::now();
        // As many bytes as a grant has.
        let _: i64 = self.from.publish("bare", &[0_u8; 50][..]).await?;
        let heard = self.heard.recv().await.ok_or("the connection has ended")?;
        Ok(heard.saturating_duration_since(published))
    }
}
