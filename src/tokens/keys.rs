//! Keys that verify tokens, read from a key set (RFC 7517).

use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyOperations, PublicKeyUse};
use jsonwebtoken::{DecodingKey, DecodingKeyKind};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::ring_provider::without_zeros;
use crate::config::keys::kinds::lists::ALGORITHMS;
use crate::identity::token::{Algorithm, SharedSecret};

/// The shortest modulus that is not weak (RFC 7518, section 3.3), in bits.
const SHORTEST_RSA: usize = 2048;
/// What RSA keys can verify, as long as they do not say which.
const BY_RSA: [Algorithm; 6] = [
    Algorithm::Rs256,
    Algorithm::Rs384,
    Algorithm::Rs512,
    Algorithm::Ps256,
    Algorithm::Ps384,
    Algorithm::Ps512,
];

/// Why a key set cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeySetError {
    /// It is something else.
    #[error("it is no key set (RFC 7517)")]
    NoKeySet,
    /// Nothing in it verifies tokens.
    #[error("it has no key that could verify a token (of {0})")]
    NoKey(usize),
}

/// A key.
#[derive(Clone, Debug)]
pub struct Key {
    /// Its ID (`kid`).
    id: Option<Box<str>>,
    /// How what it verifies is signed.
    algorithms: Vec<Algorithm>,
    pub(super) decoding: DecodingKey,
    /// Tells it from others: its ID may have been given away again.
    digest: [u8; 32],
}

impl Key {
    /// Whether it verifies what is signed like this.
    pub(super) fn fits(&self, algorithm: Algorithm) -> bool {
        self.algorithms.contains(&algorithm)
    }

    pub(super) fn id(&self) -> Option<&str> {
        self.id.as_deref()
    }

    /// Of a shared secret; `None`: it is empty.
    pub fn secret(secret: &SharedSecret) -> Option<Self> {
        Some(Self {
            id: None,
            algorithms: vec![Algorithm::Hs256],
            decoding: DecodingKey::from_secret(secret.expose()).ok()?,
            digest: Sha256::digest(secret.expose()).into(),
        })
    }

    /// Of an entry of a key set; `None`: it is not for tokens, is weak, or is of a kind that is not known.
    fn of(entry: &Value) -> Option<Self> {
        let jwk: Jwk = serde_json::from_value(entry.clone()).ok()?;
        let common = &jwk.common;
        let is_for_signatures = match (&common.public_key_use, &common.key_operations) {
            (Some(purpose), _) => *purpose == PublicKeyUse::Signature,
            (None, Some(operations)) => operations.contains(&KeyOperations::Verify),
            (None, None) => true,
        };
        if !is_for_signatures {
            return None;
        }
        let decoding = DecodingKey::from_jwk(&jwk).ok()?;
        let mut algorithms = match &jwk.algorithm {
            AlgorithmParameters::RSA(_) => strong_rsa(&decoding)?.to_vec(),
            AlgorithmParameters::EllipticCurve(key) => match key.curve {
                EllipticCurve::P256 => vec![Algorithm::Es256],
                EllipticCurve::P384 => vec![Algorithm::Es384],
                _ => return None,
            },
            AlgorithmParameters::OctetKeyPair(key) if key.curve == EllipticCurve::Ed25519 => {
                vec![Algorithm::EdDsa]
            }
            // A secret in a set that everybody can fetch is none.
            _ => return None,
        };
        if let Some(stated) = entry.get("alg") {
            algorithms.retain(|algorithm| stated == ALGORITHMS.name(*algorithm));
        }
        (!algorithms.is_empty()).then(|| Self {
            id: jwk.common.key_id.as_deref().map(Into::into),
            algorithms,
            decoding,
            digest: Sha256::digest(entry.to_string()).into(),
        })
    }
}

/// What an RSA key can verify, if it is long enough.
fn strong_rsa(key: &DecodingKey) -> Option<&'static [Algorithm]> {
    let DecodingKeyKind::RsaModulusExponent { n, .. } = key.kind() else {
        return None;
    };
    let modulus = without_zeros(n);
    let unused = modulus.first().map_or(0, |byte| byte.leading_zeros());
    let bits = (modulus.len() * 8).saturating_sub(unused as usize);
    (bits >= SHORTEST_RSA).then_some(&BY_RSA)
}

/// Reads a key set. Entries that do not verify tokens are left out.
///
/// # Errors
/// It is no key set, or none of its keys is of use.
pub fn read(document: &[u8]) -> Result<Vec<Key>, KeySetError> {
    let set: Value = serde_json::from_slice(document).map_err(|_| KeySetError::NoKeySet)?;
    let entries = set.get("keys").and_then(Value::as_array);
    let entries = entries.ok_or(KeySetError::NoKeySet)?;
    let keys: Vec<Key> = entries.iter().filter_map(Key::of).collect();
    match keys.is_empty() {
        false => Ok(keys),
        true => Err(KeySetError::NoKey(entries.len())),
    }
}

/// The keys of one source, as they are at a time.
#[derive(Debug, Default)]
pub struct KeySet {
    pub(super) keys: Vec<Key>,
    /// How often the source has lost a key: what was verified before may be by one that is gone.
    pub(super) losses: u64,
    /// How often it has changed: what was refused before may be by one that has come.
    pub(super) changes: u64,
}

impl KeySet {
    /// The set that follows with other keys; `None`: they are the same.
    pub(super) fn next(&self, keys: Vec<Key>) -> Option<Self> {
        let has = |keys: &[Key], key: &Key| keys.iter().any(|other| other.digest == key.digest);
        let lost = self.keys.iter().any(|key| !has(&keys, key));
        let came = keys.iter().any(|key| !has(&self.keys, key));
        (lost || came).then(|| Self {
            keys,
            losses: self.losses + u64::from(lost),
            changes: self.changes + 1,
        })
    }

    /// How many keys there are.
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }
}
