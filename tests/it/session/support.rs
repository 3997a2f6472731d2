//! What the session tests share: a store that counts and fails, and one request at a time.

use std::convert::Infallible;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use bytes::Bytes;
use http::header::{CACHE_CONTROL, COOKIE, SET_COOKIE};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use tower::{Layer, service_fn};
use tower_handoff::Refusal;
use tower_handoff::redis::RedisHandle;
use tower_handoff::session::{
    CommitOutcome, MemorySessions, NewSession, RedisSessions, Revoke, Save, SaveOutcome, Session,
    SessionId, SessionLayer, SessionRecord, SessionStore, StoreError, StoreErrorKind, UserSession,
    VerifierHash,
};

use crate::support::eventually::PATIENCE;
use crate::support::evidence::oneshot;
use crate::support::redis_server::RedisServer;

/// Either store, counting what is asked of it; fails when told to.
#[derive(Clone)]
pub(super) struct Store {
    kind: Kind,
    asked: Arc<AtomicUsize>,
    renewed: Arc<AtomicUsize>,
    away: Arc<AtomicBool>,
}

#[derive(Clone)]
enum Kind {
    Memory(MemorySessions),
    Redis(RedisSessions),
}

impl Store {
    pub(super) fn memory() -> Self {
        Self::of(Kind::Memory(MemorySessions::new()))
    }

    /// For tests in which Redis is never away, however busy the machine: an answer that comes late is
    /// no outage there.
    pub(super) fn patient(server: &RedisServer) -> Self {
        let builder = RedisHandle::builder(server.url()).command_timeout(PATIENCE);
        Self::of(Kind::Redis(builder.connect().unwrap().sessions()))
    }

    fn of(kind: Kind) -> Self {
        Self {
            kind,
            asked: Arc::default(),
            renewed: Arc::default(),
            away: Arc::default(),
        }
    }

    /// Sessions in memory.
    pub(super) fn len(&self) -> usize {
        match &self.kind {
            Kind::Memory(store) => store.len(),
            Kind::Redis(_) => panic!("Redis counts its keys"),
        }
    }

    /// Operations since the last question, renewals included.
    pub(super) fn asked(&self) -> usize {
        self.asked.swap(0, Ordering::SeqCst)
    }

    pub(super) fn renewed(&self) -> usize {
        self.renewed.load(Ordering::SeqCst)
    }

    pub(super) fn set_away(&self, away: bool) {
        self.away.store(away, Ordering::SeqCst);
    }

    fn count(&self) -> Result<(), StoreError> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        match self.away.load(Ordering::SeqCst) {
            true => Err(StoreError::new(StoreErrorKind::Unavailable)),
            false => Ok(()),
        }
    }
}

macro_rules! either {
    ($self:ident, $store:ident => $call:expr) => {{
        $self.count()?;
        match &$self.kind {
            Kind::Memory($store) => $call.await,
            Kind::Redis($store) => $call.await,
        }
    }};
}

impl SessionStore for Store {
    fn now_ms(&self) -> u64 {
        match &self.kind {
            Kind::Memory(store) => store.now_ms(),
            Kind::Redis(store) => store.now_ms(),
        }
    }

    async fn load(&self, id: &SessionId) -> Result<Option<SessionRecord>, StoreError> {
        either!(self, store => store.load(id))
    }

    async fn create(&self, id: &SessionId, new: &NewSession<'_>) -> Result<bool, StoreError> {
        either!(self, store => store.create(id, new))
    }

    async fn save(&self, id: &SessionId, save: &Save<'_>) -> Result<SaveOutcome, StoreError> {
        either!(self, store => store.save(id, save))
    }

    async fn renew(&self, id: &SessionId, verifier: &VerifierHash) -> Result<bool, StoreError> {
        self.renewed.fetch_add(1, Ordering::SeqCst);
        either!(self, store => store.renew(id, verifier))
    }

    async fn destroy(&self, id: &SessionId, verifier: &VerifierHash) -> Result<bool, StoreError> {
        either!(self, store => store.destroy(id, verifier))
    }

    async fn sessions_of(&self, user: &str) -> Result<Vec<UserSession>, StoreError> {
        either!(self, store => store.sessions_of(user))
    }

    async fn revoke(&self, user: &str, which: Revoke) -> Result<u64, StoreError> {
        either!(self, store => store.revoke(user, which))
    }
}

