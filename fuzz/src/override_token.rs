//! Tokens by which a tester asks for a deployment.

use std::sync::LazyLock;

use serin_core::canary::ReasonKind;
use serin_core::dispatch::Dispatch;
use serin_core::overrides::{self, LONGEST, Override};
use serin_core::signature::SigningKey;

use crate::request::{Request, SECRET};

static KEY: LazyLock<SigningKey> =
    LazyLock::new(|| overrides::key(SECRET.as_bytes()).expect("a secret that is long enough"));

/// A token is believed if it is the very one that the key signs; nothing of any token goes upstream; and what it says when it is
/// signed comes out when it is opened.
pub fn check(input: &[u8]) {
    if let Ok(opened) = Override::open(input, &KEY) {
        let signed = opened.sign(&KEY).expect("what was signed can be signed");
        assert_eq!(signed.as_bytes(), input, "two tokens say the same");
    }
    for name in ["x-serin-override", "cookie"] {
        let request = Request::new("/search").with_lines(name, input);
        if let Dispatch::Forward(plan) = request.dispatch() {
            let overridden = plan.decision.reason.kind() == ReasonKind::Override;
            assert!(!overridden || was_signed(input), "a forged token decided");
            let sent = request.sent_upstream(&plan);
            assert!(!sent.contains_key("x-serin-override"));
        }
    }
    round_trip(input);
}

/// Whether a token that the key has signed stands in an input.
fn was_signed(input: &[u8]) -> bool {
    let is_part = |byte: &u8| !byte.is_ascii_alphanumeric() && !b"-_.".contains(byte);
    input
        .split(is_part)
        .any(|part| Override::open(part, &KEY).is_ok())
}

/// Signs what the input's lines say.
fn round_trip(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else {
        return;
    };
    let mut parts = text.split('\n');
    let (Some(service), Some(deployment)) = (parts.next(), parts.next()) else {
        return;
    };
    let written = Override {
        service: service.into(),
        deployment: deployment.into(),
        user: parts.next().map(Into::into),
        expires: i64::try_from(text.len()).unwrap_or_default(),
    };
    if let Ok(token) = written.sign(&KEY) {
        assert!(token.len() <= LONGEST);
        assert_eq!(Override::open(token.as_bytes(), &KEY).ok(), Some(written));
    }
}
