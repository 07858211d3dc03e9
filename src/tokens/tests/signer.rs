//! Signs tokens, good ones and others.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::hmac;
use ring::rand::SystemRandom;
use ring::rsa::PublicKeyComponents;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256,
    RsaKeyPair,
};
use serde_json::{Value, json};

/// A key of 2048 bits (PKCS #8), for tests alone.
const RSA: &[u8] = include_bytes!("rsa.der");

pub(super) struct Signer {
    id: String,
    key: Key,
}

enum Key {
    Hs256(hmac::Key),
    Rs256(Box<RsaKeyPair>),
    Es256(Box<EcdsaKeyPair>),
    EdDsa(Box<Ed25519KeyPair>),
}

impl Signer {
    pub(super) fn hs256(secret: &[u8]) -> Self {
        Self::new("", Key::Hs256(hmac::Key::new(hmac::HMAC_SHA256, secret)))
    }

    pub(super) fn rs256(id: &str) -> Self {
        let pair = RsaKeyPair::from_pkcs8(RSA).expect("a key");
        Self::new(id, Key::Rs256(Box::new(pair)))
    }

    pub(super) fn es256(id: &str) -> Self {
        let random = SystemRandom::new();
        let algorithm = &ECDSA_P256_SHA256_FIXED_SIGNING;
        let document = EcdsaKeyPair::generate_pkcs8(algorithm, &random).expect("a key");
        let pair = EcdsaKeyPair::from_pkcs8(algorithm, document.as_ref(), &random);
        Self::new(id, Key::Es256(Box::new(pair.expect("a key"))))
    }

    pub(super) fn eddsa(id: &str) -> Self {
        let document = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).expect("a key");
        let pair = Ed25519KeyPair::from_pkcs8(document.as_ref()).expect("a key");
        Self::new(id, Key::EdDsa(Box::new(pair)))
    }

    fn new(id: &str, key: Key) -> Self {
        Self {
            id: id.to_owned(),
            key,
        }
    }

    fn algorithm(&self) -> &'static str {
        match self.key {
            Key::Hs256(_) => "HS256",
            Key::Rs256(_) => "RS256",
            Key::Es256(_) => "ES256",
            Key::EdDsa(_) => "EdDSA",
        }
    }

    /// The public key, as a key set has it.
    pub(super) fn jwk(&self) -> Value {
        let mut key = match &self.key {
            Key::Hs256(_) => panic!("a secret is not published"),
            Key::Rs256(pair) => {
                let public = PublicKeyComponents::<Vec<u8>>::from(pair.public());
                json!({ "kty": "RSA", "n": encoded(&public.n), "e": encoded(&public.e) })
            }
            Key::Es256(pair) => {
                let (x, y) = pair.public_key().as_ref()[1..].split_at(32);
                json!({ "kty": "EC", "crv": "P-256", "x": encoded(x), "y": encoded(y) })
            }
            Key::EdDsa(pair) => {
                let x = encoded(pair.public_key().as_ref());
                json!({ "kty": "OKP", "crv": "Ed25519", "x": x })
            }
        };
        key["kid"] = json!(self.id);
        key["use"] = json!("sig");
        key
    }

    /// A token that names the key.
    pub(super) fn token(&self, claims: &Value) -> String {
        let header = json!({ "alg": self.algorithm(), "typ": "JWT", "kid": self.id });
        self.token_with(&header, claims)
    }

    pub(super) fn token_with(&self, header: &Value, claims: &Value) -> String {
        let unsigned = self.unsigned(header, claims);
        let signed = unsigned.trim_end_matches('.');
        format!("{signed}.{}", encoded(&self.sign(signed.as_bytes())))
    }

    /// A token with an empty signature.
    pub(super) fn unsigned(&self, header: &Value, claims: &Value) -> String {
        let part = |part: &Value| encoded(part.to_string().as_bytes());
        format!("{}.{}.", part(header), part(claims))
    }

    fn sign(&self, message: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        match &self.key {
            Key::Hs256(key) => hmac::sign(key, message).as_ref().to_vec(),
            Key::Rs256(pair) => {
                let mut signature = vec![0; pair.public().modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &random, message, &mut signature)
                    .expect("a signature");
                signature
            }
            Key::Es256(pair) => {
                let signature = pair.sign(&random, message).expect("a signature");
                signature.as_ref().to_vec()
            }
            Key::EdDsa(pair) => pair.sign(message).as_ref().to_vec(),
        }
    }
}

fn encoded(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}
