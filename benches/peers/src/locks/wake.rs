//! From a release by one handle to the acquire of another that waits, in round trips.

use std::time::{Duration, Instant};

use tower_handoff::RedisHandle;
use tower_handoff::lock::{Acquired, Claim, LeaseTime, LockBackend, LockKey};

use crate::Error;
use crate::measure::{Series, header, row};
use crate::redis_server::Server;

const ROUNDS: usize = 1000;
const WAIT: Option<Duration> = Some(Duration::from_secs(10));

pub async fn run(server: &Server) -> Result<(), Error> {
    let [here, there] = [(); 2].map(|()| RedisHandle::connect(server.url()));
    let (here, there) = (here?, there?);
    let (mut trips, mut wakes) = (Series::default(), Series::default());
    for round in 0..ROUNDS {
        let asked = Instant::now();
        there.ping().await?;
        trips.push(asked.elapsed().as_secs_f64() * 1e6);

        let claim = || -> Result<_, Error> {
            let key = LockKey::new(format!("wake-{}", round % 16))?;
            Ok(Claim::new(key, LeaseTime::new(Duration::from_secs(10))?))
        };
        let (mine, theirs) = (claim()?, claim()?);
        let granted = |acquired| match acquired {
            Acquired::Granted(_) => Ok(()),
            other => Err(format!("not granted: {other:?}")),
        };
        let (a, b) = (here.locks(), there.locks());
        granted(a.acquire(&mine, WAIT).await?)?;
        let waiting = tokio::spawn(async move {
            let acquired = b.acquire(&theirs, WAIT).await;
            let woken = Instant::now();
            b.release(&theirs).await?;
            Ok::<_, Error>((acquired?, woken))
        });
        // Long enough to stand in Redis's line.
        tokio::time::sleep(Duration::from_millis(3)).await;
        let released = Instant::now();
        a.release(&mine).await?;
        let (acquired, woken) = waiting.await??;
        granted(acquired)?;
        wakes.push(woken.saturating_duration_since(released).as_secs_f64() * 1e6);
    }
    println!("\n## Locks, from a release to who waits behind another handle, {ROUNDS} rounds\n");
    header(&[
        "round trip, µs (median)",
        "release to acquired, µs (median)",
        "round trips",
    ]);
    row(&[
        format!("{:.0}", trips.median()),
        format!("{:.0}", wakes.median()),
        format!("{:.2}", wakes.median() / trips.median()),
    ]);
    Ok(())
}
