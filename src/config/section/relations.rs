//! What stands well by itself and goes badly with the rest: services without routes, canaries that are their own stable
//! deployment, rollouts and rings that nobody can be in.

use std::cmp::Reverse;
use std::sync::Arc;

use super::services::shutoff_flags;
use crate::cluster::UpstreamUrl;
use crate::config::ServiceConfig;
use crate::config::node::{Entry, Node, Value};
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
    let entries = |key: &str| root.get(key).map(Node::entries).unwrap_or_default();
    check_routed(reader, root, entries("services"), routes);
    let shutoffs = shutoff_flags(root);
    for entry in entries("flags") {
        let Some(flag) = flags.iter().find(|flag| *flag.name == *entry.key) else {
            continue;
        };
        check_rollouts(reader, entry, flag, (root, identity));
        let is_shutoff = shutoffs.contains(&entry.key.as_str());
        let owner = services
            .iter()
            .find(|service| claims(service, flag).is_some());
        if let Some(stable) = owner.and_then(|service| service.stable.as_ref())
            && !is_shutoff
        {
            check_url(reader, entry, flag, stable);
        }
    }
    for service in services {
        let mut own: Vec<(usize, &Entry, &Flag)> = entries("flags")
            .iter()
            .filter_map(|entry| {
                let flag = flags.iter().find(|flag| *flag.name == *entry.key)?;
                // What leads nowhere takes nobody.
                let leads = |url: &Option<CanaryUrl>| matches!(url, Some(CanaryUrl::Allowed(_)));
                let mut variants = flag.variants.iter().flat_map(Variants::list);
                let leads = leads(&flag.url) || variants.any(|variant| leads(&variant.url));
                let is_running = flag.enabled && leads && !shutoffs.contains(&entry.key.as_str());
                let rank = claims(service, flag).filter(|_| is_running)?;
                Some((rank, entry, &**flag))
            })
            .collect();
        let place = |(rank, entry, flag): &(usize, &Entry, &Flag)| {
            (*rank, Reverse(flag.priority), entry.key.clone())
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
fn check_routed(reader: &mut Reader, root: &Node, services: &[Entry], routes: &[Route]) {
    // A route that could not be read might have led anywhere.
    let stated = root.get("routes").map(Node::items).unwrap_or_default();
    if routes.len() != stated.len() {
        return;
    }
    let mut routed = vec![false; services.len()];
    for route in routes {
        if let Action::Forward(forward) = &route.action
            && let Some(routed) = routed.get_mut(forward.service)
        {
            *routed = true;
        }
    }
    for (entry, routed) in services.iter().zip(routed) {
        if !routed {
            reader
                .problems
                .follow_up(entry.key_span, format!("no route leads to `{}`", entry.key))
                .hint("give it a route, or remove it");
        }
    }
}

/// A canary at stable's own URL is no other deployment.
fn check_url(reader: &mut Reader, entry: &Entry, flag: &Flag, stable: &UpstreamUrl) {
    let own = entry.value.entry("url").map(|url| (&url.value, &flag.url));
    let variants = entry
        .value
        .get("variants")
        .map(Node::items)
        .unwrap_or_default();
    let of_variants = variants.iter().filter_map(|node| {
        let name = node.get("name")?.scalar()?.text();
        let mut compiled = flag.variants.as_ref()?.list().iter();
        let variant = compiled.find(|variant| *variant.name == *name)?;
        Some((node.get("url")?, &variant.url))
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
    entry: &Entry,
    flag: &Flag,
    (root, identity): (&Node, &Rules),
) {
    let has_user = !identity.user_id.is_empty();
    let has_session = identity.anonymous == Anonymous::Sticky;
    let rings = entry
        .value
        .get("rings")
        .map(Node::items)
        .unwrap_or_default();
    let decided = |stickiness: &Stickiness| match stickiness {
        Stickiness::Default => has_user || has_session,
        Stickiness::Field(field) => match field {
            Field::UserId => has_user,
            Field::SessionId => has_session,
            _ => true,
        },
        _ => true,
    };
    if root.get("identity").is_some_and(Node::has_placeholder) {
        return;
    }
    for (node, ring) in rings.iter().zip(&flag.rings) {
        let Some(rollout) = node.get("rollout").filter(|node| !node.has_placeholder()) else {
            continue;
        };
        let is_part = ring.rollout.share != Share::ALL && ring.rollout.share != Share::NONE;
        if is_part && !decided(&ring.rollout.stickiness) {
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
fn check_audiences(reader: &mut Reader, flags: &[(usize, &Entry, &Flag)]) {
    let mut taken: Vec<(String, &str)> = Vec::new();
    for (_, entry, flag) in flags {
        let nodes = entry
            .value
            .get("rings")
            .map(Node::items)
            .unwrap_or_default();
        let rings: Vec<(&Node, String, bool)> = nodes
            .iter()
            .zip(&flag.rings)
            .filter(|(node, _)| !node.has_placeholder())
            .map(|(node, ring)| (node, audience(node), ring.rollout.share == Share::ALL))
            .collect();
        for (node, audience, _) in &rings {
            let by = taken
                .iter()
                .find(|(whole, _)| whole.is_empty() || whole == audience);
            if let Some((_, first)) = by {
                let message = format!(
                    "`{}` gets nobody by this ring: `{first}` comes first and takes them all",
                    entry.key
                );
                reader
                    .problems
                    .follow_up(node.span, message)
                    .hint("change the audience, or the order in the service's `canaries`");
            }
        }
        let whole = rings.into_iter().filter(|(.., is_whole)| *is_whole);
        taken.extend(whole.map(|(_, audience, _)| (audience, entry.key.as_str())));
    }
}

/// What a ring asks of its users, in one text; empty: nothing.
fn audience(ring: &Node) -> String {
    let mut text = String::new();
    for entry in ring.entries() {
        if matches!(entry.key.as_str(), "segment" | "segments" | "when") {
            text.push_str(&entry.key);
            write(&entry.value, &mut text);
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
        Value::Map(entries) => {
            text.push('{');
            for entry in entries {
                text.push_str(&format!("{:?}:", entry.key));
                write(&entry.value, text);
                text.push(',');
            }
            text.push('}');
        }
    }
}
