//! `attribution`.

use std::time::Duration;

use super::{Given, NOW, check_with, config, with};
use crate::config::attribution::{Lanes, ReceiptKey};
use crate::config::{OnUnset, compile};

const SECRET: &str = "a-secret-of-at-least-thirty-two-bytes";

fn receipts(keys: &str) -> String {
    format!("attribution: {{ receipts: {{ {keys} }} }}")
}

#[test]
fn a_key_and_a_place_are_enough_and_no_key_is_shown() {
    let nothing = config(&with(""));
    assert_eq!(nothing.process.attribution.receipts, None);
    assert_eq!(nothing.lanes, Lanes::Follow);
    let stated = config(&with(&receipts(&format!("key: {SECRET}, cookie: r"))));
    assert!(!format!("{stated:?}").contains(SECRET));
    let own = stated.process.attribution.receipts.unwrap();
    let ReceiptKey::Secret(secret) = &own.key else {
        panic!("{own:?}");
    };
    assert_eq!(secret.expose(), SECRET);
    assert_eq!((own.cookie.as_deref(), own.header), (Some("r"), None));
    assert_eq!(own.ttl, Duration::from_secs(86_400));
    let file = config(&with(&receipts("private_key: k.pem, header: X-R, ttl: 1h")));
    let own = file.process.attribution.receipts.unwrap();
    let ReceiptKey::PrivateKey(file) = own.key else {
        panic!("{:?}", own.key);
    };
    assert_eq!(file.path.to_str(), Some("k.pem"));
    assert_eq!(file.key, "attribution.receipts.private_key");
    assert_eq!(own.header.unwrap().as_str(), "x-r");
}

#[test]
fn what_is_wrong_with_receipts_is_told() {
    for (keys, told) in [
        ("cookie: r", "receipts need one of `key` and `private_key`"),
        (
            "key: a, private_key: b, cookie: r",
            "receipts need one of `key` and `private_key`",
        ),
        ("key: a, cookie: r", "fewer than 32 characters"),
        ("key: a", "receipts need a `cookie` or a `header`"),
        (
            "key: a, header: set-cookie",
            "is not a header field for receipts",
        ),
        (
            "key: a, header: x-serin-decision",
            "is not a header field for receipts",
        ),
        (
            "key: a, header: 'x r'",
            "is not a header field for receipts",
        ),
        ("key: a, cookie: 'a;b'", "is not the name of a cookie"),
        ("key: a, cookie: r, ttl: 0s", "ttl"),
        ("key: a, cookie: r, life: 1s", "`life`"),
    ] {
        let said = check_with(&receipts(keys));
        assert!(said.contains(told), "{keys}: {said}");
    }
}

#[test]
fn a_key_that_is_not_set_is_awaited() {
    let text = with(&receipts("key: '${RECEIPT_KEY}', cookie: r"));
    let compile = |on_unset| compile(&text, &Given::default(), on_unset, NOW);
    let awaited = compile(OnUnset::StandIn).expect("it may be set elsewhere");
    assert_eq!(awaited.process.attribution.receipts, None);
    assert!(compile(OnUnset::Refuse).is_err());
}
