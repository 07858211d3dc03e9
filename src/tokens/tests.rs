mod signer;

use std::sync::Arc;

use serde_json::{Value, json};

use super::keys::{self, KeySetError};
use super::store::KeyStore;
use super::{TokenCounters, TokenVerifier};
use crate::context::Moment;
use crate::identity::token::{
    Algorithm, KeySource, SharedSecret, TokenPlace, TokenResult, TokenSource, Tokens, VerifyTokens,
};
use signer::Signer;

const NOW: i64 = 1_800_000_000;
const SECRET: &str = "a secret of more than thirty-two characters";
const ISSUER: &str = "https://idp.example.com";

fn at(seconds: i64) -> Moment {
    Moment {
        unix_ms: seconds * 1000,
    }
}

fn by(keys: KeySource) -> TokenSource {
    let algorithms = match keys {
        KeySource::Secret(_) => vec![Algorithm::Hs256],
        _ => vec![Algorithm::Rs256, Algorithm::Es256, Algorithm::EdDsa],
    };
    TokenSource {
        keys,
        issuer: Some(ISSUER.into()),
        audiences: vec!["api".into(), "app".into()],
        claim: "sub".into(),
        algorithms,
        place: TokenPlace::Header(http::header::AUTHORIZATION),
    }
}

/// One source, its keys, and what verifies its tokens.
struct Stage {
    store: Arc<KeyStore>,
    verifier: TokenVerifier,
}

impl Stage {
    fn new(source: TokenSource) -> Self {
        let store = Arc::new(KeyStore::new(source.keys.clone()));
        let tokens = Tokens {
            sources: vec![source],
            claims: vec!["app.plan".into(), "email".into()],
            ..Tokens::default()
        };
        let with = vec![(store.clone(), Arc::<TokenCounters>::default())];
        Self {
            verifier: TokenVerifier::new(&tokens, with),
            store,
        }
    }

    /// With the keys of these signers.
    fn with_keys(signers: &[&Signer]) -> Self {
        let stage = Self::new(by(KeySource::Url("https://idp.example.com/keys".into())));
        stage.publish(signers);
        stage
    }

    fn publish(&self, signers: &[&Signer]) {
        let keys: Vec<Value> = signers.iter().map(|signer| signer.jwk()).collect();
        self.publish_set(&json!({ "keys": keys }));
    }

    fn publish_set(&self, set: &Value) {
        let keys = keys::read(set.to_string().as_bytes()).expect("a key set");
        self.store.take(keys, at(NOW));
    }

    /// The user whom a token names.
    fn user(&self, token: &str) -> Result<String, TokenResult> {
        self.user_at(token, NOW)
    }

    fn user_at(&self, token: &str, seconds: i64) -> Result<String, TokenResult> {
        let user = self.verifier.verify(0, token.as_bytes(), at(seconds))?;
        Ok(user.id.to_string())
    }
}

fn claims() -> Value {
    json!({
        "iss": ISSUER, "aud": "api", "sub": "u1", "exp": NOW + 600, "nbf": NOW - 10,
        "app": { "plan": "pro" },
    })
}

/// The claims, with one that is another, or (null) not there.
fn with(name: &str, value: Value) -> Value {
    let mut claims = claims();
    match value {
        Value::Null => drop(claims.as_object_mut().expect("a map").remove(name)),
        value => claims[name] = value,
    }
    claims
}

#[test]
fn every_algorithm_that_is_allowed_verifies() {
    let signers = [Signer::rs256("r"), Signer::es256("e"), Signer::eddsa("d")];
    let stage = Stage::with_keys(&signers.each_ref());
    for signer in &signers {
        let token = signer.token(&claims());
        assert_eq!(stage.user(&token), Ok("u1".to_owned()), "{token}");
        let verified = stage.verifier.verify(0, token.as_bytes(), at(NOW)).unwrap();
        let said: Vec<Option<&str>> = verified.claims.iter().map(Option::as_deref).collect();
        assert_eq!(said, [Some("pro"), None]);
    }
    let shared = Stage::new(by(KeySource::Secret(SharedSecret::new(SECRET))));
    let token = Signer::hs256(SECRET.as_bytes()).token(&claims());
    assert_eq!(shared.user(&token), Ok("u1".to_owned()));
}

