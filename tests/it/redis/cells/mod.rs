//! Faults of Redis × what a request does: what it is answered, why Redis is away, what is stored
//! afterwards. The module above has the table for readers.

mod fault;
mod ledger;
mod neighbour;
mod site;
#[cfg(any(feature = "cluster", feature = "sentinel"))]
pub(super) mod under_load;

use std::time::Duration;

use http::StatusCode;
use tower_handoff::lifecycle::Managed;
use tower_handoff::redis::{AwayCause, RedisHandle, RedisStatus};

use self::fault::{Fault, World, fail_to_save};
use self::ledger::{ASKS, Ask, Kept, Ledger};
use self::neighbour::Neighbour;
use self::site::Site;
use crate::support::bad_line::Halved;
use crate::support::eventually::eventually;
use crate::support::log::Log;
use crate::support::redis_server::{RedisServer, free_port};

/// What is answered to each of [`ASKS`] and to who was in line before: `+` 200, `-` 503, `?` either,
/// which depends on what Redis was asked first. Who was in line gives up while the lock is held, or
/// is served once it is free.
type Answers = &'static str;

/// One row: what those are answered who find out, and what is so afterwards.
struct Row {
    fault: Fault,
    answers: Answers,
    /// Why Redis is away; then all that needs it is refused from then on. `None`: it is not, and
    /// everything goes on as it begins, on the same connection.
    away: Option<AwayCause>,
    kept: Kept,
}

/// The table: a test for each row.
macro_rules! rows {
    ($($name:ident: $fault:expr, $answers:literal, $away:expr, $kept:ident;)+) => {
        $(#[tokio::test]
        async fn $name() {
            let row = Row { fault: $fault, answers: $answers, away: $away, kept: Kept::$kept };
            row.holds().await;
        })+
    };
}

/// Over TLS bytes are read by other code, which has to notice the same.
#[cfg(feature = "tls-rustls")]
macro_rules! rows_over_tls {
    ($($name:ident: $fault:expr, $kept:ident;)+) => {
        $(#[tokio::test]
        async fn $name() {
            let (answers, away) = ("+------- -", UNREACHABLE);
            let row = Row { fault: $fault, answers, away, kept: Kept::$kept };
            row.holds_in(World::start_over_tls(row.fault).await).await;
        })+
    };
}

#[cfg(feature = "tls-rustls")]
rows_over_tls! {
    half_open_over_tls: Fault::HalfOpen, Exactly;
    answers_lost_over_tls: Fault::AnswersLost, Perhaps;
    ended_within_an_answer_over_tls: Fault::Halved(Halved::Answers), Perhaps;
    paused_over_tls: Fault::Paused(5), Perhaps;
}

const UNREACHABLE: Option<AwayCause> = Some(AwayCause::Unreachable);
const NOT_READY: Option<AwayCause> = Some(AwayCause::NotReady);

// Untouched, read, write, rotate, logout, lock, wait, once; and in line before.
rows! {
    stopped: Fault::Stopped, "+------- -", UNREACHABLE, Perhaps;
    killed_and_restarted_empty: Fault::KilledEmpty, "+------- -", UNREACHABLE, Nothing;
    killed_and_restarted_with_what_it_wrote_always:
        Fault::KilledWithAof("always"), "+------- -", UNREACHABLE, Perhaps;
    killed_and_restarted_with_what_it_wrote_every_second:
        Fault::KilledWithAof("everysec"), "+------- -", UNREACHABLE, Perhaps;
    paused_for_two_seconds: Fault::Paused(2), "+------- -", UNREACHABLE, Perhaps;
    paused_past_all_time_outs: Fault::Paused(5), "+------- -", UNREACHABLE, Perhaps;
    cut: Fault::Cut, "+------- -", UNREACHABLE, Exactly;
    half_open: Fault::HalfOpen, "+------- -", UNREACHABLE, Exactly;
    answers_lost: Fault::AnswersLost, "+------- -", UNREACHABLE, Perhaps;
    requests_lost: Fault::RequestsLost, "+------- -", UNREACHABLE, Exactly;
    ended_within_a_request: Fault::Halved(Halved::Requests), "+------- -", UNREACHABLE, Perhaps;
    ended_within_an_answer: Fault::Halved(Halved::Answers), "+------- -", UNREACHABLE, Perhaps;
    slow: Fault::Slow(Duration::from_millis(200)), "++++++++ +", None, Exactly;
    out_of_memory: Fault::OutOfMemory, "++--+--- +", None, Exactly;
    too_few_replicas: Fault::TooFewReplicas, "++------ -", None, Exactly;
    snapshots_that_fail: Fault::SnapshotsFail, "++------ -", None, Exactly;
    a_master_that_became_a_replica: Fault::ReadOnly, "+?------ -", Some(AwayCause::ReadOnly), Exactly;
    a_replica_that_lost_its_master: Fault::MasterDown, "+------- -", NOT_READY, Exactly;
    loading: Fault::Loading, "+------- -", NOT_READY, Exactly;
    a_password_that_is_wanted_now: Fault::NoAuth, "+------- -", Some(AwayCause::Login), Exactly;
    scripts_flushed: Fault::ScriptFlush, "++++++++ +", None, Exactly;
}

/// How often each fault comes: once, or in a long run ten times on the same connection's handle.
fn rounds() -> usize {
    match std::env::var_os("TOWER_HANDOFF_LONG") {
        Some(_) => 10,
        None => 1,
    }
}

impl Row {
    async fn holds(&self) {
        self.holds_in(World::start(self.fault).await).await;
    }

    async fn holds_in(&self, mut world: World) {
        let site = Site::new(world.redis());
        let neighbour = Neighbour::new(&world.straight());
        let mut ledger = Ledger::default();
        for _ in 0..rounds() {
            is_well(&site, &neighbour, &mut ledger).await;
            self.comes_and_goes(&mut world, &site, &neighbour, &mut ledger)
                .await;
        }
    }

