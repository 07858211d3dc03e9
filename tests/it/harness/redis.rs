//! A real Redis server, which can be killed, stopped, emptied and started again at the same address.

pub(crate) mod cluster;

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use redis::{Connection, FromRedisValue};
use rustix::process::{Pid, Signal, kill_process};
use socket2::Socket;
use tempfile::TempDir;

use super::{origin, until};

/// One server, or several that are one.
pub(crate) trait Server {
    /// Where it is, as `routes.yaml` names it.
    fn url(&self) -> String;

    /// The same, as the gateway shows it.
    fn shown(&self) -> String;

    /// Ends it as a crash would.
    fn kill(&mut self);

    /// Starts it again, with the data that there are.
    async fn start_again(&mut self);

    /// Stops it where it is; the kernel goes on to accept connections for it.
    fn freeze(&self);

    /// Lets it go on.
    fn thaw(&self);

    /// What it answers to a command.
    fn ask<T: FromRedisValue>(&self, command: &[&str]) -> T;
}

impl Server for Redis {
    fn url(&self) -> String {
        self.url()
    }

    fn shown(&self) -> String {
        format!("{}/0", self.url())
    }

    fn kill(&mut self) {
        self.kill();
    }

    async fn start_again(&mut self) {
        self.start_again().await;
    }

    fn freeze(&self) {
        self.freeze();
    }

    fn thaw(&self) {
        self.thaw();
    }

    fn ask<T: FromRedisValue>(&self, command: &[&str]) -> T {
        self.ask(command)
    }
}

/// A running server; it and its data are gone when this is dropped.
pub(crate) struct Redis {
    address: SocketAddr,
    /// Bound, but never listening: while the server is gone, its port refuses connections and is given to nobody.
    _reserved: Socket,
    /// What else it is started with.
    options: Vec<String>,
    /// The environment variables that it has beside ours.
    environment: Vec<(String, String)>,
    folder: TempDir,
    server: Child,
}

impl Redis {
    /// Starts one that forces every write to its disk before it answers.
    pub(crate) async fn start() -> Self {
        Self::start_with(&[]).await
    }

    /// With further options; `%port` in them is the port's number.
    pub(crate) async fn start_with(options: &[&str]) -> Self {
        Self::start_so(options, &[]).await
    }

    /// With these environment variables.
    pub(crate) async fn start_in(environment: &[(&str, String)]) -> Self {
        Self::start_so(&[], environment).await
    }

    async fn start_so(options: &[&str], environment: &[(&str, String)]) -> Self {
        let environment = environment.iter();
        let environment = environment.map(|(name, value)| ((*name).to_owned(), value.clone()));
        let environment: Vec<_> = environment.collect();
        let reserved = origin::bind((Ipv4Addr::LOCALHOST, 0).into());
        let address = reserved
            .local_addr()
            .ok()
            .and_then(|address| address.as_socket())
            .expect("an address");
        let port = address.port().to_string();
        let mut options: Vec<String> = options
            .iter()
            .map(|option| option.replace("%port", &port))
            .collect();
        if !options.iter().any(|option| option == "--port") {
            options.extend(["--port".to_owned(), port]);
        }
        let folder = TempDir::new().expect("a folder");
        let mut redis = Self {
            server: launch(&folder, &options, &environment),
            address,
            _reserved: reserved,
            options,
            environment,
            folder,
        };
        redis.await_connections().await;
        redis
    }

    async fn await_connections(&mut self) {
        let (address, log) = (self.address, self.folder.path().join("log"));
        let server = &mut self.server;
        until("redis-server", || {
            let ended = server.try_wait().expect("a child");
            let said = || fs::read_to_string(&log).unwrap_or_default();
            assert!(ended.is_none(), "redis-server has ended: {}", said());
            std::net::TcpStream::connect(address).ok()
        })
        .await;
    }

    /// Where it is, as `routes.yaml` names it.
    pub(crate) fn url(&self) -> String {
        format!("redis://{}", self.address)
    }

    /// Its address.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its port.
    pub(crate) fn port(&self) -> u16 {
        self.address.port()
    }

    /// The folder with its data.
    pub(crate) fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// Ends it as a crash would.
    pub(crate) fn kill(&mut self) {
        self.signal(Signal::KILL);
        self.server.wait().expect("a child");
    }

    /// Starts it again, with the data that there are.
    pub(crate) async fn start_again(&mut self) {
        self.server = launch(&self.folder, &self.options, &self.environment);
        self.await_connections().await;
    }

    /// Starts it again without any data.
    pub(crate) async fn start_empty(&mut self) {
        fs::remove_dir_all(self.data()).expect("a folder");
        self.start_again().await;
    }

    /// Stops it where it is; the kernel goes on to accept connections for it.
    pub(crate) fn freeze(&self) {
        self.signal(Signal::STOP);
    }

    /// Lets it go on.
    pub(crate) fn thaw(&self) {
        self.signal(Signal::CONT);
    }

    /// What it answers to a command.
    pub(crate) fn ask<T: FromRedisValue>(&self, command: &[&str]) -> T {
        let client = redis::Client::open(self.url()).expect("a URL");
        let mut connection: Connection = client.get_connection().expect("a connection");
        let (name, rest) = command.split_first().expect("a command");
        let mut asked = redis::cmd(name);
        asked.arg(rest);
        asked.query(&mut connection).expect("an answer")
    }

    fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.server.id()).ok().and_then(Pid::from_raw);
        kill_process(pid.expect("a process"), signal).expect("our own process");
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

fn launch(folder: &TempDir, options: &[String], environment: &[(String, String)]) -> Child {
    let data = folder.path().join("data");
    fs::create_dir_all(&data).expect("a folder");
    // It ends with the thread that has started it, whatever becomes of that.
    let mut server = Command::new("setpriv");
    server
        .args([
            "--pdeathsig",
            "KILL",
            "redis-server",
            "--bind",
            "127.0.0.1",
            "--dir",
        ])
        .arg(&data)
        .args([
            "--save",
            "",
            "--appendonly",
            "yes",
            "--appendfsync",
            "always",
        ])
        .arg("--logfile")
        .arg(log(folder.path()))
        .args(options)
        .envs(environment.iter().cloned())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .expect("redis-server: scripts/install-test-deps installs it")
}

fn log(folder: &Path) -> PathBuf {
    folder.join("log")
}
