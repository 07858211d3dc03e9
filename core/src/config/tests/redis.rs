//! `redis`.

use std::path::PathBuf;

use super::{check_with, config, with};
use crate::config::redis::{RedisTls, RedisUrl, RedisUrls};

#[test]
fn a_url_is_enough_and_no_password_is_shown() {
    assert_eq!(config(&with("")).process.redis, None);
    let config = config(&with("redis: { url: 'redis://serin:p%40ss@redis:6380/3' }"));
    assert!(!format!("{config:?}").contains("p%40ss"), "{config:?}");
    let redis = config.process.redis.unwrap();
    assert_eq!(redis.url.to_string(), "redis://redis:6380/3");
    assert_eq!(
        redis.url.all()[0].expose(),
        "redis://serin:p%40ss@redis:6380/3"
    );
    assert_eq!((&*redis.prefix, redis.tls), ("serin:", RedisTls::default()));
}

#[test]
fn tls_is_by_the_scheme_and_its_files_by_name() {
    let plain = config(&with("redis: { url: 'rediss://redis' }"));
    let redis = plain.process.redis.unwrap();
    assert!(redis.url.all()[0].is_tls());
    assert_eq!(redis.url.to_string(), "rediss://redis:6379/0");
    let config = config(&with(
        "redis: { url: 'rediss://[::1]:7', prefix: 'eu:', tls: { ca: ca.pem, client_cert: c.pem, client_key: k.pem } }",
    ));
    let redis = config.process.redis.unwrap();
    assert_eq!(redis.url.to_string(), "rediss://[::1]:7/0");
    let file = |name: &str| PathBuf::from(name);
    let tls = RedisTls {
        ca: Some(file("ca.pem")),
        client: Some((file("c.pem"), file("k.pem"))),
    };
    assert_eq!((&*redis.prefix, redis.tls), ("eu:", tls));
}

#[test]
fn urls_are_judged_without_being_shown() {
    for (url, hint) in [
        ("http://redis", "redis:// or rediss://"),
        ("redis", "redis:// or rediss://"),
        ("redis://", "redis://redis.default.svc"),
        ("redis://a:b", "port"),
        ("redis://a:0", "port"),
        ("redis://a:66000", ""),
        ("redis://secret@a/b", "database"),
        ("rediss://a#insecure", "ends with"),
        ("redis://a/0?x=y", "ends with"),
    ] {
        let said = RedisUrl::parse(url).unwrap_err();
        assert!(said.contains(hint), "{url}: {said}");
    }
}

#[test]
fn what_is_wrong_is_told() {
    insta::assert_snapshot!(check_with(
        "redis: { url: 'redis://x:y@a/b', prefix: '{a}', tls: { client_cert: c.pem } }"
    ), @r#"
error: this is not the URL of a Redis
 --> routes.yaml:3:15
  |
3 | redis: { url: 'redis://x:y@a/b', prefix: '{a}', tls: { client_cert: c.pem } }
  |               ^^^^^^^^^^^^^^^^^
  = hint: its path is the number of a database

error: `{a}` is not a prefix for keys
 --> routes.yaml:3:42
  |
3 | redis: { url: 'redis://x:y@a/b', prefix: '{a}', tls: { client_cert: c.pem } }
  |                                          ^^^^^
  = hint: at most 100 visible ASCII characters, without braces

error: `client_cert` and `client_key` need each other
 --> routes.yaml:3:54
  |
3 | redis: { url: 'redis://x:y@a/b', prefix: '{a}', tls: { client_cert: c.pem } }
  |                                                      ^^^^^^^^^^^^^^^^^^^^^^
  = hint: state both, or none of them

routes.yaml: 3 errors
"#);
    insta::assert_snapshot!(check_with("redis: { url: 'redis://a', tls: { ca: ca.pem } }"), @r#"
error: `tls` is for URLs that begin with rediss://
 --> routes.yaml:3:33
  |
3 | redis: { url: 'redis://a', tls: { ca: ca.pem } }
  |                                 ^^^^^^^^^^^^^^
  = hint: without TLS, state and passwords go over the network as they are

routes.yaml: 1 error
"#);
    insta::assert_snapshot!(check_with("redis: {}"), @r#"
error: `url` is missing
 --> routes.yaml:3:8
  |
3 | redis: {}
  |        ^^
  = hint: Where it is, as in redis://redis.default.svc:6379/0; rediss:// with TLS; a list: nodes of a Redis Cluster. A password is a secret: write ${REDIS_URL}.

routes.yaml: 1 error
"#);
}

#[test]
fn a_list_names_the_nodes_of_a_cluster() {
    let one = config(&with("redis: { url: ['redis://a:7000'] }"));
    let redis = one.process.redis.unwrap();
    let node = RedisUrl::parse("redis://a:7000").unwrap();
    assert_eq!(redis.url, RedisUrls::Cluster(vec![node]));
    let several = config(&with("redis: { url: [rediss://a, 'rediss://:x@b:7'] }"));
    let redis = several.process.redis.unwrap();
    assert_eq!(redis.url.to_string(), "rediss://a:6379/0, rediss://b:7/0");
    insta::assert_snapshot!(check_with("redis: { url: [redis://a, rediss://b, 'redis://c/1', c] }"), @r#"
error: this is not the URL of a Redis
 --> routes.yaml:3:54
  |
3 | redis: { url: [redis://a, rediss://b, 'redis://c/1', c] }
  |                                                      ^
  = hint: it begins with redis:// or rediss://

routes.yaml: 1 error
"#);
    insta::assert_snapshot!(check_with("redis: { url: [redis://a, rediss://b, 'redis://c/1'] }"), @r#"
error: redis:// and rediss:// cannot be mixed
 --> routes.yaml:3:27
  |
3 | redis: { url: [redis://a, rediss://b, 'redis://c/1'] }
  |                           ^^^^^^^^^^
  = hint: the nodes of a cluster all speak TLS, or none of them does

error: a Redis Cluster has no database but 0
 --> routes.yaml:3:39
  |
3 | redis: { url: [redis://a, rediss://b, 'redis://c/1'] }
  |                                       ^^^^^^^^^^^^^
  = hint: a list names the nodes of one cluster; leave the number out

routes.yaml: 2 errors
"#);
    insta::assert_snapshot!(check_with("redis: { url: [] }"), @r#"
error: the list of a cluster's nodes is empty
 --> routes.yaml:3:15
  |
3 | redis: { url: [] }
  |               ^^
  = hint: name one node at least, by which the others are found

routes.yaml: 1 error
"#);
}
