//! `client_api`.

use std::time::Duration;

use super::{check_with, config, with};
use crate::config::token::Token;

#[test]
fn it_is_off_unless_present() {
    assert_eq!(config(&with("")).client_api, None);
}

#[test]
fn a_path_is_enough() {
    let config = config(&with("client_api: { path: /.serin/ }"));
    let api = config.client_api.expect("it");
    assert_eq!(&*api.path, "/.serin");
    assert!(api.tokens.is_empty() && api.backend_tokens.is_empty() && api.cors.is_empty());
    assert!(api.shows("any.flag"));
    assert_eq!((api.rate.requests.get(), api.rate.burst), (100, 200));
    assert_eq!(api.rest("/.serin/api"), Some("/api"));
    assert_eq!(api.rest("/.serin"), Some(""));
    assert_eq!(api.rest("/.serinx"), None);
}

#[test]
fn everything_can_be_said() {
    let config = config(&with(
        "
client_api:
  path: /flags
  tokens: [app-1, app-2]
  backend_tokens: [server-1]
  cors: [https://app.example.com, 'http://localhost:3000']
  flags: [shop.*, search.v2]
  rate_limit: { requests: 10, window: 2s, burst: 15 }
",
    ));
    let api = config.client_api.expect("it");
    assert_eq!(api.tokens, [Token::of("app-1"), Token::of("app-2")]);
    assert_eq!(api.backend_tokens, [Token::of("server-1")]);
    assert_eq!(
        api.cors,
        ["https://app.example.com", "http://localhost:3000"]
    );
    assert!(api.shows("shop.colour") && api.shows("search.v2") && !api.shows("search.v3"));
    assert_eq!(
        (api.rate.requests.get(), api.rate.window, api.rate.burst),
        (10, Duration::from_secs(2), 15)
    );
    assert!(!format!("{api:?}").contains("app-1"));
}

#[test]
fn what_is_wrong_is_said() {
    insta::assert_snapshot!(check_with(
        "
client_api:
  path: serin
  tokens: [same, 'with space']
  backend_tokens: [same]
  cors: ['*', https://app.example.com/, app.example.com, https://App.example.com]
  rate_limit: { requests: 0 }
"
    ));
}
