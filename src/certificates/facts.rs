//! What there is to know of a certificate.

use std::time::Duration;

use x509_parser::extensions::GeneralName;
use x509_parser::parse_x509_certificate;

use super::Owner;
use crate::context::Moment;

/// What a certificate says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// Whose it is, for people: its subject, or the first of its names.
    pub subject: String,
    /// The host names that it is for, in lower case.
    pub names: Vec<String>,
    /// From when it holds, in seconds since 1970.
    pub from: i64,
    /// Until when, in seconds since 1970.
    pub until: i64,
}

impl Facts {
    /// Of a certificate in DER.
    ///
    /// # Errors
    /// It is none, in the reader's words.
    pub(super) fn read(der: &[u8]) -> Result<Self, String> {
        let (_, certificate) = parse_x509_certificate(der).map_err(|error| error.to_string())?;
        let extension = certificate.subject_alternative_name();
        let extension = extension.map_err(|error| error.to_string())?;
        let names = extension.map(|extension| extension.value.general_names.as_slice());
        let names = names.unwrap_or_default().iter();
        let names: Vec<String> = names
            .filter_map(|name| match name {
                GeneralName::DNSName(name) => Some(name.to_ascii_lowercase()),
                _ => None,
            })
            .collect();
        let subject = certificate.subject().to_string();
        Ok(Self {
            subject: match names.first() {
                Some(first) if subject.is_empty() => first.clone(),
                _ => subject,
            },
            names,
            from: certificate.validity().not_before.timestamp(),
            until: certificate.validity().not_after.timestamp(),
        })
    }

    /// Whether it holds only later, or no more; in words.
    pub(super) fn not_its_time(&self, now: Moment) -> Option<String> {
        let now = now.unix_ms / 1000;
        if now > self.until {
            return Some(format!("the certificate ended at {}", self.until()));
        }
        let from = shown(self.from);
        (now < self.from).then(|| format!("the certificate begins at {from}"))
    }

    /// That it is over, or will be `soon`; in words.
    pub(super) fn ending(&self, owner: Owner, now: Moment, soon: Duration) -> Option<String> {
        let soon = i64::try_from(soon.as_secs()).unwrap_or(i64::MAX);
        let left = self.until.saturating_sub(now.unix_ms / 1000);
        let verb = match left {
            ..0 => "ended",
            _ if left < soon => "ends",
            _ => return None,
        };
        let (subject, until) = (&self.subject, self.until());
        Some(format!(
            "{owner}'s certificate for {subject} {verb} at {until}"
        ))
    }

    /// When it ends, for people.
    pub(super) fn until(&self) -> String {
        shown(self.until)
    }
}

fn shown(seconds: i64) -> String {
    jiff::Timestamp::from_second(seconds)
        .unwrap_or_default()
        .to_string()
}
