use std::path::PathBuf;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::jws::{self, Rejected};
use super::keys::{KeyError, SigningKey, VerifyingKey};
use super::{Receipts, verified, verify};
use crate::config::attribution::{Control, ExposuresConfig, ReceiptKey, ReceiptsConfig, UserForm};
use crate::config::diagnostic::Span;
use crate::config::flag_server::Secret;
use crate::config::tls::StatedFile;
use crate::context::Moment;
use crate::exposure::hashed_user;
use crate::receipt::Answering;

const NOW: Moment = Moment {
    unix_ms: 1_800_000_000_000,
};

const SECRET: &str = "a secret of at least thirty-two bytes";

fn later(seconds: i64) -> Moment {
    Moment {
        unix_ms: NOW.unix_ms + seconds * 1000,
    }
}

fn config(key: ReceiptKey) -> ReceiptsConfig {
    ReceiptsConfig {
        key,
        cookie: Some("serin_receipt".into()),
        header: None,
        ttl: Duration::from_secs(3600),
    }
}

fn private_key(path: PathBuf) -> ReceiptKey {
    ReceiptKey::PrivateKey(StatedFile {
        path,
        span: Span::default(),
        key: "attribution.receipts.private_key".to_owned(),
    })
}

fn exposures(users: UserForm, key: Option<&str>) -> ExposuresConfig {
    ExposuresConfig {
        users,
        key: key.map(Secret::new),
        anonymous: false,
        control: Control::None,
        properties: Vec::new(),
    }
}

fn with_secret(secret: &str) -> Receipts {
    let config = config(ReceiptKey::Secret(Secret::new(secret)));
    Receipts::new(&config, None).expect("a secret is a key")
}

fn answering() -> Answering<'static> {
    Answering {
        service: "search",
        deployment: "stable",
        flag: Some("search.v2"),
        variant: Some("b"),
        reason: "ring",
        assigned: "search.v2",
        generation: 41,
    }
}

fn token(receipts: &Receipts, user: &str) -> String {
    let token = receipts.due(None, user, answering(), NOW);
    token.expect("the first one is due")
}

fn part(token: &str, at: usize) -> Value {
    let part = token.split('.').nth(at).expect("a part");
    let bytes = URL_SAFE_NO_PAD.decode(part).expect("base64url");
    serde_json::from_slice(&bytes).expect("JSON")
}

#[test]
fn a_receipt_is_a_jwt_that_says_who_served_whom() {
    let receipts = with_secret(SECRET);
    let token = token(&receipts, "ann");
    let header = part(&token, 0);
    assert_eq!([&header["alg"], &header["typ"]], ["HS256", "JWT"]);
    let expected = json!({
        "iss": "serin", "sub": receipts.subject("ann"), "iat": 1_800_000_000, "exp": 1_800_003_600,
        "served": { "search": {
            "d": "stable", "f": "search.v2", "v": "b", "r": "ring", "a": "search.v2", "g": 41,
        } },
    });
    assert_eq!(part(&token, 1), expected);
    let held = receipts.read(token.as_bytes(), "ann", NOW).expect("valid");
    assert_eq!(receipts.due(Some(&held), "ann", answering(), NOW), None);
}

#[test]
fn another_gateway_with_the_key_reads_what_the_first_one_wrote() {
    let (one, two) = (with_secret(SECRET), with_secret(SECRET));
    assert_eq!(one.subject("ann"), two.subject("ann"));
    assert!(two.read(token(&one, "ann").as_bytes(), "ann", NOW).is_ok());
}

