//! `attribution.sinks` and `attribution.spool`.

use std::sync::Arc;

use crate::config::attribution::sinks::{
    FileSink, MixpanelSink, SinkConfig, SinkProduct, SpoolConfig, WebhookFormat, WebhookSink,
};
use crate::config::attribution::{ExposuresConfig, UserForm};
use crate::config::flag_server::{Secret, ServerUrl};
use crate::config::keys::attribution::sinks as keys;
use crate::config::keys::key::Group;
use crate::config::keys::shape::Key;
use crate::config::node::Node;
use crate::config::reader::Reader;
use crate::config::section::unstated;

/// Compiles `attribution.spool`.
pub(super) fn spool(reader: &mut Reader, attribution: Option<&Node>) -> SpoolConfig {
    let spool = keys::SPOOL.node(attribution);
    SpoolConfig {
        max_bytes: keys::MAX_BYTES.read(reader, spool) as u64,
        max_age: keys::MAX_AGE.read(reader, spool),
    }
}

impl Default for SpoolConfig {
    fn default() -> Self {
        unstated(|reader, root| spool(reader, Some(root)))
    }
}

/// Compiles `attribution.sinks`. `exposures` says how users appear where a sink does not.
pub(super) fn sinks(
    reader: &mut Reader,
    attribution: Option<&Node>,
    exposures: Option<&ExposuresConfig>,
) -> Vec<SinkConfig> {
    let mut sinks: Vec<SinkConfig> = Vec::new();
    for node in keys::SINKS.items(attribution) {
        let Some(sink) = sink(reader, node) else {
            continue;
        };
        check_name(reader, node, &sink.name, &sinks);
        check_folder(reader, node, &sink, &sinks);
        check_users(reader, node, sink.users, exposures);
        sinks.push(sink);
    }
    if let Some(node) = keys::SINKS.node(attribution)
        && exposures.is_none()
        && !node.items().is_empty()
    {
        reader
            .problems
            .error(node.span, "there are `sinks` but no `exposures` for them")
            .hint("add `exposures: { key: \"${ATTRIBUTION_KEY}\" }`");
    }
    sinks
}

fn sink(reader: &mut Reader, node: &Node) -> Option<SinkConfig> {
    let name = keys::NAME.read(reader, node);
    let users = keys::USERS.read(reader, node);
    let product = product(reader, node);
    Some(SinkConfig {
        name: name?,
        users,
        product: product?,
    })
}

fn product(reader: &mut Reader, node: &Node) -> Option<SinkProduct> {
    let products: [&Group; 3] = [&keys::FILE, &keys::MIXPANEL, &keys::WEBHOOK];
    let stated: Vec<&Group> = products
        .into_iter()
        .filter(|key| key.node(node).is_some())
        .collect();
    if stated.len() != 1 {
        reader
            .problems
            .error(
                node.span,
                "a sink is one of `file`, `mixpanel` and `webhook`",
            )
            .hint("as in { name: lake, file: { path: exposures/ } }; for two of them, two sinks");
    }
    let file = keys::FILE.node(node).map(|node| file(reader, node));
    let mixpanel = keys::MIXPANEL.node(node).map(|node| mixpanel(reader, node));
    let webhook = keys::WEBHOOK.node(node).map(|node| webhook(reader, node));
    file.or(mixpanel).or(webhook)?
}

fn file(reader: &mut Reader, node: &Node) -> Option<SinkProduct> {
    let path = keys::PATH.read(reader, node);
    let sink = FileSink {
        rotate: keys::ROTATE.read(reader, node) as u64,
        keep: keys::KEEP.read(reader, node),
        format: keys::FILE_FORMAT.read(reader, node),
        path: path?,
    };
    Some(SinkProduct::File(sink))
}

fn mixpanel(reader: &mut Reader, node: &Node) -> Option<SinkProduct> {
    let project_id = keys::PROJECT_ID.read(reader, node);
    let account = keys::SERVICE_ACCOUNT.node(node);
    let user = keys::ACCOUNT_USER.read(reader, account);
    let secret = keys::ACCOUNT_SECRET.node(account);
    let secret = secret.and_then(|node| secret_of(reader, node));
    let region = keys::REGION.read(reader, node);
    let url = keys::API_URL.read(reader, node);
    if keys::API_URL.node(node).is_some()
        && let Some(region) = keys::REGION.node(node)
    {
        reader
            .problems
            .error(region.span, "`url` stands in place of `region`")
            .hint("take one of them out");
    }
    let url = match keys::API_URL.node(node) {
        Some(_) => url,
        None => ServerUrl::parse(region.api()).ok(),
    };
    let sink = MixpanelSink {
        url: url?,
        project_id: project_id?,
        user: user?,
        secret: secret?,
    };
    Some(SinkProduct::Mixpanel(sink))
}

fn webhook(reader: &mut Reader, node: &Node) -> Option<SinkProduct> {
    let url = keys::HOOK_URL.read(reader, node);
    let format = keys::HOOK_FORMAT.read(reader, node);
    let stated = keys::HOOK_SECRET.node(node);
    let secret = stated.and_then(|node| secret_of(reader, node));
    if format == WebhookFormat::Segment && stated.is_none() {
        reader
            .problems
            .error(node.span, "`format: segment` needs a `secret`")
            .hint("it is the write key of the source: write ${SEGMENT_WRITE_KEY}");
    }
    if stated.is_some() {
        secret.as_ref()?;
    }
    let sink = WebhookSink {
        url: url?,
        secret,
        format,
    };
    Some(SinkProduct::Webhook(sink))
}

// Nothing of a secret is shown, not even of one that is none.
fn secret_of(reader: &mut Reader, node: &Node) -> Option<Secret> {
    let scalar = node.scalar().filter(|scalar| !scalar.is_nothing())?;
    let text = scalar.text().trim();
    let is_secret = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
    if !scalar.is_placeholder() && !is_secret {
        reader
            .problems
            .error(node.span, "this is not a secret")
            .hint("visible ASCII characters without spaces");
        return None;
    }
    Some(Secret::new(text))
}

fn check_name(reader: &mut Reader, node: &Node, name: &Arc<str>, others: &[SinkConfig]) {
    if others.iter().any(|other| other.name == *name) {
        let span = keys::NAME.node(node).map_or(node.span, |name| name.span);
        reader
            .problems
            .error(span, format!("another sink is called `{name}`"))
            .hint("each has a name of its own");
    }
}

fn check_folder(reader: &mut Reader, node: &Node, sink: &SinkConfig, others: &[SinkConfig]) {
    let SinkProduct::File(file) = &sink.product else {
        return;
    };
    let is_same = |other: &SinkConfig| matches!(&other.product, SinkProduct::File(other) if other.path.components().eq(file.path.components()));
    if let Some(other) = others.iter().find(|other| is_same(other)) {
        let message = format!("`{}` writes to the same folder", other.name);
        reader
            .problems
            .error(node.span, message)
            .hint("each has a folder of its own");
    }
}

fn check_users(
    reader: &mut Reader,
    node: &Node,
    users: Option<UserForm>,
    exposures: Option<&ExposuresConfig>,
) {
    let Some(users_node) = keys::USERS.node(node) else {
        return;
    };
    let has_key = exposures.is_none_or(|exposures| exposures.key.is_some());
    if users == Some(UserForm::Hash) && !has_key {
        reader
            .problems
            .error(users_node.span, "`users: hash` needs a key")
            .hint("add `attribution.exposures.key`, the same for all gateways");
    }
}
