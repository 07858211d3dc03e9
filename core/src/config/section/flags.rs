//! `flags`: canary flags that are kept in the file.

use std::sync::Arc;

use super::conditions::{Audience, all};
use super::services::{shadow_flags, shutoff_flags};
use crate::cluster::address::is_metadata;
use crate::cluster::policy::UrlPolicy;
use crate::cluster::{UpstreamHost, UpstreamUrl};
use crate::config::keys::FLAGS;
use crate::config::keys::flags as keys;
use crate::config::keys::shape::Key;
use crate::config::node::{Node, Pair, Scalar};
use crate::config::reader::Reader;
use crate::config::value;
use crate::context::{Field, Moment};
use crate::engine::{
    About, Bucketing, CanaryUrl, Flag, Origin, Ring, Rollout, STABLE, Stickiness, Variant, Variants,
};

/// The sum of all weights of a flag, in thousandths.
const WHOLE: u32 = 1000;

/// Compiles `flags`, in the order of their names.
pub fn compile<'t>(
    reader: &mut Reader,
    root: &'t Node,
    audience: &mut Audience<'t>,
) -> Vec<Arc<Flag>> {
    let pairs = FLAGS.pairs(root);
    let (shutoffs, shadows) = (shutoff_flags(root), shadow_flags(root));
    let mut flags: Vec<Arc<Flag>> = pairs
        .iter()
        .map(|pair| {
            if !shutoffs.contains(&pair.key.as_str()) {
                check_targets(reader, pair);
            }
            // A shadow is not there for users.
            if !shadows.contains(&pair.key.as_str()) {
                check_rings(reader, pair);
            }
            Arc::new(flag(reader, pair, audience))
        })
        .collect();
    flags.sort_by(|a, b| a.name.cmp(&b.name));
    flags
}

/// Compiles a flag that stands by itself, as a document that people send. Its URLs must be ones that `policy` allows;
/// it may have none, where a registration records one. `origin` keeps it.
pub fn compile_kept<'t>(
    reader: &mut Reader,
    pair: &'t Pair,
    audience: &mut Audience<'t>,
    (origin, policy): (&Origin, &UrlPolicy),
) -> Flag {
    let node = &pair.value;
    if let (Some(_), Some(_)) = (keys::URL.node(node), keys::VARIANTS.node(node)) {
        check_targets(reader, pair);
    }
    let variants = keys::VARIANTS.items(node).iter();
    let urls = variants.filter_map(|variant| keys::VARIANT_URL.node(variant));
    for node in keys::URL.node(node).into_iter().chain(urls) {
        check_allowed(reader, node, policy);
    }
    check_rings(reader, pair);
    Flag {
        origin: origin.clone(),
        ..flag(reader, pair, audience)
    }
}

/// What is no URL is told where it is read.
fn check_allowed(reader: &mut Reader, node: &Node, policy: &UrlPolicy) {
    let text = node.scalar().map_or("", Scalar::text);
    if let Ok(url) = text.parse::<UpstreamUrl>()
        && let Err(refusal) = policy.check(&url)
    {
        reader
            .problems
            .error(node.span, refusal.to_string())
            .hint("`canary_urls` in routes.yaml says where flags may lead");
    }
}

fn flag<'t>(reader: &mut Reader, pair: &'t Pair, audience: &mut Audience<'t>) -> Flag {
    let node = &pair.value;
    if let Err(hint) = value::flag_name(&pair.key) {
        let message = format!(
            "`{}` cannot be the name of a flag",
            value::shortened(&pair.key)
        );
        reader.problems.error(pair.key_span, message).hint(hint);
    }
    let hashing = Hashing {
        group: keys::GROUP
            .read(reader, node)
            .unwrap_or_else(|| pair.key.as_str().into()),
        stickiness: stickiness(reader, keys::STICKINESS.node(node), audience),
    };
    let variants = keys::VARIANTS.node(node);
    Flag {
        enabled: keys::ENABLED.read(reader, node),
        priority: keys::PRIORITY.read(reader, node),
        rings: rings(reader, pair, audience, &hashing),
        variants: variants.and_then(|list| self::variants(reader, list, &hashing)),
        url: keys::URL
            .node(node)
            .and_then(|node| canary_url(reader, node)),
        about: about(reader, node),
        ..Flag::new(pair.key.as_str())
    }
}

