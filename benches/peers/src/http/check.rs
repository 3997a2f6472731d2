//! Whether a candidate does what is measured of it.

use super::caller::Caller;
use super::load::CONNECTIONS;
use crate::Error;

/// Asks every route once or more on one session and looks at what it did.
pub fn routes(port: u16) -> Result<(), Error> {
    let mut caller = Caller::connect(port)?;
    let cookie = caller.seed()?;
    expect("/none", caller.get("/none", "")?.body, "none")?;
    expect("/read", caller.get("/read", &cookie)?.body, &"x".repeat(40))?;
    expect("/write", caller.get("/write", &cookie)?.body, "1")?;
    expect("/increment", caller.get("/increment", &cookie)?.body, "2")?;
    expect("/write", caller.get("/write", &cookie)?.body, "3")?;
    let set = caller.get("/set", &cookie)?.body.to_owned();
    expect(
        "/state",
        caller.get("/state", &cookie)?.body,
        &format!("3 {set}"),
    )?;

    let answer = caller.get("/login", &cookie)?;
    let fresh = answer.cookie().ok_or("/login set no cookie")?.to_owned();
    expect(
        "/state",
        caller.get("/state", &fresh)?.body,
        &format!("3 {set}"),
    )?;
    for useless in [cookie.as_str(), ""] {
        let status = caller.ask("GET", "/read", useless)?.status().to_owned();
        expect("/read with a useless cookie", &status, "404")?;
    }
    Ok(())
}

/// Increments one session from many connections at a time, and says how many were to count and
/// how many did.
pub fn increments(port: u16) -> Result<(u64, u64), Error> {
    const EACH: u64 = 50;
    let mut caller = Caller::connect(port)?;
    let cookie = &caller.seed()?;
    std::thread::scope(|scope| {
        let count = || {
            let mut caller = Caller::connect(port)?;
            (0..EACH).try_for_each(|_| caller.get("/increment", cookie).map(drop))
        };
        let counting: Vec<_> = (0..CONNECTIONS).map(|_| scope.spawn(count)).collect();
        counting
            .into_iter()
            .try_for_each(|one| one.join().map_err(|_| "a caller panicked")?)
    })?;
    let answer = caller.get("/state", cookie)?;
    let n = answer.body.split(' ').next().unwrap_or_default();
    Ok((EACH * CONNECTIONS as u64, n.parse()?))
}

fn expect(what: &str, found: &str, wanted: &str) -> Result<(), Error> {
    match found == wanted {
        true => Ok(()),
        false => Err(format!("{what} gave {found:?}, not {wanted:?}").into()),
    }
}
