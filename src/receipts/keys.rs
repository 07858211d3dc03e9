//! What receipts are signed with, and what verifies them: a secret (HS256, RFC 7518) or a pair of keys (EdDSA with Ed25519,
//! RFC 8037).

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use ring::{digest, hmac};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{PrivateKeyDer, SubjectPublicKeyInfoDer};
use serde_json::{Value, json};

use crate::durable::{is_absence, read_small};

/// What stands before the 32 bytes of an Ed25519 key in its `SubjectPublicKeyInfo` (RFC 8410, section 4).
const ED25519_SPKI: [u8; 12] = [
    0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00,
];

/// Why a key cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// A file cannot be read.
    #[error("`{file}` cannot be read: {cause}")]
    Unreadable {
        /// Which one.
        file: String,
        /// What the system says.
        #[source]
        cause: std::io::Error,
    },
    /// A file has no Ed25519 key.
    #[error(
        "`{file}` has no Ed25519 {wanted} in PEM; `openssl genpkey -algorithm ed25519` makes a private one"
    )]
    NotEd25519 {
        /// Which one.
        file: String,
        /// Which kind of key.
        wanted: &'static str,
    },
    /// A key set cannot be read.
    #[error("`{file}` is no key set (RFC 7517) with an Ed25519 key")]
    NoKeySet {
        /// Which one.
        file: String,
    },
}

impl KeyError {
    /// Whether there is no such file here.
    pub fn is_absence(&self) -> bool {
        match self {
            Self::Unreadable { cause, .. } => is_absence(cause),
            Self::NotEd25519 { .. } | Self::NoKeySet { .. } => false,
        }
    }
}

/// What verifies receipts.
#[derive(Clone)]
pub struct VerifyingKey {
    /// The key's ID, which receipts name.
    pub id: String,
    /// The first part of every token that it signs, encoded.
    pub(super) header: String,
    kind: Verifier,
}

#[derive(Clone)]
enum Verifier {
    Secret(hmac::Key),
    Public(Vec<u8>),
}

/// What signs receipts, and verifies its own.
pub struct SigningKey {
    /// What verifies what it signs.
    pub own: VerifyingKey,
    /// `None`: the secret signs.
    pair: Option<Ed25519KeyPair>,
}

impl VerifyingKey {
    /// A secret's.
    pub fn secret(secret: &[u8]) -> Self {
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
        let id = hmac::sign(&key, b"serin receipt key id");
        let id = id.as_ref().iter().take(8);
        let id = id.map(|byte| format!("{byte:02x}")).collect();
        Self::new(id, Verifier::Secret(key))
    }

    /// An Ed25519 key's.
    fn public(key: &[u8]) -> Self {
        // RFC 7638, section 3: members in the order of their names, without spaces.
        let x = URL_SAFE_NO_PAD.encode(key);
        let members = format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{x}"}}"#);
        let thumbprint = digest::digest(&digest::SHA256, members.as_bytes());
        let id = URL_SAFE_NO_PAD.encode(thumbprint);
        Self::new(id, Verifier::Public(key.to_owned()))
    }

    fn new(id: String, kind: Verifier) -> Self {
        let mut key = Self {
            id,
            header: String::new(),
            kind,
        };
        let header = json!({ "alg": key.algorithm(), "typ": "JWT", "kid": key.id });
        key.header = URL_SAFE_NO_PAD.encode(header.to_string());
        key
    }

    /// Reads a file: a public or private key in PEM, else the bytes of a secret, without the end of the line.
    ///
    /// # Errors
    /// The file cannot be read, or has another kind of key.
    pub fn from_file(path: &Path) -> Result<Self, KeyError> {
        let bytes = read(path)?;
        if !bytes.trim_ascii_start().starts_with(b"-----BEGIN") {
            return Ok(Self::secret(bytes.trim_ascii_end()));
        }
        let spki = SubjectPublicKeyInfoDer::from_pem_slice(&bytes).ok();
        let public = spki
            .as_ref()
            .and_then(|spki| spki.strip_prefix(&ED25519_SPKI));
        match public.filter(|key| key.len() == 32) {
            Some(key) => Ok(Self::public(key)),
            None => Ok(pair(path, &bytes, "key")?.1),
        }
    }

