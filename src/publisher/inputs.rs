//! What snapshots are made of. Changes are made to a copy, which replaces the original once a snapshot has been made of it:
//! a change that no snapshot can be made of leaves nothing behind.

use std::collections::HashMap;
use std::sync::Arc;

use super::flag_sources::FlagSources;
use super::kept_flags::KeptFlags;
use super::registered::RegisteredUpstreams;
use super::{Change, FlagUpdate, StoredFlags, Terms};
use crate::cluster::UpstreamUrl;
use crate::config::Config;
use crate::config::kept::{CompiledKept, KeptDocuments};
use crate::engine::Origin;
use crate::events::EventKind;
use crate::route::router::Router;
use crate::snapshot::assemble::{Content, StableUrl};
use crate::snapshot::seniority::Seniority;
use crate::snapshot::{NamedBy, Snapshot};

/// What snapshots are made of; copies share what is large.
#[derive(Clone)]
pub(super) struct Inputs {
    pub(super) config: Arc<Config>,
    router: Arc<Router>,
    kept: KeptFlags,
    registered: RegisteredUpstreams,
    sources: FlagSources,
    /// Where stable deployments are, or were when the configuration or a flag last said so.
    last_known: HashMap<Arc<str>, StableUrl>,
}

impl Inputs {
    /// A configuration, and what is stored of other flags.
    pub(super) fn new(config: Arc<Config>, stored: StoredFlags) -> Self {
        let mut sources = FlagSources::new(&config);
        for (source, set) in stored.sets {
            let held = Vec::new();
            sources.apply(&config, FlagUpdate { source, set, held });
        }
        Self {
            router: Arc::new(Router::new(config.routes.clone())),
            registered: RegisteredUpstreams::new(stored.registrations, &stored.kept, &config),
            kept: KeptFlags::new(Origin::Serin, stored.kept, &config),
            sources,
            config,
            last_known: HashMap::new(),
        }
    }

    /// The flags that are held of the source that a change is about.
    pub(super) fn held(&self, change: &Change) -> Arc<[Arc<str>]> {
        match change {
            Change::Flags(update) => self.sources.held(&update.source),
            Change::Config(_)
            | Change::Kept(_)
            | Change::Registrations
            | Change::Withdrawn
            | Change::Order => Arc::default(),
        }
    }

    /// Makes a change. Returns the event to report once it is in force.
    pub(super) fn apply(&mut self, change: &Change) -> Option<EventKind> {
        match change {
            Change::Config(config) => {
                self.reconfigure(Config::clone(config));
                None
            }
            Change::Flags(update) => {
                let source = update.source.clone();
                let flags = self.sources.apply(&self.config, update.clone())?;
                Some(EventKind::Held { source, flags })
            }
            Change::Kept(documents) => {
                self.kept.replace(documents.clone(), &self.config);
                self.registered.follow(documents, &self.config);
                None
            }
            Change::Registrations => {
                self.registered.refresh(&self.config);
                None
            }
            Change::Withdrawn | Change::Order => None,
        }
    }

    fn reconfigure(&mut self, mut config: Config) {
        // Flags that say the same stay the same ones, so that only those count as changed that are.
        for flag in &mut config.flags {
            let earlier = &self.config.flags;
            let same = earlier.binary_search_by(|earlier| earlier.name.cmp(&flag.name));
            if let Some(same) = same.ok().and_then(|index| earlier.get(index))
                && *same == *flag
            {
                *flag = same.clone();
            }
        }
        self.kept.reconfigure(&config);
        self.registered.reconfigure(&config);
        self.sources.reconfigure(&self.config, &config);
        // What flags may not name any more does not stay either.
        self.last_known.retain(|_, known| {
            known.named_by == NamedBy::Platform || config.canary_urls.check(&known.url).is_ok()
        });
        self.router = Arc::new(Router::new(config.routes.clone()));
        self.config = Arc::new(config);
    }

    /// The same with other flags and segments kept, and what these come to.
    pub(super) fn with_kept(&self, documents: Arc<KeptDocuments>) -> (Self, Arc<CompiledKept>) {
        let mut inputs = self.clone();
        inputs.kept.replace(documents, &self.config);
        let compiled = inputs.kept.shared();
        (inputs, compiled)
    }

    /// What registrations are judged by.
    pub(super) fn terms(&self) -> Terms {
        Terms {
            config: self.config.clone(),
            registered: self.registered.clone(),
        }
    }

    /// For assembly, with what can be taken over from an earlier snapshot of the same configuration.
    pub(super) fn content<'a>(
        &'a self,
        seniority: &'a Seniority,
        earlier: Option<&'a Snapshot>,
    ) -> Content<'a> {
        Content {
            config: &self.config,
            kept: self.kept.compiled(),
            router: self.router.clone(),
            sources: self.sources.compiled(),
            vocabulary: self.sources.schema().clone(),
            last_known: &self.last_known,
            registrations: self.registered.registrations(),
            fallbacks: self.registered.fallbacks(),
            seniority,
            earlier,
        }
    }

    /// Remembers where the stable deployments of a snapshot that was made of this are.
    pub(super) fn learn(&mut self, snapshot: &Snapshot) {
        for (service, config) in snapshot.services.iter().zip(&self.config.services) {
            let url = &service.stable().cluster.url;
            let known = self.last_known.get(&service.name);
            if *url == UpstreamUrl::NOWHERE || known.is_some_and(|known| known.url == *url) {
                continue;
            }
            let named_by = match config.stable {
                Some(_) => NamedBy::Platform,
                None => NamedBy::Flag,
            };
            let url = url.clone();
            self.last_known
                .insert(service.name.clone(), StableUrl { url, named_by });
        }
    }
}
