//! Where a flag is kept, and everything that depends on it.
//!
//! Nothing outside of this file tells one kind of source from another: callers ask an [`Origin`] what they want to know.
//! So a further source is a variant here, and every question below must be answered for it before the crate compiles.

use std::sync::Arc;

use crate::canary::ReasonKind;

/// The name of `routes.yaml` among the sources.
pub const FILE: &str = "file";

/// What Serin is called among those who keep flags.
pub const SERIN: &str = "serin";

/// The name of a registration among them.
pub const REGISTRATION: &str = "registration";

/// The source that keeps a flag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// `routes.yaml`.
    Local,
    /// Serin itself, as the admin API was told.
    Serin,
    /// The registration of the canary: the flag is there because nobody else keeps one of that name.
    Registration,
    /// The Unleash server of this name.
    Unleash(Arc<str>),
    /// The LaunchDarkly environment of this name.
    LaunchDarkly(Arc<str>),
}

/// What a source calls the audiences of a flag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AudienceKind {
    /// That of a flag in `routes.yaml`, of one that Serin keeps, or of a registration.
    Ring,
    /// An Unleash flag's.
    Strategy,
    /// A LaunchDarkly flag's.
    Rule,
}

/// How a flag is put to Unleash's SDKs, which evaluate flags themselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnleashDocument<'a> {
    /// Written in Unleash's words from the compiled flag.
    Written,
    /// The text that this Unleash server sent.
    AsSent(&'a Arc<str>),
    /// Not at all: Unleash's SDKs would bucket its users in another way than its source does.
    Withheld,
}

impl Origin {
    /// Who keeps the flag, for people: `routes.yaml`, `serin`, `registration`, or the flag server's name.
    pub fn keeper(&self) -> &str {
        match self {
            Self::Local => "routes.yaml",
            Self::Serin => SERIN,
            Self::Registration => REGISTRATION,
            Self::Unleash(name) | Self::LaunchDarkly(name) => name,
        }
    }

    /// Its source's name, for programs: `file`, `serin`, `registration`, or the flag server's name.
    pub fn source(&self) -> &str {
        match self {
            Self::Local => FILE,
            Self::Serin => SERIN,
            Self::Registration => REGISTRATION,
            Self::Unleash(name) | Self::LaunchDarkly(name) => name,
        }
    }

    /// Whether its URLs are as trusted as a stable deployment's. All others lead only where `canary_urls` allows.
    pub fn is_of_the_platform(&self) -> bool {
        match self {
            Self::Local => true,
            Self::Serin | Self::Registration | Self::Unleash(_) | Self::LaunchDarkly(_) => false,
        }
    }

    /// Whether the flag is there only because a canary is registered that nobody else keeps a flag for.
    pub fn is_a_registration(&self) -> bool {
        match self {
            Self::Registration => true,
            Self::Local | Self::Serin | Self::Unleash(_) | Self::LaunchDarkly(_) => false,
        }
    }

    /// The flag server's name; `None`: no flag server has the flag.
    pub fn server(&self) -> Option<&Arc<str>> {
        match self {
            Self::Local | Self::Serin | Self::Registration => None,
            Self::Unleash(name) | Self::LaunchDarkly(name) => Some(name),
        }
    }

    /// The Unleash server that expects to hear how the flag is used; `None`: no Unleash server knows the flag.
    pub fn unleash_server(&self) -> Option<&Arc<str>> {
        match self {
            Self::Unleash(name) => Some(name),
            Self::Local | Self::Serin | Self::Registration | Self::LaunchDarkly(_) => None,
        }
    }

    /// What the flag's audiences are called.
    pub fn audience(&self) -> AudienceKind {
        match self {
            Self::Local | Self::Serin | Self::Registration => AudienceKind::Ring,
            Self::Unleash(_) => AudienceKind::Strategy,
            Self::LaunchDarkly(_) => AudienceKind::Rule,
        }
    }

    /// How the flag is put to Unleash's SDKs.
    pub fn unleash_document(&self) -> UnleashDocument<'_> {
        match self {
            Self::Local | Self::Serin | Self::Registration => UnleashDocument::Written,
            Self::Unleash(server) => UnleashDocument::AsSent(server),
            Self::LaunchDarkly(_) => UnleashDocument::Withheld,
        }
    }

    /// What a flag lacks that names no upstream at all, in words.
    pub fn lacks_upstream(&self) -> &'static str {
        match self {
            Self::Local | Self::Serin | Self::Registration => {
                "it has no `url`, and no `variants` with one"
            }
            Self::Unleash(_) => "it has no variants, so no payload says where its users go",
            Self::LaunchDarkly(_) => "it has no variation whose value says where its users go",
        }
    }
}

impl AudienceKind {
    /// The word for people.
    pub fn as_str(self) -> &'static str {
        self.reason().as_str()
    }

    /// The reason of a decision that such an audience made.
    pub fn reason(self) -> ReasonKind {
        match self {
            Self::Ring => ReasonKind::Ring,
            Self::Strategy => ReasonKind::Strategy,
            Self::Rule => ReasonKind::Rule,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Origin, UnleashDocument};

    #[test]
    fn every_source_answers_for_its_own_flags() {
        let (unleash, launchdarkly) = ("unleash".into(), "launchdarkly".into());
        let origins = [
            Origin::Local,
            Origin::Serin,
            Origin::Registration,
            Origin::Unleash(unleash),
            Origin::LaunchDarkly(launchdarkly),
        ];
        let answers = origins.each_ref().map(|origin| {
            let server = origin.server().map(|name| &**name);
            let reports_to = origin.unleash_server().map(|name| &**name);
            (server, reports_to, origin.audience().as_str())
        });
        assert_eq!(
            answers,
            [
                (None, None, "ring"),
                (None, None, "ring"),
                (None, None, "ring"),
                (Some("unleash"), Some("unleash"), "strategy"),
                (Some("launchdarkly"), None, "rule"),
            ]
        );
        let documents = origins.each_ref().map(Origin::unleash_document);
        assert_eq!(
            documents,
            [
                UnleashDocument::Written,
                UnleashDocument::Written,
                UnleashDocument::Written,
                UnleashDocument::AsSent(&"unleash".into()),
                UnleashDocument::Withheld,
            ]
        );
        let keepers = origins.each_ref().map(Origin::keeper);
        let [file, others @ ..] = keepers;
        assert_eq!(file, "routes.yaml");
        assert_eq!(others, ["serin", "registration", "unleash", "launchdarkly"]);
        let sources = origins.each_ref().map(Origin::source);
        let [file, same @ ..] = sources;
        assert_eq!((file, same), ("file", others));
        let trusted = origins.each_ref().map(Origin::is_of_the_platform);
        assert_eq!(trusted, [true, false, false, false, false]);
    }
}
