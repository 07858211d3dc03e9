//! Whether a token is believed. Nothing that it says of itself counts but which key it names: no algorithm, no key, no address.

use std::sync::Arc;

use jsonwebtoken::errors::{Error, ErrorKind};
use jsonwebtoken::{Validation, dangerous, decode, decode_header};
use serde_json::Value;

use super::claims;
use super::keys::{Key, KeySet};
use crate::context::Moment;
use crate::identity::token::{Algorithm, KeySource, TokenResult, TokenSource, VerifiedUser};

/// By how much clocks may differ, in seconds.
const SKEW: i64 = 60;
/// How many keys a token is tried with that names none: each costs as much as a request.
const MOST_TRIES: usize = 4;

/// Judges tokens of one source.
#[derive(Debug)]
pub(super) struct Judge {
    source: TokenSource,
    /// The claims that are kept.
    wanted: Box<[Box<str>]>,
    validations: Vec<(Algorithm, Validation)>,
}

/// What is made of a token.
pub(super) struct Judged {
    pub(super) verdict: Verdict,
    /// Other keys could change it.
    pub(super) wants_keys: bool,
}

/// Whom a token is about, and until when (in seconds since 1970-01-01), or why it is not believed.
pub(super) type Verdict = Result<(Arc<VerifiedUser>, i64), TokenResult>;

impl Judge {
    pub(super) fn new(source: &TokenSource, wanted: &[Box<str>]) -> Self {
        let algorithms = source.algorithms.iter();
        Self {
            validations: algorithms
                .map(|algorithm| (*algorithm, validation(source, *algorithm)))
                .collect(),
            source: source.clone(),
            wanted: wanted.into(),
        }
    }

    pub(super) fn judge(&self, keys: &KeySet, token: &[u8], now: Moment) -> Judged {
        let verdict = self.verdict(keys, token, now);
        let unnamed = || decode_header(token).is_ok_and(|header| header.kid.is_none());
        let may_be_by_another = match verdict {
            Err(TokenResult::UnknownKey) => true,
            Err(TokenResult::Forged) => unnamed(),
            _ => false,
        };
        Judged {
            wants_keys: may_be_by_another,
            verdict,
        }
    }

    fn verdict(&self, keys: &KeySet, token: &[u8], now: Moment) -> Verdict {
        // An algorithm that is not known, `none` among them, cannot even be read.
        let header = decode_header(token).map_err(|_| TokenResult::Forged)?;
        if self.is_by_another(token) {
            return Err(TokenResult::Foreign);
        }
        let mut validations = self.validations.iter();
        let allowed = validations.find(|(_, validation)| validation.algorithms == [header.alg]);
        let (algorithm, validation) = allowed.ok_or(TokenResult::Forged)?;
        let named = self.named(keys, header.kid.as_deref());
        if named.is_empty() {
            return Err(TokenResult::UnknownKey);
        }
        let fitting = named.into_iter().filter(|key| key.fits(*algorithm));
        let mut refused = TokenResult::Forged;
        for key in fitting.take(MOST_TRIES) {
            match decode::<Value>(token, &key.decoding, validation) {
                Ok(token) => return self.accept(&token.claims, now),
                Err(error) => refused = reason(&error),
            }
        }
        Err(refused)
    }

    /// The keys that a token may be signed by. One that it names is the only one, and a secret has no name.
    fn named<'k>(&self, keys: &'k KeySet, id: Option<&str>) -> Vec<&'k Key> {
        let is_secret = matches!(self.source.keys, KeySource::Secret(_));
        let may_be = |key: &&Key| is_secret || id.is_none() || key.id() == id;
        keys.keys.iter().filter(may_be).collect()
    }

    /// Whether a token says that another issuer has made it. That is not verified, and need not be: it can only have the token
    /// refused. It keeps other issuers' tokens from being tried with these keys, and from having them fetched.
    fn is_by_another(&self, token: &[u8]) -> bool {
        let Some(own) = &self.source.issuer else {
            return false;
        };
        let claims: Option<Value> = dangerous::insecure_decode_claims(token).ok();
        let issuer = claims
            .as_ref()
            .and_then(|claims| claims.get("iss")?.as_str());
        issuer.is_some_and(|issuer| *issuer != **own)
    }

    fn accept(&self, claims: &Value, now: Moment) -> Verdict {
        let seconds = now.unix_ms.div_euclid(1000);
        let expires = claims.get("exp").and_then(whole_seconds);
        // Without one it would be believed for ever.
        let until = expires.ok_or(TokenResult::Forged)?.saturating_add(SKEW);
        if seconds > until {
            return Err(TokenResult::Expired);
        }
        if let Some(begins) = claims.get("nbf") {
            let begins = whole_seconds(begins).ok_or(TokenResult::Forged)?;
            if begins.saturating_sub(SKEW) > seconds {
                return Err(TokenResult::Early);
            }
        }
        let id = claims::text(claims, &self.source.claim).ok_or(TokenResult::Nameless)?;
        let wanted = self.wanted.iter();
        let user = VerifiedUser {
            id,
            claims: wanted.map(|path| claims::text(claims, path)).collect(),
        };
        Ok((Arc::new(user), until))
    }
}

/// A date of a claim (RFC 7519, section 2): a number, perhaps with a fraction. One that is out of all bounds is none.
fn whole_seconds(value: &Value) -> Option<i64> {
    value.as_i64().or_else(|| {
        let seconds = value.as_f64()?;
        let is_date = (0.0..=1e15).contains(&seconds);
        #[expect(clippy::cast_possible_truncation, reason = "it is within bounds")]
        is_date.then_some(seconds as i64)
    })
}

/// Signature, issuer and audience are checked by the library, whose clock is the system's; times are checked here.
fn validation(source: &TokenSource, algorithm: Algorithm) -> Validation {
    let mut validation = Validation::new(of_library(algorithm));
    validation.validate_exp = false;
    validation.validate_nbf = false;
    let mut required = vec!["exp"];
    if let Some(issuer) = &source.issuer {
        validation.set_issuer(&[issuer]);
        required.push("iss");
    }
    if !source.audiences.is_empty() {
        validation.set_audience(&source.audiences);
        required.push("aud");
    }
    validation.set_required_spec_claims(&required);
    validation
}

fn reason(error: &Error) -> TokenResult {
    match error.kind() {
        ErrorKind::InvalidIssuer | ErrorKind::InvalidAudience => TokenResult::Foreign,
        ErrorKind::MissingRequiredClaim(claim) if claim != "exp" => TokenResult::Foreign,
        _ => TokenResult::Forged,
    }
}

fn of_library(algorithm: Algorithm) -> jsonwebtoken::Algorithm {
    match algorithm {
        Algorithm::Hs256 => jsonwebtoken::Algorithm::HS256,
        Algorithm::Rs256 => jsonwebtoken::Algorithm::RS256,
        Algorithm::Rs384 => jsonwebtoken::Algorithm::RS384,
        Algorithm::Rs512 => jsonwebtoken::Algorithm::RS512,
        Algorithm::Ps256 => jsonwebtoken::Algorithm::PS256,
        Algorithm::Ps384 => jsonwebtoken::Algorithm::PS384,
        Algorithm::Ps512 => jsonwebtoken::Algorithm::PS512,
        Algorithm::Es256 => jsonwebtoken::Algorithm::ES256,
        Algorithm::Es384 => jsonwebtoken::Algorithm::ES384,
        Algorithm::EdDsa => jsonwebtoken::Algorithm::EdDSA,
    }
}
