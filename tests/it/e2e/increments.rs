//! One session, four processes, many requests at once: every increment counts, every field stays.

use std::collections::BTreeSet;

use super::SERVERS;
use crate::support::http::Client;
use crate::support::redis_server::RedisServer;
use crate::support::testbed::Testbed;

const PROCESSES: usize = 4;
const TASKS: usize = 16;

/// How often each task does what it does.
fn rounds() -> usize {
    match std::env::var_os("TOWER_HANDOFF_LONG") {
        Some(_) => 2_000,
        None => 40,
    }
}

struct Fleet {
    instances: Vec<Testbed>,
    _redis: RedisServer,
}

impl Fleet {
    async fn start() -> Self {
        let redis = RedisServer::start();
        let url = redis.url();
        let mut instances = Vec::new();
        for at in 0..PROCESSES {
            let server = SERVERS[at % SERVERS.len()];
            let testbed = Testbed::start(&[("SERVER", server), ("REDIS_URL", &url)]).await;
            testbed.until("/ready", 200).await;
            instances.push(testbed);
        }
        Self {
            instances,
            _redis: redis,
        }
    }

    /// A visitor with a session.
    async fn visitor(&self) -> Client {
        let mut client = self.instances[0].client();
        assert_eq!(client.put("/session/name", "\"Ada\"").await.status, 204);
        client
    }

    /// Runs all tasks at once, each with a client of the visitor's at every instance, and gathers
    /// what they return.
    async fn storm<T, R>(&self, visitor: &Client, task: impl Fn(usize, Vec<Client>) -> R) -> Vec<T>
    where
        T: Send + 'static,
        R: Future<Output = T> + Send + 'static,
    {
        let mut tasks = tokio::task::JoinSet::new();
        for number in 0..TASKS {
            let clients = self.instances.iter();
            let clients = clients.map(|instance| visitor.at(instance.addr()));
            tasks.spawn(task(number, clients.collect()));
        }
        tasks.join_all().await
    }
}

#[tokio::test]
async fn increments_through_four_processes_add_up_exactly() {
    let fleet = Fleet::start().await;
    let mut visitor = fleet.visitor().await;
    let sums = fleet.storm(&visitor, |number, mut clients| async move {
        let mut sums = Vec::new();
        for round in 0..rounds() {
            let client = &mut clients[(number + round) % PROCESSES];
            let answer = client.post("/counter/hits").await;
            assert_eq!((answer.status, answer.header("set-cookie")), (200, None));
            sums.push(answer.text().parse::<usize>().expect("a sum"));
        }
        sums
    });
    let sums: BTreeSet<_> = sums.await.into_iter().flatten().collect();
    let all = TASKS * rounds();
    assert!(
        sums.into_iter().eq(1..=all),
        "a sum is missing or was said twice"
    );
    assert_eq!(visitor.get("/session/hits").await.text(), all.to_string());
    // What is no number is not counted, and stays.
    assert_eq!(visitor.post("/counter/name").await.status, 409);
    assert_eq!(visitor.get("/session/name").await.text(), "\"Ada\"");
}

#[tokio::test]
async fn updates_through_four_processes_count_or_say_that_they_do_not() {
    let fleet = Fleet::start().await;
    let mut visitor = fleet.visitor().await;
    let told = fleet.storm(&visitor, |number, mut clients| async move {
        let (mut sums, mut refused) = (Vec::new(), 0);
        for round in 0..rounds() / 2 {
            let client = &mut clients[(number + round) % PROCESSES];
            let answer = client.post("/update/hits").await;
            match answer.status {
                200 => sums.push(answer.text().parse::<usize>().expect("a sum")),
                // Others were faster 64 times: nothing is written then.
                409 => {
                    let kind = answer.json()["type"].clone();
                    assert_eq!(kind, "urn:tower-handoff:session-contended");
                    refused += 1;
                }
                _ => panic!("{answer:?}"),
            }
        }
        (sums, refused)
    });
    let (sums, refused): (Vec<_>, Vec<usize>) = told.await.into_iter().unzip();
    let refused: usize = refused.iter().sum();
    let sums: BTreeSet<_> = sums.into_iter().flatten().collect();
    let counted = TASKS * (rounds() / 2) - refused;
    assert!(counted > 0, "nobody got through");
    assert!(
        sums.into_iter().eq(1..=counted),
        "{refused} refused, and another one is missing or was said twice"
    );
    let hits = visitor.get("/session/hits").await.text();
    assert_eq!(hits, counted.to_string(), "{refused} refused");
}

#[tokio::test]
async fn fields_written_through_four_processes_all_stay() {
    let fleet = Fleet::start().await;
    let mut visitor = fleet.visitor().await;
    fleet
        .storm(&visitor, |number, mut clients| async move {
            for round in 0..rounds() / 2 {
                let client = &mut clients[(number + round) % PROCESSES];
                // Blind, and after a look at the whole session.
                let path = match round % 2 {
                    0 => format!("/session/field{number}"),
                    _ => format!("/slow/field{number}?ms=0"),
                };
                let answer = client.put(&path, &round.to_string()).await;
                assert_eq!((answer.status, answer.header("set-cookie")), (204, None));
            }
        })
        .await;
    let whole = visitor.get("/session").await.json();
    let fields = whole["fields"].as_object().expect("fields");
    assert_eq!(fields.len(), TASKS + 1);
    for number in 0..TASKS {
        let field = format!("field{number}");
        assert_eq!(fields[&field], rounds() / 2 - 1, "{field}");
    }
    assert_eq!(fields["name"], "Ada");
}
