use http::HeaderName;

use super::{
    LONGEST, MOST, Override, OverrideResult, OverrideResults, OverrideRules, Unwritable, Visit,
};
use crate::context::Moment;
use crate::request::HeaderList;
use crate::signature::{Rejected, SigningKey};

fn key(secret: &str) -> SigningKey {
    super::key(secret.as_bytes()).expect("a key")
}

fn to(deployment: &str, user: Option<&str>) -> Override {
    Override {
        service: "search".into(),
        deployment: deployment.into(),
        user: user.map(Into::into),
        expires: 1_796_000_000,
    }
}

#[test]
fn a_token_says_what_was_signed_in_characters_that_stand_anywhere() {
    let key = key("0123456789abcdef0123456789abcdef");
    for minted in [
        to("search.ranker-v2", None),
        to("stable", Some("u-1")),
        to("search.ab:b", Some("Ünal, \"x\"; y=z")),
        Override {
            expires: -1,
            ..to("søk.v2", None)
        },
    ] {
        let token = minted.sign(&key).expect("a token");
        let stands_anywhere = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        assert!(token.bytes().all(stands_anywhere), "{token}");
        assert_eq!(Override::open(token.as_bytes(), &key), Ok(minted));
    }
}

/// Others can make and read tokens in a few lines of any language: this is one by Python's `hmac`.
#[test]
fn the_format_is_fixed() {
    let key = key("0123456789abcdef0123456789abcdef");
    let token = to("search.ranker-v2", Some("u1")).sign(&key);
    let payload = "MTc5NjAwMDAwMApzZWFyY2gKc2VhcmNoLnJhbmtlci12Mgp1MQ";
    let signature = "-uerIV9va21Y5dieJonelXsI3-UldjAi78litIoeUOA";
    assert_eq!(token, Ok(format!("{payload}.{signature}")));
}

#[test]
fn what_was_changed_or_signed_by_another_key_is_forged() {
    let own = key("0123456789abcdef0123456789abcdef");
    let token = to("search.v2", None).sign(&own).expect("a token");
    let (payload, signature) = token.split_once('.').expect("two parts");
    let other = to("search.v3", None).sign(&own).expect("a token");
    let (other_payload, _) = other.split_once('.').expect("two parts");
    for forged in [
        format!("{other_payload}.{signature}"),
        format!("{payload}A.{signature}"),
        format!(".{signature}"),
        format!("{token}.{signature}"),
        to("search.v2", None)
            .sign(&key("another"))
            .expect("a token"),
    ] {
        let opened = Override::open(forged.as_bytes(), &own);
        assert_eq!(opened, Err(Rejected::Forged), "{forged}");
    }
    // Every single bit counts.
    for at in 0..token.len() {
        let mut bytes = token.clone().into_bytes();
        bytes[at] ^= 1;
        assert!(Override::open(&bytes, &own).is_err(), "{at}");
    }
}

#[test]
fn what_is_no_token_is_malformed() {
    let own = key("0123456789abcdef0123456789abcdef");
    let token = to("search.v2", None).sign(&own).expect("a token");
    for malformed in [
        "",
        ".",
        "x",
        "a.b",
        &token[..token.len() - 1],
        &format!("{token}="),
        &format!("{token} "),
        &format!("{}.{}", "A".repeat(LONGEST), "A".repeat(43)),
    ] {
        let opened = Override::open(malformed.as_bytes(), &own);
        assert_eq!(opened, Err(Rejected::Malformed), "{malformed}");
    }
    assert_eq!(Override::open(b"\xff.\xff", &own), Err(Rejected::Malformed));
}

/// The key signs whatever it is given: what is no override is none all the same.
#[test]
fn what_is_signed_and_says_something_else_is_malformed() {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;

    let own = key("0123456789abcdef0123456789abcdef");
    for payload in [
        "1\nsearch",
        "x\nsearch\nv2",
        "1\na\nb\nc\nd",
        "",
        "\n\n\n\n",
    ] {
        let payload = URL_SAFE_NO_PAD.encode(payload);
        let token = own.sign(&payload);
        let opened = Override::open(token.as_bytes(), &own);
        assert_eq!(opened, Err(Rejected::Malformed), "{payload}");
    }
}

#[test]
fn what_could_be_read_in_two_ways_is_not_written() {
    let key = key("k");
    for part in ["", "a\nb", "a\0"] {
        let written = to(part, None).sign(&key);
        assert_eq!(written, Err(Unwritable::Part(part.into())));
        let written = to("v2", Some(part)).sign(&key);
        assert_eq!(written, Err(Unwritable::Part(part.into())));
    }
    let long = to("v2", Some(&"u".repeat(LONGEST))).sign(&key);
    assert_eq!(long, Err(Unwritable::TooLong));
}

