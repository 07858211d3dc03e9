//! What a gateway finds around it, and what is built from that alone.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use tokio::runtime::{Handle, Runtime};
use tokio::sync::oneshot;

use super::following::while_here;
use super::handles::Handles;
use super::{Embedding, StartError, capacity};
use crate::attribution::Attribution;
use crate::audit::Audit;
use crate::certificates::OwnSecret;
use crate::config::redis::RedisConfig;
use crate::config::{self, Config, OnUnset, Process};
use crate::custody::Custody;
use crate::health::{self, HealthNotify};
use crate::publisher::flag_keeper::FlagKeeper;
use crate::publisher::kills::KillSwitch;
use crate::publisher::order::{self, OrderKeeper};
use crate::publisher::registrar::Registrar;
use crate::publisher::{Publisher, PublisherHandle, StoredFlags};
use crate::registry::flags::FlagRegistry;
use crate::registry::kills::Kills;
use crate::registry::registrations::Registrations;
use crate::reload::{Compile, ReloaderSetup};
use crate::resolver::ClusterManager;
use crate::resolver::dns::Dns;
use crate::source::environment::ProcessEnvironment;
use crate::source::key_sets::TokenIssuers;
use crate::source::{FlagServers, StoredSets};
use crate::state::{SharedTexts, Sharing, StateStore};
use crate::telemetry::access_log::AccessLog;
use crate::telemetry::access_log::key::OwnKey;
use crate::telemetry::log::LogControl;
use crate::telemetry::metrics::MeterRegistry;
use crate::telemetry::service_manager::ServiceManager;
use crate::{certificates, clock};

/// What a gateway finds around it: a process that is its own, or a program that it is part of.
pub(super) struct Platform {
    compile: Arc<Compile>,
    pub(super) log: Option<LogControl>,
    pub(super) service_manager: Option<ServiceManager>,
    access_log: AccessLog,
    pub(super) state: StateStore,
    kills: Kills,
    flags: FlagRegistry,
    registrations: Registrations,
    audit: Audit,
    /// Where the keys of users' tokens are from.
    issuers: TokenIssuers,
    /// Whether it is this process that writes.
    pub(super) custody: Custody,
    /// Whether what it learns is for the next start.
    remembers: bool,
    pub(super) stop: Option<oneshot::Receiver<()>>,
}

impl Platform {
    /// Completes the configuration by what is found. `debugs_requests`: the log takes the steps of single requests.
    pub(super) fn new(
        embedding: Option<Embedding>,
        config: &mut Config,
        custody: Custody,
        debugs_requests: bool,
    ) -> io::Result<Self> {
        Ok(match embedding {
            None => Self::of_this_process(config, custody, debugs_requests)?,
            Some(Embedding { compile, stop }) => {
                let state = StateStore::in_memory();
                Self {
                    log: None,
                    service_manager: None,
                    compile,
                    access_log: AccessLog::start(io::sink())?,
                    kills: Kills::open(state.clone()),
                    flags: FlagRegistry::open(state.clone()),
                    registrations: Registrations::open(state.clone()),
                    audit: Audit::in_memory(),
                    issuers: TokenIssuers::default(),
                    state,
                    custody,
                    remembers: false,
                    stop: Some(stop),
                }
            }
        })
    }

    fn of_this_process(
        config: &mut Config,
        custody: Custody,
        debugs_requests: bool,
    ) -> io::Result<Self> {
        // First, so that what follows can tell its trouble.
        let log = LogControl::start(&config.logging, debugs_requests);
        let key = OwnKey::in_folder(&config.process.state_dir);
        key.put_in(&mut config.logging);
        let compile = move |text: &str| {
            let now = clock::now();
            let config = config::compile(text, &ProcessEnvironment, OnUnset::Refuse, now)?;
            let mut config = certificates::with_upstreams(config, now)?;
            key.put_in(&mut config.logging);
            Ok(config)
        };
        let state_dir = &config.process.state_dir;
        let state = StateStore::open_under(state_dir, custody.clone());
        Ok(Self {
            log: Some(log),
            compile: Arc::new(compile),
            service_manager: ServiceManager::of_this_process(),
            access_log: AccessLog::start(io::stdout())?,
            kills: Kills::open(state.clone()),
            flags: FlagRegistry::open(state.clone()),
            registrations: Registrations::open(state.clone()),
            audit: Audit::open_under(state_dir, custody.clone()),
            issuers: TokenIssuers::default(),
            state,
            custody,
            remembers: true,
            stop: None,
        })
    }

