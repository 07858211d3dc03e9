//! Tokens that say who the user is (JWT, RFC 7519): where they are shown, what is believed of them, and what a verified one
//! says. How one is verified only floors with keys know: they are asked through [`VerifyTokens`].

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use http::HeaderName;

use super::Auth;
use crate::context::Moment;
use crate::request::{RequestHead, SeveralCookies, without_blanks};

/// How a token is signed (RFC 7518, section 3.1; RFC 8037).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Algorithm {
    /// HMAC with SHA-256: whoever can verify can sign.
    Hs256,
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    Rs256,
    /// RSASSA-PKCS1-v1_5 with SHA-384.
    Rs384,
    /// RSASSA-PKCS1-v1_5 with SHA-512.
    Rs512,
    /// RSASSA-PSS with SHA-256.
    Ps256,
    /// RSASSA-PSS with SHA-384.
    Ps384,
    /// RSASSA-PSS with SHA-512.
    Ps512,
    /// ECDSA over P-256 with SHA-256.
    Es256,
    /// ECDSA over P-384 with SHA-384.
    Es384,
    /// EdDSA over Ed25519.
    EdDsa,
}

/// Where the keys are from that tokens are verified by.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum KeySource {
    /// A key set (RFC 7517) behind this URL.
    Url(Box<str>),
    /// A key set in this file.
    File(PathBuf),
    /// A secret that whoever issues them shares.
    Secret(SharedSecret),
}

impl fmt::Display for KeySource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Url(url) => f.write_str(url),
            Self::File(path) => path.display().fmt(f),
            Self::Secret(_) => f.write_str("secret"),
        }
    }
}

/// A secret that tokens are signed with; it appears in no output.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct SharedSecret(Box<str>);

impl SharedSecret {
    /// Keeps a text secret.
    pub fn new(text: &str) -> Self {
        Self(text.into())
    }

    /// Its bytes, for whom they are meant.
    pub fn expose(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl fmt::Debug for SharedSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SharedSecret(…)")
    }
}

/// Where a request shows its token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TokenPlace {
    /// In a header field; in `authorization` behind the scheme `Bearer` (RFC 6750), in others with it or without.
    Header(HeaderName),
    /// In a cookie.
    Cookie(Box<str>),
}

/// Tokens that are believed: one `jwt` of `identity.user_id`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenSource {
    /// Where its keys are from.
    pub keys: KeySource,
    /// Who must have issued one (`iss`); `None`: whoever has the keys.
    pub issuer: Option<Box<str>>,
    /// Whom one must be meant for (`aud`): any of these; none stated: it must not say.
    pub audiences: Vec<Box<str>>,
    /// The path of the claim with the user's ID.
    pub claim: Box<str>,
    /// How one may be signed, whatever it says itself.
    pub algorithms: Vec<Algorithm>,
    /// Where it is shown.
    pub place: TokenPlace,
}

impl TokenSource {
    /// What it is called in figures and messages: its issuer, else where its keys are from.
    pub fn name(&self) -> String {
        match &self.issuer {
            Some(issuer) => issuer.to_string(),
            None => self.keys.to_string(),
        }
    }

    /// The token that a request shows here. Of cookies of one name that differ, none is believed: services need not read the one
    /// that is verified here.
    fn shown<'a>(&self, head: &RequestHead<'a>) -> Option<Result<&'a [u8], TokenResult>> {
        let token = match &self.place {
            TokenPlace::Header(name) => {
                let value = without_blanks(head.headers.first(name.as_str())?);
                match bearer(value) {
                    None if name == http::header::AUTHORIZATION => return None,
                    token => token.unwrap_or(value),
                }
            }
            TokenPlace::Cookie(name) => match head.only_cookie_bytes(name)? {
                Ok(token) => token,
                Err(SeveralCookies) => return Some(Err(TokenResult::Ambiguous)),
            },
        };
        (!token.is_empty()).then_some(Ok(token))
    }
}

/// What follows the scheme `Bearer`.
fn bearer(value: &[u8]) -> Option<&[u8]> {
    let (scheme, token) = value.split_at_checked(b"bearer ".len())?;
    scheme
        .eq_ignore_ascii_case(b"bearer ")
        .then(|| without_blanks(token))
}

/// All of `identity` that is about tokens.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tokens {
    /// In the order in which they are tried.
    pub sources: Vec<TokenSource>,
    /// The paths of the claims that properties are read from ([`super::Place::Claim`]).
    pub claims: Vec<Box<str>>,
    /// What verifies them.
    pub verifier: Verifier,
}

/// What a verified token says of its user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifiedUser {
    /// The user's ID; not empty.
    pub id: Box<str>,
    /// The claims of [`Tokens::claims`], as text.
    pub claims: Box<[Option<Box<str>>]>,
}

