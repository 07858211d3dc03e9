//! The demo's `routes.yaml`: written once, the reader's own from then on.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::clock;
use crate::config::admin::AdminConfig;
use crate::config::diagnostic::Findings;
use crate::config::listener::ListenerConfig;
use crate::config::{self, Config, Environment, OnUnset};
use crate::source::environment::ProcessEnvironment;
use crate::source::file::{FileError, read};

/// What is written where there is no file yet.
const FIRST: &str = include_str!("routes.yaml");
/// How long running requests may go on at the end: the user who pressed a key waits for it.
const GRACE: Duration = Duration::from_millis(500);
/// Threads for traffic, unless the file says: a trickle needs no more.
const THREADS: usize = 2;

/// The file, as it was at the start.
#[derive(Debug)]
pub(super) struct RoutesFile {
    pub(super) path: PathBuf,
    pub(super) text: String,
    /// Whether it was written just now.
    pub(super) is_new: bool,
}

impl RoutesFile {
    /// Reads the file in this directory, which is made, with the file, where it is missing. What is there already is
    /// never touched.
    pub(super) fn prepare(directory: &Path) -> Result<Self, FileError> {
        fs::create_dir_all(directory)?;
        let path = directory.join("routes.yaml");
        let created = OpenOptions::new().write(true).create_new(true).open(&path);
        let is_new = match created {
            Ok(mut file) => {
                file.write_all(FIRST.as_bytes())?;
                true
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => false,
            Err(error) => return Err(error.into()),
        };
        let text = read(&path)?;
        Ok(Self { path, text, is_new })
    }
}

/// What the file is read with, in this demo.
#[derive(Clone, Debug)]
pub(super) struct Setting {
    /// The ports of the sample deployments, by the variables that the file names them with.
    pub(super) ports: Vec<(&'static str, u16)>,
    /// Where traffic is taken.
    pub(super) port: u16,
    /// Where the admin API is; `None`: where the file says, on loopback.
    pub(super) admin_port: Option<u16>,
}

impl Setting {
    /// Compiles the file's text. Whatever it says, only this machine is listened to.
    pub(super) fn compile(&self, text: &str) -> Result<Config, Findings> {
        let mut config = config::compile(text, self, OnUnset::Refuse, clock::now())?;
        let process = &mut config.process;
        let stated = process.admin.addresses.first();
        let admin_port = stated.map_or(0, SocketAddr::port);
        let admin_port = self.admin_port.unwrap_or(admin_port);
        process.listeners = vec![ListenerConfig::at(loopback(self.port))];
        process.admin = AdminConfig::at(loopback(admin_port));
        process.shutdown_delay = Duration::ZERO;
        process.shutdown_grace = GRACE;
        if process.threads == 0 {
            process.threads = THREADS;
        }
        Ok(config)
    }
}

impl Environment for Setting {
    fn variable(&self, name: &str) -> Option<String> {
        let mut ports = self.ports.iter();
        match ports.find(|(variable, _)| *variable == name) {
            Some((_, port)) => Some(port.to_string()),
            None => ProcessEnvironment.variable(name),
        }
    }

    fn file(&self, path: &str) -> Result<String, String> {
        ProcessEnvironment.file(path)
    }
}

/// A port of this machine that only this machine reaches.
pub(super) fn loopback(port: u16) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, port).into()
}

#[cfg(test)]
mod tests {
    use super::{FIRST, RoutesFile, Setting};
    use crate::config::listener::ListenerConfig;

    #[test]
    fn what_is_there_already_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let directory = folder.path().join("a/demo");
        let first = RoutesFile::prepare(&directory).unwrap();
        assert!(first.is_new && first.text == FIRST);
        std::fs::write(&first.path, "mine").unwrap();
        let second = RoutesFile::prepare(&directory).unwrap();
        assert!(!second.is_new);
        assert_eq!(second.text, "mine");
        assert_eq!(std::fs::read_to_string(&second.path).unwrap(), "mine");
    }

    #[test]
    fn only_this_machine_is_listened_to_whatever_the_file_says() {
        let setting = Setting {
            ports: vec![("SERIN_DEMO_STABLE", 7), ("SERIN_DEMO_RANKER", 8)],
            port: 0,
            admin_port: None,
        };
        let open = FIRST.replace("127.0.0.1:8080", "0.0.0.0:8080");
        let open = open.replace("127.0.0.1:9900", "127.0.0.1:9911");
        let config = setting.compile(&open).unwrap();
        let anywhere = ListenerConfig::at("127.0.0.1:0".parse().unwrap());
        assert_eq!(config.process.listeners, [anywhere]);
        assert_eq!(
            config.process.admin.addresses,
            ["127.0.0.1:9911".parse().unwrap()]
        );
        assert_eq!(
            config.services[0].stable,
            "http://127.0.0.1:7".parse().ok(),
            "the port that the demo found"
        );
        let chosen = Setting {
            admin_port: Some(0),
            ..setting
        };
        let admin = chosen.compile(&open).unwrap().process.admin.addresses;
        assert_eq!(admin, ["127.0.0.1:0".parse().unwrap()]);
    }
}
