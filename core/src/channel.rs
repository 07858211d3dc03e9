//! Channels: users opt in to one, and a signed cookie says so. Rings ask for it as for any property.

use std::time::Duration;

use crate::request::RequestHead;
use crate::signature::SigningKey;

/// The name of the property that says in which channel a user is.
pub const PROPERTY: &str = "channel";

/// What the key signs.
const PURPOSE: &str = "serin channel 1";

/// The key of a secret that signs cookies.
pub fn key(secret: &[u8]) -> Option<SigningKey> {
    SigningKey::new(secret, PURPOSE)
}

/// `identity.channels`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChannelRules {
    /// What cookies are signed with.
    pub key: SigningKey,
    /// The channels that there are.
    pub names: Vec<Box<str>>,
    /// The cookie's name.
    pub cookie: Box<str>,
    /// How long browsers keep it.
    pub max_age: Duration,
}

impl ChannelRules {
    /// Whether there is a channel of this name.
    pub fn has(&self, name: &str) -> bool {
        self.names.iter().any(|known| **known == *name)
    }

    /// The value of the cookie of those who are in a channel.
    pub fn signed(&self, name: &str) -> String {
        self.key.sign(name)
    }

    /// The channel that a request's cookie names. One that is forged names none, and a channel may be gone meanwhile.
    pub fn read<'a>(&self, head: &RequestHead<'a>) -> Option<&'a str> {
        let cookie = head.cookie_bytes(&self.cookie)?;
        let name = std::str::from_utf8(self.key.open(cookie).ok()?).ok()?;
        self.has(name).then_some(name)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{ChannelRules, key};
    use crate::overrides;
    use crate::request::HeaderList;

    fn rules(secret: &str, names: &[&str]) -> ChannelRules {
        ChannelRules {
            key: key(secret.as_bytes()).expect("a key"),
            names: names.iter().map(|name| (*name).into()).collect(),
            cookie: "channel".into(),
            max_age: Duration::from_secs(1),
        }
    }

    fn read(rules: &ChannelRules, cookie: &str) -> Option<String> {
        let headers: HeaderList = [("cookie", cookie)].into_iter().collect();
        let head = headers.head();
        rules.read(&head).map(str::to_owned)
    }

    #[test]
    fn only_a_cookie_that_was_signed_here_names_a_channel_and_only_one_that_there_is() {
        let own = rules("secret", &["preview", "beta"]);
        let signed = own.signed("preview");
        assert_eq!(
            read(&own, &format!("a=b; channel={signed}")).as_deref(),
            Some("preview")
        );
        let beta = signed.replace("preview", "beta");
        let other = rules("another", &["preview"]).signed("preview");
        let as_override = overrides::key(b"secret").expect("a key").sign("preview");
        for cookie in [
            "preview",
            "preview.",
            "",
            &*beta,
            &*other,
            &*as_override,
            &*own.signed("gone"),
            &format!("{signed}x"),
        ] {
            assert_eq!(read(&own, &format!("channel={cookie}")), None, "{cookie}");
        }
        assert_eq!(read(&own, &format!("channels={signed}")), None);
        assert_eq!(
            read(&rules("secret", &["beta"]), &format!("channel={signed}")),
            None
        );
    }
}
