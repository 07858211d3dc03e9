//! `identity.channels`: what users may opt in to.

use std::sync::Arc;
use std::time::Duration;

use crate::channel::{self, ChannelRules};
use crate::config::keys::CLIENT_API;
use crate::config::keys::identity::channels as keys;
use crate::config::keys::shape::Key;
use crate::config::node::Node;
use crate::config::reader::Reader;
use crate::config::section::identity::secrets;
use crate::identity::{Place, Property, Source, Trust};

/// The longest name of a channel: it stands in a cookie.
const LONGEST: usize = 64;

/// Compiles it, and adds the property that says in which channel a user is; `None`: it is not there, or its key is not. `taken`
/// are the names of other cookies.
pub(super) fn compile(
    reader: &mut Reader,
    (root, identity): (&Node, Option<&Node>),
    taken: [Option<&str>; 2],
    properties: &mut Vec<Property>,
) -> Option<Arc<ChannelRules>> {
    let pair = keys::CHANNELS.pair(identity)?;
    let node = &pair.value;
    if CLIENT_API.node(root).is_none() {
        let message = "nobody can choose a channel: there is no `client_api`";
        let warning = reader.problems.follow_up(pair.key_span, message);
        warning.hint("add `client_api: { path: /.serin }`");
    }
    if properties.iter().any(|own| *own.name == *channel::PROPERTY) {
        let message = "`channel` is the property of `identity.channels`";
        let error = reader.problems.error(pair.key_span, message);
        error.hint("give the other one under `identity.properties` another name");
    }
    let key = keys::KEY.read(reader, node);
    secrets::check(reader, keys::KEY.node(node), key.as_deref());
    let cookie = keys::COOKIE.read(reader, node);
    if taken.contains(&Some(&*cookie)) {
        let span = keys::COOKIE.node(node).map_or(node.span, |node| node.span);
        let message = format!("`{cookie}` is another cookie of Serin's own");
        let error = reader.problems.error(span, message);
        error.hint("give channels another one");
    }
    let max_age = keys::MAX_AGE.read(reader, node);
    let rules = Arc::new(ChannelRules {
        names: names(reader, node),
        cookie,
        max_age: Duration::from_secs(max_age.as_secs().max(1)),
        // A placeholder stands for it where only the rest is to be checked.
        key: channel::key(key.as_deref().unwrap_or_default().as_bytes())?,
    });
    properties.push(Property {
        name: channel::PROPERTY.into(),
        source: Source {
            place: Place::Channel(rules.clone()),
            trust: Trust::Anyone,
        },
    });
    Some(rules)
}

fn names(reader: &mut Reader, channels: &Node) -> Vec<Box<str>> {
    let mut names: Vec<Box<str>> = Vec::new();
    for node in keys::NAMES.items(channels) {
        let name = reader.parse(node, "a channel's name", "preview".into(), |text| {
            let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
            match (1..=LONGEST).contains(&text.len()) && text.bytes().all(fits) {
                true => Ok(Box::from(text)),
                false => Err(format!(
                    "letters, digits, - and _, at most {LONGEST} of them"
                )),
            }
        });
        names.extend(name);
    }
    if let (true, Some(list)) = (names.is_empty(), keys::NAMES.node(channels))
        && list.items().is_empty()
    {
        let error = reader
            .problems
            .error(list.span, "there is no channel to choose");
        error.hint("as in `names: [preview]`");
    }
    names
}
