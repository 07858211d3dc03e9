//! Warnings about values that are right by themselves but do not go together: services without routes, canaries that are their own stable
//! deployment, rollouts and rings that nobody can be in.

use std::cmp::Reverse;
use std::sync::Arc;

use super::services::shutoff_flags;
use crate::cluster::UpstreamUrl;
use crate::config::ServiceConfig;
use crate::config::keys::shape::Key;
use crate::config::keys::{FLAGS, IDENTITY, ROUTES, SERVICES, flags};
use crate::config::node::{Node, Pair, Value};
use crate::config::reader::Reader;
use crate::context::Field;
use crate::engine::{CanaryUrl, Flag, Stickiness, Variants};
use crate::flag::Share;
use crate::identity::{Anonymous, Rules};
use crate::route::{Action, Route};

/// Looks at services with their routes, and at flags with who users are.
pub fn check(
    reader: &mut Reader,
    root: &Node,
    (services, routes): (&[ServiceConfig], &[Route]),
    (flags, identity): (&[Arc<Flag>], &Rules),
) {
    check_routed(reader, root, SERVICES.pairs(root), routes);
    let shutoffs = shutoff_flags(root);
    for pair in FLAGS.pairs(root) {
        let Some(flag) = flags.iter().find(|flag| *flag.name == *pair.key) else {
            continue;
        };
        check_rollouts(reader, pair, flag, (root, identity));
        let is_shutoff = shutoffs.contains(&pair.key.as_str());
        let owner = services
            .iter()
            .find(|service| claims(service, flag).is_some());
        if let Some(stable) = owner.and_then(|service| service.stable.as_ref())
            && !is_shutoff
        {
            check_url(reader, pair, flag, stable);
        }
    }
    for service in services {
        let mut own: Vec<(usize, &Pair, &Flag)> = FLAGS
            .pairs(root)
            .iter()
            .filter_map(|pair| {
                let flag = flags.iter().find(|flag| *flag.name == *pair.key)?;
                // A flag without an upstream takes no users.
                let leads = |url: &Option<CanaryUrl>| matches!(url, Some(CanaryUrl::Allowed(_)));
                let mut variants = flag.variants.iter().flat_map(Variants::list);
                let leads = leads(&flag.url) || variants.any(|variant| leads(&variant.url));
                let is_running = flag.enabled && leads && !shutoffs.contains(&pair.key.as_str());
                let rank = claims(service, flag).filter(|_| is_running)?;
                Some((rank, pair, &**flag))
            })
            .collect();
        let place = |(rank, pair, flag): &(usize, &Pair, &Flag)| {
            (*rank, Reverse(flag.priority), pair.key.clone())
        };
        own.sort_by_key(place);
        check_audiences(reader, &own);
    }
}

/// The position of the first entry of a service's `canaries` that matches a flag.
fn claims(service: &ServiceConfig, flag: &Flag) -> Option<usize> {
    let mut globs = service.canaries.iter();
    globs.position(|glob| glob.matches(&flag.name))
}

/// A service that no route leads to gets no request.
fn check_routed(reader: &mut Reader, root: &Node, services: &[Pair], routes: &[Route]) {
    // A route that could not be read might have led anywhere.
    let stated = ROUTES.items(root);
    if routes.len() != stated.len() {
        return;
    }
    let mut routed = vec![false; services.len()];
    for route in routes {
        if let Action::Forward(forward) = &route.action
            && let Some(routed) = routed.get_mut(forward.service.position())
        {
            *routed = true;
        }
    }
    for (pair, routed) in services.iter().zip(routed) {
        if !routed {
            reader
                .problems
                .follow_up(pair.key_span, format!("no route leads to `{}`", pair.key))
                .hint("give it a route, or remove it");
        }
    }
}

