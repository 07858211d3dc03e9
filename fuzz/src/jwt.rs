//! Users' tokens (JWT), and the key sets that verify them.

use std::sync::{Arc, LazyLock};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::Value;
use serin::tokens::store::KeyStore;
use serin::tokens::{TokenVerifier, keys};
use serin_core::identity::token::{
    Algorithm, KeySource, SharedSecret, TokenPlace, TokenSource, Tokens, VerifyTokens as _,
};
use sha2::Sha256;

use crate::request::{NOW, SECRET};

/// Believes tokens of a secret, and of a public key whose private one nobody has.
static VERIFIER: LazyLock<TokenVerifier> = LazyLock::new(|| {
    let secret = KeySource::Secret(SharedSecret::new(SECRET));
    let sources = vec![
        source(secret.clone(), &[Algorithm::Hs256]),
        source(KeySource::Url("https://idp.test/keys".into()), &PUBLIC),
    ];
    let stores: Vec<Arc<KeyStore>> = sources
        .iter()
        .map(|source| Arc::new(KeyStore::new(source.keys.clone())))
        .collect();
    let published = keys::read(KEYS).expect("a key set");
    stores.iter().skip(1).for_each(|store| {
        store.take(published.clone(), NOW);
    });
    let with = stores.into_iter().map(|store| (store, Arc::default()));
    let tokens = Tokens {
        sources,
        claims: vec!["plan".into()],
        ..Tokens::default()
    };
    TokenVerifier::new(&tokens, with.collect())
});

const PUBLIC: [Algorithm; 3] = [Algorithm::Rs256, Algorithm::Es256, Algorithm::EdDsa];
/// The example of RFC 8037, section A.2, and that of RFC 7517, section A.1.
const KEYS: &[u8] = br#"{"keys":[
  {"kty":"OKP","crv":"Ed25519","kid":"ed","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"},
  {"kty":"EC","crv":"P-256","kid":"ec","x":"MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4","y":"4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM"}
]}"#;

fn source(keys: KeySource, algorithms: &[Algorithm]) -> TokenSource {
    TokenSource {
        keys,
        issuer: None,
        audiences: vec!["api".into()],
        claim: "sub".into(),
        algorithms: algorithms.to_vec(),
        place: TokenPlace::Cookie("session".into()),
    }
}

/// A token is believed if the secret has signed its very bytes, by HS256, and it is in time; nothing is believed of the public keys; and
/// a key set is read or refused.
pub fn check(input: &[u8]) {
    if let Ok(keys) = keys::read(input) {
        assert!(!keys.is_empty(), "a set without keys was taken");
    }
    for token in [input.to_vec(), signed(input)] {
        if let Ok(user) = VERIFIER.verify(0, &token, NOW) {
            let claims = believed(&token).expect("a token that is not the secret's is believed");
            assert_eq!(
                claims.get("sub").and_then(as_text).as_deref(),
                Some(&*user.id)
            );
            let expires = claims.get("exp").and_then(Value::as_f64).expect("an end");
            let seconds = NOW.unix_ms as f64 / 1e3;
            assert!(expires + 60.0 >= seconds, "it is over: {expires}");
        }
        assert!(
            VERIFIER.verify(1, &token, NOW).is_err(),
            "nobody has these keys"
        );
    }
}

/// A token of the secret whose claims are the input.
fn signed(claims: &[u8]) -> Vec<u8> {
    let header = URL_SAFE_NO_PAD.encode(br#"{"alg":"HS256"}"#);
    let message = format!("{header}.{}", URL_SAFE_NO_PAD.encode(claims));
    let signature = URL_SAFE_NO_PAD.encode(mac(message.as_bytes()).finalize().into_bytes());
    format!("{message}.{signature}").into_bytes()
}

/// The claims of a token that the secret has signed by HS256, read without any library for tokens.
fn believed(token: &[u8]) -> Option<Value> {
    let text = std::str::from_utf8(token).ok()?;
    let (message, signature) = text.rsplit_once('.')?;
    let (header, claims) = message.split_once('.')?;
    let json = |part: &str| -> Option<Value> {
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).ok()?).ok()
    };
    let is_signed = mac(message.as_bytes())
        .verify_slice(&URL_SAFE_NO_PAD.decode(signature).ok()?)
        .is_ok();
    let algorithm = json(header)?;
    (is_signed && algorithm.get("alg")? == "HS256").then(|| json(claims))?
}

fn mac(message: &[u8]) -> Hmac<Sha256> {
    let mut mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).expect("any length");
    mac.update(message);
    mac
}

fn as_text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(_) | Value::Bool(_) => Some(value.to_string()),
        _ => None,
    }
}
