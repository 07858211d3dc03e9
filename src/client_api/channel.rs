//! Users opt in to a channel, and out of it.
//!
//! No token is asked for, as little as for [`super::decisions`]: it is users' browsers that ask, an app's token is in everybody's
//! hands, and what is changed is the asking browser's own cookie. What has to be kept out are other sites, which could opt
//! their visitors in: browsers say which site's page asks, and only the gateway's own and those of `cors` may.

use http::header::{ORIGIN, SET_COOKIE};
use http::{HeaderValue, StatusCode};
use serde::Deserialize;
use serde_json::json;

use super::reply::Reply;
use super::{ApiRequest, access};
use crate::forward::cookies;

/// The body of `POST …/channel`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Choice {
    channel: String,
}

/// Sets the user's channel, or takes it back.
pub(super) fn answer(asked: &ApiRequest<'_>, body: &[u8]) -> Reply {
    let Some(rules) = &asked.snapshot.identity.channels else {
        return Reply::error(StatusCode::NOT_FOUND, "there are no channels here");
    };
    if !is_of_this_site(asked) {
        let why = "pages of this origin may not ask";
        return Reply::error(StatusCode::FORBIDDEN, why);
    }
    if asked.head.method == "DELETE" {
        return with_cookie(Reply::empty(StatusCode::NO_CONTENT), asked, None);
    }
    let Ok(Choice { channel }) = serde_json::from_slice(body) else {
        let why = "the body is not {\"channel\": \"…\"}";
        return Reply::error(StatusCode::BAD_REQUEST, why);
    };
    if !rules.has(&channel) {
        let why = "there is no channel of this name";
        return Reply::error(StatusCode::BAD_REQUEST, why);
    }
    let said = json!({ "channel": channel }).to_string();
    with_cookie(Reply::json(StatusCode::OK, said), asked, Some(&channel))
}

fn with_cookie(reply: Reply, asked: &ApiRequest<'_>, channel: Option<&str>) -> Reply {
    let rules = &asked.snapshot.identity;
    match cookies::of_channel(rules, channel, asked.https) {
        Some(cookie) => reply.with(SET_COOKIE, cookie),
        None => reply,
    }
}

/// Whether the page that asks is of the gateway's own site, or one of `cors`. What names no page is no browser's.
fn is_of_this_site(asked: &ApiRequest<'_>) -> bool {
    let headers = asked.head.headers;
    let Some(origin) = headers.first(ORIGIN.as_str()) else {
        return true;
    };
    if access::origin(asked.config, asked.head).is_some()
        || headers.first("sec-fetch-site") == Some(b"same-origin")
    {
        return true;
    }
    let origin = HeaderValue::from_bytes(origin).ok();
    let origin = origin.as_ref().and_then(|origin| origin.to_str().ok());
    let host = origin.and_then(|origin| Some(origin.split_once("://")?.1));
    let forwarded = headers.text("x-forwarded-host");
    let own = match forwarded.filter(|_| asked.head.peer_trusted) {
        Some(forwarded) => forwarded,
        None => asked.head.authority,
    };
    host.is_some_and(|host| host.eq_ignore_ascii_case(own))
}