/// Which ID is hashed, and the group that is hashed with it.
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
fn check_targets(reader: &mut Reader, pair: &Pair) {
    let node = &pair.value;
    match (keys::URL.pair(node), keys::VARIANTS.pair(node)) {
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
                pair.key
            );
            reader
                .problems
                .follow_up(pair.key_span, message)
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
    let expires = keys::EXPIRES.node(node).and_then(|node| {
        let stand_in = Moment { unix_ms: i64::MAX };
        let moment = reader.parse(node, "a date", stand_in, value::end_of_day)?;
        if moment < reader.now {
            reader
                .problems
                .warning(node.span, "this flag has expired")
                .hint("remove it, or move the date; no decision depends on it");
        }
        Some(moment)
    });
    About {
        description: keys::DESCRIPTION.read(reader, node),
        owner: keys::OWNER.read(reader, node),
        expires,
    }
}

fn variants(reader: &mut Reader, node: &Node, hashing: &Hashing) -> Option<Variants> {
    let mut list: Vec<Variant> = Vec::new();
    let mut unread = false;
    for item in node.items() {
        let name = keys::VARIANT_NAME.node(item);
        unread |= [name, keys::WEIGHT.node(item)]
            .into_iter()
            .flatten()
            .any(Node::has_placeholder);
        let variant = variant(reader, item);
        if let (Some(variant), Some(name)) = (&variant, name)
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
    let name = keys::VARIANT_NAME.read(reader, node);
    let weight = keys::WEIGHT
        .node(node)
        .and_then(|node| reader.parse(node, "a weight", 0, value::weight));
    let url = keys::VARIANT_URL
        .node(node)
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
        url: url.map(|(_, url)| url).filter(|_| *name != *STABLE),
        name,
        weight: weight?,
        service: None,
        payload: None,
        nearly: None,
    })
}

/// Tells where a flag has no rings.
fn check_rings(reader: &mut Reader, pair: &Pair) {
    let has_rings = !keys::RINGS.items(&pair.value).is_empty();
    if has_rings || pair.value.pairs().is_empty() {
        return;
    }
    let rings = keys::RINGS.pair(&pair.value);
    let span = rings.map_or(pair.key_span, |rings| rings.key_span);
    reader
        .problems
        .follow_up(
            span,
            format!("`{}` has no rings, so it is on for nobody", pair.key),
        )
        .hint("for everybody write `rings: [{ name: all, rollout: 100% }]`");
}

fn rings<'t>(
    reader: &mut Reader,
    pair: &'t Pair,
    audience: &mut Audience<'t>,
    hashing: &Hashing,
) -> Vec<Ring> {
    let nodes = keys::RINGS.items(&pair.value);
    let mut names: Vec<Arc<str>> = Vec::new();
    let mut rings = Vec::new();
    for (node, number) in nodes.iter().zip(1..) {
        let ring = ring(reader, node, number, audience, hashing);
        if names.contains(&ring.name)
            && let Some(name) = keys::RING_NAME.node(node)
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
    let name = keys::RING_NAME
        .read(reader, node)
        .unwrap_or_else(|| format!("ring {number}").into());
    let mut stated: Vec<_> = keys::RING_SEGMENT
        .node(node)
        .into_iter()
        .chain(keys::RING_SEGMENTS.items(node))
        .map(|node| audience.segment_named(reader, node))
        .collect();
    if let Some(when) = keys::WHEN.node(node) {
        stated.push(audience.condition(reader, when));
    }
    Ring {
        name,
        enabled: keys::RING_ENABLED.read(reader, node),
        condition: all(stated),
        rollout: Rollout {
            share: keys::ROLLOUT.read(reader, node),
            bucketing: Bucketing::unleash(hashing.group.clone()),
            stickiness: hashing.stickiness,
            needs_id: false,
        },
        variants: None,
    }
}
