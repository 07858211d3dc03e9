//! Session tickets (RFC 8446, section 2.2; RFC 5077): what a session needs to go on, sealed, in the client's own keeping.
//!
//! The keys are derived from one secret, a new one every hour. Gateways that share the secret, and whose clocks are less
//! than an hour apart, open each other's. Each listener has keys of its own: a ticket of one opens nothing on another,
//! which may ask more of its clients. One that asks for certificates gives no tickets at all.

use std::fmt;

use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::hkdf::{HKDF_SHA256, Prk, Salt};
use rustls::server::ProducesTickets;

use crate::clock;

/// How long a client may use a ticket, and how long a key is in use, in seconds.
const LIFETIME: u32 = 3600;

/// The bytes of a ticket that say by which hour's key it is sealed.
const HOUR_LEN: usize = 8;

/// What keys are derived from where the configuration has no secret for them: one of this process's own, which only the process has
/// that takes over from it.
#[derive(Clone)]
pub struct OwnSecret([u8; 32]);

impl OwnSecret {
    /// A new one.
    pub fn random() -> Self {
        Self(rand::random())
    }

    /// That of another process.
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// To be told to another process, and to nobody else.
    pub fn expose(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for OwnSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OwnSecret(…)")
    }
}

/// The keys of one listener's tickets.
#[derive(Debug)]
pub(super) struct TicketKeys {
    secret: Prk,
    listener: Box<str>,
}

impl TicketKeys {
    /// Of a listener; without a secret from the process's own.
    pub(super) fn new(secret: Option<&str>, own: &OwnSecret, listener: &str) -> Self {
        let secret = secret.map_or(&own.0[..], str::as_bytes);
        Self {
            secret: Salt::new(HKDF_SHA256, b"serin tls tickets").extract(secret),
            listener: listener.into(),
        }
    }

    fn key(&self, hour: i64) -> Option<LessSafeKey> {
        let hour = hour.to_be_bytes();
        let info = [self.listener.as_bytes(), &hour[..]];
        let key = self.secret.expand(&info, &AES_256_GCM).ok()?;
        Some(LessSafeKey::new(UnboundKey::from(key)))
    }

    fn seal(&self, hour: i64, plain: &[u8]) -> Option<Vec<u8>> {
        let nonce: [u8; NONCE_LEN] = rand::random();
        let mut sealed = plain.to_vec();
        let key = self.key(hour)?;
        key.seal_in_place_append_tag(
            Nonce::assume_unique_for_key(nonce),
            Aad::empty(),
            &mut sealed,
        )
        .ok()?;
        Some([&hour.to_be_bytes()[..], &nonce, &sealed].concat())
    }

    fn open(&self, now: i64, ticket: &[u8]) -> Option<Vec<u8>> {
        let (hour, rest) = ticket.split_first_chunk::<HOUR_LEN>()?;
        let (nonce, sealed) = rest.split_first_chunk::<NONCE_LEN>()?;
        let hour = i64::from_be_bytes(*hour);
        // Another gateway's clock may be ahead.
        if !(now - 1..=now + 1).contains(&hour) {
            return None;
        }
        let mut sealed = sealed.to_vec();
        let key = self.key(hour)?;
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let plain = key.open_in_place(nonce, Aad::empty(), &mut sealed).ok()?;
        Some(plain.to_vec())
    }
}

/// The hour that it is, counted from 1970.
fn this_hour() -> i64 {
    clock::now().unix_ms / 1000 / i64::from(LIFETIME)
}

impl ProducesTickets for TicketKeys {
    fn enabled(&self) -> bool {
        true
    }

    fn lifetime(&self) -> u32 {
        LIFETIME
    }

    fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
        self.seal(this_hour(), plain)
    }

    fn decrypt(&self, ticket: &[u8]) -> Option<Vec<u8>> {
        self.open(this_hour(), ticket)
    }
}

#[cfg(test)]
mod tests {
    use super::{OwnSecret, TicketKeys};

    const SECRET: &str = "a secret that several gateways have";

    #[test]
    fn gateways_that_share_a_secret_open_each_others_tickets_for_an_hour_or_two() {
        let (one, other) = (
            TicketKeys::new(Some(SECRET), &OwnSecret::random(), "0.0.0.0:8443"),
            TicketKeys::new(Some(SECRET), &OwnSecret::random(), "0.0.0.0:8443"),
        );
        let ticket = one.seal(10, b"session").expect("a ticket");
        for hour in [9, 10, 11] {
            assert_eq!(other.open(hour, &ticket).as_deref(), Some(&b"session"[..]));
        }
        assert_eq!(other.open(8, &ticket), None);
        assert_eq!(other.open(12, &ticket), None);
        assert_ne!(
            one.seal(10, b"session"),
            Some(ticket),
            "two are never the same"
        );
    }

    #[test]
    fn without_a_secret_the_process_that_takes_over_opens_them_and_no_other() {
        let own = OwnSecret::random();
        let heir = OwnSecret::new(*own.expose());
        let ticket = TicketKeys::new(None, &own, "0.0.0.0:8443").seal(10, b"session");
        let ticket = ticket.expect("a ticket");
        let opened = |own| TicketKeys::new(None, own, "0.0.0.0:8443").open(10, &ticket);
        assert_eq!(opened(&heir).as_deref(), Some(&b"session"[..]));
        assert_eq!(opened(&OwnSecret::random()), None);
        assert_eq!(format!("{own:?}"), "OwnSecret(…)");
    }

    #[test]
    fn no_ticket_opens_on_another_listener_nor_with_a_byte_changed() {
        let one = TicketKeys::new(Some(SECRET), &OwnSecret::random(), "0.0.0.0:8443");
        let ticket = one.seal(10, b"session").expect("a ticket");
        let strangers = [
            TicketKeys::new(Some(SECRET), &OwnSecret::random(), "0.0.0.0:9443"),
            TicketKeys::new(
                Some("another secret of these gateways"),
                &OwnSecret::random(),
                "0.0.0.0:8443",
            ),
            TicketKeys::new(None, &OwnSecret::random(), "0.0.0.0:8443"),
        ];
        for stranger in &strangers {
            assert_eq!(stranger.open(10, &ticket), None);
        }
        for place in 0..ticket.len() {
            let mut changed = ticket.clone();
            changed[place] ^= 1;
            assert_eq!(one.open(10, &changed), None, "{place}");
        }
        for length in 0..ticket.len() {
            assert_eq!(one.open(10, &ticket[..length]), None, "{length}");
        }
    }
}