    /// Gives the configuration what verifies its users' tokens, and [shares](Self::share) state with other gateways.
    pub(super) fn complete(
        &self,
        mut config: Config,
        control: &Runtime,
    ) -> (Arc<Config>, (StoredSets, Option<SharedTexts>)) {
        self.issuers.start(&mut config.identity, control);
        let config = Arc::new(config);
        let stored = self.share(&config, control);
        (config, stored)
    }

    /// Shares its state with other gateways, if it is to. Waits for a moment, so that what they have killed, registered and kept
    /// holds here before traffic comes; without them it goes on with what it has. Returns what is stored of the flag servers' flags,
    /// and where gateways share that.
    fn share(&self, config: &Config, control: &Runtime) -> (StoredSets, Option<SharedTexts>) {
        if let Some(redis) = config.process.redis.clone().filter(|_| self.remembers) {
            self.share_state(redis, control);
        }
        let stored = self.stored_sets(config, control);
        (stored, self.state.shared_texts())
    }

    fn share_state(&self, redis: RedisConfig, control: &Runtime) {
        self.state.share(redis, control.handle());
        self.state.share_trail(&self.audit, control.handle());
        control.block_on(self.state.first_contact());
        self.kills.adopt();
        control.block_on(async { self.flags.turn().await.refresh() });
        self.registrations.adopt_time();
        self.registrations.reread();
        self.registrations.follow_store();
    }

    /// What is stored of the flag servers' flags: on the disk or, where that is newer, in what gateways share.
    fn stored_sets(&self, config: &Config, control: &Runtime) -> StoredSets {
        let stored = StoredSets::read(config);
        // One that takes nothing can be read all the same.
        let is_read = |sharing: Sharing| sharing.read_at.is_some();
        if !self.state.sharing().is_some_and(is_read) {
            return stored;
        }
        match self.state.shared_texts() {
            Some(texts) => control.block_on(stored.or_shared(config, &texts)),
            None => stored,
        }
    }

    /// What publishes snapshots, and the health checks of what they point to. `own` are the addresses of every listener.
    pub(super) fn publisher(
        &self,
        config: &Arc<Config>,
        loaded: &StoredSets,
        meters: &MeterRegistry,
        own: Box<[SocketAddr]>,
        control: &Handle,
    ) -> Result<PublisherHandle, StartError> {
        let dns = Dns::new(std::env::var("SERIN_DNS").ok().as_deref())?;
        let bell = Arc::new(HealthNotify::default());
        let clusters = ClusterManager::new(dns, control.clone(), own).with_listener(bell.clone());
        let order = if self.remembers {
            let (state_dir, custody) = (&config.process.state_dir, self.custody.clone());
            OrderKeeper::open(state_dir, custody, control).agreeing_in(self.state.clone())
        } else {
            OrderKeeper::in_memory()
        };
        let seen = order.watch();
        let stored = StoredFlags {
            sets: loaded.sets(),
            kept: self.flags.documents(),
            registrations: self.registrations.clone(),
        };
        let publisher = Publisher::start_with(
            config.clone(),
            stored,
            clusters,
            meters.clone(),
            self.kills.clone(),
            order,
            control,
        );
        if let Some(seen) = seen.filter(|_| self.state.sharing().is_some()) {
            control.spawn(order::share(self.state.clone(), publisher.clone(), seen));
        }
        let (generation, events) = (publisher.generation(), publisher.events().clone());
        events.go_with(&self.audit);
        health::start(publisher.store(), &generation, bell, events, control);
        Ok(publisher)
    }

