//! An exposure as it is spooled and as files have it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// A user was served by a deployment under a flag. In the spool `user` is the ID itself; each sink gets it as the
/// configuration says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names say it")]
pub struct ExposureDocument {
    /// The same for the same exposure, whichever gateway sends it and how often: at most 36 ASCII characters.
    pub id: Box<str>,
    /// RFC 3339, in UTC.
    pub time: Box<str>,
    pub user: Box<str>,
    pub service: Box<str>,
    pub flag: Box<str>,
    pub variant: Option<Box<str>>,
    /// `canary`, `control` or `other`.
    pub arm: Box<str>,
    pub assigned: Box<str>,
    pub served: Box<str>,
    /// Why another deployment served than the one that was assigned.
    pub cause: Option<Box<str>>,
    /// Why it was assigned.
    pub reason: Box<str>,
    pub ring: Option<Box<str>>,
    /// Whether a percentage chose.
    pub randomised: bool,
    pub route: Option<Box<str>>,
    pub generation: u64,
    /// Which gateway recorded it.
    pub gateway: Box<str>,
    #[serde(default)]
    pub properties: BTreeMap<Box<str>, Box<str>>,
}

impl ExposureDocument {
    /// As the spool has it.
    pub fn to_bytes(&self) -> Vec<u8> {
        // Texts, numbers and a map of texts: there is nothing that JSON could not say.
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// What a spooled record says; `None`: it is no exposure.
    pub fn read(bytes: &[u8]) -> Option<Self> {
        serde_json::from_slice(bytes).ok()
    }

    /// When, in milliseconds since 1970.
    pub fn unix_ms(&self) -> i64 {
        let time: Result<jiff::Timestamp, _> = self.time.parse();
        time.map_or(0, jiff::Timestamp::as_millisecond)
    }
}

/// Whose exposure it is, read without the rest.
#[derive(Debug, Deserialize)]
pub(super) struct Owner {
    pub(super) user: Box<str>,
}

/// Whether a record is a user's. One that cannot be read is everybody's: nobody will miss it.
pub(super) fn is_of(record: &[u8], user: &str) -> bool {
    serde_json::from_slice(record).map_or(true, |owner: Owner| &*owner.user == user)
}

#[cfg(test)]
pub(super) mod tests {
    use super::{ExposureDocument, is_of};

    /// A user's exposure to a canary, with an ID of its own.
    pub(in crate::attribution) fn exposure(user: &str, number: u32) -> ExposureDocument {
        ExposureDocument {
            id: format!("{number:032x}").into(),
            time: "2026-11-27T10:00:00.123Z".into(),
            user: user.into(),
            service: "search".into(),
            flag: "search.ranker-v2".into(),
            variant: Some("treatment".into()),
            arm: "canary".into(),
            assigned: "search.ranker-v2".into(),
            served: "search.ranker-v2".into(),
            cause: None,
            reason: "ring".into(),
            ring: Some("early".into()),
            randomised: true,
            route: Some("/search".into()),
            generation: 41,
            gateway: "gw-1".into(),
            properties: [("region".into(), "eu".into())].into(),
        }
    }

    #[test]
    fn what_is_spooled_is_what_files_have() {
        let document = exposure("u1", 7);
        let bytes = document.to_bytes();
        assert_eq!(ExposureDocument::read(&bytes).as_ref(), Some(&document));
        assert_eq!(document.unix_ms(), 1_795_773_600_123);
        insta::assert_snapshot!(String::from_utf8(bytes).unwrap(), @r#"{"id":"00000000000000000000000000000007","time":"2026-11-27T10:00:00.123Z","user":"u1","service":"search","flag":"search.ranker-v2","variant":"treatment","arm":"canary","assigned":"search.ranker-v2","served":"search.ranker-v2","cause":null,"reason":"ring","ring":"early","randomised":true,"route":"/search","generation":41,"gateway":"gw-1","properties":{"region":"eu"}}"#);
    }

    #[test]
    fn records_are_told_apart_by_their_user() {
        let bytes = exposure("u1", 7).to_bytes();
        assert!(is_of(&bytes, "u1") && !is_of(&bytes, "u"));
        assert!(is_of(b"nothing", "u1"));
    }
}