#[test]
fn forged_expired_and_foreign_receipts_are_told_apart() {
    let receipts = with_secret(SECRET);
    let valid = token(&receipts, "ann");
    let read = |token: &str, now| receipts.read(token.as_bytes(), "ann", now).map(|_| ());
    assert_eq!(read(&valid, later(3599)), Ok(()));
    assert_eq!(
        read(&valid, later(3600)),
        Err(Rejected::Expired(later(3600)))
    );
    let others = token(&receipts, "bob");
    assert_eq!(
        read(&others, NOW),
        Err(Rejected::Foreign("it is another user's"))
    );
    let elsewhere = token(
        &with_secret("another secret, of thirty-two bytes too"),
        "ann",
    );
    let by_another_key = Err(Rejected::Foreign("it is signed by another key"));
    assert_eq!(read(&elsewhere, NOW), by_another_key);
    let [head, payload, signature] = valid.split('.').collect::<Vec<_>>()[..] else {
        panic!("{valid}");
    };
    let own_key = part(&valid, 0)["kid"].clone();
    let with_header = |header: Value| {
        let header = URL_SAFE_NO_PAD.encode(header.to_string());
        format!("{header}.{payload}.{signature}")
    };
    let other_payload = others.split('.').nth(1).expect("a payload");
    for forged in [
        String::new(),
        "x".to_owned(),
        "..".to_owned(),
        format!("{head}.{payload}"),
        format!("{head}.{payload}."),
        format!("{head}.{payload}.AAAA"),
        format!("{head}.{payload}.{signature}=="),
        format!("{head}.{other_payload}.{signature}"),
        format!("{head}.{payload}.{signature}.{signature}"),
        with_header(json!({ "alg": "none", "kid": own_key })),
        with_header(json!({ "alg": "EdDSA", "kid": own_key })),
        with_header(json!({ "alg": "HS256", "kid": own_key, "crit": ["x"] })),
        with_header(json!({ "alg": "HS256" })),
        format!("{}{valid}", "A".repeat(8192)),
    ] {
        let found = read(&forged, NOW);
        assert!(
            matches!(found, Err(Rejected::Forged(_))),
            "{forged}: {found:?}"
        );
    }
}

#[test]
fn what_is_signed_and_no_receipt_is_foreign() {
    let key = SigningKey::secret(SECRET.as_bytes());
    let header = key.own.header.clone() + ".";
    for claims in [
        json!({ "iss": "another", "sub": "u", "iat": 0, "exp": i64::MAX, "served": {} }),
        json!({ "iss": "serin", "sub": "u", "exp": i64::MAX, "served": {} }),
        json!([]),
    ] {
        let signed = header.clone() + &URL_SAFE_NO_PAD.encode(claims.to_string());
        let signature = URL_SAFE_NO_PAD.encode(key.sign(signed.as_bytes()));
        let found = verify(
            &format!("{signed}.{signature}"),
            std::slice::from_ref(&key.own),
            NOW,
        );
        let no_receipt = Rejected::Foreign("it is signed, but no receipt");
        assert_eq!(found, Err(no_receipt), "{claims}");
    }
}

#[test]
fn users_appear_as_they_do_in_exposures() {
    let config = config(ReceiptKey::Secret(Secret::new(SECRET)));
    let subject = |exposures: Option<ExposuresConfig>| {
        let receipts = Receipts::new(&config, exposures.as_ref());
        receipts.expect("a key").subject("ann")
    };
    let plain = exposures(UserForm::Plain, Some("key"));
    assert_eq!(subject(Some(plain)), "ann");
    // printf ann | openssl dgst -sha256 -hmac key: the first half.
    let hashed = subject(Some(exposures(UserForm::Hash, Some("key"))));
    assert_eq!(hashed, "9d77c3180ff81edfbc099a7e91843e41");
    assert_eq!(hashed, hashed_user(b"key", "ann"));
    assert_ne!(subject(None), hashed);
    assert_ne!(subject(None), "ann");
}

