//! `attribution.sinks` and `attribution.spool`.

use std::time::Duration;

use super::{check_with, config, with};
use crate::config::attribution::sinks::{FileFormat, SinkProduct, SpoolConfig, WebhookFormat};
use crate::config::attribution::{AttributionConfig, UserForm};

fn compiled(sinks: &str) -> AttributionConfig {
    let text = format!("attribution: {{ exposures: {{ key: a-key-of-sixteen-bytes }}, {sinks} }}");
    config(&with(&text)).process.attribution
}

#[test]
fn the_usual_is_short() {
    let attribution = compiled(
        "sinks: [{ name: lake, file: { path: exposures/ } }, \
         { name: mp, users: plain, mixpanel: { project_id: 12345, service_account: { user: u, secret: s3cret }, region: eu } }, \
         { name: hook, webhook: { url: 'https://hooks.example.com/serin', secret: whsec } }]",
    );
    assert!(!format!("{attribution:?}").contains("s3cret"));
    let spool = SpoolConfig {
        max_bytes: 1 << 30,
        max_age: Duration::from_secs(7 * 24 * 3600),
    };
    assert_eq!(attribution.spool, spool);
    let names: Vec<&str> = attribution.sinks.iter().map(|sink| &*sink.name).collect();
    assert_eq!(names, ["lake", "mp", "hook"]);
    let users: Vec<_> = attribution.sinks.iter().map(|sink| sink.users).collect();
    assert_eq!(users, [None, Some(UserForm::Plain), None]);
    let products: Vec<&SinkProduct> = attribution.sinks.iter().map(|sink| &sink.product).collect();
    let [
        SinkProduct::File(file),
        SinkProduct::Mixpanel(mixpanel),
        SinkProduct::Webhook(webhook),
    ] = products.as_slice()
    else {
        panic!("other products")
    };
    assert_eq!(
        (file.rotate, file.format),
        (128 << 20, FileFormat::Exposures)
    );
    assert_eq!(mixpanel.url.as_str(), "https://api-eu.mixpanel.com");
    assert_eq!(webhook.format, WebhookFormat::CloudEvents);
    assert_eq!(webhook.secret.as_ref().unwrap().expose(), "whsec");
}

#[test]
fn what_is_wrong_is_told() {
    insta::assert_snapshot!(check_with("\
attribution:
  exposures: { users: plain }
  sinks:
    - { name: a }
    - { name: b, users: hash, file: { path: x } }
    - { name: b, file: { path: x/ } }
    - { name: c, webhook: { url: 'https://user@host/x', format: segment } }
    - { name: d, webhook: { url: 'https://host/x/', secret: 'two words' } }
    - { name: e, mixpanel: { project_id: 0, region: us, url: 'http://a', service_account: { user: u, secret: s } } }
  spool: { max_bytes: 1KiB }
"), @r#"
error: a sink is one of `file`, `mixpanel` and `webhook`
 --> routes.yaml:6:7
  |
6 |     - { name: a }
  |       ^^^^^^^^^^^
  = hint: as in { name: lake, file: { path: exposures/ } }; for two of them, two sinks

error: `users: hash` needs a key
 --> routes.yaml:7:25
  |
7 |     - { name: b, users: hash, file: { path: x } }
  |                         ^^^^
  = hint: add `attribution.exposures.key`, the same for all gateways

error: `b` writes to the same folder
 --> routes.yaml:8:7
  |
8 |     - { name: b, file: { path: x/ } }
  |       ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
  = hint: each has a folder of its own

error: another sink is called `b`
 --> routes.yaml:8:15
  |
8 |     - { name: b, file: { path: x/ } }
  |               ^
  = hint: each has a name of its own

error: `format: segment` needs a `secret`
 --> routes.yaml:9:27
  |
9 |     - { name: c, webhook: { url: 'https://user@host/x', format: segment } }
  |                           ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
  = hint: it is the write key of the source: write ${SEGMENT_WRITE_KEY}

error: `https://user@host/x` is not the URL of a webhook
 --> routes.yaml:9:34
  |
9 |     - { name: c, webhook: { url: 'https://user@host/x', format: segment } }
  |                                  ^^^^^^^^^^^^^^^^^^^^^
  = hint: http:// or https://, a host, and perhaps a port and a path, as in https://hooks.example.com/serin; no user and no query

error: `https://host/x/` is not the URL of a webhook
  --> routes.yaml:10:34
   |
10 |     - { name: d, webhook: { url: 'https://host/x/', secret: 'two words' } }
   |                                  ^^^^^^^^^^^^^^^^^
   = hint: without the slash at its end

error: this is not a secret
  --> routes.yaml:10:61
   |
10 |     - { name: d, webhook: { url: 'https://host/x/', secret: 'two words' } }
   |                                                             ^^^^^^^^^^^
   = hint: visible ASCII characters without spaces

error: `0` is not a number that can stand here
  --> routes.yaml:11:42
   |
11 | …   - { name: e, mixpanel: { project_id: 0, region: us, url: 'http://a', service_account: { user: u, secret: s …
   |                                          ^
   = hint: a whole number from 1 to 4294967295

error: `url` stands in place of `region`
  --> routes.yaml:11:53
   |
11 | …: e, mixpanel: { project_id: 0, region: us, url: 'http://a', service_account: { user: u, secret: s } } }
   |                                          ^^
   = hint: take one of them out

error: `1KiB` is not a size that can stand here
  --> routes.yaml:12:23
   |
12 |   spool: { max_bytes: 1KiB }
   |                       ^^^^
   = hint: from 1MiB to 1024GiB

routes.yaml: 11 errors
"#);
    insta::assert_snapshot!(check_with("attribution: { sinks: [{ name: a, file: { path: x } }] }"), @r#"
error: there are `sinks` but no `exposures` for them
 --> routes.yaml:3:23
  |
3 | attribution: { sinks: [{ name: a, file: { path: x } }] }
  |                       ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
  = hint: add `exposures: { key: "${ATTRIBUTION_KEY}" }`

routes.yaml: 1 error
"#);
}
