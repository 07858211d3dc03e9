//! What an override's token looks like: a signed text in base64url without padding (RFC 4648, section 5), so that it can stand in a
//! URL, a header field and a cookie.
//!
//! Encoded are three or four lines: when it expires, in seconds since 1970-01-01; service; deployment; user.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::signature::{Rejected, SigningKey};

/// The longest token that is written and looked at, in bytes.
pub const LONGEST: usize = 1024;

/// What the key signs. Another format of the payload is another purpose.
const PURPOSE: &str = "serin override 1";

/// The key of a secret that signs overrides.
pub fn key(secret: &[u8]) -> Option<SigningKey> {
    SigningKey::new(secret, PURPOSE)
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

impl Override {
    /// Writes and signs it.
    ///
    /// # Errors
    /// A part cannot be written, or all of them are too long.
    pub fn sign(&self, key: &SigningKey) -> Result<String, Unwritable> {
        let user = self.user.as_deref();
        let mut payload = self.expires.to_string();
        for part in [&*self.service, &*self.deployment].into_iter().chain(user) {
            if part.is_empty() || part.contains(char::is_control) {
                return Err(Unwritable::Part(part.into()));
            }
            payload.push('\n');
            payload.push_str(part);
        }
        let token = key.sign(&URL_SAFE_NO_PAD.encode(payload));
        match token.len() <= LONGEST {
            true => Ok(token),
            false => Err(Unwritable::TooLong),
        }
    }

    /// Reads a token that the key has signed. It may be over, and about anything.
    ///
    /// # Errors
    /// It is none, or the key has not signed it.
    pub fn open(token: &[u8], key: &SigningKey) -> Result<Self, Rejected> {
        if token.len() > LONGEST {
            return Err(Rejected::Malformed);
        }
        let payload = key.open(token)?;
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
