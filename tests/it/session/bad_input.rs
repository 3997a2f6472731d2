//! What requests and handlers may get wrong, at its most extreme.

use std::collections::BTreeMap;

use bytes::Bytes;
use http::{HeaderValue, StatusCode};
use serde::{Serialize, Serializer};
use tower_handoff::session::{
    Key, Raw, Session, SessionErrorKind, SessionExpiry, SessionLayer, SessionLimits,
};

use super::support::{Store, on_both, request, request_with, visit};
use crate::support::patient::patient;
use crate::support::redis_server::RedisServer;

const OK: StatusCode = StatusCode::OK;

fn header(bytes: &[u8]) -> HeaderValue {
    HeaderValue::from_bytes(bytes).unwrap()
}

/// Each reads, writes nothing, and is anonymous; Redis itself counts what it was asked.
#[tokio::test]
async fn hostile_cookies_cost_redis_nothing() {
    let server = RedisServer::start();
    let redis = patient(&server.url());
    let layer = SessionLayer::new(redis.sessions());
    let good = visit(&layer, "", "user", "ada").await;
    let token = good.split_once('=').unwrap().1;
    let named = |value: &str| format!("__Host-session={value}");
    let percent: String = token.bytes().map(|byte| format!("%{byte:02X}")).collect();
    let one_of_each: Vec<Vec<HeaderValue>> = vec![
        // A megabyte in one cookie, before, in and behind what might be ours.
        vec![header(named(&"1".repeat(1 << 20)).as_bytes())],
        vec![header(
            format!("{good}; x={}", "A".repeat(1 << 20)).as_bytes(),
        )],
        vec![header(
            format!("x={}; {good}", "A".repeat(1 << 20)).as_bytes(),
        )],
        // Ten thousand, in one header and in a thousand headers.
        vec![header(named("x; ").repeat(10_000).as_bytes())],
        vec![header(format!("{good}; ").repeat(10_000).as_bytes())],
        vec![header(named("x").as_bytes()); 1_000],
        vec![header(b"a=b"); 2_700],
        // Spellings that mean the same elsewhere.
        vec![header(named(&format!("\"{token}\"")).as_bytes())],
        vec![header(named(&percent).as_bytes())],
        vec![header(format!("__Host%2Dsession={token}").as_bytes())],
        vec![header(format!("__HOST-session={token}").as_bytes())],
        vec![header(format!("__Host-session ={token}").as_bytes())],
        vec![header(format!("__Host-session= {token}").as_bytes())],
        vec![header(format!("__Host-session=={token}").as_bytes())],
        vec![header(format!("$Version=1, {good}").as_bytes())],
        vec![header(named(&format!("{token},{token}")).as_bytes())],
        vec![header(named(&format!("{token}=")).as_bytes())],
        vec![header(named(&token.replacen('1', "01", 1)).as_bytes())],
        // What is no ASCII, in name, value and all around.
        vec![header(named(&"\u{e4}".repeat(55)).as_bytes())],
        vec![
            header(b"__Host-session=\xf0\x28\x8c\xbc"),
            header(b"\xff\xfe=\x80;\x80"),
        ],
        vec![header(b"\xef\xbb\xbf__Host-session=1"), header(b"")],
        vec![
            header(b"="),
            header(b";"),
            header(b";=;=;"),
            header(b"\t \t"),
        ],
    ];
    server.command(&["CONFIG", "RESETSTAT"]);
    for cookies in &one_of_each {
        let answer = request_with(&layer, cookies, async |session: Session| {
            assert_eq!(session.get::<String>("user").await.unwrap(), None);
            assert!(session.fields().await.unwrap().is_empty());
            assert!(!session.exists().await.unwrap());
            assert_eq!(session.user().await.unwrap(), None);
            assert!(!session.destroy().await.unwrap());
            session.rotate().unwrap();
            session.remove("user").unwrap();
            OK
        })
        .await;
        let shown = String::from_utf8_lossy(cookies[0].as_bytes());
        let shown: String = shown.chars().take(90).collect();
        assert_eq!((answer.status, answer.set_cookie()), (OK, None), "{shown}");
        let counts: BTreeMap<_, _> = server.command_counts();
        let ours = ["info", "ping", "time"];
        let asked = counts.keys().find(|name| !ours.contains(&name.as_str()));
        assert_eq!(asked, None, "{shown}: {counts:?}");
    }
    // The count is not blind.
    request(&layer, &good, async |session: Session| {
        assert!(session.get::<String>("user").await.unwrap().is_some());
        OK
    })
    .await;
    assert_eq!(server.command_counts().get("get"), Some(&1));
}

