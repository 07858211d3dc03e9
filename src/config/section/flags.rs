//! `flags`: canary flags that are kept in the file.

use std::sync::Arc;

use super::conditions::{Audience, all};
use super::services::shutoff_flags;
use crate::cluster::UpstreamHost;
use crate::cluster::address::is_metadata;
use crate::config::node::{Entry, Node};
use crate::config::reader::Reader;
use crate::config::value;
use crate::context::{Field, Moment};
use crate::engine::{
    About, Bucketing, CanaryUrl, Flag, Ring, Rollout, STABLE, Stickiness, Variant, Variants,
};
use crate::flag::Share;

/// The sum of all weights of a flag, in thousandths.
const WHOLE: u32 = 1000;

/// Compiles `flags`, in the order of their names.
pub fn compile<'t>(
    reader: &mut Reader,
    root: &'t Node,
    audience: &mut Audience<'t>,
) -> Vec<Arc<Flag>> {
    let entries = root.get("flags").map(Node::entries).unwrap_or_default();
    let shutoffs = shutoff_flags(root);
    let mut flags: Vec<Arc<Flag>> = entries
        .iter()
        .map(|entry| {
            if !shutoffs.contains(&entry.key.as_str()) {
                check_targets(reader, entry);
            }
            Arc::new(flag(reader, entry, audience))
        })
        .collect();
    flags.sort_by(|a, b| a.name.cmp(&b.name));
    flags
}

fn flag<'t>(reader: &mut Reader, entry: &'t Entry, audience: &mut Audience<'t>) -> Flag {
    let node = &entry.value;
    if let Err(hint) = value::flag_name(&entry.key) {
        let message = format!(
            "`{}` cannot be the name of a flag",
            value::shortened(&entry.key)
        );
        reader.problems.error(entry.key_span, message).hint(hint);
    }
    let hashing = Hashing {
        group: node
            .get("group")
            .and_then(|node| reader.name(node))
            .unwrap_or(&entry.key)
            .into(),
        stickiness: stickiness(reader, node.get("stickiness"), audience),
    };
    let url = node.get("url").and_then(|node| canary_url(reader, node));
    let enabled = node.get("enabled").and_then(|node| reader.bool(node));
    let priority = node
        .get("priority")
        .and_then(|node| reader.integer(node, 0..=1_000_000))
        .and_then(|priority| i32::try_from(priority).ok());
    Flag {
        enabled: enabled.unwrap_or(true),
        priority: priority.unwrap_or_default(),
        rings: rings(reader, entry, audience, &hashing),
        variants: node
            .get("variants")
            .and_then(|node| variants(reader, node, &hashing)),
        url,
        about: about(reader, node),
        ..Flag::new(entry.key.as_str())
    }
}

/// What an ID is hashed together with, and which one.
struct Hashing {
    group: Arc<str>,
    stickiness: Stickiness,
}

fn stickiness(reader: &mut Reader, node: Option<&Node>, audience: &Audience<'_>) -> Stickiness {
    let Some((node, name)) = node.and_then(|node| Some((node, reader.name(node)?))) else {
        return Stickiness::Default;
    };
    if name == "default" {
        return Stickiness::Default;
    }
    match audience.field(name) {
        Some((_, Field::RemoteAddress | Field::Now | Field::Constant)) => {
            reader
                .problems
                .error(node.span, format!("`{name}` is not an ID"))
                .hint("`default`, `userId`, `sessionId` or a property");
            Stickiness::Default
        }
        Some((_, field)) => Stickiness::Field(field),
        None => {
            let shown = node.scalar().map_or("", |scalar| scalar.shown());
            let names = audience.field_names().chain(["default"]);
            let hint = reader.problems.suggest(shown, names);
            reader
                .problems
                .error(node.span, format!("there is no field `{shown}`"))
                .hint(
                    hint.unwrap_or_else(|| "`default`, `userId`, `sessionId` or a property".into()),
                );
            Stickiness::Default
        }
    }
}

/// A flag leads somewhere in one of two ways, not in both.
fn check_targets(reader: &mut Reader, entry: &Entry) {
    let node = &entry.value;
    match (node.entry("url"), node.entry("variants")) {
        (Some(_), Some(variants)) => {
            reader
                .problems
                .error(
                    variants.key_span,
                    "a flag has a `url` or `variants`, not both",
                )
                .hint("give the variant its `url`");
        }
        (None, None) if node.scalar().is_none() && node.items().is_empty() => {
            let message = format!(
                "`{}` names no upstream, so it sends nobody anywhere",
                entry.key
            );
            reader
                .problems
                .follow_up(entry.key_span, message)
                .hint("give it a `url`, or `variants` with one");
        }
        _ => {}
    }
}

/// A canary's URL: as trusted as a stable deployment's, but for addresses that nobody is led to. One of these is
/// refused, with a warning.
fn canary_url(reader: &mut Reader, node: &Node) -> Option<CanaryUrl> {
    let url = reader.url(node)?;
    let scalar = node.scalar()?;
    let is_refused = match url.host() {
        UpstreamHost::Address(address) => is_metadata(*address),
        UpstreamHost::Name(_) | UpstreamHost::Nowhere => false,
    };
    if scalar.is_placeholder() || !is_refused {
        return Some(CanaryUrl::Allowed(url));
    }
    let shown = value::shortened(scalar.shown());
    let why = format!("`{shown}` is a metadata address");
    let message = format!("{why}: nobody is sent there");
    reader.problems.warning(node.span, message).hint(
        "nothing is ever sent to the addresses at which clouds give their machines credentials",
    );
    Some(CanaryUrl::Refused(why.into()))
}

