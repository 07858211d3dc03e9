//! Texts that only this gateway, and those with the same key, can have written: `TEXT.SIGNATURE`.
//!
//! The signature is HMAC-SHA-256 of the key's purpose and the text as it stands there, in base64url without padding (RFC 4648,
//! section 5). Texts of one purpose mean nothing for another one, though the secret be the same.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

/// A SHA-256 hash has 32 bytes.
const SIGNATURE: usize = 32;

/// A secret that signs texts for one purpose.
#[derive(Clone)]
pub struct SigningKey {
    secret: Box<[u8]>,
    /// Has taken in the secret and the purpose, so that no request pays for that.
    begun: Hmac<Sha256>,
}

/// Why a text is not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rejected {
    /// It does not look like a signed one.
    Malformed,
    /// Nobody with the key has signed it.
    Forged,
}

impl SigningKey {
    /// Of a secret's bytes. HMAC takes any number of them, so there always is one.
    pub fn new(secret: &[u8], purpose: &str) -> Option<Self> {
        let mut begun = Hmac::new_from_slice(secret).ok()?;
        begun.update(purpose.as_bytes());
        begun.update(b"\n");
        Some(Self {
            secret: secret.into(),
            begun,
        })
    }

    /// Signs a text, which has to have nothing in it that may not stand where the result is to stand.
    pub fn sign(&self, text: &str) -> String {
        let signature = self.mac(text.as_bytes()).finalize().into_bytes();
        let mut signed = format!("{text}.");
        URL_SAFE_NO_PAD.encode_string(signature, &mut signed);
        signed
    }

    /// The text that was signed.
    ///
    /// # Errors
    /// It was not.
    pub fn open<'t>(&self, signed: &'t [u8]) -> Result<&'t [u8], Rejected> {
        let mut parts = signed.rsplitn(2, |&byte| byte == b'.');
        let (Some(signature), Some(text)) = (parts.next(), parts.next()) else {
            return Err(Rejected::Malformed);
        };
        // Somewhat more room than there is need for, which the decoder asks for.
        let mut room = [0; SIGNATURE + 4];
        let length = URL_SAFE_NO_PAD.decode_slice(signature, &mut room);
        let signature = room.get(..length.map_err(|_| Rejected::Malformed)?);
        let signature = signature.filter(|signature| signature.len() == SIGNATURE);
        let signature = signature.ok_or(Rejected::Malformed)?;
        // The time that this takes tells nothing of the right one.
        let verified = self.mac(text).verify_slice(signature);
        verified.map(|()| text).map_err(|_| Rejected::Forged)
    }

    fn mac(&self, text: &[u8]) -> Hmac<Sha256> {
        self.begun.clone().chain_update(text)
    }
}

impl PartialEq for SigningKey {
    fn eq(&self, other: &Self) -> bool {
        self.secret == other.secret
    }
}

impl Eq for SigningKey {}

// The key is a secret: it must not appear in any output.
impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningKey(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::{Rejected, SigningKey};

    #[test]
    fn what_one_purpose_has_signed_is_forged_for_another() {
        let key = |purpose| SigningKey::new(b"one secret", purpose).expect("a key");
        let (one, other) = (key("serin one 1"), key("serin other 1"));
        for text in ["preview", "", "a.b"] {
            let signed = one.sign(text);
            assert_eq!(one.open(signed.as_bytes()), Ok(text.as_bytes()));
            assert_eq!(other.open(signed.as_bytes()), Err(Rejected::Forged));
        }
        assert_eq!(format!("{one:?}"), "SigningKey(…)");
    }
}
