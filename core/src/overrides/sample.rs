//! Overrides for tests.
#![expect(
    clippy::expect_used,
    reason = "a fixture that cannot be made fails its test"
)]

use http::HeaderName;

use super::{HEADER, Override, OverrideRules};

/// Rules with a key of their own, and the names that go without saying.
pub fn rules() -> OverrideRules {
    OverrideRules {
        key: super::key(b"0123456789abcdef0123456789abcdef").expect("a key"),
        header: HeaderName::from_static(HEADER),
        cookie: "serin_override".into(),
    }
}

/// An override of the service `search` that holds until 1970-01-01T00:16:41Z, for whoever shows it.
pub fn to(deployment: &str) -> Override {
    Override {
        service: "search".into(),
        deployment: deployment.into(),
        user: None,
        expires: 1001,
    }
}

/// Its token, by the key of [`rules`].
pub fn signed(minted: &Override) -> String {
    minted.sign(&rules().key).expect("a token")
}
