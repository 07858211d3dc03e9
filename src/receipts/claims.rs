//! What a receipt says, as the claims of a JWT (RFC 7519).

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::receipt::{Receipt, ServedBy};

/// Who issues receipts.
const ISSUER: &str = "serin";

#[derive(Serialize, Deserialize)]
struct Claims<'a> {
    #[serde(borrow)]
    iss: Cow<'a, str>,
    #[serde(borrow)]
    sub: Cow<'a, str>,
    iat: i64,
    exp: i64,
    #[serde(borrow)]
    served: BTreeMap<Cow<'a, str>, Member<'a>>,
}

/// Who served the user of one service.
#[derive(Serialize, Deserialize)]
struct Member<'a> {
    #[serde(borrow)]
    d: Cow<'a, str>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    f: Option<Cow<'a, str>>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    v: Option<Cow<'a, str>>,
    #[serde(borrow)]
    r: Cow<'a, str>,
    #[serde(borrow)]
    a: Cow<'a, str>,
    g: u64,
}

impl<'a> Member<'a> {
    fn of(by: &'a ServedBy) -> Self {
        Self {
            d: (&*by.deployment).into(),
            f: by.flag.as_deref().map(Into::into),
            v: by.variant.as_deref().map(Into::into),
            r: (&*by.reason).into(),
            a: (&*by.assigned).into(),
            g: by.generation,
        }
    }
}

/// The claims of a receipt as JSON.
pub(super) fn write(receipt: &Receipt) -> String {
    let served = receipt.served.iter();
    let claims = Claims {
        iss: ISSUER.into(),
        sub: (&*receipt.subject).into(),
        iat: receipt.issued,
        exp: receipt.expires,
        served: served
            .map(|(name, by)| ((&**name).into(), Member::of(by)))
            .collect(),
    };
    // Texts and numbers can be written.
    serde_json::to_string(&claims).unwrap_or_default()
}

/// Reads claims; `None`: they are not a receipt's.
pub(super) fn read(json: &[u8]) -> Option<Receipt> {
    let claims: Claims<'_> = serde_json::from_slice(json).ok()?;
    let by = |member: Member<'_>| ServedBy {
        deployment: member.d.into(),
        flag: member.f.map(Into::into),
        variant: member.v.map(Into::into),
        reason: member.r.into(),
        assigned: member.a.into(),
        generation: member.g,
    };
    let served = claims.served.into_iter();
    (claims.iss == ISSUER).then(|| Receipt {
        subject: claims.sub.into(),
        issued: claims.iat,
        expires: claims.exp,
        served: served
            .map(|(name, member)| (name.into(), by(member)))
            .collect(),
    })
}

/// The same, to be printed.
pub fn value(receipt: &Receipt) -> serde_json::Value {
    serde_json::from_str(&write(receipt)).unwrap_or_default()
}