    /// What the parts of the gateway share, but for attribution. `own` is for the keys of session tickets.
    pub(super) fn handles(
        &self,
        meters: MeterRegistry,
        publisher: &PublisherHandle,
        process: &Process,
        own: &OwnSecret,
        control: &Handle,
    ) -> Result<Handles, StartError> {
        let kept = (&self.state, &self.kills);
        let files = capacity::raise();
        let mut handles = Handles {
            registrations: self.registrations.clone(),
            issuers: self.issuers.clone(),
            ..Handles::new(meters, publisher, kept, &self.access_log, files, control)
        };
        handles.read_keys(process, own)?;
        control.spawn(handles.warn_of_shortfalls(publisher.generation()));
        Ok(handles)
    }

    /// Records exposures, if it is to. A gateway within another program keeps nothing.
    pub(super) fn attribution(&self, process: &Process, control: &Handle) -> Attribution {
        if self.remembers {
            Attribution::start_under(process, self.custody.clone(), control)
        } else {
            Attribution::default()
        }
    }

    /// Switches canaries off and on, and goes on trying to store what could not be stored.
    fn kill_switch(&self, publisher: &PublisherHandle, control: &Handle) -> KillSwitch {
        let kills = KillSwitch::new(self.kills.clone(), publisher.clone());
        self.spawn(control, kills.clone().await_mending());
        self.spawn(control, kills.clone().keep_storing());
        self.spawn(control, kills.clone().follow_others());
        kills
    }

    /// Changes the flags and segments that Serin keeps itself.
    pub(super) fn flag_keeper(&self, publisher: &PublisherHandle, control: &Handle) -> FlagKeeper {
        let keeper = FlagKeeper::new(self.flags.clone(), publisher.clone());
        self.spawn(control, keeper.clone().follow());
        keeper
    }

    /// What operators and pipelines give their orders to.
    pub(super) fn orders(
        &self,
        publisher: &PublisherHandle,
        control: &Handle,
    ) -> (KillSwitch, Registrar) {
        let kills = self.kill_switch(publisher, control);
        (kills, self.registrar(publisher, control))
    }

    /// Takes registrations, and ends them when their time is over.
    fn registrar(&self, publisher: &PublisherHandle, control: &Handle) -> Registrar {
        let registrar = Registrar::new(
            self.registrations.clone(),
            self.kills.clone(),
            publisher.clone(),
        );
        self.spawn(control, registrar.clone().follow());
        registrar
    }

    /// Has something done that only one process may do at a time.
    fn spawn(&self, control: &Handle, task: impl Future<Output = ()> + Send + 'static) {
        control.spawn(while_here(self.custody.clone(), task));
    }

    /// Puts in force what the other process has stored until now, whose place this one takes.
    pub(super) async fn catch_up(&self, publisher: &PublisherHandle) {
        self.state.reread_all().await;
        self.kills.adopt();
        self.registrations.reread();
        let documents = self.flags.turn().await.refresh();
        // A failure is logged there, and the next change is another attempt; the marks hold all the same.
        let _ = publisher.publish_kept(documents).await;
        let _ = publisher.publish_registrations().await;
        let _ = publisher.withdraw().await;
    }

    /// What the reloader works with.
    pub(super) fn reloader_setup(
        &self,
        path: &Path,
        publisher: &PublisherHandle,
        handles: &Handles,
        flag_servers: Arc<FlagServers>,
    ) -> ReloaderSetup {
        ReloaderSetup {
            path: path.to_owned(),
            compile: self.compile.clone(),
            publisher: publisher.clone(),
            log: self.log.clone(),
            service_manager: self.service_manager,
            flag_servers,
            issuers: self.issuers.clone(),
            source: handles.sources.file().clone(),
            counters: handles.reloads.clone(),
        }
    }
}