#[test]
fn claims_that_are_wrong_are_no_identity() {
    use TokenResult::{Early, Expired, Foreign, Forged, Nameless};
    let signer = Signer::es256("e");
    let stage = Stage::with_keys(&[&signer]);
    for (claim, value, expected) in [
        ("exp", Value::Null, Err(Forged)),
        ("exp", json!("1900000000"), Err(Forged)),
        ("exp", json!(true), Err(Forged)),
        ("exp", json!([NOW + 600]), Err(Forged)),
        ("exp", json!(-1), Err(Forged)),
        ("exp", json!(1e300), Err(Forged)),
        ("exp", json!(NOW - 61), Err(Expired)),
        ("exp", json!(NOW - 60), Ok("u1")),
        ("exp", json!(NOW as f64 + 0.5), Ok("u1")),
        ("nbf", Value::Null, Ok("u1")),
        ("nbf", json!("soon"), Err(Forged)),
        ("nbf", json!(NOW + 61), Err(Early)),
        ("nbf", json!(NOW + 60), Ok("u1")),
        ("iss", Value::Null, Err(Foreign)),
        ("iss", json!("https://evil.example.com"), Err(Foreign)),
        ("iss", json!(7), Err(Foreign)),
        ("aud", Value::Null, Err(Foreign)),
        ("aud", json!("other"), Err(Foreign)),
        ("aud", json!(["other", "app"]), Ok("u1")),
        ("aud", json!([]), Err(Foreign)),
        ("sub", Value::Null, Err(Nameless)),
        ("sub", json!(""), Err(Nameless)),
        ("sub", json!({ "id": "u1" }), Err(Forged)),
        ("sub", json!(42), Ok("42")),
    ] {
        let token = signer.token(&with(claim, value.clone()));
        let found = stage.user(&token);
        assert_eq!(
            found.as_deref(),
            expected.as_ref().copied(),
            "{claim}: {value}"
        );
    }
}

#[test]
fn without_an_audience_tokens_that_have_one_are_for_somebody_else() {
    let signer = Signer::es256("e");
    let source = TokenSource {
        audiences: Vec::new(),
        issuer: None,
        ..by(KeySource::Url("https://idp.example.com/keys".into()))
    };
    let stage = Stage::new(source);
    stage.publish(&[&signer]);
    let token = signer.token(&claims());
    assert_eq!(stage.user(&token), Err(TokenResult::Foreign));
    let token = signer.token(&with("aud", Value::Null));
    assert_eq!(stage.user(&token), Ok("u1".to_owned()));
}

#[test]
fn no_algorithm_counts_that_a_token_names() {
    let (rsa, own) = (Signer::rs256("r"), Signer::es256("e"));
    let stage = Stage::with_keys(&[&rsa, &own]);
    let public = rsa.jwk()["n"].as_str().expect("a modulus").to_owned();
    let confused = Signer::hs256(public.as_bytes());
    for (what, token) in [
        (
            "alg none, without a signature",
            own.unsigned(&json!({ "alg": "none", "typ": "JWT" }), &claims()),
        ),
        (
            "alg None, with the kid of a key",
            own.unsigned(&json!({ "alg": "None", "kid": "e" }), &claims()),
        ),
        (
            "HS256 by the public key",
            confused.token_with(&json!({ "alg": "HS256", "kid": "r" }), &claims()),
        ),
        (
            "RS256 in name only",
            own.token_with(&json!({ "alg": "RS256", "kid": "e" }), &claims()),
        ),
        (
            "ES256 by the name of the other key",
            own.token_with(&json!({ "alg": "ES256", "kid": "r" }), &claims()),
        ),
        (
            "an algorithm that is not allowed",
            own.token_with(&json!({ "alg": "ES384", "kid": "e" }), &claims()),
        ),
        (
            "ES512, which the library does not know",
            own.token_with(&json!({ "alg": "ES512", "kid": "e" }), &claims()),
        ),
    ] {
        assert_eq!(stage.user(&token), Err(TokenResult::Forged), "{what}");
    }
}

#[test]
fn nothing_counts_that_a_token_says_of_its_key() {
    use TokenResult::{Forged, UnknownKey};
    let (own, evil) = (Signer::es256("e"), Signer::es256("evil"));
    let stage = Stage::with_keys(&[&own]);
    for (what, token, expected) in [
        ("a kid of nobody", evil.token(&claims()), UnknownKey),
        (
            "another's signature under a kid that is known",
            evil.token_with(&json!({ "alg": "ES256", "kid": "e" }), &claims()),
            Forged,
        ),
        (
            "an embedded key",
            evil.token_with(
                &json!({ "alg": "ES256", "kid": "evil", "jwk": evil.jwk() }),
                &claims(),
            ),
            UnknownKey,
        ),
        (
            "an embedded key without a kid",
            evil.token_with(&json!({ "alg": "ES256", "jwk": evil.jwk() }), &claims()),
            Forged,
        ),
        (
            "the address of a key set",
            evil.token_with(
                &json!({ "alg": "ES256", "jku": "https://evil.example.com/keys" }),
                &claims(),
            ),
            Forged,
        ),
        (
            "the address of a certificate",
            evil.token_with(
                &json!({ "alg": "ES256", "x5u": "https://evil.example.com/c" }),
                &claims(),
            ),
            Forged,
        ),
        (
            "an extension that must be understood",
            own.token_with(
                &json!({ "alg": "ES256", "kid": "e", "crit": ["x"], "x": 1 }),
                &claims(),
            ),
            Forged,
        ),
    ] {
        assert_eq!(stage.user(&token), Err(expected), "{what}");
    }
    // The harmless form of the same: what the token says beside its own key is not looked at.
    let beside = json!({ "alg": "ES256", "kid": "e", "jku": "https://evil.example.com/keys" });
    assert!(stage.user(&own.token_with(&beside, &claims())).is_ok());
}