#[test]
fn a_receipt_that_was_verified_counts_for_its_user_and_its_key_alone() {
    let receipts = with_secret(SECRET);
    let valid = token(&receipts, "ann");
    let read = |user, token: &str, now| receipts.read(token.as_bytes(), user, now).map(|_| ());
    assert_eq!(read("ann", &valid, NOW), Ok(()));
    assert!(verified::find(receipts.number, valid.as_bytes(), "ann").is_some());
    assert_eq!(read("ann", &valid, NOW), Ok(()));
    assert_eq!(
        read("bob", &valid, NOW),
        Err(Rejected::Foreign("it is another user's"))
    );
    // The signature, by which it is looked up, stays.
    let (head, rest) = valid.split_once('.').expect("a header");
    let (_, signature) = rest.split_once('.').expect("a signature");
    let others = token(&receipts, "bob");
    let payload = others.split('.').nth(1).expect("a payload");
    let forged = format!("{head}.{payload}.{signature}");
    assert!(matches!(
        read("bob", &forged, NOW),
        Err(Rejected::Forged(_))
    ));
    assert_eq!(
        read("ann", &valid, later(3600)),
        Err(Rejected::Expired(later(3600)))
    );
    let other = with_secret("another secret, another secret, another");
    assert!(matches!(
        other.read(valid.as_bytes(), "ann", NOW),
        Err(Rejected::Foreign(_))
    ));
}

#[test]
fn a_receipt_that_grows_too_long_forgets_other_services() {
    let receipts = with_secret(SECRET);
    let mut held = None;
    for number in 0..200 {
        let service = format!("service-{number}");
        let answering = Answering {
            service: &service,
            ..answering()
        };
        let token = receipts
            .due(held.as_deref(), "ann", answering, NOW)
            .expect("news");
        assert!(token.len() <= jws::LONGEST);
        let receipt = receipts.read(token.as_bytes(), "ann", NOW).expect("valid");
        assert!(receipt.served.contains_key(&*service));
        held = Some(receipt);
    }
    assert!(held.is_some_and(|held| held.served.len() > 10));
}

#[test]
fn a_pair_of_keys_signs_and_the_public_one_verifies() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name);
    let pair = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).expect("a pair");
    std::fs::write(path("private.pem"), pair.serialize_pem()).expect("a file");
    std::fs::write(path("public.pem"), pair.public_key_pem()).expect("a file");
    let made = Receipts::new(&config(private_key(path("private.pem"))), None);
    let receipts = made.expect("a key");
    let valid = token(&receipts, "ann");
    assert_eq!(part(&valid, 0)["alg"], "EdDSA");
    std::fs::write(path("jwks.json"), receipts.key_set().to_string()).expect("a file");
    let keys = VerifyingKey::from_key_set(&path("jwks.json")).expect("a key set");
    assert!(verify(&valid, &keys, NOW).is_ok());
    for name in ["private.pem", "public.pem"] {
        let key = VerifyingKey::from_file(&path(name)).expect("a key");
        assert!(verify(&valid, &[key], NOW).is_ok(), "{name}");
    }
    // Both parts of the pair lead to the same users.
    let again = Receipts::new(&config(private_key(path("private.pem"))), None);
    assert_eq!(
        again.expect("a key").subject("ann"),
        receipts.subject("ann")
    );
    let secret = VerifyingKey::secret(SECRET.as_bytes());
    assert_eq!(
        secret.key_set(),
        json!({ "keys": [] }),
        "a secret is told to nobody"
    );
}

#[test]
fn a_key_that_cannot_be_used_is_named_with_its_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("key.pem");
    let why = || {
        let made = Receipts::new(&config(private_key(path.clone())), None);
        made.err()
    };
    assert!(matches!(why(), Some(KeyError::Unreadable { .. })));
    let other = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).expect("a pair");
    let public = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).expect("a pair");
    for wrong in ["", "text", &other.serialize_pem(), &public.public_key_pem()] {
        std::fs::write(&path, wrong).expect("a file");
        let why = why().expect("no private key").to_string();
        assert!(
            why.contains("key.pem` has no Ed25519 private key in PEM"),
            "{why}"
        );
    }
    std::fs::write(&path, r#"{"keys":[{"kty":"RSA"}]}"#).expect("a file");
    assert!(matches!(
        VerifyingKey::from_key_set(&path),
        Err(KeyError::NoKeySet { .. })
    ));
}
