//! What a reload cannot put in force.

use std::net::SocketAddr;

use crate::config::Process;

/// What differs between how the process was started and what the file asks for now, for people.
pub(super) fn restart_needed(running: &Process, wanted: &Process) -> Vec<String> {
    let listeners = |process: &Process| {
        let mut listeners = process.listeners.clone();
        listeners.sort_unstable();
        listed(&listeners)
    };
    let state_dir = |process: &Process| process.state_dir.display().to_string();
    let threads = |process: &Process| process.threads.to_string();
    let admin = |process: &Process| listed(&process.admin.addresses);
    let probes = |process: &Process| listed(&process.admin.probes);
    let hosts = |process: &Process| {
        let hosts: Vec<String> = process
            .admin
            .hosts
            .iter()
            .map(ToString::to_string)
            .collect();
        or_none(hosts.join(", "))
    };
    [
        ("listeners", listeners(running), listeners(wanted)),
        ("admin.address", admin(running), admin(wanted)),
        ("admin.probes", probes(running), probes(wanted)),
        ("admin.hosts", hosts(running), hosts(wanted)),
        ("server.threads", threads(running), threads(wanted)),
        ("server.state_dir", state_dir(running), state_dir(wanted)),
    ]
    .into_iter()
    .filter(|(_, running, wanted)| running != wanted)
    .map(|(key, running, wanted)| format!("{key}: runs with {running}, the file says {wanted}"))
    .collect()
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
