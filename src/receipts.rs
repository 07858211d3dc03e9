//! Receipts (`attribution.receipts`): a client is told, signed, which deployments served it, and shows that to others.

pub mod claims;
pub mod jws;
pub mod keys;
pub mod metrics;
mod verified;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use http::HeaderName;

use crate::config::attribution::{ExposuresConfig, ReceiptKey, ReceiptsConfig, UserForm};
use crate::context::Moment;
use crate::exposure::hashed_user;
use crate::receipt::{Answering, Receipt};
use crate::request::RequestHead;
use jws::Rejected;
use keys::{KeyError, SigningKey, VerifyingKey};
use metrics::{ReceiptCounters, ReceiptResult};

/// Issues receipts and reads those that clients show.
pub struct Receipts {
    /// The cookie that they come and go in.
    pub cookie: Option<Box<str>>,
    /// The header field, the same.
    pub header: Option<HeaderName>,
    /// What is counted.
    pub counters: ReceiptCounters,
    key: SigningKey,
    own: [VerifyingKey; 1],
    users: Users,
    life: Duration,
    /// Tells what this one has verified from what another one has, by another key maybe.
    number: u64,
}

/// How many there have been in this process.
static NUMBER: AtomicU64 = AtomicU64::new(0);

/// How users appear in receipts.
enum Users {
    /// By their IDs.
    Plain,
    /// By a hash under this key, as in exposures.
    Hashed(Box<[u8]>),
}

impl Users {
    /// As in exposures; `None`: those hash them, and have no key.
    fn as_in(exposures: &ExposuresConfig) -> Option<Self> {
        match exposures.users {
            UserForm::Plain => Some(Self::Plain),
            UserForm::Hash => {
                let key = exposures.key.as_ref()?.expose().as_bytes();
                Some(Self::Hashed(key.into()))
            }
        }
    }
}

/// Where a request shows a receipt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// In the header field.
    Header,
    /// In the cookie.
    Cookie,
}

impl Receipts {
    /// Reads the key. Users appear as in `exposures`; without those they are hashed under a key that follows from the
    /// receipts' own.
    ///
    /// # Errors
    /// The key cannot be used.
    pub fn new(
        config: &ReceiptsConfig,
        exposures: Option<&ExposuresConfig>,
    ) -> Result<Self, KeyError> {
        let key = match &config.key {
            ReceiptKey::Secret(secret) => SigningKey::secret(secret.expose().as_bytes()),
            ReceiptKey::PrivateKey(file) => SigningKey::from_file(&file.path)?,
        };
        let users = exposures.and_then(Users::as_in);
        let derived = || Users::Hashed(key.derived("serin receipt subject").as_ref().into());
        Ok(Self {
            cookie: config.cookie.clone(),
            header: config.header.clone(),
            counters: ReceiptCounters::default(),
            own: [key.own.clone()],
            users: users.unwrap_or_else(derived),
            life: config.ttl,
            key,
            number: NUMBER.fetch_add(1, Ordering::Relaxed),
        })
    }

    /// What stands for a user.
    pub fn subject(&self, id: &str) -> String {
        match &self.users {
            Users::Plain => id.to_owned(),
            Users::Hashed(key) => hashed_user(key, id),
        }
    }

    /// Reads a receipt that a client shows, if it is the user's who has this ID.
    ///
    /// # Errors
    /// Why it is not believed.
    pub fn read(&self, token: &[u8], user: &str, now: Moment) -> Result<Arc<Receipt>, Rejected> {
        let known = verified::find(self.number, token, user);
        if let Some(known) = known.filter(|known| !known.is_over(now.unix_ms.div_euclid(1000))) {
            return Ok(known);
        }
        let token = std::str::from_utf8(token).map_err(|_| Rejected::Forged("it is no text"))?;
        let receipt = jws::open(token, &self.own, now)?;
        if *receipt.subject != *self.subject(user) {
            return Err(Rejected::Foreign("it is another user's"));
        }
        let receipt = Arc::new(receipt);
        verified::remember(self.number, token.as_bytes(), user, &receipt);
        Ok(receipt)
    }

    /// The token that a user gets who has `held`, a receipt of their own, or none; `None`: it would tell nothing new.
    pub fn due(
        &self,
        held: Option<&Receipt>,
        user: &str,
        answering: Answering<'_>,
        now: Moment,
    ) -> Option<String> {
        let seconds = now.unix_ms.div_euclid(1000);
        let subject = || self.subject(user);
        let mut due = Receipt::due(held, subject, answering, seconds, self.life)?;
        loop {
            let token = jws::sign(&self.key, &due);
            // Browsers drop longer cookies; what is the latest stays.
            if token.len() <= jws::LONGEST || !due.shorten(answering.service) {
                return Some(token);
            }
        }
    }

    /// How long a receipt is valid.
    pub fn life(&self) -> Duration {
        self.life
    }

    /// What everybody may verify receipts by.
    pub fn key_set(&self) -> serde_json::Value {
        self.key.own.key_set()
    }

    /// The first valid receipt that a request shows, if it is the user's who has this ID, and where. What it shows is
    /// counted.
    pub fn held(
        &self,
        head: &RequestHead<'_>,
        user: &str,
        now: Moment,
    ) -> Option<(Arc<Receipt>, Place)> {
        let field = self.header.as_ref();
        let field = field.and_then(|name| head.headers.first(name.as_str()));
        let cookie = self.cookie.as_deref();
        let cookie = cookie.and_then(|name| head.cookie_bytes(name));
        let cookie = cookie.filter(|cookie| Some(*cookie) != field);
        let field = field.map(|token| (token, Place::Header));
        let cookie = cookie.map(|token| (token, Place::Cookie));
        let mut tokens = field.into_iter().chain(cookie);
        tokens.find_map(|(token, place)| {
            let read = self.read(token, user, now);
            self.counters.count(match &read {
                Ok(_) => ReceiptResult::Valid,
                Err(Rejected::Forged(_)) => ReceiptResult::Forged,
                Err(Rejected::Expired(_)) => ReceiptResult::Expired,
                Err(Rejected::Foreign(_)) => ReceiptResult::Foreign,
            });
            read.ok().map(|receipt| (receipt, place))
        })
    }
}

/// Opens a token by any of these keys, whoever it is about: for those who have the key and no gateway.
///
/// # Errors
/// Why it is not believed.
pub fn verify(token: &str, keys: &[VerifyingKey], now: Moment) -> Result<Receipt, Rejected> {
    jws::open(token, keys, now)
}

impl std::fmt::Debug for Receipts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Receipts").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
