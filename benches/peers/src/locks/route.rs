//! One request after the other on one service, bare and behind the layer: what the lock adds.

use std::time::Instant;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Empty};
use tower::util::BoxCloneSyncService;
use tower::{Layer, Service, ServiceExt, service_fn};
use tower_handoff::RedisHandle;
use tower_handoff::lock::{LockKey, LockLayer};

use crate::Error;
use crate::measure::{Series, header, row};
use crate::redis_server::Server;

const ROUNDS: usize = 31;
const REQUESTS: u32 = 100;

/// When the handler ran; its answer says so.
#[derive(Debug, Clone, Copy)]
pub struct Ran(pub Instant);

type Handler = BoxCloneSyncService<Request<()>, Response<Empty<Bytes>>, Error>;

pub fn handler() -> Handler {
    BoxCloneSyncService::new(service_fn(async |_: Request<()>| {
        let mut answer = Response::new(Empty::new());
        answer.extensions_mut().insert(Ran(Instant::now()));
        Ok(answer)
    }))
}

pub async fn run(server: &Server) -> Result<(), Error> {
    let [trips, bare, guarded, added] = tokio::spawn(measure(server.url().to_owned())).await??;
    println!("\n## Locks, a request behind the layer, {ROUNDS} rounds of {REQUESTS}\n");
    header(&["", "µs (median)", "round trips"]);
    for (what, series) in [
        ("round trip", &trips),
        ("request to the bare service", &bare),
        ("the same, guarded", &guarded),
        ("added", &added),
    ] {
        row(&[
            what.to_owned(),
            format!("{:.1}", series.median()),
            series.over(&trips).to_string(),
        ]);
    }
    Ok(())
}

async fn measure(url: String) -> Result<[Series; 4], Error> {
    let handle = RedisHandle::connect(&url)?;
    let bare = handler();
    let guarded = LockLayer::new(handle.locks(), LockKey::new("route")?).layer(bare.clone());
    let mut all: [Series; 4] = Default::default();
    for _ in 0..ROUNDS {
        let mut sums = [0.0; 3];
        for _ in 0..REQUESTS {
            let [trip, without, with] = &mut sums;
            *without += answered(&bare).await?;
            *with += answered(&guarded).await?;
            // Nobody waits for the release; here all do, so that no other figure has a part of it.
            handle.ping().await?;
            let begun = Instant::now();
            handle.ping().await?;
            *trip += begun.elapsed().as_secs_f64();
        }
        let [trip, without, with] = sums.map(|sum| sum * 1e6 / f64::from(REQUESTS));
        for (series, time) in all.iter_mut().zip([trip, without, with, with - without]) {
            series.push(time);
        }
    }
    Ok(all)
}

/// Seconds to the whole answer.
async fn answered<S, B>(service: &S) -> Result<f64, Error>
where
    S: Service<Request<()>, Response = Response<B>, Error = Error> + Clone,
    B: http_body::Body<Data = Bytes>,
    Error: From<B::Error>,
{
    let request = Request::post("/").body(())?;
    let service = service.clone();
    let begun = Instant::now();
    let answer = service.oneshot(request).await?;
    answer.extensions().get::<Ran>().ok_or("refused")?;
    answer.into_body().collect().await?;
    Ok(begun.elapsed().as_secs_f64())
}
