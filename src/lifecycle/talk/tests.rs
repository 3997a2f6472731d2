//! What bytes make of a talk, however they are cut.
//!
//! Floor 1.

use super::*;

fn after(pieces: &[&[u8]]) -> Talk {
    let mut talk = Talk::new();
    for piece in pieces {
        talk.read(piece, Asks::Answer);
    }
    talk
}

#[test]
fn the_end_of_a_head_is_found_however_it_is_cut() {
    for head in [
        &b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"[..],
        b"POST / HTTP/1.1\r\nhost: x\r\n\r\nbody",
        b"PROPFIND / HTTP/1.1\r\r\n\r\n",
        b"GET / HTTP/1.1\nhost: x\n\n",
        b"\r\n\nGET / HTTP/1.1\r\nhost: x\r\n\r\n",
        b"PRI /x HTTP/1.1\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\n",
    ] {
        for cut in 1..head.len() {
            let (a, b) = head.split_at(cut);
            assert_eq!(after(&[a, b]), Talk::Whole, "cut at {cut}");
        }
        assert_eq!(after(&[head]), Talk::Whole);
    }
    for open in [
        &b"G"[..],
        b"P",
        b"PR",
        b"PUT",
        b"GET / HTTP/1.1\r\nhost: x\r\n",
        b"GET \n\r\r",
        b"GET \n \n",
        b"PRI x",
        &PREFACE[..17],
        b"get / HTTP/1.1\r\n",
        b"7",
        b"\r\n~",
    ] {
        assert!(after(&[open]).in_head(), "{open:?}");
    }
    // No preface after all, and nothing makes one of it.
    assert!(after(&[b"PRI x", &PREFACE[5..17]]).in_head());
}

#[test]
fn http2_and_tls_are_known_by_their_first_bytes() {
    for cut in 1..PREFACE.len() {
        let (a, b) = PREFACE.split_at(cut);
        assert_eq!(after(&[a, b]), Talk::Http2, "cut at {cut}");
        let frame = [b, &[0; 9]].concat();
        assert_eq!(after(&[a]).behind_preface(&frame), [0; 9]);
    }
    let frame = [b"\r\n\n", PREFACE, &[0; 9]].concat();
    assert_eq!(after(&[]).behind_preface(&frame), [0; 9]);
    let client_hello = [0x16, 0x03, 0x01, 0x02, 0x00, 0x01];
    assert_eq!(after(&[&client_hello]), Talk::Tls);
    assert_eq!(after(&[&client_hello[..1], &client_hello[1..]]), Talk::Tls);
    assert_eq!(after(&[&[0x17, 0x03]]), Talk::Opaque);
    assert!(!after(&[&client_hello, b"GET "]).in_head());
    assert_eq!(after(&[]), Talk::new());
    assert!(!Talk::new().in_head());
}

#[test]
fn an_answer_ends_the_request_and_a_continue_does_not() {
    let mut talk = after(&[b"PUT / HTTP/1.1\r\n\r\n"]);
    assert!(!talk.is_handed_over());
    talk.flush();
    assert_eq!(talk, Talk::Asked);
    talk.write(b"HTTP/1.1 100 Continue\r\n\r\n", Asks::Upload);
    talk.read(b"GET is how this body begins", Asks::Upload);
    assert_eq!(talk, Talk::Asked);
    talk.write(b"HTTP/1.1 200 OK\r\n", Asks::Upload);
    assert_eq!(talk, Talk::Idle);
    // More of the answer, whatever its body says.
    talk.write(b"HTTP/1.1 101 is no news in a body", Asks::Upload);
    assert_eq!(talk, Talk::Idle);
    // The rest of the request's body.
    for rest in [&b"{}"[..], b"BODY", b"GETTING on", b"\r\n", b""] {
        assert_eq!(talk.read(rest, Asks::Upload), None);
        assert_eq!(talk, Talk::Idle, "{rest:?}");
    }
    // Behind an answer to what has no body any method is one.
    for (begin, is_head) in [
        (&b"PROPFIND /"[..], true),
        (b"\r\nq", true),
        (b"<xml>", false),
        (b"\r\n", false),
        (b"", false),
    ] {
        let mut talk = talk;
        assert_eq!(talk.read(begin, Asks::Answer).is_some(), is_head);
        assert_eq!(talk.in_head(), is_head, "{begin:?}");
    }
    talk.read(b"GET / HT", Asks::Upload);
    assert!(talk.in_head());
    // A partial head is answered too: 408, 431.
    talk.write(b"HTTP/1.1 408 Request Timeout\r\n", Asks::Answer);
    assert_eq!(talk, Talk::Idle);
}

#[test]
fn a_socket_stays_upgraded_whatever_goes_over_it() {
    let mut talk = after(&[b"GET /ws HTTP/1.1\r\n\r\n"]);
    talk.flush();
    talk.write(b"HTTP/1.1 101 Switching Protocols\r\n", Asks::Answer);
    talk.write(b"HTTP/1.1 200 OK\r\n", Asks::Answer);
    talk.read(b"GET / HTTP/1.1\r\n", Asks::Answer);
    talk.flush();
    assert_eq!(talk, Talk::Upgraded);
}

#[test]
fn a_yes_to_connect_makes_a_tunnel() {
    for (method, status, then) in [
        ("CONNECT", 200, Talk::Upgraded),
        ("CONNECT", 502, Talk::Idle),
        ("COPY", 201, Talk::Idle),
    ] {
        let mut talk = Talk::new();
        let head = format!("{method} x:1 HTTP/1.1\r\n\r\n");
        let asks = talk.read(head.as_bytes(), Asks::Answer).expect("a request");
        talk.write(format!("HTTP/1.1 {status} x\r\n").as_bytes(), asks);
        assert_eq!(talk, then, "{method} {status}");
    }
}

#[test]
fn what_a_request_asks_for_is_said_once_however_it_is_cut() {
    for (head, upload, connect) in [
        (&b"POST / HTTP/1.1\r\n"[..], true, false),
        (b"\r\nPUT / HTTP/1.1\r\n", true, false),
        (b"CONNECT x:1 HTTP/1.1\r\n", false, true),
        (b"GET / HTTP/1.1\r\n", false, false),
    ] {
        for cut in 0..head.len() {
            for mut talk in [Talk::new(), Talk::Idle] {
                let (a, b) = head.split_at(cut);
                let mut asks = talk.read(a, Asks::Upload);
                match &mut asks {
                    None => asks = talk.read(b, Asks::Upload),
                    Some(asks) => {
                        assert_eq!(talk.read(b, *asks), None, "{head:?} cut at {cut}");
                        asks.go_on(b);
                    }
                }
                let asks = asks.expect("a request");
                let said = (asks == Asks::Upload, asks.is_connect());
                assert_eq!(said, (upload, connect), "{head:?} cut at {cut}");
            }
        }
    }
}
