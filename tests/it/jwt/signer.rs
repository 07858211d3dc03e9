//! Signs tokens with ES256, as an identity provider does.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::hmac;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use serde_json::{Value, json};

pub(super) struct Signer {
    id: String,
    pair: EcdsaKeyPair,
}

impl Signer {
    pub(super) fn new(id: &str) -> Self {
        let (random, algorithm) = (SystemRandom::new(), &ECDSA_P256_SHA256_FIXED_SIGNING);
        let document = EcdsaKeyPair::generate_pkcs8(algorithm, &random).expect("a key");
        let pair = EcdsaKeyPair::from_pkcs8(algorithm, document.as_ref(), &random);
        Self {
            id: id.to_owned(),
            pair: pair.expect("a key"),
        }
    }

    /// The key set of these signers.
    pub(super) fn set(signers: &[&Self]) -> String {
        let keys = signers.iter().map(|signer| {
            let (x, y) = signer.pair.public_key().as_ref()[1..].split_at(32);
            json!({
                "kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256", "kid": signer.id,
                "x": encoded(x), "y": encoded(y),
            })
        });
        json!({ "keys": keys.collect::<Vec<_>>() }).to_string()
    }

    pub(super) fn token(&self, claims: &Value) -> String {
        self.token_as(&self.id, claims)
    }

    /// A token that names a key of this ID.
    pub(super) fn token_as(&self, id: &str, claims: &Value) -> String {
        let header = json!({ "alg": "ES256", "typ": "JWT", "kid": id });
        let signed = unsigned(&header, claims);
        let signature = self.pair.sign(&SystemRandom::new(), signed.as_bytes());
        let signature = signature.expect("a signature");
        format!("{signed}.{}", encoded(signature.as_ref()))
    }
}

/// A token by a shared secret.
pub(super) fn by_secret(secret: &str, claims: &Value) -> String {
    let signed = unsigned(&json!({ "alg": "HS256" }), claims);
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    let signature = hmac::sign(&key, signed.as_bytes());
    format!("{signed}.{}", encoded(signature.as_ref()))
}

/// A token that nobody has signed.
pub(super) fn by_nobody(claims: &Value) -> String {
    format!("{}.", unsigned(&json!({ "alg": "none" }), claims))
}

fn unsigned(header: &Value, claims: &Value) -> String {
    let part = |part: &Value| encoded(part.to_string().as_bytes());
    format!("{}.{}", part(header), part(claims))
}

fn encoded(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}