    /// Reads a key set (RFC 7517); keys of other kinds are left out.
    ///
    /// # Errors
    /// The file cannot be read, or has no key that could verify a receipt.
    pub fn from_key_set(path: &Path) -> Result<Vec<Self>, KeyError> {
        let set: Value = serde_json::from_slice(&read(path)?).unwrap_or_default();
        let keys = set.get("keys").and_then(Value::as_array);
        let of = |key: &Value| {
            let is_ed25519 = key.get("kty")? == "OKP" && key.get("crv")? == "Ed25519";
            let x = key.get("x")?.as_str().filter(|_| is_ed25519)?;
            let x = URL_SAFE_NO_PAD.decode(x).ok()?;
            (x.len() == 32).then(|| Self::public(&x))
        };
        let keys: Vec<Self> = keys.into_iter().flatten().filter_map(of).collect();
        match keys.is_empty() {
            false => Ok(keys),
            true => Err(KeyError::NoKeySet {
                file: path.display().to_string(),
            }),
        }
    }

    /// The algorithm's name.
    pub fn algorithm(&self) -> &'static str {
        match self.kind {
            Verifier::Secret(_) => "HS256",
            Verifier::Public(_) => "EdDSA",
        }
    }

    /// Whether a signature is by this key. What differs is found out in a time that tells nothing of a secret.
    pub(super) fn verifies(&self, signed: &[u8], signature: &[u8]) -> bool {
        match &self.kind {
            Verifier::Secret(key) => hmac::verify(key, signed, signature).is_ok(),
            Verifier::Public(key) => UnparsedPublicKey::new(&ED25519, key)
                .verify(signed, signature)
                .is_ok(),
        }
    }

    /// The key set that may be given to everybody: nothing of a secret.
    pub fn key_set(&self) -> Value {
        let keys: Vec<Value> = match &self.kind {
            Verifier::Secret(_) => Vec::new(),
            Verifier::Public(key) => vec![json!({
                "kty": "OKP", "crv": "Ed25519", "use": "sig", "alg": "EdDSA", "kid": self.id,
                "x": URL_SAFE_NO_PAD.encode(key),
            })],
        };
        json!({ "keys": keys })
    }
}

impl SigningKey {
    /// Signs with a secret.
    pub fn secret(secret: &[u8]) -> Self {
        Self {
            own: VerifyingKey::secret(secret),
            pair: None,
        }
    }

    /// Signs with the private key in a PEM file.
    ///
    /// # Errors
    /// The file cannot be read, or has no such key.
    pub fn from_file(path: &Path) -> Result<Self, KeyError> {
        let (pair, own) = pair(path, &read(path)?, "private key")?;
        Ok(Self {
            own,
            pair: Some(pair),
        })
    }

    /// Signs a message.
    pub(super) fn sign(&self, message: &[u8]) -> Vec<u8> {
        match (&self.pair, &self.own.kind) {
            (Some(pair), _) => pair.sign(message).as_ref().to_owned(),
            (None, Verifier::Secret(key)) => hmac::sign(key, message).as_ref().to_owned(),
            (None, Verifier::Public(_)) => Vec::new(),
        }
    }

    /// A secret for another use, which whoever has the key can make again: signatures with Ed25519 are deterministic
    /// (RFC 8032).
    pub(super) fn derived(&self, purpose: &str) -> digest::Digest {
        digest::digest(&digest::SHA256, &self.sign(purpose.as_bytes()))
    }
}

fn pair(
    path: &Path,
    pem: &[u8],
    wanted: &'static str,
) -> Result<(Ed25519KeyPair, VerifyingKey), KeyError> {
    let der = PrivateKeyDer::from_pem_slice(pem).ok();
    let pair =
        der.and_then(|der| Ed25519KeyPair::from_pkcs8_maybe_unchecked(der.secret_der()).ok());
    let pair = pair.ok_or_else(|| KeyError::NotEd25519 {
        file: path.display().to_string(),
        wanted,
    })?;
    let own = VerifyingKey::public(pair.public_key().as_ref());
    Ok((pair, own))
}

fn read(path: &Path) -> Result<Vec<u8>, KeyError> {
    read_small(path).map_err(|cause| KeyError::Unreadable {
        file: path.display().to_string(),
        cause,
    })
}