/// Runs a test on both stores.
pub(super) async fn on_both(test: impl AsyncFn(Store)) {
    test(Store::memory()).await;
    let server = RedisServer::start();
    test(Store::patient(&server)).await;
}

/// What every handler's response says.
pub(super) const BODY: &str = "the handler's own words";

/// What came back.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) body: Bytes,
    pub(super) headers: HeaderMap,
    pub(super) outcome: Option<CommitOutcome>,
    pub(super) refusal: Option<Refusal>,
}

impl Answer {
    pub(super) fn of(parts: http::response::Parts, body: Bytes) -> Self {
        Self {
            status: parts.status,
            body,
            outcome: parts.extensions.get().copied(),
            refusal: parts.extensions.get().copied(),
            headers: parts.headers,
        }
    }

    /// `name=value` of the one cookie that was set, or nothing; checks what browsers check.
    pub(super) fn set_cookie(&self) -> Option<String> {
        let mut all = self.headers.get_all(SET_COOKIE).iter();
        let text = all.next()?.to_str().unwrap().to_owned();
        assert!(all.next().is_none(), "two cookies");
        assert_eq!(self.headers[CACHE_CONTROL], "no-store");
        let mut parts = text.split("; ");
        let pair = parts.next().unwrap().to_owned();
        let attributes: Vec<_> = parts.collect();
        if pair.starts_with("__Host-") {
            assert!(
                attributes.contains(&"Secure") && attributes.contains(&"Path=/"),
                "{text}"
            );
            assert!(!text.contains("Domain="), "{text}");
        }
        assert!(attributes.contains(&"HttpOnly"), "{text}");
        Some(pair)
    }

    /// The token that was handed out.
    pub(super) fn token(&self) -> String {
        let pair = self.set_cookie().expect("a cookie");
        assert!(!pair.ends_with('='), "a removal");
        pair
    }

    pub(super) fn is_removal(&self) -> bool {
        let is_empty = self.set_cookie().is_some_and(|pair| pair.ends_with('='));
        let text = |value: &HeaderValue| value.to_str().unwrap().contains("Max-Age=0");
        is_empty && self.headers.get_all(SET_COOKIE).iter().all(text)
    }
}

/// One request with one `Cookie` header, or none where it is empty.
pub(super) async fn request<F, H>(layer: &SessionLayer, cookie: &str, handler: H) -> Answer
where
    F: Future<Output = StatusCode>,
    H: FnOnce(Session) -> F,
{
    let cookies = [HeaderValue::from_str(cookie).unwrap()];
    let some = if cookie.is_empty() { &[][..] } else { &cookies };
    request_with(layer, some, handler).await
}

/// One request with these `Cookie` headers.
pub(super) async fn request_with<F, H>(
    layer: &SessionLayer,
    cookies: &[HeaderValue],
    handler: H,
) -> Answer
where
    F: Future<Output = StatusCode>,
    H: FnOnce(Session) -> F,
{
    let mut handler = Some(handler);
    let service = layer.layer(service_fn(move |request: Request<()>| {
        let session = Session::from_extensions(request.extensions()).unwrap();
        let answer = (handler.take().unwrap())(session.clone());
        async move {
            let mut response = Response::new(Full::<Bytes>::from(BODY));
            *response.status_mut() = answer.await;
            Ok::<_, Infallible>(response)
        }
    }));
    let mut request = Request::new(());
    for cookie in cookies {
        request.headers_mut().append(COOKIE, cookie.clone());
    }
    let (parts, body) = oneshot(service, request).await.unwrap().into_parts();
    Answer::of(parts, body.collect().await.unwrap().to_bytes())
}

/// Sets a field in a request of its own and returns the cookie to go on with.
pub(super) async fn visit(layer: &SessionLayer, cookie: &str, name: &str, value: &str) -> String {
    let answer = request(layer, cookie, async |session| {
        session.set(name, value).unwrap();
        StatusCode::NO_CONTENT
    })
    .await;
    assert_eq!(answer.status, StatusCode::NO_CONTENT);
    answer.set_cookie().unwrap_or_else(|| cookie.to_owned())
}

/// Reads a field in a request of its own.
pub(super) async fn read(layer: &SessionLayer, cookie: &str, name: &str) -> Option<String> {
    let mut value = None;
    let answer = request(layer, cookie, async |session| {
        value = session.get(name).await.unwrap();
        StatusCode::OK
    })
    .await;
    assert!(answer.set_cookie().is_none(), "a read sets a cookie");
    value
}
