//! What every configured flag server said last, compiled.

use std::sync::Arc;

use sha2::{Digest as _, Sha256};

use super::FlagUpdate;
use crate::config::Config;
use crate::config::source::SourceConfig;
use crate::context::schema::ContextSchema;
use crate::digest::Digest;
use crate::engine::compile_context::CompileContext;
use crate::engine::source::{CompiledSet, SourceSet};
use crate::machine;
use crate::snapshot::FlagSource;
use crate::snapshot::assemble::{CompiledSource, property_names};

/// The flag servers, in order of precedence. Clones share what is large.
#[derive(Clone, Debug)]
pub(super) struct FlagSources {
    list: Vec<SourceState>,
    schema: Arc<ContextSchema>,
}

/// One flag server.
#[derive(Clone, Debug)]
struct SourceState {
    config: SourceConfig,
    held: Arc<[Arc<str>]>,
    /// `None`: the server has never answered, and nothing was stored.
    latest: Option<LatestSet>,
}

/// The flags that a server said last.
#[derive(Clone, Debug)]
struct LatestSet {
    set: Arc<SourceSet>,
    digest: Digest,
    compiled: Arc<CompiledSet>,
}

impl FlagSources {
    /// The servers of a configuration; none has said anything.
    pub(super) fn new(config: &Config) -> Self {
        Self {
            list: config.sources().map(SourceState::new).collect(),
            schema: Arc::new(ContextSchema::new(&property_names(config))),
        }
    }

    /// The names that flags may look at.
    pub(super) fn schema(&self) -> &Arc<ContextSchema> {
        &self.schema
    }

    /// The flags of a source that are held.
    pub(super) fn held(&self, source: &str) -> Arc<[Arc<str>]> {
        let mut sources = self.list.iter();
        let found = sources.find(|known| **known.config.name() == *source);
        found.map(|found| found.held.clone()).unwrap_or_default()
    }

    /// Makes an update's set the one that its server said last. Returns the flags that are held from then on, if they are
    /// others than before.
    pub(super) fn apply(&mut self, config: &Config, update: FlagUpdate) -> Option<Arc<[Arc<str>]>> {
        let Self { list, schema } = self;
        let source = list
            .iter_mut()
            .find(|source| *source.config.name() == update.source)?;
        let held: Arc<[Arc<str>]> = update.held.into();
        let news = (source.held != held).then(|| held.clone());
        source.held = held;
        let set = match &source.latest {
            Some(latest) => update.set.share(&latest.set),
            None => update.set,
        };
        let digest = set.digest();
        match &mut source.latest {
            // The revision may be another all the same; back-end clients are told of it.
            Some(latest) if latest.digest == digest => latest.set = Arc::new(set),
            _ => source.compile(config, Arc::new(set), digest, schema),
        }
        news
    }

    /// Follows a change of the configuration: servers that it does not have any more lose their flags, and what flags are
    /// compiled with may be different.
    pub(super) fn reconfigure(&mut self, before: &Config, after: &Config) {
        let is_other_schema = property_names(before) != property_names(after);
        if is_other_schema {
            self.schema = Arc::new(ContextSchema::new(&property_names(after)));
        }
        let stale = is_other_schema || before.canary_urls != after.canary_urls;
        let mut old = std::mem::take(&mut self.list);
        for config in after.sources() {
            let known = old
                .iter()
                .position(|source| source.config.is_same_source(&config));
            let mut source = match known {
                Some(position) => old.swap_remove(position),
                None => SourceState::new(config.clone()),
            };
            let renamed = source.config.app_name() != config.app_name();
            source.config = config;
            if (stale || renamed)
                && let Some(latest) = source.latest.take()
            {
                source.compile(after, latest.set, latest.digest, &mut self.schema);
            }
            self.list.push(source);
        }
    }

    /// For assembly.
    pub(super) fn compiled(&self) -> Vec<CompiledSource<'_>> {
        self.list.iter().map(SourceState::compiled).collect()
    }
}

impl SourceState {
    fn new(config: SourceConfig) -> Self {
        Self {
            config,
            held: Arc::default(),
            latest: None,
        }
    }

    /// Compiles the flags that are not what they were. Names that only they mention are added to the schema.
    fn compile(
        &mut self,
        config: &Config,
        set: Arc<SourceSet>,
        digest: Digest,
        schema: &mut Arc<ContextSchema>,
    ) {
        let mut extended = ContextSchema::clone(schema);
        let context = CompileContext {
            source: self.config.name(),
            vocabulary: &mut extended,
            canary_urls: &config.canary_urls,
            app_name: self.config.app_name(),
            environment: None,
            hostname: &machine::name(),
        };
        let previous = self.latest.as_ref().map(|latest| &*latest.compiled);
        let compiled = Arc::new(set.compile(context, previous));
        if extended.names().len() != schema.names().len() {
            *schema = Arc::new(extended);
        }
        self.latest = Some(LatestSet {
            set,
            digest,
            compiled,
        });
    }

    fn compiled(&self) -> CompiledSource<'_> {
        let latest = self.latest.as_ref();
        CompiledSource {
            source: FlagSource {
                name: self.config.name().clone(),
                set: latest.map(|latest| latest.set.clone()),
            },
            digest: latest.map(|latest| self.digest(latest)),
            flags: latest.map_or(&[], |latest| latest.compiled.flags()),
            warnings: latest.map_or(&[], |latest| latest.compiled.warnings()),
        }
    }

    /// What flags say may depend on the name of the app that asks.
    fn digest(&self, latest: &LatestSet) -> Digest {
        let mut hash = Sha256::new();
        hash.update(latest.digest.0);
        hash.update(self.config.app_name().as_bytes());
        Digest(hash.finalize().into())
    }
}
