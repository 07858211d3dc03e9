//! `serin demo`: a gateway, sample deployments behind it and users before it, in one process and on loopback only.
//!
//! The gateway is the real one, its file is followed as ever, and the figures shown are its own; only failed requests
//! are counted by the users.

mod figures;
mod file;
mod layout;
mod sample;
mod screen;
mod show;
mod story;
mod style;
mod terminal;
mod users;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};
use tokio::sync::{oneshot, watch};

use crate::config::diagnostic::Findings;
use crate::gateway::{Embedding, Gateway, Inherited, Start, StartError};
use crate::proxy::listener::bind;
use crate::source::file::FileError;
use file::{RoutesFile, Setting, loopback};
use sample::Samples;
use screen::Scene;
use show::{Display, Show};
use users::UserCounts;

/// How the demo is asked for.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where traffic is taken; 0: at any free port.
    pub port: u16,
    /// How long it lasts; `None`: until it is ended.
    pub duration: Option<Duration>,
    /// Where `routes.yaml` is, or is written.
    pub directory: PathBuf,
    /// A view that is redrawn in place, rather than lines.
    pub live: bool,
    /// Whether there are colours.
    pub colour: bool,
}

/// Why there is no demo.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// The file can neither be written nor read.
    #[error("{}: {cause}", path.display())]
    File {
        /// Which one.
        path: PathBuf,
        /// Why.
        #[source]
        cause: FileError,
    },
    /// The file has errors.
    #[error("{} has errors", path.display())]
    Invalid {
        /// Which one.
        path: PathBuf,
        /// Its content.
        text: String,
        /// What is wrong with it.
        problems: Findings,
    },
    /// The gateway cannot start.
    #[error(transparent)]
    Start(#[from] StartError),
    /// A socket, a thread or the terminal cannot be had.
    #[error(transparent)]
    System(#[from] io::Error),
}

/// Runs the demo to its end.
pub fn run(options: &Options) -> Result<(), DemoError> {
    // First of all: with a port that is taken, the demo writes no file.
    drop(
        bind(loopback(options.port)).map_err(|cause| StartError::Bind {
            address: loopback(options.port),
            cause,
        })?,
    );
    let routes = RoutesFile::prepare(&options.directory).map_err(|cause| DemoError::File {
        path: options.directory.join("routes.yaml"),
        cause,
    })?;
    let runtime = Builder::new_multi_thread()
        .worker_threads(1)
        .thread_name("serin-demo")
        .enable_all()
        .build()?;
    let samples = {
        let _entered = runtime.enter();
        Samples::start(options.port)?
    };
    let stage = Stage::build(options, routes, samples)?;
    stage.play(&runtime, options)?;
    Ok(())
}

/// Everything that runs.
struct Stage {
    scene: Scene,
    samples: Samples,
    gateway: Gateway,
    stop: oneshot::Sender<()>,
}

impl Stage {
    fn build(options: &Options, routes: RoutesFile, samples: Samples) -> Result<Self, DemoError> {
        let mut setting = Setting {
            ports: samples.ports(),
            port: options.port,
            admin_port: None,
        };
        let compiled = |setting: &Setting| {
            let invalid = |problems| DemoError::Invalid {
                path: routes.path.clone(),
                text: routes.text.clone(),
                problems,
            };
            setting.compile(&routes.text).map_err(invalid)
        };
        let wanted = compiled(&setting)?.process.admin.addresses;
        let wanted = wanted.first().copied().unwrap_or(loopback(0));
        let is_free = wanted.port() != options.port && bind(wanted).is_ok();
        setting.admin_port = Some(if is_free { wanted.port() } else { 0 });
        let config = compiled(&setting)?;
        let (stop, stopped) = oneshot::channel();
        let gateway = Gateway::start(Start {
            path: routes.path.clone(),
            text: routes.text,
            config,
            embedding: Some(Embedding {
                compile: Arc::new(move |text| setting.compile(text)),
                stop: stopped,
            }),
            debug_request: None,
            takes_over: false,
            inherited: Inherited::default(),
        })?;
        let address = gateway.listeners().first().copied();
        let admin = gateway.admin().first().copied();
        let scene = Scene::new(
            (
                address.unwrap_or(loopback(options.port)),
                admin.unwrap_or(wanted),
            ),
            (routes.path, routes.is_new),
            &samples.canary,
            options.colour,
        );
        Ok(Self {
            scene,
            samples,
            gateway,
            stop,
        })
    }

    /// Users first come and then go; then the gateway ends, and what is behind it last.
    fn play(self, runtime: &Runtime, options: &Options) -> io::Result<()> {
        let Self {
            scene,
            samples,
            gateway,
            stop,
        } = self;
        let tally = Arc::new(UserCounts::default());
        let (leave, left) = watch::channel(false);
        let crowd = runtime.spawn(users::ask(scene.gateway, tally.clone(), left));
        let mut show = Show::new(scene, samples, &gateway, tally, options.duration);
        let running: JoinHandle<()> = std::thread::Builder::new()
            .name("serin-gateway".to_owned())
            .spawn(move || {
                // Nobody takes over from it.
                gateway.run();
            })?;
        let shown = runtime.block_on(async {
            let shown = match Display::open(options.live) {
                Ok(display) => show.run(&display).await,
                Err(error) => Err(error),
            };
            leave.send_replace(true);
            // The panic of a crowd is in the log.
            let _ = crowd.await;
            shown
        });
        // Fails only when the gateway has ended already.
        let _ = stop.send(());
        if running.join().is_err() {
            return Err(io::Error::other("the gateway panicked"));
        }
        shown?;
        show.conclude()
    }
}