#[test]
fn broken_tokens_are_no_identity() {
    let signer = Signer::es256("e");
    let stage = Stage::with_keys(&[&signer]);
    let token = signer.token(&claims());
    for end in 0..token.len() {
        assert_eq!(stage.user(&token[..end]), Err(TokenResult::Forged), "{end}");
    }
    for changed in [
        format!("{token}A"),
        format!("{token}."),
        format!("{token}="),
        format!(".{token}"),
        token.replace('.', ".."),
        "..".to_owned(),
        "a.b.c".to_owned(),
        "\u{fc}.\u{fc}.\u{fc}".to_owned(),
    ] {
        assert_eq!(stage.user(&changed), Err(TokenResult::Forged), "{changed}");
    }
    assert!(stage.user(&token).is_ok());
    // 17 KiB, all of it properly signed.
    let long = signer.token(&with("email", json!("x".repeat(13 << 10))));
    assert!(long.len() > 17 << 10, "{}", long.len());
    assert_eq!(stage.user(&long), Err(TokenResult::Forged));
    let less = signer.token(&with("email", json!("x".repeat(10 << 10))));
    assert!(stage.user(&less).is_ok());
}

#[test]
fn a_token_that_names_no_key_is_tried_with_a_few() {
    let (one, two) = (Signer::es256("one"), Signer::es256("two"));
    let stage = Stage::with_keys(&[&one, &two]);
    let token = two.token_with(&json!({ "alg": "ES256" }), &claims());
    assert_eq!(stage.user(&token), Ok("u1".to_owned()));
    let many: Vec<Signer> = (0..6).map(|n| Signer::es256(&n.to_string())).collect();
    stage.publish(&many.iter().collect::<Vec<_>>());
    let unnamed = |signer: &Signer| signer.token_with(&json!({ "alg": "ES256" }), &claims());
    let found = many
        .iter()
        .map(|signer| stage.user(&unnamed(signer)).is_ok());
    assert_eq!(
        found.collect::<Vec<_>>(),
        [true, true, true, true, false, false]
    );
}

#[test]
fn keys_that_are_not_for_tokens_are_left_out() {
    let (good, rsa) = (Signer::es256("good"), Signer::rs256("rsa"));
    let changed = |key: Value, name: &str, value: Value| {
        let mut key = key;
        key[name] = value;
        json!({ "keys": [key] })
    };
    let weak = {
        // Half of the modulus: 1024 bits.
        let n = rsa.jwk()["n"].as_str().expect("a modulus").to_owned();
        n[..171].to_owned()
    };
    for (what, set) in [
        ("for encryption", changed(good.jwk(), "use", json!("enc"))),
        (
            "for signing only",
            changed(good.jwk(), "key_ops", json!(["sign"])),
        ),
        (
            "another algorithm",
            changed(good.jwk(), "alg", json!("ECDH-ES")),
        ),
        (
            "another key's algorithm",
            changed(good.jwk(), "alg", json!("RS256")),
        ),
        ("another curve", changed(good.jwk(), "crv", json!("P-521"))),
        (
            "a curve of nobody",
            changed(good.jwk(), "crv", json!("secp256k1")),
        ),
        ("weak", changed(rsa.jwk(), "n", json!(weak))),
        (
            "a secret",
            json!({ "keys": [{ "kty": "oct", "k": "c2VjcmV0" }] }),
        ),
        (
            "another kind",
            json!({ "keys": [{ "kty": "AKP", "alg": "ML-DSA-44", "pub": "AA" }] }),
        ),
        ("no map", json!({ "keys": [1] })),
    ] {
        let mut key = set["keys"][0].clone();
        if what == "for signing only" {
            key.as_object_mut().expect("a map").remove("use");
        }
        let set = json!({ "keys": [key] }).to_string();
        let read = keys::read(set.as_bytes());
        assert_eq!(read.err(), Some(KeySetError::NoKey(1)), "{what}");
    }
    for none in ["", "[]", "{}", "{\"keys\":{}}", "<html>"] {
        assert_eq!(
            keys::read(none.as_bytes()).err(),
            Some(KeySetError::NoKeySet)
        );
    }
    // The others of a set are none the worse.
    let strange = json!({ "kty": "AKP", "alg": "ML-DSA-44", "kid": "pq", "pub": "AA" });
    let set = json!({ "keys": [strange, 7, good.jwk()] }).to_string();
    assert_eq!(keys::read(set.as_bytes()).expect("a key").len(), 1);
}