/// What became of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TokenResult {
    /// It names the user.
    Verified,
    /// Nobody with the key has made it, or it is no token that could be.
    Forged,
    /// It is signed by a key that is not known.
    UnknownKey,
    /// Its time is over.
    Expired,
    /// Its time has not come.
    Early,
    /// Somebody else has issued it, or it is meant for somebody else.
    Foreign,
    /// It names no user.
    Nameless,
    /// There are several cookies of its name, which differ.
    Ambiguous,
}

impl TokenResult {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Verified,
        Self::Forged,
        Self::UnknownKey,
        Self::Expired,
        Self::Early,
        Self::Foreign,
        Self::Nameless,
        Self::Ambiguous,
    ];

    /// How much it says of a token that several sources refuse: most, if the signature was right; least, if it is another's.
    fn tells(self) -> u8 {
        match self {
            Self::Foreign => 0,
            Self::Forged | Self::UnknownKey => 1,
            Self::Verified | Self::Expired | Self::Early | Self::Nameless | Self::Ambiguous => 2,
        }
    }

    /// What figures call it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Verified => "verified",
            Self::Forged => "forged",
            Self::UnknownKey => "unknown_key",
            Self::Expired => "expired",
            Self::Early => "early",
            Self::Foreign => "foreign",
            Self::Nameless => "nameless",
            Self::Ambiguous => "ambiguous",
        }
    }
}

/// Verifies tokens. It waits for nothing and locks nothing.
pub trait VerifyTokens: fmt::Debug + Send + Sync {
    /// Who a token is about, that was shown where [`Tokens::sources`] has it at the position `source`.
    ///
    /// # Errors
    /// Why it is not believed.
    fn verify(
        &self,
        source: usize,
        token: &[u8],
        now: Moment,
    ) -> Result<Arc<VerifiedUser>, TokenResult>;

    /// Counts what became of a request's token.
    fn count(&self, source: usize, result: TokenResult);
}

/// What verifies tokens, where anything does: without keys none is believed.
#[derive(Clone, Debug, Default)]
pub struct Verifier(pub Option<Arc<dyn VerifyTokens>>);

/// What verifies tokens is not what is stated of them.
impl PartialEq for Verifier {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Verifier {}

/// The token that a request shows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ShownToken {
    /// It shows none, or none is looked at.
    #[default]
    Nothing,
    /// It shows one that is not believed.
    Refused {
        /// Which source it was shown to.
        source: usize,
        /// Why not.
        why: TokenResult,
    },
    /// It shows one that names its user.
    Verified {
        /// Which source it is of.
        source: usize,
        /// Whom it names.
        user: Arc<VerifiedUser>,
    },
}

impl ShownToken {
    /// The user that it names, if it is of this source.
    pub(super) fn user_of(&self, own: usize) -> Option<&str> {
        match self {
            Self::Verified { source, user } if *source == own => Some(&user.id),
            _ => None,
        }
    }

    /// What it says in the claim at this position of [`Tokens::claims`].
    pub(super) fn claim(&self, position: usize) -> Option<&str> {
        match self {
            Self::Verified { user, .. } => user.claims.get(position)?.as_deref(),
            _ => None,
        }
    }
}

impl Tokens {
    /// The token that a request shows: the first that is believed, else the one of whose refusal most is known.
    pub fn shown(&self, head: &RequestHead<'_>, auth: Auth, now: Moment) -> ShownToken {
        let mut refused = ShownToken::Nothing;
        if auth == Auth::None {
            return refused;
        }
        for (position, source) in self.sources.iter().enumerate() {
            let Some(token) = source.shown(head) else {
                continue;
            };
            let verified = token.and_then(|token| match &self.verifier.0 {
                Some(verifier) => verifier.verify(position, token, now),
                None => Err(TokenResult::UnknownKey),
            });
            match verified {
                Ok(user) => {
                    let source = position;
                    return ShownToken::Verified { source, user };
                }
                Err(why) => {
                    let is_telling = match refused {
                        ShownToken::Refused { why: last, .. } => why.tells() > last.tells(),
                        _ => true,
                    };
                    if is_telling {
                        let source = position;
                        refused = ShownToken::Refused { source, why };
                    }
                }
            }
        }
        refused
    }

    /// Counts what became of the token that a request shows.
    pub fn count(&self, shown: &ShownToken) {
        let (source, result) = match shown {
            ShownToken::Nothing => return,
            ShownToken::Refused { source, why } => (*source, *why),
            ShownToken::Verified { source, .. } => (*source, TokenResult::Verified),
        };
        if let Some(verifier) = &self.verifier.0 {
            verifier.count(source, result);
        }
    }

    /// The header fields that tokens are shown in.
    pub fn headers(&self) -> impl Iterator<Item = &HeaderName> {
        self.sources
            .iter()
            .filter_map(|source| match &source.place {
                TokenPlace::Header(name) => Some(name),
                TokenPlace::Cookie(_) => None,
            })
    }
}

#[cfg(test)]
mod tests;