fn about(reader: &mut Reader, node: &Node) -> About {
    let text = |key: &str| {
        let scalar = node.get(key)?.scalar()?;
        Some(scalar.text().into())
    };
    let expires = node.get("expires").and_then(|node| {
        let stand_in = Moment { unix_ms: i64::MAX };
        let moment = reader.read(node, "a date", stand_in, value::end_of_day)?;
        if moment < reader.now {
            reader
                .problems
                .warning(node.span, "this flag has expired")
                .hint("remove it, or move the date; no decision depends on it");
        }
        Some(moment)
    });
    About {
        description: text("description"),
        owner: text("owner"),
        expires,
    }
}

fn variants(reader: &mut Reader, node: &Node, hashing: &Hashing) -> Option<Variants> {
    let mut list: Vec<Variant> = Vec::new();
    let mut unread = false;
    for item in node.items() {
        let placeholder = |key: &str| {
            let scalar = item.get(key).and_then(Node::scalar);
            scalar.is_some_and(|scalar| scalar.is_placeholder())
        };
        unread |= placeholder("weight") || placeholder("name");
        let variant = variant(reader, item);
        if let (Some(variant), Some(name)) = (&variant, item.get("name"))
            && !name.has_placeholder()
            && list.iter().any(|other| other.name == variant.name)
        {
            reader
                .problems
                .error(name.span, "another variant of this flag has this name");
        }
        unread |= variant.is_none();
        list.extend(variant);
    }
    let total: u32 = list.iter().map(|variant| variant.weight).sum();
    if total != WHOLE && !unread {
        let (whole, part) = (total / 10, total % 10);
        let message = format!("the weights sum to {whole}.{part}%, not to 100%");
        reader.problems.error(node.span, message);
    }
    Variants::new(
        list,
        Bucketing::unleash(hashing.group.clone()),
        hashing.stickiness,
    )
}

fn variant(reader: &mut Reader, node: &Node) -> Option<Variant> {
    let name_node = node.get("name");
    let name = name_node.and_then(|node| {
        reader.read(
            node,
            "a name for a variant",
            "placeholder".to_owned(),
            |text| value::flag_name(text).map(|()| text.to_owned()),
        )
    });
    let weight = node
        .get("weight")
        .and_then(|node| reader.read(node, "a weight", 0, value::weight));
    let url = node
        .get("url")
        .and_then(|node| Some((node, canary_url(reader, node)?)));
    if let (Some(STABLE), Some((node, _))) = (name.as_deref(), &url) {
        reader
            .problems
            .warning(
                node.span,
                "the variant `stable` is the service's stable deployment, whatever its URL",
            )
            .hint("remove the `url`, or give the variant another name");
    }
    let name = name?;
    Some(Variant {
        url: url.map(|(_, url)| url).filter(|_| name != STABLE),
        name: name.into(),
        weight: weight?,
        service: None,
        payload: None,
        nearly: None,
    })
}

fn rings<'t>(
    reader: &mut Reader,
    entry: &'t Entry,
    audience: &mut Audience<'t>,
    hashing: &Hashing,
) -> Vec<Ring> {
    let nodes = entry
        .value
        .get("rings")
        .map(Node::items)
        .unwrap_or_default();
    if nodes.is_empty() && !entry.value.entries().is_empty() {
        let span = entry
            .value
            .entry("rings")
            .map_or(entry.key_span, |rings| rings.key_span);
        reader
            .problems
            .follow_up(
                span,
                format!("`{}` has no rings, so it is on for nobody", entry.key),
            )
            .hint("for everybody write `rings: [{ name: all, rollout: 100% }]`");
    }
    let mut names: Vec<Arc<str>> = Vec::new();
    let mut rings = Vec::new();
    for (node, number) in nodes.iter().zip(1..) {
        let ring = ring(reader, node, number, audience, hashing);
        if names.contains(&ring.name)
            && let Some(name) = node.get("name")
        {
            reader
                .problems
                .error(name.span, "another ring of this flag has this name");
        }
        names.push(ring.name.clone());
        rings.push(ring);
    }
    rings
}

fn ring<'t>(
    reader: &mut Reader,
    node: &'t Node,
    number: usize,
    audience: &mut Audience<'t>,
    hashing: &Hashing,
) -> Ring {
    let name: Arc<str> = match node.get("name").and_then(|node| reader.name(node)) {
        Some(name) => name.into(),
        None => format!("ring {number}").into(),
    };
    let segments = node.get("segments").map(Node::items).unwrap_or_default();
    let mut stated: Vec<_> = node
        .get("segment")
        .into_iter()
        .chain(segments)
        .map(|node| audience.segment_named(reader, node))
        .collect();
    if let Some(when) = node.get("when") {
        stated.push(audience.condition(reader, when));
    }
    let share = node.get("rollout").and_then(|node| reader.share(node));
    Ring {
        name,
        condition: all(stated),
        rollout: Rollout {
            share: share.unwrap_or(Share::ALL),
            bucketing: Bucketing::unleash(hashing.group.clone()),
            stickiness: hashing.stickiness,
            needs_id: false,
        },
        variants: None,
    }
}
