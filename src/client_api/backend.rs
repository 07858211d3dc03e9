//! Unleash's client API: every flag as a document, for servers that evaluate flags themselves.

use std::borrow::Cow;

use semver::Version;
use serde_json::{Value, json};

use super::ApiRequest;
use super::document;
use super::flag_catalog::{Document, FlagCatalog, push_hex};
use super::reply::{Reply, matches};
use crate::clock;
use crate::engine::unleash::FeatureSet;
use crate::engine::{Flag, UnleashDocument};
use crate::request::HeaderLookup;
use crate::snapshot::Snapshot;

/// From this version of the client specification on, clients look segments up by their numbers.
const KNOWS_SEGMENTS: Version = Version::new(4, 2, 0);

/// Whether segments are to be written where they are used, because the client knows no other way.
pub(super) fn wants_inline(headers: &dyn HeaderLookup) -> bool {
    let spec = headers.text("unleash-client-spec");
    let spec = spec.and_then(|spec| Version::parse(spec.trim().trim_start_matches('v')).ok());
    spec.is_none_or(|spec| spec < KNOWS_SEGMENTS)
}

/// Answers with every flag.
pub(super) fn features(request: &ApiRequest<'_>, catalog: &FlagCatalog) -> Reply {
    let document = document_of(
        request.snapshot,
        catalog,
        wants_inline(request.head.headers),
    );
    if matches(request.if_none_match(), &document.etag) {
        return Reply::not_modified(&document.etag);
    }
    Reply::versioned(&document.etag, document.body.clone())
}

/// The document, made once for each snapshot, when it is first needed.
pub(super) fn document_of<'c>(
    snapshot: &Snapshot,
    catalog: &'c FlagCatalog,
    inline: bool,
) -> &'c Document {
    let [with_segments, inlined] = &catalog.documents;
    let place = if inline { inlined } else { with_segments };
    place.get_or_init(|| write(snapshot, inline))
}

/// Every flag of a snapshot: those of `routes.yaml` in Unleash's words, those of flag servers as these sent them.
fn write(snapshot: &Snapshot, inline: bool) -> Document {
    // Segments' numbers are a server's own: those of the first one stay, all others' are written where they are used.
    let first = snapshot.sources.first();
    let mut features = String::new();
    let mut left_out = Vec::new();
    for flag in &snapshot.flags {
        let Some(text) = text_of(snapshot, flag, inline) else {
            left_out.push(&*flag.name);
            continue;
        };
        if !features.is_empty() {
            features.push(',');
        }
        features.push_str(&text);
    }
    let mut etag = String::from("\"");
    push_hex(&mut etag, snapshot.digest.0.iter().take(16));
    etag.push_str(if inline { ":inline\"" } else { ":segments\"" });
    let mut body = format!("{{\"version\":2,\"features\":[{features}]");
    if !inline {
        let set = first.and_then(|first| first.set.as_deref()?.as_unleash());
        let segments = set.into_iter().flat_map(|set| set.segments().values());
        let segments: Vec<&str> = segments.map(|segment| &**segment).collect();
        body.push_str(",\"segments\":[");
        body.push_str(&segments.join(","));
        body.push(']');
    }
    let meta = json!({ "etag": etag, "leftOut": left_out });
    let query = json!({ "inlineSegmentConstraints": inline });
    body.push_str(&format!(",\"query\":{query},\"meta\":{meta}}}"));
    Document {
        etag: etag.into(),
        body: body.into(),
    }
}

/// One flag's document; `None`: it is not handed to Unleash's SDKs.
fn text_of<'s>(snapshot: &'s Snapshot, flag: &Flag, inline: bool) -> Option<Cow<'s, str>> {
    let is_off = is_withdrawn(snapshot, flag);
    let source = match flag.origin.unleash_document() {
        UnleashDocument::AsSent(source) => source,
        UnleashDocument::Written => {
            let mut document = document::of(flag, &snapshot.vocabulary)?;
            switch_off(&mut document, is_off);
            return Some(Cow::Owned(document.to_string()));
        }
        UnleashDocument::Withheld => return None,
    };
    let mut sources = snapshot.sources.iter().enumerate();
    let (place, source) = sources.find(|(_, candidate)| candidate.name == *source)?;
    let set = source.set.as_deref()?.as_unleash()?;
    let text = set.feature(&flag.name)?;
    let inline = (inline || place > 0) && text.contains("\"segments\"");
    if !inline && !is_off {
        return Some(Cow::Borrowed(text));
    }
    let mut document: Value = serde_json::from_str(text).ok()?;
    if inline {
        write_segments_out(&mut document, set);
    }
    switch_off(&mut document, is_off);
    Some(Cow::Owned(document.to_string()))
}

/// Whether the flag's canaries were withdrawn, so that they get no users whatever the flag says.
fn is_withdrawn(snapshot: &Snapshot, flag: &Flag) -> bool {
    let candidates = snapshot
        .services
        .iter()
        .flat_map(|service| &service.candidates);
    let mut of_flag = candidates.filter(|candidate| candidate.flag.name == flag.name);
    let now = clock::now();
    of_flag.any(|candidate| candidate.withdrawal_at(now).is_some())
}

fn switch_off(document: &mut Value, is_off: bool) {
    if is_off && let Some(document) = document.as_object_mut() {
        document.insert("enabled".to_owned(), false.into());
    }
}

/// Puts segments' constraints in place of their numbers.
fn write_segments_out(document: &mut Value, set: &FeatureSet) {
    let strategies = document.get_mut("strategies").and_then(Value::as_array_mut);
    for strategy in strategies.into_iter().flatten() {
        let Some(strategy) = strategy.as_object_mut() else {
            continue;
        };
        let Some(Value::Array(numbers)) = strategy.remove("segments") else {
            continue;
        };
        let mut constraints: Vec<Value> = Vec::new();
        for number in numbers.iter().filter_map(Value::as_i64) {
            constraints.extend(constraints_of(set, number));
        }
        let own = strategy
            .entry("constraints")
            .or_insert_with(|| Value::Array(Vec::new()));
        match own {
            Value::Array(own) => own.extend(constraints),
            other => *other = Value::Array(constraints),
        }
    }
}

/// A segment's constraints; a segment that is missing holds for no user.
fn constraints_of(set: &FeatureSet, number: i64) -> Vec<Value> {
    let text = set.segments().get(&number);
    let segment: Option<Value> = text.and_then(|text| serde_json::from_str(text).ok());
    match segment {
        Some(segment) => match segment.get("constraints") {
            Some(Value::Array(constraints)) => constraints.clone(),
            _ => Vec::new(),
        },
        None => vec![document::nobody()],
    }
}

#[cfg(test)]
mod tests;
