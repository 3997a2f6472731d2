//! Sessions: ten fields of about fifty bytes, 256 sessions in rotation, 64 requests at a time.
//!
//! Routers are called directly, so what is compared is the layer and its Redis client, not
//! sockets. `raw` is the hand-written minimum: a typed struct, JSON, `GETEX` and `SET EX XX`
//! on one connection, which overwrites where the others guard.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, Request, StatusCode, header};
use axum::routing::{get, put};
use axum::{Extension, Router};
use http_body_util::BodyExt;
use serde::{Deserialize, Serialize};
use tower::ServiceExt;
use tower_sessions_redis_store::fred::prelude::{ClientLike, Config, Pool};

use crate::measure::{Series, header as table, row};
use crate::server::Server;
use crate::{Error, server};

const CALLERS: usize = 64;
const SESSIONS: usize = 256;
const REPETITIONS: usize = 5;
const ROUTES: [&str; 3] = ["/none", "/read", "/write"];

struct Variant {
    name: &'static str,
    router: Router,
    cookies: Arc<Vec<String>>,
}

pub async fn run(slice: Duration) -> Result<(), Error> {
    let server = Server::start()?;
    let mut variants = Vec::new();
    for (name, router) in [
        ("raw", raw(&server).await?),
        ("tower-handoff", handoff(&server).await?),
        (
            "tower-sessions, pool of 1",
            tower_sessions(&server, 1).await?,
        ),
        (
            "tower-sessions, pool of 6",
            tower_sessions(&server, 6).await?,
        ),
    ] {
        let cookies = Arc::new(seed(&router).await?);
        variants.push(Variant {
            name,
            router,
            cookies,
        });
    }
    println!(
        "\n## Sessions, {CALLERS} callers, {REPETITIONS} repetitions of {slice:?}, interleaved\n"
    );
    table(&[
        "route",
        "variant",
        "requests/s (median)",
        "spread",
        "÷ raw",
        "Redis commands per request, those inside scripts included",
        "Redis CPU ÷ raw",
    ]);
    for route in ROUTES {
        let mut rates = vec![Series::default(); variants.len()];
        let mut commands = vec![String::new(); variants.len()];
        let mut cpu = vec![Series::default(); variants.len()];
        for _ in 0..REPETITIONS {
            for (at, variant) in variants.iter().enumerate() {
                let before = server.usage()?;
                let (requests, elapsed) = load(variant, route, slice).await?;
                let after = server.usage()?;
                rates[at].push(requests as f64 / elapsed.as_secs_f64());
                commands[at] = after.commands_since(&before, requests);
                cpu[at].push((after.cpu - before.cpu) / requests as f64);
            }
        }
        for (at, variant) in variants.iter().enumerate() {
            row(&[
                route.to_owned(),
                variant.name.to_owned(),
                format!("{:.0}", rates[at].median()),
                rates[at].spread(),
                format!("{:.2}", rates[at].median() / rates[0].median()),
                commands[at].clone(),
                if route == "/none" {
                    "–".to_owned()
                } else {
                    format!("{:.2}", cpu[at].median() / cpu[0].median())
                },
            ]);
        }
    }
    Ok(())
}

async fn call(
    router: &Router,
    method: &str,
    route: &str,
    cookie: &str,
) -> Result<HeaderMap, Error> {
    let request = Request::builder()
        .method(method)
        .uri(route)
        .header(header::COOKIE, cookie)
        .body(Body::empty())?;
    let response = router.clone().oneshot(request).await?;
    let (parts, body) = response.into_parts();
    if parts.status != StatusCode::OK {
        return Err(format!("{route} answered {}", parts.status).into());
    }
    body.collect().await?;
    Ok(parts.headers)
}

async fn seed(router: &Router) -> Result<Vec<String>, Error> {
    let mut cookies = Vec::new();
    for _ in 0..SESSIONS {
        let headers = call(router, "PUT", "/seed", "").await?;
        let cookie = headers
            .get(header::SET_COOKIE)
            .ok_or("no cookie")?
            .to_str()?;
        cookies.push(cookie.split(';').next().unwrap_or_default().to_owned());
    }
    Ok(cookies)
}

async fn load(
    variant: &Variant,
    route: &'static str,
    slice: Duration,
) -> Result<(u64, Duration), Error> {
    let start = Instant::now();
    let mut tasks = Vec::new();
    for caller in 0..CALLERS {
        let (router, cookies) = (variant.router.clone(), variant.cookies.clone());
        tasks.push(tokio::spawn(async move {
            let mut requests = 0u64;
            while start.elapsed() < slice {
                let at = (caller + requests as usize * CALLERS) % SESSIONS;
                call(&router, "GET", route, &cookies[at]).await?;
                requests += 1;
            }
            Ok::<_, Error>(requests)
        }));
    }
    let mut total = 0;
    for task in tasks {
        total += task.await??;
    }
    Ok((total, start.elapsed()))
}

#[derive(Serialize, Deserialize, Clone)]
struct Visitor {
    n: u64,
    #[serde(flatten)]
    rest: std::collections::BTreeMap<String, String>,
}

fn visitor() -> Visitor {
    let rest = (1..10)
        .map(|i| (format!("field-{i}"), "x".repeat(40)))
        .collect();
    Visitor { n: 0, rest }
}

