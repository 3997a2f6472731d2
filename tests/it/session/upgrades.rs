//! Requests that become sockets, on real connections: what the handler did is committed before the
//! 101 goes out, and what the socket hears is written by its detached handle alone.

use axum::Router;
use axum::body::Body;
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::routing::any;
use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tower::{Layer, service_fn};
use tower_handoff::session::{DetachedSession, Session, SessionErrorKind, SessionLayer};

use super::commit_rules::{Told, What, check};
use super::late::World;
use super::support::{Answer, read, request, visit};
use super::users::id_of;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Face {
    /// A WebSocket behind a router.
    Axum,
    /// Lines of text on whatever a bare service upgrades to.
    Hyper,
}

/// What a socket holds of its session.
struct Held {
    session: Session,
    detached: Option<DetachedSession>,
}

impl Held {
    /// Does what the request's headers ask for, before the 101.
    async fn begin(headers: &HeaderMap, session: &Session) -> Self {
        let header = |name: &str| headers[name].to_str().unwrap();
        let what = What::ALL[header("x-what").parse::<usize>().unwrap()];
        what.act(session, header("x-user")).await.unwrap();
        let detached = match header("x-detach") {
            "true" => session.detach().await.unwrap(),
            _ => None,
        };
        let session = session.clone();
        Self { session, detached }
    }

    /// Keeps what the socket heard, and says what became of it.
    async fn hear(&self, text: &str) -> &'static str {
        match self.session.set("late", text) {
            Err(error) if error.kind() == SessionErrorKind::Sealed => {}
            other => panic!("the handle is open: {other:?}"),
        }
        let Some(detached) = &self.detached else {
            return "sealed";
        };
        detached.set("heard", text).unwrap();
        match detached.commit().await {
            Ok(()) => "written",
            Err(error) if error.kind() == SessionErrorKind::Gone => "gone",
            Err(error) => panic!("{error}"),
        }
    }
}

async fn web_socket(session: Session, headers: HeaderMap, ws: WebSocketUpgrade) -> Response<Body> {
    let held = Held::begin(&headers, &session).await;
    ws.on_upgrade(async move |mut socket: WebSocket| {
        while let Some(Ok(Message::Text(text))) = socket.recv().await {
            let reply = held.hear(&text).await;
            socket.send(Message::Text(reply.into())).await.unwrap();
        }
    })
}

async fn lines(
    mut request: Request<hyper::body::Incoming>,
) -> Result<Response<Body>, hyper::Error> {
    let session = Session::from_extensions(request.extensions())
        .unwrap()
        .clone();
    let held = Held::begin(request.headers(), &session).await;
    let upgrade = hyper::upgrade::on(&mut request);
    tokio::spawn(async move {
        let mut stream = BufReader::new(TokioIo::new(upgrade.await.unwrap()));
        let mut line = String::new();
        while stream.read_line(&mut line).await.unwrap() > 0 {
            let reply = held.hear(line.trim_end()).await;
            stream
                .write_all(format!("{reply}\n").as_bytes())
                .await
                .unwrap();
            stream.flush().await.unwrap();
            line.clear();
        }
    });
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert("connection", "upgrade".parse().unwrap());
    headers.insert("upgrade", "lines".parse().unwrap());
    Ok(response)
}

/// A server on a port of its own; ends with its task.
async fn serve(face: Face, layer: SessionLayer) -> (String, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap().to_string();
    let task = match face {
        Face::Axum => {
            let app = Router::new().route("/", any(web_socket)).layer(layer);
            tokio::spawn(async move { axum::serve(listener, app).await.unwrap() })
        }
        Face::Hyper => tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let service = TowerToHyperService::new(layer.layer(service_fn(lines)));
                tokio::spawn(async move {
                    let builder = auto::Builder::new(TokioExecutor::new());
                    let stream = TokioIo::new(stream);
                    let _ = builder
                        .serve_connection_with_upgrades(stream, service)
                        .await;
                });
            }
        }),
    };
    (addr, task)
}

/// The client's end of a socket.
struct Socket {
    face: Face,
    stream: BufReader<TcpStream>,
}