/// A canary at stable's own URL is no other deployment.
fn check_url(reader: &mut Reader, pair: &Pair, flag: &Flag, stable: &UpstreamUrl) {
    let own = flags::URL
        .pair(&pair.value)
        .map(|url| (&url.value, &flag.url));
    let variants = flags::VARIANTS.items(&pair.value);
    let of_variants = variants.iter().filter_map(|node| {
        let name = flags::VARIANT_NAME.node(node)?.scalar()?.text();
        let mut compiled = flag.variants.as_ref()?.list().iter();
        let variant = compiled.find(|variant| *variant.name == *name)?;
        Some((flags::VARIANT_URL.node(node)?, &variant.url))
    });
    for (node, url) in own.into_iter().chain(of_variants) {
        let same = matches!(url, Some(CanaryUrl::Allowed(url)) if url == stable);
        if same && !node.has_placeholder() {
            reader
                .problems
                .follow_up(node.span, "this is the stable deployment's own URL")
                .hint("users of this canary and all others would be served by the same");
        }
    }
}

/// A percentage is decided by an ID; where no request has one, nobody is in it.
fn check_rollouts(
    reader: &mut Reader,
    pair: &Pair,
    flag: &Flag,
    (root, identity): (&Node, &Rules),
) {
    let has_user = !identity.user_id.is_empty();
    let has_session = identity.anonymous == Anonymous::Sticky;
    let rings = flags::RINGS.items(&pair.value);
    let decided = |stickiness: &Stickiness| match stickiness {
        Stickiness::Default => has_user || has_session,
        Stickiness::Field(field) => match field {
            Field::UserId => has_user,
            Field::SessionId => has_session,
            _ => true,
        },
        _ => true,
    };
    if IDENTITY.node(root).is_some_and(Node::has_placeholder) {
        return;
    }
    for (node, ring) in rings.iter().zip(&flag.rings) {
        let Some(rollout) = flags::ROLLOUT
            .node(node)
            .filter(|node| !node.has_placeholder())
        else {
            continue;
        };
        let is_part = ring.rollout.share != Share::ALL && ring.rollout.share != Share::NONE;
        if ring.enabled && is_part && !decided(&ring.rollout.stickiness) {
            reader
                .problems
                .follow_up(
                    rollout.span,
                    "no request has an ID that could decide this: everybody is on stable",
                )
                .hint("say under `identity` where `user_id` is read from, or `anonymous: sticky`");
        }
    }
}

/// A ring gets nobody whose users an earlier flag takes all.
fn check_audiences(reader: &mut Reader, flags: &[(usize, &Pair, &Flag)]) {
    let mut taken: Vec<(String, &str)> = Vec::new();
    for (_, pair, flag) in flags {
        let nodes = flags::RINGS.items(&pair.value);
        let rings: Vec<(&Node, String, bool)> = nodes
            .iter()
            .zip(&flag.rings)
            .filter(|(node, ring)| ring.enabled && !node.has_placeholder())
            .map(|(node, ring)| (node, audience(node), ring.rollout.share == Share::ALL))
            .collect();
        for (node, audience, _) in &rings {
            let by = taken
                .iter()
                .find(|(whole, _)| whole.is_empty() || whole == audience);
            if let Some((_, first)) = by {
                let message = format!(
                    "`{}` gets nobody by this ring: `{first}` comes first and takes them all",
                    pair.key
                );
                reader
                    .problems
                    .follow_up(node.span, message)
                    .hint("change the audience, or the order in the service's `canaries`");
            }
        }
        let whole = rings.into_iter().filter(|(.., is_whole)| *is_whole);
        taken.extend(whole.map(|(_, audience, _)| (audience, pair.key.as_str())));
    }
}

/// The conditions of a ring in one text; empty: it has none.
fn audience(ring: &Node) -> String {
    let asked = [
        flags::RING_SEGMENT.name(),
        flags::RING_SEGMENTS.name(),
        flags::WHEN.name(),
    ];
    let mut text = String::new();
    for pair in ring.pairs() {
        if asked.contains(&pair.key.as_str()) {
            text.push_str(&pair.key);
            write(&pair.value, &mut text);
        }
    }
    text
}

fn write(node: &Node, text: &mut String) {
    match &node.value {
        Value::Scalar(scalar) => text.push_str(&format!("{:?}", scalar.text())),
        Value::List(items) => {
            text.push('[');
            for item in items {
                write(item, text);
                text.push(',');
            }
            text.push(']');
        }
        Value::Map(pairs) => {
            text.push('{');
            for pair in pairs {
                text.push_str(&format!("{:?}:", pair.key));
                write(&pair.value, text);
                text.push(',');
            }
            text.push('}');
        }
    }
}
