//! A headless Chromium of the test's own, driven through chromedriver (WebDriver).

use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::{Value, json};

use crate::support::http::Client;

/// A browser with a profile that nobody used before.
///
/// Dropped, however the test ended, it leaves no process and no profile behind.
pub(crate) struct Browser {
    client: Client,
    session: String,
    // Fields drop in this order: nobody writes to the profile when it goes.
    _driver: Driver,
    profile: Profile,
}

impl Browser {
    pub(crate) async fn start() -> Self {
        Self::start_on(Profile::fresh()).await
    }

    /// Closes the browser as a user does, and opens it again.
    pub(crate) async fn restart(mut self) -> Self {
        self.close().await;
        Self::start_on(self.profile).await
    }

    /// Closes the browser as a user does.
    pub(crate) async fn close(&mut self) {
        self.call("DELETE", "", None).await;
    }

    async fn start_on(profile: Profile) -> Self {
        let driver = Driver::start();
        let mut client = Client::new(&format!("127.0.0.1:{}", driver.port));
        let mut options = json!({ "args": [
            "--headless=new",
            "--no-sandbox", // root, as in containers, gets none
            "--disable-gpu",
            "--disable-quic",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--remote-debugging-pipe", // Chromium ends when chromedriver does
            format!("--user-data-dir={}", profile.0.display()),
            format!("--host-resolver-rules=MAP {HOST} 127.0.0.1"),
        ]});
        // Some builds keep cookies from embedded requests whatever `SameSite` says.
        options["prefs"] = json!({
            "profile.block_third_party_cookies": false,
            "profile.cookie_controls_mode": 0,
        });
        if let Some(chromium) = std::env::var_os("CHROMIUM").filter(|path| !path.is_empty()) {
            options["binary"] = chromium.to_string_lossy().into();
        }
        let wanted = json!({ "capabilities": { "alwaysMatch": {
            "acceptInsecureCerts": true,
            "goog:chromeOptions": options,
        }}});
        let answer = client
            .send("POST", "/session", Some(&wanted.to_string()))
            .await;
        assert_eq!(answer.status, 200, "no Chromium; {HINT}: {}", answer.text());
        let session = answer.json()["value"]["sessionId"]
            .as_str()
            .expect("an id")
            .to_owned();
        Self {
            client,
            session,
            _driver: driver,
            profile,
        }
    }

    /// Goes to an address, as one that a user types in.
    pub(crate) async fn goto(&mut self, url: &str) {
        self.call("POST", "/url", Some(json!({ "url": url }))).await;
    }

    /// Where the browser is.
    pub(crate) async fn url(&mut self) -> String {
        let url = self.call("GET", "/url", None).await;
        url.as_str().expect("text").to_owned()
    }

    /// The cookies of the page in view, `HttpOnly` ones as well.
    pub(crate) async fn cookies(&mut self) -> Vec<Value> {
        let mut cookies = self.call("GET", "/cookie", None).await;
        std::mem::take(cookies.as_array_mut().expect("a list"))
    }

    /// Puts a cookie of this host into the jar, attributes as [`cookies`](Self::cookies) shows
    /// them.
    pub(crate) async fn add_cookie(&mut self, mut cookie: Value) {
        cookie.as_object_mut().expect("an object").remove("domain");
        let body = json!({ "cookie": cookie });
        self.call("POST", "/cookie", Some(body)).await;
    }

    /// Runs the body of a function as a script of the page; where it returns a promise, what
    /// comes of that.
    pub(crate) async fn run(&mut self, script: &str, arguments: Value) -> Value {
        let body = json!({ "script": script, "args": arguments });
        self.call("POST", "/execute/sync", Some(body)).await
    }

    async fn call(&mut self, method: &str, path: &str, body: Option<Value>) -> Value {
        let path = format!("/session/{}{path}", self.session);
        let body = body.map(|body| body.to_string());
        let answer = self.client.send(method, &path, body.as_deref()).await;
        assert_eq!(answer.status, 200, "{method} {path}: {}", answer.text());
        answer.json()["value"].take()
    }
}

/// A host that is not this machine's loopback name, for the browser alone.
pub(crate) const HOST: &str = "shop.example";

const HINT: &str =
    "run ./scripts/test browser, which installs one, or name it in CHROMIUM and CHROMEDRIVER";

/// A chromedriver and all that it started, in a process group of their own.
struct Driver {
    port: u16,
    shell: Child,
    pipe: Option<ChildStdin>,
}

/// Ends its whole process group when standard input closes, which it does when this test
/// process ends in any way.
const WATCHER: &str = r#"
"$0" "$@" </dev/null &
driver=$!
read -r _
kill -KILL "$driver" 2>/dev/null
wait "$driver" 2>/dev/null
kill -KILL 0
"#;

impl Driver {
    fn start() -> Self {
        let program = std::env::var_os("CHROMEDRIVER").filter(|path| !path.is_empty());
        let program = program.unwrap_or_else(|| "chromedriver".into());
        let found = Command::new(&program).arg("--version").output();
        if let Err(error) = found {
            panic!("no chromedriver ({}: {error}); {HINT}", program.display());
        }
        let mut shell = Command::new("sh")
            .args(["-c".as_ref(), WATCHER.as_ref(), program.as_os_str()])
            .arg("--port=0")
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("sh starts");
        let pipe = shell.stdin.take();
        let mut lines = BufReader::new(shell.stdout.take().expect("stdout is piped"));
        let mut log = String::new();
        let port = loop {
            let mut line = String::new();
            if lines.read_line(&mut line).unwrap_or(0) == 0 {
                panic!("chromedriver did not start:\n{log}");
            }
            let started = "ChromeDriver was started successfully on port ";
            if let Some(port) = line.strip_prefix(started) {
                let port = port.trim().trim_end_matches('.');
                break port.parse().expect("a port");
            }
            log.push_str(&line);
        };
        // Somebody must read on, or the driver blocks on a full pipe.
        std::thread::spawn(move || {
            let _ = lines.read_to_end(&mut Vec::new());
        });
        Self { port, shell, pipe }
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        drop(self.pipe.take());
        let _ = self.shell.wait();
    }
}

/// A directory that Chromium keeps everything in.
struct Profile(PathBuf);

impl Profile {
    fn fresh() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let next = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("tower-handoff-chromium-{}-{next}", std::process::id());
        let dir = std::env::temp_dir().join(name);
        std::fs::create_dir(&dir).expect("a directory that nobody has");
        Self(dir)
    }
}

impl Drop for Profile {
    #[allow(clippy::disallowed_methods, reason = "a drop cannot await")]
    fn drop(&mut self) {
        // Processes that were just killed may still be on their way out.
        const REMOVE: &str =
            r#"for _ in 1 2 3 4 5 6 7 8 9; do rm -rf "$0" && exit; sleep 0.1; done"#;
        let _ = Command::new("sh")
            .args(["-c".as_ref(), REMOVE.as_ref(), self.0.as_os_str()])
            .status();
    }
}