    async fn comes_and_goes(
        &self,
        world: &mut World,
        site: &Site,
        neighbour: &Neighbour,
        ledger: &mut Ledger,
    ) {
        let (before, epoch) = (tasks(), site.epoch());
        let (log, _guard) = Log::of_this_thread(tracing::Level::WARN);
        let check = site.redis.health_check().expect("there is one");
        check.check().await.expect("it is well");
        neighbour.hold().await;
        let mut in_line = neighbour.puts_in_line(site).await;
        world.begin().await;
        let expected = |row: &str| {
            let pairs = self.answers.chars().zip(row.chars());
            assert!(pairs.clone().count() >= ASKS.len());
            for (column, (expected, answer)) in pairs.take(ASKS.len()).enumerate() {
                let fits = expected == '?' || expected == answer;
                assert!(fits, "{:?}: {row}, not {}", ASKS[column], self.answers);
            }
        };
        let finds_out = match self.answers.as_bytes()[Ask::Wait as usize] {
            b'-' => site.refuses(),
            _ => site.clone(),
        };
        expected(&row(&finds_out, neighbour, ledger).await);
        match self.away {
            Some(cause) => {
                eventually("the state says why", async || {
                    matches!(site.redis.status(), RedisStatus::Away { cause: why, .. } if why == cause)
                })
                .await;
                let knows = site.answers_at_once();
                assert_eq!(row(&knows, neighbour, ledger).await, "+-------");
                let error = check.check().await.expect_err("it is away");
                assert!(error.to_string().contains(&format!("{cause:?}")), "{error}");
            }
            None => {
                for _ in 0..2 {
                    expected(&row(&finds_out, neighbour, ledger).await);
                }
                assert!(site.redis.status().is_up(), "it goes on");
                let refuses = self.answers.contains('-');
                assert_eq!(site.redis.warning().is_some(), refuses);
                assert_eq!(check.check().await.is_err(), refuses);
            }
        }
        let is_served = self.answers.ends_with('+');
        if !is_served {
            assert_eq!(in_line.refusal().await, StatusCode::SERVICE_UNAVAILABLE);
        }
        world.end().await;
        eventually("Redis is found", async || site.redis.ping().await.is_ok()).await;
        if is_served {
            assert_eq!(in_line.service().await, StatusCode::OK);
        } else {
            drop(in_line);
        }
        eventually("a lock that nobody heard of is let go", async || {
            let locks = world.server().locks("app");
            !locks.iter().any(|key| key.contains("{cells:a}"))
        })
        .await;
        ledger.check(site, self.kept).await;
        is_well(site, neighbour, ledger).await;
        eventually("nobody is warned any more", async || {
            is_well(site, neighbour, ledger).await;
            site.redis.warning().is_none() && check.check().await.is_ok()
        })
        .await;
        // By each of the two instances once or twice, and by no request.
        let text = log.text();
        let said = text.lines().filter(|line| line.contains("WARN"));
        let is_news = self.answers.contains('-');
        assert!(said.clone().count() <= 8, "{text}");
        assert_eq!(
            said.clone().any(|line| line.contains("Redis")),
            is_news,
            "{text}"
        );
        eventually("every job can be run", async || {
            ledger.jobs_are_free(site).await
        })
        .await;
        assert_eq!(site.epoch() == epoch, self.away.is_none(), "connections");
        // Nor a value past its lease, which a holder that dies leaves behind: nobody has died here, and whoever
        // had a lock has let go of it.
        eventually("no lock and no place in line is left", async || {
            world.server().locks("app").is_empty()
        })
        .await;
        eventually("no task is left over", async || tasks() <= before).await;
    }
}

/// All at once, so that each of them meets what none of them knows yet.
async fn row(site: &Site, neighbour: &Neighbour, ledger: &mut Ledger) -> String {
    neighbour.hold().await;
    let asked = ASKS.map(|ask| ledger.ask(ask));
    let answers = asked.iter().map(async |asked| match asked.ask {
        Ask::Wait => neighbour.is_waited_for(site).await,
        _ => site.send(&asked.path, &asked.cookie).await,
    });
    let answers = futures_util::future::join_all(answers).await;
    for (asked, answer) in asked.into_iter().zip(&answers) {
        ledger.told(site, asked, answer);
    }
    let mark = |answer: &site::Answer| match answer.status {
        StatusCode::OK => '+',
        _ => '-',
    };
    answers.iter().map(mark).collect()
}

/// Everything works, by itself.
async fn is_well(site: &Site, neighbour: &Neighbour, ledger: &mut Ledger) {
    eventually("Redis is found", async || site.redis.ping().await.is_ok()).await;
    // What a request left behind may have to be let go first.
    eventually("all is well", async || {
        ledger.prepare(site).await && row(site, neighbour, ledger).await == "++++++++"
    })
    .await;
}

fn tasks() -> usize {
    tokio::runtime::Handle::current()
        .metrics()
        .num_alive_tasks()
}

#[tokio::test]
async fn snapshots_that_fail_before_the_process_starts() {
    let server = RedisServer::start_on(free_port(), &["--dbfilename", fault::SNAPSHOT]);
    fail_to_save(&server).await;
    let site = Site::new(RedisHandle::builder(server.url()));
    // A PING is refused then, so that nobody learns anything from one.
    eventually("it is up", async || site.redis.status().is_up()).await;
    assert_eq!(site.send("/read", "").await.status, StatusCode::OK);
    let refused = site.send("/write/1", "").await.status;
    assert_eq!(refused, StatusCode::SERVICE_UNAVAILABLE);
}
