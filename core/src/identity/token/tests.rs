use std::net::Ipv4Addr;
use std::sync::Arc;

use http::HeaderName;

use super::{
    KeySource, ShownToken, TokenPlace, TokenResult, TokenSource, Tokens, VerifiedUser, Verifier,
    VerifyTokens,
};
use crate::context::Moment;
use crate::identity::Auth;
use crate::request::{HeaderList, RequestHead};

/// Believes at the second source what begins with `b`; what begins with `x` is nobody's.
#[derive(Debug)]
struct Second;

impl VerifyTokens for Second {
    fn verify(
        &self,
        source: usize,
        token: &[u8],
        _: Moment,
    ) -> Result<Arc<VerifiedUser>, TokenResult> {
        match (source, token.first()) {
            (1, Some(b'b')) => Ok(Arc::new(VerifiedUser {
                id: String::from_utf8_lossy(token).into(),
                claims: Box::default(),
            })),
            (0, Some(b'k')) | (1, Some(b'e')) => Err(TokenResult::UnknownKey),
            (0, Some(b'e')) => Err(TokenResult::Early),
            (_, Some(b'x')) => Err(TokenResult::Forged),
            (0, _) => Err(TokenResult::Foreign),
            (_, _) => Err(TokenResult::Expired),
        }
    }

    fn count(&self, _: usize, _: TokenResult) {}
}

fn at(place: TokenPlace) -> TokenSource {
    TokenSource {
        keys: KeySource::File("keys.json".into()),
        issuer: None,
        audiences: Vec::new(),
        claim: "sub".into(),
        algorithms: Vec::new(),
        place,
    }
}

fn tokens(places: [TokenPlace; 2]) -> Tokens {
    Tokens {
        sources: places.map(at).into(),
        claims: Vec::new(),
        verifier: Verifier(Some(Arc::new(Second))),
    }
}

fn shown(tokens: &Tokens, fields: &[(&str, &str)]) -> ShownToken {
    let headers: HeaderList = fields.iter().map(|(name, value)| (*name, *value)).collect();
    let head = RequestHead {
        method: "GET",
        authority: "a",
        path: "/",
        query: None,
        headers: &headers,
        peer: Ipv4Addr::LOCALHOST.into(),
        peer_trusted: false,
    };
    tokens.shown(&head, Auth::Optional, Moment { unix_ms: 0 })
}

/// The user, or which source says what of the token.
fn told(shown: &ShownToken) -> Result<&str, (usize, TokenResult)> {
    match shown {
        ShownToken::Nothing => Ok(""),
        ShownToken::Verified { source, user } => {
            Ok(&user.id[..]).inspect(|_| assert_eq!(*source, 1))
        }
        ShownToken::Refused { source, why } => Err((*source, *why)),
    }
}

#[test]
fn each_source_is_asked_until_one_believes() {
    let authorization = || TokenPlace::Header(http::header::AUTHORIZATION);
    let tokens = tokens([authorization(), authorization()]);
    for (value, expected) in [
        ("Bearer b1", Ok("b1")),
        ("bearer  b1 ", Ok("b1")),
        // Whose token it is says what is wrong with it.
        ("Bearer c", Err((1, TokenResult::Expired))),
        ("Bearer x", Err((0, TokenResult::Forged))),
        // A signature that was right says more than a key that is not known, whichever comes first.
        ("Bearer k", Err((1, TokenResult::Expired))),
        ("Bearer e", Err((0, TokenResult::Early))),
        ("b1", Ok("")),
        ("Bearer", Ok("")),
        ("Bearer ", Ok("")),
    ] {
        let shown = shown(&tokens, &[("authorization", value)]);
        assert_eq!(told(&shown), expected, "{value}");
    }
    assert_eq!(told(&shown(&tokens, &[])), Ok(""));
}

#[test]
fn a_token_is_read_where_its_source_says() {
    let own = TokenPlace::Header(HeaderName::from_static("x-token"));
    let tokens = tokens([TokenPlace::Cookie("old".into()), own]);
    for (name, value, expected) in [
        ("x-token", "b1", Ok("b1")),
        ("x-token", "Bearer b1", Ok("b1")),
        ("authorization", "Bearer b1", Ok("")),
        ("cookie", "old=b1", Err((0, TokenResult::Foreign))),
        ("cookie", "old=", Ok("")),
        ("cookie", "x-token=b1", Ok("")),
    ] {
        let shown = shown(&tokens, &[(name, value)]);
        assert_eq!(told(&shown), expected, "{name}: {value}");
    }
    // Nobody verifies anything where there are no keys.
    let mut without = tokens;
    without.verifier = Verifier::default();
    let shown = shown(&without, &[("x-token", "b1")]);
    assert_eq!(told(&shown), Err((1, TokenResult::UnknownKey)));
}
