//! From the file's text to what the gateway runs on.

use super::diagnostic::Findings;
use super::node::{Node, Value};
use super::problems::Problems;
use super::reader::Reader;
use super::section::conditions::Audience;
use super::section::{
    attribution, canary_urls, client_api, flags, identity, logging, process, recovery, registry,
    relations, routes, services, traces, traffic, unleash,
};
use super::{
    Config, Environment, OnUnset, fingerprint, interpolate, keys, lookalikes, structure, yaml,
};
use crate::context::Moment;

/// Compiles `routes.yaml`. `now` is what expiry dates are judged by.
///
/// # Errors
/// Every problem of the file, warnings included. When there are only warnings, they are in the [`Config`].
pub fn compile(
    text: &str,
    environment: &dyn Environment,
    on_unset: OnUnset,
    now: Moment,
) -> Result<Config, Findings> {
    let mut problems = Problems::default();
    let Some(mut root) = yaml::parse(text, &mut problems) else {
        return Err(problems.finish(None));
    };
    drop_anchors(&mut root);
    interpolate::interpolate(&mut root, environment, on_unset, &mut problems);
    structure::check(&root, &keys::ROOT, &mut problems);
    lookalikes::check(&root, &mut problems);
    let mut reader = Reader {
        problems,
        ..Reader::new(now)
    };
    // Compiled even when something is wrong already: all problems are told at once.
    let mut config = compile_sections(&mut reader, &root);
    let failed = reader.problems.has_errors();
    let found = reader.problems.finish(Some(&root));
    if failed {
        return Err(found);
    }
    config.warnings = found;
    Ok(config)
}

/// Takes out the top-level keys that are only there for anchors, which are resolved by now.
fn drop_anchors(root: &mut Node) {
    if let Value::Map(pairs) = &mut root.value {
        pairs.retain(|pair| !pair.key.starts_with("x-"));
    }
}

fn compile_sections(reader: &mut Reader, root: &Node) -> Config {
    let trusted_proxies = process::trusted_proxies(reader, root);
    let identity = identity::compile(reader, root, trusted_proxies);
    let canary_urls = canary_urls::compile(reader, root);
    let mut audience = Audience::new(root, &identity.properties);
    let segments = audience.compile_segments(reader);
    let flags = flags::compile(reader, root, &mut audience);
    let services = services::compile(reader, root);
    services::check_claims(reader, root, &services, &flags);
    let servers = unleash::compile(reader, root);
    let routes = routes::compile(reader, root);
    recovery::check_time_left(reader, root, &services, &flags);
    identity::tokens::check_required(reader, root, &identity);
    relations::check(reader, root, (&services, &routes), (&flags, &identity));
    let process = process::compile(reader, root, &identity.properties);
    Config {
        services,
        flags,
        segments,
        routes,
        key_sets: identity::tokens::files(root),
        identity,
        canary_urls,
        client_api: client_api::compile(reader, root),
        lanes: attribution::lanes(reader, root),
        logging: logging::compile(reader, root),
        traffic: traffic::compile(reader, root),
        tracing: traces::compile(reader, root),
        process,
        outages: unleash::outages(reader, root),
        registry: registry::compile(reader, root),
        digest: fingerprint::digest(root, servers.iter().map(|server| &*server.name)),
        unleash: servers,
        warnings: Findings::default(),
    }
}