#[test]
fn an_override_is_over_at_the_very_second_that_it_names() {
    let minted = to("v2", None);
    let at = |unix_ms| minted.is_over(Moment { unix_ms });
    assert!(!at(1_795_999_999_999));
    assert!(at(1_796_000_000_000));
    let never = Override {
        expires: i64::MAX,
        ..minted
    };
    assert!(!never.is_over(Moment { unix_ms: 0 }));
}

#[test]
fn an_override_with_a_user_is_for_that_user_alone() {
    let own = to("v2", Some("u1"));
    assert!(own.is_for(Some("u1")));
    assert!(!own.is_for(Some("u2")) && !own.is_for(None));
    let open = to("v2", None);
    assert!(open.is_for(Some("u1")) && open.is_for(None));
}

/// The tokens that are looked at until `stop`, and whether there were more.
fn seen(fields: &[(&str, &str)], stop: &str) -> (Vec<String>, bool) {
    let rules = OverrideRules {
        key: key("k"),
        header: HeaderName::from_static("x-ov"),
        cookie: "ov".into(),
    };
    let headers: HeaderList = fields.iter().map(|(name, value)| (*name, *value)).collect();
    let head = headers.head();
    let mut seen = Vec::new();
    let has_more = rules.visit_tokens(&head, &mut |token| {
        seen.push(String::from_utf8_lossy(token).into_owned());
        match token == stop.as_bytes() {
            true => Visit::Stop,
            false => Visit::GoOn,
        }
    });
    (seen, has_more)
}

#[test]
fn tokens_stand_in_the_header_and_in_the_cookie_with_commas_between_them() {
    let fields = [
        ("cookie", "a=1; ov=c1,c2; ovx=no"),
        ("x-ov", "h1 ,, h2"),
        ("x-ov", "h3"),
        ("cookie", "ov=\"c3\""),
        ("x-serin-override", "no"),
    ];
    let (all, has_more) = seen(&fields, "");
    assert_eq!(all, ["h1", "h2", "h3", "c1", "c2", "c3"]);
    assert!(!has_more);
    assert_eq!(seen(&fields, "h2"), (vec!["h1".into(), "h2".into()], false));
    assert_eq!(seen(&[], ""), (Vec::new(), false));
}

#[test]
fn only_so_many_tokens_are_looked_at() {
    let many = |count: usize| vec!["t"; count].join(",");
    let (all, has_more) = seen(&[("x-ov", &many(MOST))], "");
    assert_eq!((all.len(), has_more), (MOST, false));
    let (all, has_more) = seen(&[("x-ov", &many(MOST)), ("cookie", "ov=t")], "");
    assert_eq!((all.len(), has_more), (MOST, true));
}

#[test]
fn a_set_has_each_result_once() {
    for (index, result) in OverrideResult::ALL.into_iter().enumerate() {
        assert_eq!(result.index(), index, "{result:?}");
        let mut set = OverrideResults::default();
        assert!(set.is_empty());
        set.add(result);
        set.add(result);
        assert_eq!(set.iter().collect::<Vec<_>>(), [result]);
    }
    let mut all = OverrideResults::default();
    for result in OverrideResult::ALL {
        all.add(result);
    }
    assert_eq!(all.iter().collect::<Vec<_>>(), OverrideResult::ALL);
}

#[test]
fn no_bytes_whatever_are_a_token_that_nobody_signed() {
    use rand::rngs::SmallRng;
    use rand::{RngExt as _, SeedableRng as _};

    let own = key("0123456789abcdef0123456789abcdef");
    let token = to("search.v2", Some("u1")).sign(&own).expect("a token");
    let mut random = SmallRng::seed_from_u64(1);
    for _ in 0..20_000 {
        let length = random.random_range(0..120);
        let mut bytes: Vec<u8> = (0..length).map(|_| random.random()).collect();
        assert!(Override::open(&bytes, &own).is_err());
        // Parts of a real one among them.
        let (from, to) = (
            random.random_range(0..token.len()),
            random.random_range(0..=token.len()),
        );
        bytes.extend_from_slice(token.as_bytes().get(from..to).unwrap_or_default());
        assert!(Override::open(&bytes, &own).is_err() || bytes == token.as_bytes());
    }
}
