//! The testbed as a browser sees it: an origin and a cookie. And somebody who visits it.

use serde_json::{Value, json};

use super::chromium::Browser;
use super::tls::TlsProxy;
use crate::support::eventually::eventually;
use crate::support::http::{Answer, Client};
use crate::support::redis_server::RedisServer;
use crate::support::testbed::Testbed;

/// One way to serve the testbed to browsers.
pub(crate) struct Site {
    pub(crate) testbed: Testbed,
    /// `http://localhost:PORT`
    pub(crate) origin: String,
    /// The session cookie's name.
    pub(crate) cookie: &'static str,
    pub(crate) tls: Option<TlsProxy>,
    pub(crate) redis: Option<RedisServer>,
}

impl Site {
    /// Development: no TLS, no Redis, and the cookie that is made for it.
    pub(crate) async fn plain() -> Self {
        let testbed = Testbed::start(&[("INSECURE_COOKIE", "1")]).await;
        Self {
            origin: format!("http://localhost:{}", port(&testbed)),
            testbed,
            cookie: "session",
            tls: None,
            redis: None,
        }
    }

    /// Production: TLS, HTTP/2, Redis, and the cookie that the layer has by default.
    pub(crate) async fn tls() -> Self {
        let redis = RedisServer::start();
        let testbed = behind_tls(&redis).await;
        let tls = TlsProxy::start(testbed.addr()).await;
        Self {
            origin: format!("https://localhost:{}", tls.port()),
            testbed,
            cookie: "__Host-session",
            tls: Some(tls),
            redis: Some(redis),
        }
    }

    /// The same server under a name that browsers take for another site.
    pub(crate) fn other_site(&self) -> String {
        self.origin.replace("localhost", "127.0.0.1")
    }
}

/// An instance that shares the Redis, for requests that came over TLS.
pub(crate) async fn behind_tls(redis: &RedisServer) -> Testbed {
    let url = redis.url();
    let variables = [
        ("INSECURE_COOKIE", ""),
        ("SERVER", "hyper"),
        ("REDIS_URL", &url),
    ];
    let testbed = Testbed::start(&variables).await;
    testbed.until("/ready", 200).await;
    testbed
}

pub(crate) fn port(testbed: &Testbed) -> &str {
    testbed.addr().rsplit_once(':').expect("a port").1
}

/// Runs a test in a fresh browser on each kind of site.
pub(crate) async fn on_both(test: impl AsyncFn(&mut Visitor)) {
    for site in [Site::plain().await, Site::tls().await] {
        let mut visitor = Visitor::of(site).await;
        test(&mut visitor).await;
        visitor.browser.close().await;
    }
}

/// A browser with a page of the site in view.
pub(crate) struct Visitor {
    pub(crate) site: Site,
    pub(crate) browser: Browser,
}

/// What a script of the page sees of an answer.
#[derive(Debug)]
pub(crate) struct Fetched {
    pub(crate) status: u64,
    pub(crate) text: String,
    pub(crate) cache_control: Option<String>,
}

/// `request(method, path, body)`, a promise of what [`Fetched`] holds.
const REQUEST: &str = "
    const request = async (method, path, body) => {
        const answer = await fetch(path, { method, body });
        return [answer.status, await answer.text(), answer.headers.get('cache-control')];
    };";

impl Visitor {
    /// Opens a page that leaves the session alone.
    pub(crate) async fn of(site: Site) -> Self {
        let mut browser = Browser::start().await;
        browser.goto(&format!("{}/untouched", site.origin)).await;
        Self { site, browser }
    }

    /// Goes to a page of the site, as one that is typed in.
    pub(crate) async fn goto(&mut self, path: &str) {
        let url = format!("{}{path}", self.site.origin);
        self.browser.goto(&url).await;
    }

    /// The text of the page in view.
    pub(crate) async fn page(&mut self) -> String {
        let script = "return document.body.innerText";
        let text = self.browser.run(script, json!([])).await;
        text.as_str().expect("text").to_owned()
    }

    /// Waits until `path` of the site is in view, where a script of another page leads there.
    pub(crate) async fn arrives_at(&mut self, path: &str) {
        let wanted = format!("{}{path}", self.site.origin);
        eventually("the page is in view", async || {
            let ready = "return document.readyState === 'complete'";
            self.browser.url().await == wanted && self.browser.run(ready, json!([])).await == true
        })
        .await;
    }

    /// A request that a script of the page makes.
    pub(crate) async fn fetch(&mut self, method: &str, path: &str, body: Option<&str>) -> Fetched {
        let script = format!("{REQUEST} return request(...arguments)");
        let answer = self.browser.run(&script, json!([method, path, body]));
        fetched(&answer.await)
    }

    /// As [`fetch`](Self::fetch), without waiting for the answer; [`fetched`](Self::fetched) does.
    pub(crate) async fn begin(&mut self, method: &str, path: &str, body: Option<&str>) {
        let script = format!("{REQUEST} window.begun = request(...arguments)");
        let arguments = json!([method, path, body]);
        self.browser.run(&script, arguments).await;
    }

    /// The answer to the request that [`begin`](Self::begin) sent.
    pub(crate) async fn fetched(&mut self) -> Fetched {
        let answer = self.browser.run("return window.begun", json!([])).await;
        fetched(&answer)
    }

    /// Requests that a script makes all at once, each the method and the path.
    pub(crate) async fn fetch_all(&mut self, requests: &[(&str, &str)]) -> Vec<Fetched> {
        let script = format!(
            "{REQUEST} return Promise.all(arguments[0].map(([method, path]) => request(method, path)))"
        );
        let answers = self.browser.run(&script, json!([requests])).await;
        let answers = answers.as_array().expect("a list");
        answers.iter().map(fetched).collect()
    }

    /// The session cookie in the jar, if there is one; there is never another cookie.
    pub(crate) async fn cookie(&mut self) -> Option<Value> {
        let mut cookies = self.browser.cookies().await;
        assert!(cookies.len() <= 1, "{cookies:?}");
        let cookie = cookies.pop()?;
        assert_eq!(cookie["name"], self.site.cookie);
        Some(cookie)
    }

    /// The token in the jar.
    pub(crate) async fn token(&mut self) -> String {
        let cookie = self.cookie().await.expect("a cookie in the jar");
        cookie["value"].as_str().expect("text").to_owned()
    }

    /// What `GET /session` answers to whoever has the token, without a browser.
    pub(crate) async fn replay(&self, token: &str) -> Answer {
        let mut client = Client::new(self.site.testbed.addr());
        let name = self.site.cookie.to_owned();
        client.cookies.insert(name, token.to_owned());
        client.get("/session").await
    }
}

fn fetched(answer: &Value) -> Fetched {
    Fetched {
        status: answer[0].as_u64().expect("a status"),
        text: answer[1].as_str().expect("text").to_owned(),
        cache_control: answer[2].as_str().map(ToOwned::to_owned),
    }
}
