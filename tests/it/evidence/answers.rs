//! Answers that hand tokens out or take them away, and what such an answer as a whole keeps to.

use std::collections::{BTreeMap, BTreeSet};

use super::cookie::SetCookie;
use crate::support::evidence::{Answer, tokens_in};

/// What all of them together came to.
#[derive(Debug, Default)]
pub(super) struct Tally {
    /// Each with the test that it was handed out in.
    pub(super) tokens: BTreeMap<String, String>,
    pub(super) cookies: usize,
    pub(super) removals: usize,
    /// Removals in answer to a token that an answer of the suite had set as a cookie.
    pub(super) mirrored: usize,
    pub(super) cut_short: usize,
    pub(super) faults: Vec<String>,
}

/// Checks every answer, in whatever order they came.
pub(super) fn check(answers: &[Answer]) -> Tally {
    let mut tally = Tally::default();
    // How each token was set: more than once, where its lifetime changed.
    let mut set = BTreeMap::<&str, BTreeSet<Vec<String>>>::new();
    for answer in answers {
        for (name, value) in &answer.headers {
            let tokens = tokens_in(value).map(|token| (token.to_owned(), answer.test.clone()));
            tally.tokens.extend(tokens);
            let Some(cookie) = SetCookie::parse(value).filter(|_| name == "set-cookie") else {
                continue;
            };
            for token in tokens_in(cookie.value) {
                set.entry(token).or_default().insert(identity(&cookie));
            }
        }
    }
    for answer in answers {
        let mut fault = |rule: &str| tally.faults.push(format!("{rule}: {answer:?}"));
        let uncached =
            |(name, value): &(String, String)| name == "cache-control" && value == "no-store";
        if !answer.headers.iter().any(uncached) {
            fault("what hands a token out or takes it away is Cache-Control: no-store");
        }
        let mut names = BTreeSet::new();
        for (_, text) in answer
            .headers
            .iter()
            .filter(|(name, _)| name == "set-cookie")
        {
            tally.cookies += 1;
            let Some(cookie) = SetCookie::parse(text) else {
                fault("a cookie is name=value");
                continue;
            };
            cookie.faults().into_iter().for_each(&mut fault);
            if !names.insert(cookie.name) {
                fault("no cookie is set twice in an answer");
            }
            tally.cut_short += usize::from(cookie.is_cut_short());
            if cookie.is_removal() {
                tally.removals += 1;
                let presented = answer.presented.iter();
                let before: Vec<_> = presented.filter_map(|token| set.get(&**token)).collect();
                tally.mirrored += usize::from(!before.is_empty());
                if !before.is_empty() && !before.iter().any(|set| set.contains(&identity(&cookie)))
                {
                    fault("a removal has the name and attributes that the cookie was set with");
                }
            }
        }
    }
    tally
}

fn identity(cookie: &SetCookie<'_>) -> Vec<String> {
    let mut identity = cookie.identity();
    identity.push(cookie.name.to_owned());
    identity
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: &str = "1AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

    fn answer(presented: &str, headers: &[(&str, &str)]) -> Answer {
        let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        Answer {
            test: "this one".to_owned(),
            presented: tokens_in(presented).map(str::to_owned).collect(),
            headers: headers.iter().map(own).collect(),
        }
    }

    const NO_STORE: (&str, &str) = ("cache-control", "no-store");

    fn removed_by(removal: &str) -> Tally {
        let set = format!("a={TOKEN}; HttpOnly; SameSite=Lax; Secure; Path=/; Max-Age=9");
        check(&[
            answer("", &[NO_STORE, ("set-cookie", &set)]),
            answer(TOKEN, &[NO_STORE, ("set-cookie", removal)]),
        ])
    }

    #[test]
    fn good_answers_pass_and_are_counted() {
        let tally = removed_by("a=; HttpOnly; SameSite=Lax; Secure; Path=/; Max-Age=0");
        assert!(tally.faults.is_empty(), "{tally:?}");
        let counts = (
            tally.tokens.len(),
            tally.cookies,
            tally.removals,
            tally.mirrored,
        );
        assert_eq!(counts, (1, 2, 1, 1));
        let header = [NO_STORE, ("x-session", TOKEN)];
        assert_eq!(check(&[answer("", &header)]).tokens.len(), 1);
    }

    #[test]
    fn a_removal_that_misses_its_cookie_is_found() {
        for removal in [
            "a=; HttpOnly; SameSite=Lax; Path=/; Max-Age=0",
            "a=; HttpOnly; SameSite=Strict; Secure; Path=/; Max-Age=0",
            "a=; HttpOnly; SameSite=Lax; Secure; Path=/x; Max-Age=0",
            "a=; HttpOnly; SameSite=Lax; Secure; Path=/; Domain=a.b; Max-Age=0",
            "a=; HttpOnly; SameSite=Lax; Secure; Path=/; Partitioned; Max-Age=0",
            "b=; HttpOnly; SameSite=Lax; Secure; Path=/; Max-Age=0",
        ] {
            let faults = removed_by(removal).faults;
            assert_eq!(faults.len(), 1, "{removal}: {faults:?}");
            assert!(
                faults[0].starts_with("a removal has the name"),
                "{faults:?}"
            );
        }
    }

    #[test]
    fn an_answer_that_breaks_a_rule_is_told_which() {
        let good = ("set-cookie", "a=b; HttpOnly");
        let cases: [(&[(&str, &str)], &str); 6] = [
            (&[good], "what hands a token out"),
            (&[("x-session", TOKEN)], "what hands a token out"),
            (
                &[("cache-control", "private"), good],
                "what hands a token out",
            ),
            (
                &[NO_STORE, good, ("set-cookie", "a=c; HttpOnly")],
                "no cookie is set twice",
            ),
            (&[NO_STORE, ("set-cookie", "a")], "a cookie is name=value"),
            (&[NO_STORE, ("set-cookie", "a=b")], "scripts do not see it"),
        ];
        for (headers, rule) in cases {
            let faults = check(&[answer("", headers)]).faults;
            assert_eq!(faults.len(), 1, "{headers:?}: {faults:?}");
            assert!(faults[0].starts_with(rule), "{headers:?}: {faults:?}");
        }
    }
}
