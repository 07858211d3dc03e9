//! Receipts as compact JWS (RFC 7515): signed, and opened.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;

use super::claims;
use super::keys::{SigningKey, VerifyingKey};
use crate::context::Moment;
use crate::receipt::Receipt;

/// The longest token that is looked at, and that is sent: browsers keep cookies of 4096 bytes.
pub(super) const LONGEST: usize = 3900;

/// Why a receipt is not believed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejected {
    /// Nobody with the key has made it.
    #[error("forged: {0}")]
    Forged(&'static str),
    /// It was valid once.
    #[error("expired: it was valid until {0}")]
    Expired(Moment),
    /// It is somebody else's: of another key, or of another user.
    #[error("foreign: {0}")]
    Foreign(&'static str),
}

/// Signs a receipt.
pub(super) fn sign(key: &SigningKey, receipt: &Receipt) -> String {
    let mut token = format!("{}.", key.own.header);
    URL_SAFE_NO_PAD.encode_string(claims::write(receipt), &mut token);
    let signature = key.sign(token.as_bytes());
    token.push('.');
    URL_SAFE_NO_PAD.encode_string(signature, &mut token);
    token
}

/// Opens a token that one of these keys has signed, whoever it is about. Only the algorithm of the key that the token names
/// counts, whatever the token says of it.
///
/// # Errors
/// It was signed by another key, or by none.
pub(super) fn open(token: &str, keys: &[VerifyingKey], now: Moment) -> Result<Receipt, Rejected> {
    if token.len() > LONGEST {
        return Err(Rejected::Forged("it is too long"));
    }
    let mut parts = token.rsplitn(2, '.');
    let (signature, signed) = match (parts.next(), parts.next()) {
        (Some(signature), Some(signed)) => (signature, signed),
        _ => return Err(Rejected::Forged("it is no compact JWS")),
    };
    let (head, payload) = signed
        .split_once('.')
        .ok_or(Rejected::Forged("it is no compact JWS"))?;
    let key = signer(head, keys)?;
    let signature = decoded(signature)?;
    if !key.verifies(signed.as_bytes(), &signature) {
        return Err(Rejected::Forged(
            "its signature is not by the key that it names",
        ));
    }
    let receipt = claims::read(&decoded(payload)?);
    let receipt = receipt.ok_or(Rejected::Foreign("it is signed, but no receipt"))?;
    match receipt.is_over(now.unix_ms.div_euclid(1000)) {
        false => Ok(receipt),
        true => Err(Rejected::Expired(Moment {
            unix_ms: receipt.expires.saturating_mul(1000),
        })),
    }
}

/// The key that a token names.
fn signer<'k>(head: &str, keys: &'k [VerifyingKey]) -> Result<&'k VerifyingKey, Rejected> {
    // Every token of ours begins alike.
    if let Some(key) = keys.iter().find(|key| key.header == head) {
        return Ok(key);
    }
    let header: Value = serde_json::from_slice(&decoded(head)?)
        .map_err(|_| Rejected::Forged("its header is no JSON"))?;
    let member = |name: &str| header.get(name).and_then(Value::as_str);
    let id = member("kid").ok_or(Rejected::Forged("it names no key"))?;
    let key = keys.iter().find(|key| key.id == id);
    let key = key.ok_or(Rejected::Foreign("it is signed by another key"))?;
    if member("alg") != Some(key.algorithm()) {
        return Err(Rejected::Forged("its algorithm is not its key's"));
    }
    if header.get("crit").is_some() {
        return Err(Rejected::Forged("its header asks for what is not known"));
    }
    Ok(key)
}

fn decoded(part: &str) -> Result<Vec<u8>, Rejected> {
    let decoded = URL_SAFE_NO_PAD.decode(part);
    decoded.map_err(|_| Rejected::Forged("it is not in base64url"))
}