impl Socket {
    async fn open(face: Face, addr: &str, headers: &[(&str, &str)]) -> (Self, Answer) {
        let mut stream = BufReader::new(TcpStream::connect(addr).await.unwrap());
        let protocol = match face {
            Face::Axum => "websocket",
            Face::Hyper => "lines",
        };
        let mut head = format!(
            "GET / HTTP/1.1\r\nHost: {addr}\r\nConnection: upgrade\r\nUpgrade: {protocol}\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
        );
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str("\r\n");
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut line = String::new();
        stream.read_line(&mut line).await.unwrap();
        let status = line.split(' ').nth(1).expect("a status line");
        let mut response = Response::builder().status(status);
        loop {
            line.clear();
            stream.read_line(&mut line).await.unwrap();
            let Some((name, value)) = line.trim_end().split_once(": ") else {
                break;
            };
            response = response.header(name, value);
        }
        let (parts, ()) = response.body(()).unwrap().into_parts();
        (Self { face, stream }, Answer::of(parts, Bytes::new()))
    }

    /// Says something short, and hears the reply.
    async fn say(&mut self, text: &str) -> String {
        let sent = match self.face {
            // One final text frame, masked with zeros.
            Face::Axum => {
                let mut frame = vec![0x81, 0x80 | text.len() as u8, 0, 0, 0, 0];
                frame.extend_from_slice(text.as_bytes());
                frame
            }
            Face::Hyper => format!("{text}\n").into_bytes(),
        };
        self.stream.write_all(&sent).await.unwrap();
        let mut reply = Vec::new();
        match self.face {
            Face::Axum => {
                let mut head = [0; 2];
                self.stream.read_exact(&mut head).await.unwrap();
                assert_eq!(head[0], 0x81, "a text frame");
                reply.resize(usize::from(head[1]), 0);
                self.stream.read_exact(&mut reply).await.unwrap();
            }
            Face::Hyper => {
                self.stream.read_until(b'\n', &mut reply).await.unwrap();
                reply.pop();
            }
        }
        String::from_utf8(reply).unwrap()
    }
}

async fn cell(world: &World, face: Face, addr: &str, what: What, detaches: bool) {
    let layer = SessionLayer::new(world.store.clone());
    let user = format!("{face:?} {what:?} {detaches}");
    let before = match what {
        What::Begin => String::new(),
        _ => visit(&layer, "", "cart", "old").await,
    };
    let id = id_of(&layer, &before).await;
    let at = What::ALL.iter().position(|other| *other == what);
    let at = at.unwrap().to_string();
    let detach = detaches.to_string();
    let headers = [
        ("cookie", &*before),
        ("x-what", &at),
        ("x-user", &user),
        ("x-detach", &detach),
    ];
    let (mut socket, answer) = Socket::open(face, addr, &headers).await;
    assert_eq!(answer.status, StatusCode::SWITCHING_PROTOCOLS);
    let mut expected = what.expected(true, true);
    expected.outcome = None; // no header tells it
    let now = check(world, &layer, &before, id, &user, Some(&answer), &expected).await;

    let writes = detaches && expected.told != Told::Removal;
    let reply = socket.say("one").await;
    assert_eq!(reply, if writes { "written" } else { "sealed" });
    let heard = read(&layer, &now, "heard").await;
    assert_eq!(heard.as_deref(), writes.then_some("one"));
    assert_eq!(read(&layer, &now, "late").await, None);

    // The session ends elsewhere: the socket hears of it, and brings nothing back.
    let id = id_of(&layer, &now).await;
    assert_eq!(id.is_some(), expected.told != Told::Removal);
    request(&layer, &now, async |session| {
        assert_eq!(session.destroy().await.unwrap(), id.is_some());
        StatusCode::OK
    })
    .await;
    let reply = socket.say("two").await;
    assert_eq!(reply, if writes { "gone" } else { "sealed" });
    assert_eq!(id_of(&layer, &now).await, None);
    if let Some(id) = id {
        assert!(!world.is_there(&id).await, "the key exists");
    }
}

async fn all_cells(world: &World) {
    for face in [Face::Axum, Face::Hyper] {
        let layer = SessionLayer::new(world.store.clone());
        let (addr, server) = serve(face, layer).await;
        for what in What::ALL {
            for detaches in [false, true] {
                eprintln!("{face:?}: {what:?}, detaches: {detaches}"); // shown where it fails
                cell(world, face, &addr, what, detaches).await;
            }
        }
        server.abort();
    }
}

#[tokio::test]
async fn in_memory_an_upgrade_ends_as_documented() {
    all_cells(&World::memory()).await;
}

#[tokio::test]
async fn in_redis_an_upgrade_ends_as_documented() {
    all_cells(&World::redis()).await;
}