async fn raw(server: &Server) -> Result<Router, Error> {
    type Connection = redis::aio::MultiplexedConnection;
    let connection = redis::Client::open(server.url())?
        .get_multiplexed_async_connection()
        .await?;
    fn id(headers: &HeaderMap) -> Option<&str> {
        headers
            .get(header::COOKIE)?
            .to_str()
            .ok()?
            .strip_prefix("session=")
    }
    async fn load(connection: &mut Connection, headers: &HeaderMap) -> Option<(String, Visitor)> {
        let key = format!("raw:{}", id(headers)?);
        let bytes: Vec<u8> = redis::cmd("GETEX")
            .arg(&key)
            .arg("EX")
            .arg(3600)
            .query_async(connection)
            .await
            .ok()?;
        Some((key, serde_json::from_slice(&bytes).ok()?))
    }
    async fn read(
        State(mut connection): State<Connection>,
        headers: HeaderMap,
    ) -> Result<String, StatusCode> {
        let (_, mut visitor) = load(&mut connection, &headers)
            .await
            .ok_or(StatusCode::NOT_FOUND)?;
        visitor.rest.remove("field-3").ok_or(StatusCode::NOT_FOUND)
    }
    async fn write(
        State(mut connection): State<Connection>,
        headers: HeaderMap,
    ) -> Result<String, StatusCode> {
        let (key, mut visitor) = load(&mut connection, &headers)
            .await
            .ok_or(StatusCode::NOT_FOUND)?;
        visitor.n += 1;
        save(&mut connection, &key, &visitor, "XX").await?;
        Ok(visitor.n.to_string())
    }
    async fn save(
        connection: &mut Connection,
        key: &str,
        visitor: &Visitor,
        how: &str,
    ) -> Result<(), StatusCode> {
        let bytes = serde_json::to_vec(visitor).map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)?;
        redis::cmd("SET")
            .arg(key)
            .arg(bytes)
            .arg("EX")
            .arg(3600)
            .arg(how)
            .query_async::<()>(connection)
            .await
            .map_err(|_| StatusCode::SERVICE_UNAVAILABLE)
    }
    async fn seed(
        State(mut connection): State<Connection>,
    ) -> Result<[(header::HeaderName, String); 1], StatusCode> {
        let id = format!("{:032x}", rand::random::<u128>());
        save(&mut connection, &format!("raw:{id}"), &visitor(), "NX").await?;
        Ok([(header::SET_COOKIE, format!("session={id}"))])
    }
    Ok(Router::new()
        .route("/none", get(|| async { "none" }))
        .route("/read", get(read))
        .route("/write", get(write))
        .route("/seed", put(seed))
        .with_state(connection))
}

async fn handoff(server: &Server) -> Result<Router, Error> {
    use tower_handoff::RedisHandle;
    use tower_handoff::session::{Session, SessionLayer};
    async fn read(session: Session) -> Result<String, StatusCode> {
        session
            .get::<String>("field-3")
            .await
            .ok()
            .flatten()
            .ok_or(StatusCode::NOT_FOUND)
    }
    async fn write(session: Session) -> Result<String, StatusCode> {
        let n: u64 = session
            .get("n")
            .await
            .ok()
            .flatten()
            .ok_or(StatusCode::NOT_FOUND)?;
        session
            .set("n", &(n + 1))
            .map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)?;
        Ok((n + 1).to_string())
    }
    async fn seed(session: Session) -> Result<(), StatusCode> {
        let visitor = visitor();
        for (name, value) in &visitor.rest {
            session
                .set(name, value)
                .map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)?;
        }
        session
            .set("n", &visitor.n)
            .map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)
    }
    let redis = RedisHandle::connect(&server.url())?;
    Ok(Router::new()
        .route("/none", get(|| async { "none" }))
        .route("/read", get(read))
        .route("/write", get(write))
        .route("/seed", put(seed))
        .layer(SessionLayer::new(redis.sessions())))
}

async fn tower_sessions(server: &server::Server, connections: usize) -> Result<Router, Error> {
    use tower_sessions::{Session, SessionManagerLayer};
    use tower_sessions_redis_store::RedisStore;
    async fn read(session: Session) -> Result<String, StatusCode> {
        session
            .get::<String>("field-3")
            .await
            .ok()
            .flatten()
            .ok_or(StatusCode::NOT_FOUND)
    }
    async fn write(session: Session) -> Result<String, StatusCode> {
        let n: u64 = session
            .get("n")
            .await
            .ok()
            .flatten()
            .ok_or(StatusCode::NOT_FOUND)?;
        session
            .insert("n", n + 1)
            .await
            .map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)?;
        Ok((n + 1).to_string())
    }
    async fn seed(session: Session) -> Result<(), StatusCode> {
        let visitor = visitor();
        for (name, value) in &visitor.rest {
            session
                .insert(name, value)
                .await
                .map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)?;
        }
        session
            .insert("n", visitor.n)
            .await
            .map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)
    }
    let pool = Pool::new(
        Config::from_url(&format!("redis://127.0.0.1:{}", server.port()))?,
        None,
        None,
        None,
        connections,
    )?;
    let driver = pool.connect();
    pool.wait_for_connect().await?;
    Ok(Router::new()
        .route("/none", get(|| async { "none" }))
        .route("/read", get(read))
        .route("/write", get(write))
        .route("/seed", put(seed))
        .layer(SessionManagerLayer::new(RedisStore::new(pool)).with_secure(false))
        .layer(Extension(Arc::new(driver))))
}
