//! What a reload cannot put in force.

mod analytics;

use std::net::SocketAddr;
use std::path::PathBuf;

use crate::config::Process;
use crate::config::listener::ListenerConfig;
use crate::config::redis::RedisConfig;
use crate::config::tls::{ClientAuth, ListenerTls, TlsVersion};

/// What differs between how the process was started and what the file asks for now, for people.
pub(super) fn restart_needed(running: &Process, wanted: &Process) -> Vec<String> {
    let state_dir = |process: &Process| process.state_dir.display().to_string();
    let threads = |process: &Process| process.threads.to_string();
    let admin = |process: &Process| listed(&process.admin.addresses);
    let probes = |process: &Process| listed(&process.admin.probes);
    let hosts = |process: &Process| {
        let hosts = process.admin.hosts.iter().map(ToString::to_string);
        or_none(hosts.collect::<Vec<_>>().join(", "))
    };
    let tls = |process: &Process| {
        or_none(
            process
                .admin
                .tls
                .as_ref()
                .map(shown_tls)
                .unwrap_or_default(),
        )
    };
    let redis = |process: &Process| or_none(process.redis.as_ref().map(shown).unwrap_or_default());
    // Of a key nothing is shown.
    let receipts = |process: &Process, is_other: bool| {
        let receipts = process.attribution.receipts.as_ref();
        let which = if is_other && running.attribution.receipts != wanted.attribution.receipts {
            "others"
        } else {
            "those it was started with"
        };
        receipts.map_or("none".to_owned(), |_| which.to_owned())
    };
    // Of a password nothing is shown.
    let has_other_password = running.redis != wanted.redis && redis(running) == redis(wanted);
    let password = |is_wanted| match has_other_password && is_wanted {
        true => "another one".to_owned(),
        false => "the one it was started with".to_owned(),
    };
    [
        ("listeners", listeners(running), listeners(wanted)),
        ("admin.address", admin(running), admin(wanted)),
        ("admin.probes", probes(running), probes(wanted)),
        ("admin.hosts", hosts(running), hosts(wanted)),
        ("admin.tls", tls(running), tls(wanted)),
        ("server.threads", threads(running), threads(wanted)),
        ("server.state_dir", state_dir(running), state_dir(wanted)),
        ("redis", redis(running), redis(wanted)),
        ("redis.url's password", password(false), password(true)),
        (
            "attribution.receipts",
            receipts(running, false),
            receipts(wanted, running != wanted),
        ),
    ]
    .into_iter()
    .chain(ticket_keys(running, wanted))
    .chain(analytics::told(&running.attribution, &wanted.attribution))
    .filter(|(_, running, wanted)| running != wanted)
    .map(|(key, running, wanted)| format!("{key}: runs with {running}, the file says {wanted}"))
    .collect()
}

/// Whether listeners have other keys of tickets. Of a key nothing is shown.
fn ticket_keys(running: &Process, wanted: &Process) -> Option<(&'static str, String, String)> {
    let keys = |process: &Process| {
        let listeners = process.listeners.iter();
        let keys = listeners
            .map(|listener| Some((listener.address, listener.tls.as_ref()?.ticket_key.clone()?)));
        keys.flatten().collect::<Vec<_>>()
    };
    let told = || {
        let [one, other] = ["those it was started with", "others"].map(str::to_owned);
        ("listeners' ticket_key", one, other)
    };
    (keys(running) != keys(wanted)).then(told)
}

fn listeners(process: &Process) -> String {
    let mut listeners: Vec<String> = process.listeners.iter().map(listener).collect();
    listeners.sort_unstable();
    or_none(listeners.join(", "))
}

/// A listener with all that a restart puts in force.
fn listener(listener: &ListenerConfig) -> String {
    let ListenerConfig {
        address,
        tls,
        proxy_protocol,
        http2,
    } = listener;
    let tls = tls
        .as_ref()
        .map(|tls| format!("TLS with {}", shown_tls(tls)));
    let proxy = proxy_protocol.then(|| "PROXY headers".to_owned());
    let http1 = (!http2).then(|| "HTTP/1 alone".to_owned());
    let more: Vec<String> = [tls, proxy, http1].into_iter().flatten().collect();
    match more.is_empty() {
        true => address.to_string(),
        false => format!("{address} ({})", more.join(", ")),
    }
}

/// Which files TLS is spoken with, and on which terms. Of a key nothing is shown.
fn shown_tls(tls: &ListenerTls) -> String {
    let files = tls.all().map(|file| file.path.display().to_string());
    let optional =
        (tls.client_auth == ClientAuth::Optional).then(|| "client_auth optional".to_owned());
    let newest = (tls.min_version == TlsVersion::Tls13).then(|| "min_version 1.3".to_owned());
    let all: Vec<String> = files.chain(optional).chain(newest).collect();
    all.join(", ")
}

fn shown(redis: &RedisConfig) -> String {
    let RedisConfig { url, prefix, tls } = redis;
    let file = |file: &PathBuf| file.display().to_string();
    let ca = tls.ca.as_ref().map(file);
    let client = tls.client.as_ref();
    let client = client.map(|(certificate, key)| format!("{}, {}", file(certificate), file(key)));
    let files = [("ca", ca), ("client", client)].into_iter();
    let files = files.filter_map(|(name, file)| Some(format!(", {name} {}", file?)));
    format!("{url}, prefix {prefix}{}", files.collect::<String>())
}

fn listed(addresses: &[SocketAddr]) -> String {
    let addresses: Vec<String> = addresses.iter().map(ToString::to_string).collect();
    or_none(addresses.join(", "))
}

fn or_none(text: String) -> String {
    if text.is_empty() {
        "none".to_owned()
    } else {
        text
    }
}
