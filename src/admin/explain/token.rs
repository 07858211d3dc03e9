//! What comes of the token that a request shows.

use schemars::JsonSchema;
use serde::Serialize;

use crate::identity::Auth;
use crate::identity::token::{ShownToken, TokenResult, Tokens};

/// What comes of it.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "ShownToken")]
pub(super) struct TokenView {
    /// Who is to have issued it.
    issuer: Option<String>,
    /// Whether it is believed, or why not; `none`: the request shows none.
    #[schemars(extend("enum" = results()))]
    result: &'static str,
    /// The status that the request is answered with, where its route takes a token that is believed.
    #[serde(skip_serializing_if = "Option::is_none")]
    answer: Option<u16>,
    /// The same for people.
    text: String,
}

/// Where none is shown.
const NONE: &str = "none";

/// All that [`TokenView::result`] may be.
fn results() -> Vec<&'static str> {
    let results = TokenResult::ALL.map(TokenResult::as_str);
    results.into_iter().chain([NONE]).collect()
}

impl TokenView {
    /// Of a request on a route that asks this of its users; `None`: it shows no token, and need not. A user who is described counts
    /// as one whom a token names.
    pub(super) fn new(
        tokens: &Tokens,
        shown: &ShownToken,
        auth: Auth,
        has_user: bool,
    ) -> Option<Self> {
        let (source, result) = match shown {
            ShownToken::Nothing => (None, None),
            ShownToken::Refused { source, why } => (Some(source), Some(*why)),
            ShownToken::Verified { source, .. } => (Some(source), Some(TokenResult::Verified)),
        };
        let is_refused = auth == Auth::Required && !has_user;
        if result.is_none() && !is_refused {
            return None;
        }
        let issuer = source.and_then(|source| tokens.sources.get(*source));
        let issuer = issuer.map(|source| source.name());
        let result = result.map_or(NONE, TokenResult::as_str);
        let mut text = match &issuer {
            Some(issuer) => format!("token of {issuer}: {result}\n"),
            None => String::new(),
        };
        if is_refused {
            text.push_str("answered 401: the route takes a valid token\n");
        }
        Some(Self {
            issuer,
            result,
            answer: is_refused.then_some(401),
            text,
        })
    }

    /// Whether the request goes no further.
    pub(super) fn is_refused(&self) -> bool {
        self.answer.is_some()
    }
}
