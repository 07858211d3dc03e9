//! What an override's token looks like: `PAYLOAD.SIGNATURE`, both in base64url without padding (RFC 4648, section 5), so that it can
//! stand in a URL, a header field and a cookie.
//!
//! The payload is a text of three or four lines: when it expires, in seconds since 1970-01-01; service; deployment; user. The
//! signature is HMAC-SHA-256 of [`PURPOSE`] and the payload as it stands in the token.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

/// The longest token that is written and looked at, in bytes.
pub const LONGEST: usize = 1024;

/// Stands before what is signed: whatever else is ever signed with the same key, it is no override.
const PURPOSE: &[u8] = b"serin override 1\n";

/// A SHA-256 hash has 32 bytes.
const SIGNATURE: usize = 32;

/// The secret that signs overrides.
#[derive(Clone)]
pub struct OverrideKey {
    secret: Box<[u8]>,
    /// Has taken in the secret and the purpose, so that no request pays for that.
    pub(super) begun: Hmac<Sha256>,
}

/// What an override says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Override {
    /// The service that it is about.
    pub service: Box<str>,
    /// The deployment that it asks for.
    pub deployment: Box<str>,
    /// Whom alone it holds for; `None`: for whoever shows it.
    pub user: Option<Box<str>>,
    /// From when on it does not hold, in seconds since 1970-01-01.
    pub expires: i64,
}

/// Why an override cannot be written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unwritable {
    /// A part is empty or has a control character.
    #[error("{0:?} is empty or has a control character")]
    Part(Box<str>),
    /// The token would be too long.
    #[error("the token would be longer than {LONGEST} characters: its names are too long")]
    TooLong,
}

/// Why a token is not believed, whatever it says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rejected {
    /// It does not look like one of ours.
    Malformed,
    /// Nobody with the key has signed it.
    Forged,
}

impl Override {
    /// Writes and signs it.
    ///
    /// # Errors
    /// A part cannot be written, or all of them are too long.
    pub fn sign(&self, key: &OverrideKey) -> Result<String, Unwritable> {
        let user = self.user.as_deref();
        let mut payload = self.expires.to_string();
        for part in [&*self.service, &*self.deployment].into_iter().chain(user) {
            if part.is_empty() || part.contains(char::is_control) {
                return Err(Unwritable::Part(part.into()));
            }
            payload.push('\n');
            payload.push_str(part);
        }
        let mut token = URL_SAFE_NO_PAD.encode(payload);
        let signature = key.mac(token.as_bytes()).finalize().into_bytes();
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(signature, &mut token);
        match token.len() <= LONGEST {
            true => Ok(token),
            false => Err(Unwritable::TooLong),
        }
    }

    /// Reads a token that the key has signed. It may be over, and about anything.
    ///
    /// # Errors
    /// It is none, or the key has not signed it.
    pub fn open(token: &[u8], key: &OverrideKey) -> Result<Self, Rejected> {
        if token.len() > LONGEST {
            return Err(Rejected::Malformed);
        }
        let mut parts = token.splitn(2, |&byte| byte == b'.');
        let (Some(payload), Some(signature)) = (parts.next(), parts.next()) else {
            return Err(Rejected::Malformed);
        };
        // Somewhat more room than there is need for, which the decoder asks for.
        let mut room = [0; SIGNATURE + 4];
        let length = URL_SAFE_NO_PAD.decode_slice(signature, &mut room);
        let signature = room.get(..length.map_err(|_| Rejected::Malformed)?);
        let signature = signature.filter(|signature| signature.len() == SIGNATURE);
        let signature = signature.ok_or(Rejected::Malformed)?;
        // The time that this takes tells nothing of the right one.
        let verified = key.mac(payload).verify_slice(signature);
        verified.map_err(|_| Rejected::Forged)?;
        Self::read(payload).ok_or(Rejected::Malformed)
    }

    fn read(payload: &[u8]) -> Option<Self> {
        let payload = URL_SAFE_NO_PAD.decode(payload).ok()?;
        let mut lines = std::str::from_utf8(&payload).ok()?.split('\n');
        let read = Self {
            expires: lines.next()?.parse().ok()?,
            service: lines.next()?.into(),
            deployment: lines.next()?.into(),
            user: lines.next().map(Into::into),
        };
        lines.next().is_none().then_some(read)
    }
}

impl OverrideKey {
    /// Of a secret's bytes. HMAC takes any number of them, so there always is one.
    pub fn new(secret: &[u8]) -> Option<Self> {
        let mut begun = Hmac::new_from_slice(secret).ok()?;
        begun.update(PURPOSE);
        Some(Self {
            secret: secret.into(),
            begun,
        })
    }

    fn mac(&self, payload: &[u8]) -> Hmac<Sha256> {
        self.begun.clone().chain_update(payload)
    }
}

impl PartialEq for OverrideKey {
    fn eq(&self, other: &Self) -> bool {
        self.secret == other.secret
    }
}

impl Eq for OverrideKey {}

// The key is a secret: it must not appear in any output.
impl fmt::Debug for OverrideKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OverrideKey(…)")
    }
}
