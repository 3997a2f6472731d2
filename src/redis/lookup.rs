//! Host names' addresses, each asked for once for all who want it at the moment.
//!
//! A lookup occupies a thread of the runtime until the system's resolver gives up, half a minute or so
//! where no name server answers, whoever has stopped waiting for it. With one for each attempt to connect
//! a black-out of the names would take every such thread that the application has.
//!
//! Floor 3.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::net::lookup_host;
use tokio::sync::watch;
use tokio::time::Instant;

/// One that has lasted so long may be asking a server that is gone: another one begins beside it, so that
/// names are found soon after they can be. It is how long resolvers wait for one server.
const OVERLAP: Duration = Duration::from_secs(5);

/// Shared by all clones.
#[derive(Debug, Clone, Default)]
pub(crate) struct Lookups(Arc<Mutex<HashMap<String, Lookup>>>);

type Found = Result<Vec<IpAddr>, Arc<io::Error>>;

#[derive(Debug)]
struct Lookup {
    begun: Instant,
    /// None while it lasts.
    found: watch::Receiver<Option<Found>>,
}

impl Lookup {
    fn lasts(&self) -> bool {
        // An error means that its task has ended without a result.
        self.found.has_changed().is_ok() && self.found.borrow().is_none()
    }
}

impl Lookups {
    /// All addresses of a host, with this port.
    ///
    /// # Cancel safety
    /// Dropping the future ends no lookup: whoever asks next joins it.
    pub(crate) async fn of(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        let addresses = match host.parse() {
            Ok(address) => vec![address],
            Err(_) => {
                let name = host.to_owned();
                let look = async move {
                    let all = lookup_host((name, 0)).await?;
                    Ok(all.map(|address| address.ip()).collect())
                };
                self.join(host, look).await?
            }
        };
        let with_port = |address| SocketAddr::new(address, port);
        Ok(addresses.into_iter().map(with_port).collect())
    }

    /// What the lookup under way finds, or `look` where there is none: in a task, so that it outlives who
    /// waits for it.
    async fn join(
        &self,
        host: &str,
        look: impl Future<Output = io::Result<Vec<IpAddr>>> + Send + 'static,
    ) -> io::Result<Vec<IpAddr>> {
        let mut found = {
            let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            all.retain(|_, lookup| lookup.lasts() && lookup.begun.elapsed() < OVERLAP);
            let lookup = all.entry(host.to_owned()).or_insert_with(|| {
                let (tell, found) = watch::channel(None);
                tokio::spawn(async move {
                    let outcome = look.await.map_err(Arc::new);
                    tell.send_replace(Some(outcome));
                });
                let begun = Instant::now();
                Lookup { begun, found }
            });
            lookup.found.clone()
        };
        let ended = || io::Error::other("the lookup of the host name ended without a result");
        let found = found.wait_for(Option::is_some).await.map_err(|_| ended())?;
        let found = found.as_ref().ok_or_else(ended)?;
        found.clone().map_err(io::Error::other)
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;
    use std::net::Ipv4Addr;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::sync::Notify;
    use tokio::time::{sleep, timeout};

    use super::*;

    const HOST: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    /// Attempts to connect of a second each, one after the other, against names that are not answered.
    #[tokio::test(start_paused = true)]
    async fn a_black_out_has_one_lookup_every_five_seconds_whoever_attempts_what() {
        let (lookups, begun) = (Lookups::default(), Arc::new(AtomicUsize::new(0)));
        let mut attempts = tokio::task::JoinSet::new();
        for _ in 0..60 {
            let (lookups, begun) = (lookups.clone(), Arc::clone(&begun));
            attempts.spawn(async move {
                let look = async move {
                    begun.fetch_add(1, Ordering::Relaxed);
                    pending().await
                };
                timeout(Duration::from_secs(1), lookups.join("db", look)).await
            });
            sleep(Duration::from_millis(400)).await;
        }
        while let Some(attempt) = attempts.join_next().await {
            attempt.expect("no panic").expect_err("nobody answers");
        }
        // 24 seconds.
        assert_eq!(begun.load(Ordering::Relaxed), 5);
    }

    #[tokio::test(start_paused = true)]
    async fn who_joins_a_lookup_hears_what_it_finds_and_the_next_one_asks_anew() {
        let (lookups, answered) = (Lookups::default(), Arc::new(Notify::new()));
        let look = {
            let answered = Arc::clone(&answered);
            async move {
                answered.notified().await;
                Ok(vec![HOST])
            }
        };
        let second = Duration::from_secs(1);
        let first = timeout(second, lookups.join("db", look)).await;
        first.expect_err("it lasts longer than the first attempt");
        let never = async { panic!("it is under way") };
        let (found, ()) = tokio::join!(lookups.join("db", never), async {
            answered.notify_one();
        });
        assert_eq!(found.expect("it was found"), [HOST]);
        let gone = async { Err(io::Error::other("no such name")) };
        let error = lookups.join("db", gone).await.expect_err("it is gone");
        assert!(error.to_string().contains("no such name"), "{error}");
    }

    #[tokio::test]
    async fn an_address_is_its_own_and_a_name_is_asked_for() {
        let lookups = Lookups::default();
        let found = lookups.of("::1", 7).await.expect("an address");
        assert_eq!(found, ["[::1]:7".parse().expect("an address")]);
        let found = lookups.of("localhost", 7).await.expect("a name");
        assert!(found.contains(&SocketAddr::new(HOST, 7)), "{found:?}");
    }
}