#[tokio::test]
async fn names_of_all_kinds_keep_what_they_name() {
    on_both(async |store: Store| {
        let layer = SessionLayer::new(store);
        let long = "n".repeat(128);
        let wide = "\u{1f600}".repeat(32);
        let names = [
            "a\0b",
            "a\0",
            " ",
            "\n",
            "\r\n",
            "\u{7f}",
            "\u{e9}",
            "e\u{301}",
            "\u{feff}bom",
            "\u{202e}rtl",
            "\u{10ffff}",
            "{a}",
            "a:b",
            "*",
            "%00",
            "'; DROP",
            "__proto__",
            "\\",
            "A",
            "a",
            &long,
            &wide,
        ];
        let answer = request(&layer, "", async |session: Session| {
            for (n, name) in names.iter().enumerate() {
                session.set(name, &n).unwrap();
            }
            OK
        })
        .await;
        let cookie = answer.token();
        // Blindly, so that it is the store that tells the names apart.
        request(&layer, &cookie, async |session: Session| {
            for name in names {
                assert_eq!(session.increment(name, 100).await.unwrap() % 100, {
                    names.iter().position(|other| *other == name).unwrap() as i64
                });
            }
            OK
        })
        .await;
        request(&layer, &cookie, async |session: Session| {
            for (n, name) in names.iter().enumerate() {
                let value = session.get::<usize>(name).await.unwrap();
                assert_eq!(value, Some(n + 100), "{name:?}");
            }
            assert_eq!(session.fields().await.unwrap().len(), names.len());
            OK
        })
        .await;
    })
    .await;
}

/// Fails after it has begun, as a value with a lazy part does.
struct Unfinished;

impl Serialize for Unfinished {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::{Error, SerializeSeq};
        let mut list = serializer.serialize_seq(None)?;
        list.serialize_element("secret part")?;
        Err(S::Error::custom("lost its source"))
    }
}

#[tokio::test]
async fn a_value_that_does_not_serialize_leaves_the_field_as_it_was() {
    on_both(async |store: Store| {
        let layer = SessionLayer::new(store.clone());
        let cookie = visit(&layer, "", "a", "old").await;
        let answer = request(&layer, &cookie, async |session: Session| {
            let error = session.set("a", &Unfinished).unwrap_err();
            assert_eq!(error.kind(), SessionErrorKind::Encode);
            assert!(!format!("{error:?} {error}").contains("secret part"));
            let a = session.get::<String>("a").await.unwrap();
            assert_eq!(a.as_deref(), Some("old"));
            OK
        })
        .await;
        assert_eq!((answer.outcome, answer.set_cookie()), (None, None));
    })
    .await;
}

#[test]
fn limits_and_times_that_cannot_be_name_option_value_and_what_is_accepted() {
    for (field, session, option) in [
        (0, 1, "field limit"),
        (1, 0, "session limit"),
        ((16 << 20) + 1, 1, "field limit"),
        (1, usize::MAX, "session limit"),
    ] {
        let error = SessionLimits::new(field, session).unwrap_err();
        assert_eq!(error.option(), option);
        assert!(error.to_string().contains("1 to 16777216 bytes"), "{error}");
        let value = if option == "field limit" {
            field
        } else {
            session
        };
        assert!(error.to_string().contains(&value.to_string()), "{error}");
    }
    use std::time::Duration;
    for (idle, absolute) in [
        (Duration::ZERO, Duration::from_secs(1)),
        (Duration::from_secs(2), Duration::from_secs(1)),
        (Duration::from_secs(1), Duration::MAX),
        (Duration::MAX, Duration::MAX),
    ] {
        let error = SessionExpiry::new(idle, absolute).unwrap_err();
        assert!(["idle", "absolute"].contains(&error.option()), "{error}");
    }
}

/// A session full to the last byte with one field; a byte more is refused, at once or in the store.
#[tokio::test]
async fn raised_limits_hold_to_the_byte() {
    const BLOB: Key<Bytes, Raw> = Key::new("b");
    on_both(async |store: Store| {
        let limits = SessionLimits::new(1 << 20, 1 << 20).unwrap();
        let layer = SessionLayer::new(store.clone()).with_limits(limits);
        // A name of one byte and five bytes of lengths.
        let full = Bytes::from(vec![0xff; (1 << 20) - 6]);
        let answer = request(&layer, "", async |session: Session| {
            session.set(BLOB, &full).unwrap();
            OK
        })
        .await;
        assert_eq!(answer.status, OK, "{answer:?}");
        let cookie = answer.token();
        store.asked();
        let answer = request(&layer, &cookie, async |session: Session| {
            let over = Bytes::from(vec![0; (1 << 20) + 1]);
            let error = session.set(BLOB, &over).unwrap_err();
            assert_eq!(error.kind(), SessionErrorKind::TooLarge);
            assert_eq!(store.asked(), 0);
            assert_eq!(session.get(BLOB).await.unwrap().as_ref(), Some(&full));
            session.set("c", "").unwrap();
            OK
        })
        .await;
        assert_eq!(answer.status, StatusCode::PAYLOAD_TOO_LARGE);
        // Blindly: the store refuses by itself.
        let answer = request(&layer, &cookie, async |session: Session| {
            session.set("c", "").unwrap();
            OK
        })
        .await;
        assert_eq!(answer.status, StatusCode::PAYLOAD_TOO_LARGE);
    })
    .await;
}
