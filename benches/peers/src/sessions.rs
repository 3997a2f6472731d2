//! Sessions: ten fields of about fifty bytes, 256 sessions in rotation, 64 requests at a time.
//!
//! Routers are called directly, so what is compared is the layer and its Redis client, not
//! sockets.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Request, StatusCode, header};
use http_body_util::BodyExt;
use tower::ServiceExt;

use crate::Error;
use crate::candidates::{Candidate, LEGEND};
use crate::measure::{Series, header as table, row};
use crate::redis_server::Server;

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
    for candidate in Candidate::ALL {
        let router = candidate.router(server.url()).await?;
        let cookies = Arc::new(seed(&router).await?);
        variants.push(Variant {
            name: candidate.name(),
            router,
            cookies,
        });
    }
    println!(
        "\n## Sessions, {CALLERS} callers, {REPETITIONS} repetitions of {slice:?}, interleaved\n\n{LEGEND}\n"
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
                rates[at].over(&rates[0]).to_string(),
                commands[at].clone(),
                if route == "/none" {
                    "–".to_owned()
                } else {
                    cpu[at].over(&cpu[0]).to_string()
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