#[test]
fn what_was_verified_holds_until_it_expires_or_a_key_is_lost() {
    let (one, two) = (Signer::es256("one"), Signer::es256("two"));
    let stage = Stage::with_keys(&[&one]);
    let token = one.token(&claims());
    assert!(stage.user(&token).is_ok());
    // A key comes: nothing is lost by that, and the very same identity is handed out.
    let first = stage.verifier.verify(0, token.as_bytes(), at(NOW)).unwrap();
    stage.publish(&[&one, &two]);
    let again = stage.verifier.verify(0, token.as_bytes(), at(NOW)).unwrap();
    assert!(Arc::ptr_eq(&first, &again), "remembered");
    // Its time ends, with the skew, although it is remembered.
    assert!(stage.user_at(&token, NOW + 660).is_ok());
    assert_eq!(stage.user_at(&token, NOW + 661), Err(TokenResult::Expired));
    // The key goes.
    stage.publish(&[&two]);
    assert_eq!(stage.user(&token), Err(TokenResult::UnknownKey));
    // Its ID comes back with another key.
    stage.publish(&[&Signer::es256("one"), &two]);
    assert_eq!(stage.user(&token), Err(TokenResult::Forged));
}

#[test]
fn a_repeat_visitor_allocates_nothing() {
    let signer = Signer::es256("e");
    let stage = Stage::with_keys(&[&signer]);
    let (good, bad) = (signer.token(&claims()), Signer::es256("e").token(&claims()));
    let verify = |token: &str| stage.verifier.verify(0, token.as_bytes(), at(NOW));
    assert!(verify(&good).is_ok() && verify(&bad).is_err());
    let counted = allocation_counter::measure(|| {
        for _ in 0..100 {
            assert!(verify(&good).is_ok() && verify(&bad).is_err());
        }
    });
    assert_eq!(counted.count_total, 0);
}

#[test]
fn what_was_refused_is_forgotten_when_keys_come_and_after_some_seconds() {
    let (one, two) = (Signer::es256("one"), Signer::es256("two"));
    let stage = Stage::with_keys(&[&one]);
    let token = two.token(&claims());
    assert_eq!(stage.user(&token), Err(TokenResult::UnknownKey));
    assert!(stage.store.is_wanted());
    // Remembered: it wants nothing.
    assert_eq!(stage.user_at(&token, NOW + 5), Err(TokenResult::UnknownKey));
    assert!(!stage.store.is_wanted());
    assert_eq!(stage.user_at(&token, NOW + 6), Err(TokenResult::UnknownKey));
    assert!(stage.store.is_wanted());
    stage.publish(&[&one, &two]);
    assert_eq!(stage.user_at(&token, NOW + 6), Ok("u1".to_owned()));
    // One whose time has not come is not remembered for longer than that.
    let early = one.token(&with("nbf", json!(NOW + 62)));
    assert_eq!(stage.user(&early), Err(TokenResult::Early));
    assert_eq!(stage.user_at(&early, NOW + 6), Ok("u1".to_owned()));
}

#[test]
fn tokens_of_another_issuer_want_no_keys() {
    let (own, other) = (Signer::es256("own"), Signer::es256("other"));
    let stage = Stage::with_keys(&[&own]);
    let foreign = other.token(&with("iss", json!("https://other.example.com")));
    assert_eq!(stage.user(&foreign), Err(TokenResult::Foreign));
    assert!(!stage.store.is_wanted());
    let claims_of_other = with("iss", json!("https://other.example.com"));
    let unnamed = other.token_with(&json!({ "alg": "ES256" }), &claims_of_other);
    assert_eq!(stage.user(&unnamed), Err(TokenResult::Foreign));
    assert!(!stage.store.is_wanted());
    // One that names no key may be by one that is new.
    let unnamed = other.token_with(&json!({ "alg": "ES256" }), &claims());
    assert_eq!(stage.user(&unnamed), Err(TokenResult::Forged));
    assert!(stage.store.is_wanted());
}

#[test]
fn keys_of_one_source_say_nothing_for_another() {
    let (a, b) = (Signer::es256("same"), Signer::es256("same"));
    let (one, two) = (Stage::with_keys(&[&a]), Stage::with_keys(&[&b]));
    let token = a.token(&claims());
    assert!(one.user(&token).is_ok());
    assert_eq!(two.user(&token), Err(TokenResult::Forged));
}
