//! What every configured flag server said last, compiled.

use std::sync::Arc;

use sha2::{Digest as _, Sha256};

use super::FlagUpdate;
use crate::config::Config;
use crate::digest::Digest;
use crate::engine::Flag;
use crate::engine::unleash::{self, CompileContext, Compiled, ContextSchema, FeatureSet};
use crate::snapshot::FlagSource;
use crate::snapshot::assemble::{CompiledSource, property_names};

/// The flag servers, in order of precedence.
#[derive(Clone, Debug)]
pub(super) struct Sources {
    list: Vec<Source>,
    vocabulary: Arc<ContextSchema>,
    hostname: String,
}

#[derive(Clone, Debug)]
struct Source {
    name: Arc<str>,
    app_name: Arc<str>,
    held: Arc<[Arc<str>]>,
    /// `None`: it has never answered, and nothing was stored.
    said: Option<Said>,
}

#[derive(Clone, Debug)]
struct Said {
    set: Arc<FeatureSet>,
    digest: Digest,
    compiled: Arc<Compiled>,
}

impl Sources {
    /// The servers of a configuration; none has said anything.
    pub(super) fn new(config: &Config) -> Self {
        let mut sources = Self {
            list: Vec::new(),
            vocabulary: Arc::new(ContextSchema::new(&property_names(config))),
            hostname: hostname(),
        };
        sources.list = servers(config)
            .map(|(name, app)| Source::new(name, app))
            .collect();
        sources
    }

    /// The names that flags may look at.
    pub(super) fn vocabulary(&self) -> &Arc<ContextSchema> {
        &self.vocabulary
    }

    /// Takes what a server says now. Answers which flags are held since, if they are others than before.
    pub(super) fn take(&mut self, config: &Config, update: FlagUpdate) -> Option<Arc<[Arc<str>]>> {
        let index = self
            .list
            .iter()
            .position(|source| source.name == update.source)?;
        let source = &mut self.list[index];
        let held: Arc<[Arc<str>]> = update.held.into();
        let news = (source.held != held).then(|| held.clone());
        source.held = held;
        let set = match &source.said {
            Some(said) => update.set.share(&said.set),
            None => update.set,
        };
        let digest = set.digest();
        match &mut source.said {
            // The revision may be another all the same; back-end clients are told of it.
            Some(said) if said.digest == digest => said.set = Arc::new(set),
            _ => self.compile(config, index, Arc::new(set), digest),
        }
        news
    }

    /// Takes another configuration: servers that it does not have any more lose their flags, and what flags are
    /// compiled with may be different.
    pub(super) fn reconfigure(&mut self, before: &Config, after: &Config) {
        let vocabulary = property_names(before) != property_names(after);
        if vocabulary {
            self.vocabulary = Arc::new(ContextSchema::new(&property_names(after)));
        }
        let stale = vocabulary || before.canary_urls != after.canary_urls;
        let mut old = std::mem::take(&mut self.list);
        for (index, (name, app_name)) in servers(after).enumerate() {
            let known = old.iter().position(|source| source.name == *name);
            let mut source = match known {
                Some(position) => old.swap_remove(position),
                None => Source::new(name, app_name),
            };
            let renamed = source.app_name != *app_name;
            source.app_name = app_name.clone();
            let said = source.said.take();
            self.list.push(source);
            match said {
                Some(said) if stale || renamed => {
                    self.compile(after, index, said.set, said.digest);
                }
                said => self.list[index].said = said,
            }
        }
    }

    /// For assembly.
    pub(super) fn compiled(&self) -> Vec<CompiledSource<'_>> {
        self.list.iter().map(Source::compiled).collect()
    }

    /// Compiles the flags that are not what they were.
    fn compile(&mut self, config: &Config, index: usize, set: Arc<FeatureSet>, digest: Digest) {
        let source = &mut self.list[index];
        let mut vocabulary = (*self.vocabulary).clone();
        let surroundings = CompileContext {
            source: &source.name,
            vocabulary: &mut vocabulary,
            canary_urls: &config.canary_urls,
            app_name: &source.app_name,
            environment: None,
            hostname: &self.hostname,
        };
        let previous = source.said.as_ref().map(|said| &*said.compiled);
        let compiled = unleash::compile(&set, surroundings, previous);
        if vocabulary.names().len() != self.vocabulary.names().len() {
            self.vocabulary = Arc::new(vocabulary);
        }
        source.said = Some(Said {
            set,
            digest,
            compiled: Arc::new(compiled),
        });
    }
}

/// The servers that a configuration names, with what Serin is called there.
fn servers(config: &Config) -> impl Iterator<Item = (&Arc<str>, &Arc<str>)> {
    config
        .unleash
        .iter()
        .map(|server| (&server.name, &server.app_name))
}

/// This machine's name, for flags that look at it; empty if it has none that is text.
fn hostname() -> String {
    let name = nix::unistd::gethostname().ok();
    name.and_then(|name| name.into_string().ok())
        .unwrap_or_default()
}

impl Source {
    fn new(name: &Arc<str>, app_name: &Arc<str>) -> Self {
        Self {
            name: name.clone(),
            app_name: app_name.clone(),
            held: Arc::default(),
            said: None,
        }
    }

    fn compiled(&self) -> CompiledSource<'_> {
        let said = self.said.as_ref();
        CompiledSource {
            source: FlagSource {
                name: self.name.clone(),
                set: said.map(|said| said.set.clone()),
            },
            digest: said.map(|said| self.digest(said)),
            flags: said.map_or(&[] as &[Arc<Flag>], |said| &said.compiled.flags),
            warnings: said.map_or(&[], |said| &said.compiled.warnings),
        }
    }

    /// What flags say may depend on the name of the app that asks.
    fn digest(&self, said: &Said) -> Digest {
        let mut hash = Sha256::new();
        hash.update(said.digest.0);
        hash.update(self.app_name.as_bytes());
        Digest(hash.finalize().into())
    }
}
