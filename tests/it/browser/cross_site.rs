//! What other sites can make a browser do.

use serde_json::json;

use super::site::{Visitor, on_both};

/// Somebody who is logged in and looks at a page of another site; with the token.
async fn lured_away(visitor: &mut Visitor) -> String {
    visitor.fetch("POST", "/login/ada", None).await;
    visitor.fetch("PUT", "/session/name", Some("\"Ada\"")).await;
    assert_eq!(visitor.fetch("POST", "/counter/hits", None).await.text, "1");
    let token = visitor.token().await;
    lure(visitor).await;
    token
}

async fn lure(visitor: &mut Visitor) {
    let page = format!("{}/untouched", visitor.site.other_site());
    visitor.browser.goto(&page).await;
}

#[tokio::test]
#[ignore = "wants Chromium: ./scripts/test browser"]
async fn a_link_on_another_site_finds_the_visitor_logged_in() {
    on_both(async |visitor| {
        let token = lured_away(visitor).await;
        let script = "
            const link = document.createElement('a');
            link.href = arguments[0];
            document.body.append(link);
            link.click();";
        let target = format!("{}/session/name", visitor.site.origin);
        visitor.browser.run(script, json!([target])).await;
        visitor.arrives_at("/session/name").await;
        assert_eq!(visitor.page().await, "\"Ada\"");
        assert_eq!(visitor.token().await, token);
    })
    .await;
}

#[tokio::test]
#[ignore = "wants Chromium: ./scripts/test browser"]
async fn a_form_on_another_site_does_not_act_for_the_visitor_but_can_log_out() {
    on_both(async |visitor| {
        let token = lured_away(visitor).await;
        post_form(visitor, "/session/rotate").await;
        visitor.goto("/untouched").await;
        assert_eq!(visitor.token().await, token, "a route that wants a session");

        lure(visitor).await;
        post_form(visitor, "/counter/hits").await;
        assert_eq!(visitor.page().await, "1", "a session of nobody counted");
        let session = visitor.replay(&token).await.json();
        assert_eq!(session["fields"]["hits"], 1, "the visitor's did not");
        // As the docs of `SessionSameSite::Lax` say: the new session's cookie replaced it.
        assert_ne!(visitor.token().await, token);
        assert_eq!(
            visitor.fetch("GET", "/session/name", None).await.status,
            404
        );
    })
    .await;
}

async fn post_form(visitor: &mut Visitor, path: &str) {
    let script = "
        const form = document.createElement('form');
        form.method = 'POST';
        form.action = arguments[0];
        document.body.append(form);
        form.submit();";
    let target = format!("{}{path}", visitor.site.origin);
    visitor.browser.run(script, json!([target])).await;
    visitor.arrives_at(path).await;
}

#[tokio::test]
#[ignore = "wants Chromium: ./scripts/test browser"]
async fn a_request_that_another_site_embeds_neither_acts_for_the_visitor_nor_takes_the_cookie() {
    on_both(async |visitor| {
        let token = lured_away(visitor).await;
        let embedded = "
            const options = { method: 'POST', mode: 'no-cors', credentials: 'include' };
            return fetch(arguments[0], options).then(answer => answer.type);";
        let target = format!("{}/counter/hits", visitor.site.origin);
        let answer = visitor.browser.run(embedded, json!([target])).await;
        assert_eq!(answer, "opaque", "it was sent and answered");
        visitor.goto("/untouched").await;
        assert_eq!(visitor.token().await, token);
        assert_eq!(visitor.fetch("GET", "/session/hits", None).await.text, "1");
        // The same script on a page of the site itself does act for the visitor.
        let answer = visitor.browser.run(embedded, json!([target])).await;
        assert_eq!(answer, "basic");
        assert_eq!(visitor.fetch("GET", "/session/hits", None).await.text, "2");
    })
    .await;
}
