//! What a gateway follows from its start on: its file, and the flag servers that this names.

use std::io;
use std::path::Path;
use std::sync::Arc;

use serde_json::{Value, json};
use tokio::runtime::Handle;
use tokio::sync::mpsc;

use super::handles::Handles;
use crate::audit::actor::Actor;
use crate::audit::entry::{Action, Deed};
use crate::config::Config;
use crate::custody::Custody;
use crate::publisher::PublisherHandle;
use crate::recording;
use crate::reload::{Reloader, ReloaderSetup};
use crate::source::file::FileSource;
use crate::source::{FlagServers, FlagServersSetup, StoredSets};
use crate::state::SharedTexts;

/// Enters the start in the audit trail; `upgraded_from` is the version of the process that this one takes over from.
fn note_start(publisher: &PublisherHandle, file: &Path, upgraded_from: Option<&str>) {
    let running = publisher.store().load();
    let deed = Deed::new(Actor::gateway(), Action::Start, file.display().to_string());
    let mut after =
        json!({ "version": env!("CARGO_PKG_VERSION"), "digest": running.digest.to_string() });
    if let (Some(version), Some(after)) = (upgraded_from, after.as_object_mut()) {
        after.insert("upgraded_from".to_owned(), version.into());
    }
    let audit = publisher.events().audit();
    audit.record(deed.changing(Value::Null, after)).let_go();
}

/// Follows the file that was compiled to `first`.
pub(super) fn follow_file(
    setup: ReloaderSetup,
    text: &str,
    first: &Config,
    handles: &Handles,
    upgraded_from: Option<&str>,
) -> io::Result<(Arc<Reloader>, FileSource)> {
    note_start(&setup.publisher, &setup.path, upgraded_from);
    let (events, inbox) = mpsc::channel(1);
    let status = handles.sources.file().clone();
    let file = FileSource::start(&setup.path, text, status, events)?;
    let reloader = Arc::new(Reloader::new(setup, text, first));
    let following = reloader.clone();
    tokio::spawn(async move { following.follow(inbox).await });
    Ok((reloader, file))
}

/// Follows the configuration's flag servers, and has canaries recorded there, on the runtime that this is called on.
pub(super) fn follow_servers(
    config: &Config,
    (stored, shared): (StoredSets, Option<SharedTexts>),
    publisher: &PublisherHandle,
    handles: &Handles,
    custody: &Custody,
) -> Arc<FlagServers> {
    let setup = FlagServersSetup {
        publisher: publisher.clone(),
        statuses: handles.sources.clone(),
        state_dir: config.process.state_dir.clone(),
        custody: custody.clone(),
        shared,
        client_uses: handles.client_api.uses().clone(),
        control: Handle::current(),
    };
    let servers = Arc::new(FlagServers::start(setup, config, stored));
    let (registrations, recorder) = (handles.registrations.clone(), servers.recorder().clone());
    let recording = recording::follow(registrations, recorder, publisher.events().clone());
    tokio::spawn(while_here(custody.clone(), recording));
    servers
}

/// Does from when on custody is here what only one process may do at a time.
pub(super) async fn while_here(custody: Custody, task: impl Future<Output = ()>) {
    custody.is_here().await;
    tokio::select! {
        () = task => {}
        () = custody.is_given() => {}
    }
}
