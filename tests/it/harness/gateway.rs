//! The built binary, running.

use std::ffi::{OsStr, OsString};
use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, ExitStatus, Output, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use std::{fs, thread};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

use super::client::{self, Raw, RawAnswer};
use super::metrics::Metrics;
use super::{
    Answer, ApiDocument, Call, Connection, DEADLINE, Dns, H2Connection, eventually, get, until,
    wire,
};

/// The binary under test: the one that was built with the tests, unless the environment variable `SERIN_BINARY` names another,
/// an optimised one maybe.
static SERIN: LazyLock<OsString> = LazyLock::new(|| {
    let named = std::env::var_os("SERIN_BINARY");
    named.unwrap_or_else(|| env!("CARGO_BIN_EXE_serin").into())
});

/// Stands for every top-level key that a test's file does not state itself.
const DEFAULTS: [(&str, &str); 3] = [
    ("admin", "admin: 127.0.0.1:0\n"),
    (
        "server",
        "server: { threads: 2, shutdown_delay: 1ms, shutdown_grace: 8s }\n",
    ),
    (
        "logging",
        "logging: { level: info, format: json, access: all, user_id: plain }\n",
    ),
];

/// Runs a command of the binary to its end, without an environment but `PATH`.
pub(crate) fn run_serin<I: AsRef<OsStr>>(args: impl IntoIterator<Item = I>) -> Output {
    serin(args).output().expect("the binary runs")
}

/// A command of the binary, without an environment but `PATH`.
pub(crate) fn serin<I: AsRef<OsStr>>(args: impl IntoIterator<Item = I>) -> Command {
    command_of(&SERIN, args)
}

/// Makes a link to the binary.
pub(crate) fn link_to_serin(at: &Path) {
    std::os::unix::fs::symlink(&*SERIN, at).expect("a link");
}

/// Where the binary is.
pub(crate) fn path_of_serin() -> &'static Path {
    Path::new(&*SERIN)
}

fn command_of<I: AsRef<OsStr>>(program: &OsStr, args: impl IntoIterator<Item = I>) -> Command {
    let mut command = Command::new(program);
    command
        .args(args)
        .env_clear()
        .envs(std::env::var_os("PATH").map(|path| ("PATH", path)))
        .stdin(Stdio::null());
    command
}

/// The gateway whose files may have this many blocks of 512 bytes: as on a full disk, more cannot be written.
fn with_small_files(blocks: u32) -> Command {
    let mut command = Command::new("sh");
    let script = format!("trap '' XFSZ && ulimit -f {blocks} && exec \"$0\" run -c routes.yaml");
    command
        .args(["-c", &script])
        .arg(&*SERIN)
        .env_clear()
        .envs(std::env::var_os("PATH").map(|path| ("PATH", path)))
        .stdin(Stdio::null());
    command
}

/// The gateway with these bounds on how many files it may open, which only a shell can set for it.
fn bounded(soft: u32, hard: u32) -> Command {
    let mut command = Command::new("sh");
    let script =
        format!("ulimit -S -n {soft} && ulimit -H -n {hard} && exec \"$0\" run -c routes.yaml");
    command
        .args(["-c", &script])
        .arg(&*SERIN)
        .env_clear()
        .envs(std::env::var_os("PATH").map(|path| ("PATH", path)))
        .stdin(Stdio::null());
    command
}

/// What a gateway is to be started with.
pub(crate) struct Setup {
    config: String,
    env: Vec<(String, String)>,
    /// Whether `routes.yaml` is a link into a folder that is itself a link, as Kubernetes mounts a ConfigMap.
    config_map: bool,
    /// Whether nobody reads standard output.
    deaf: bool,
    /// How many files it may open: the soft bound and the hard one.
    open_files: Option<(u32, u32)>,
    /// How many blocks of 512 bytes a file may have.
    file_size: Option<u32>,
    /// What is run in place of the binary itself.
    program: Option<PathBuf>,
}

impl Setup {
    /// With this `routes.yaml`; sockets, logging and quick shutdown are added unless it states them.
    pub(crate) fn new(config: impl Into<String>) -> Self {
        Self {
            config: config.into(),
            env: Vec::new(),
            config_map: false,
            deaf: false,
            open_files: None,
            file_size: None,
            program: None,
        }
    }

    /// With names looked up at this server.
    pub(crate) fn dns(self, dns: &Dns) -> Self {
        self.env("SERIN_DNS", &dns.address().to_string())
    }

    /// With an environment variable.
    pub(crate) fn env(mut self, name: &str, value: &str) -> Self {
        self.env.push((name.to_owned(), value.to_owned()));
        self
    }

    /// With the file mounted as a ConfigMap is.
    pub(crate) fn config_map(mut self) -> Self {
        self.config_map = true;
        self
    }

    /// With nobody to read its standard output, until [`Gateway::listen`].
    pub(crate) fn deaf(mut self) -> Self {
        self.deaf = true;
        self
    }

    /// With a bound on how many files it may open, and one up to which it may raise that.
    pub(crate) fn open_files(mut self, soft: u32, hard: u32) -> Self {
        self.open_files = Some((soft, hard));
        self
    }

    /// With a bound on how many blocks of 512 bytes a file may have: as on a full disk, more cannot be written.
    pub(crate) fn file_size(mut self, blocks: u32) -> Self {
        self.file_size = Some(blocks);
        self
    }

    /// Run by another program, which becomes the binary: a link to it, say.
    pub(crate) fn program(mut self, path: &Path) -> Self {
        self.program = Some(path.to_owned());
        self
    }

    /// Starts the gateway and waits until it is ready.
    pub(crate) async fn start(self) -> Gateway {
        let mut gateway = self.launch().await;
        eventually("readiness", || async {
            // Those for probes never speak TLS.
            let address = gateway.probes.unwrap_or(gateway.admin);
            let call = get("/readyz").host(&address.to_string());
            (client::send(address, call).await.status == 200).then_some(())
        })
        .await;
        // By now they are all there.
        gateway.learn_sockets();
        gateway
    }

    /// Starts the gateway and waits until its sockets are open, ready or not.
    pub(crate) async fn launch(self) -> Gateway {
        let folder = TempDir::new().expect("a folder");
        let path = folder.path().join("routes.yaml");
        let text = complete(&self.config);
        let states_listeners = states(&self.config, "listeners");
        if self.config_map {
            let version = folder.path().join("..v1");
            fs::create_dir(&version).expect("a folder");
            fs::write(version.join("routes.yaml"), text).expect("a file");
            link("..v1", &folder.path().join("..data"));
            link("..data/routes.yaml", &path);
        } else {
            fs::write(&path, text).expect("a file");
        }
        let mut command = match (self.open_files, self.file_size) {
            (Some((soft, hard)), _) => bounded(soft, hard),
            (None, Some(blocks)) => with_small_files(blocks),
            (None, None) => {
                let program = self.program.as_ref().map(|path| path.as_os_str());
                command_of(program.unwrap_or(&SERIN), ["run", "-c", "routes.yaml"])
            }
        };
        let mut child = command
            .envs(self.env.clone())
            .current_dir(folder.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary starts");
        let stdout = child.stdout.take().expect("a pipe");
        let (stdout, unread) = match self.deaf {
            true => (Lines::default(), Some(stdout)),
            false => (Lines::of(stdout), None),
        };
        let stderr = Lines::of(child.stderr.take().expect("a pipe"));
        let mut gateway = Gateway {
            child,
            folder,
            path,
            stdout,
            unread,
            stderr,
            listeners: Vec::new(),
            admin: ([127, 0, 0, 1], 0).into(),
            probes: None,
            env: self.env,
        };
        gateway.await_sockets().await;
        wire::note(&gateway.listeners, !states_listeners);
        // Their ports may have been those of another gateway's listeners.
        wire::note(&[gateway.admin], false);
        wire::note(gateway.probes.as_slice(), false);
        gateway
    }
}

/// The file, with what it does not state put before it.
pub(crate) fn complete(config: &str) -> String {
    let missing = DEFAULTS.iter().filter(|(key, _)| !states(config, key));
    let missing: String = missing.map(|(_, text)| *text).collect();
    let listeners = match states(config, "listeners") {
        true => String::new(),
        false => wire::listeners(),
    };
    listeners + &missing + config
}

/// Whether a file states a top-level key.
fn states(config: &str, key: &str) -> bool {
    let key = format!("{key}:");
    config.lines().any(|line| line.starts_with(&key))
}

fn link(target: &str, at: &Path) {
    std::os::unix::fs::symlink(target, at).expect("a link");
}

/// The lines that a process has written so far.
#[derive(Clone, Default)]
pub(crate) struct Lines {
    seen: Arc<Mutex<Vec<String>>>,
    ended: Arc<AtomicBool>,
}

impl Lines {
    /// Collects them on a thread of its own: a full pipe must never stop the gateway.
    pub(crate) fn of(pipe: impl Read + Send + 'static) -> Self {
        let lines = Self::default();
        let sink = lines.clone();
        thread::spawn(move || {
            for line in BufReader::new(pipe).split(b'\n') {
                let Ok(line) = line else { break };
                sink.lock()
                    .push(String::from_utf8_lossy(&line).into_owned());
            }
            sink.ended.store(true, Ordering::Release);
        });
        lines
    }

    /// All of them, as one text.
    pub(crate) fn text(&self) -> String {
        self.lock().join("\n")
    }

    /// Those from this one on.
    pub(crate) fn since(&self, first: usize) -> Vec<String> {
        self.lock().get(first..).unwrap_or_default().to_vec()
    }

    /// Whether there will be no more.
    pub(crate) fn ended(&self) -> bool {
        self.ended.load(Ordering::Acquire)
    }

    fn lock(&self) -> MutexGuard<'_, Vec<String>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The lines that are JSON, beside those that are not.
    fn json(&self) -> (Vec<Value>, Vec<String>) {
        let (mut values, mut others) = (Vec::new(), Vec::new());
        for line in self.lock().iter() {
            match serde_json::from_str(line) {
                Ok(value) => values.push(value),
                Err(_) => others.push(line.clone()),
            }
        }
        (values, others)
    }
}

/// A field of a log line, wherever the format puts it.
fn field<'a>(line: &'a Value, name: &str) -> Option<&'a str> {
    line.get(name)
        .or_else(|| line.get("fields")?.get(name))
        .and_then(Value::as_str)
}

/// The same of a line in the text format.
fn word<'a>(line: &'a str, name: &str) -> Option<&'a str> {
    let mut words = line.split(' ');
    let value = words.find_map(|word| word.strip_prefix(name)?.strip_prefix('='));
    value.map(|value| value.trim_matches('"'))
}

/// A running gateway; it is ended when this is dropped.
pub(crate) struct Gateway {
    pub(super) child: Child,
    pub(super) folder: TempDir,
    pub(super) path: PathBuf,
    pub(super) stdout: Lines,
    pub(super) unread: Option<ChildStdout>,
    pub(super) stderr: Lines,
    pub(super) listeners: Vec<SocketAddr>,
    pub(super) admin: SocketAddr,
    pub(super) probes: Option<SocketAddr>,
    /// What its environment was given.
    pub(super) env: Vec<(String, String)>,
}

impl Gateway {
    /// Starts a gateway with this `routes.yaml` and waits until it is ready.
    pub(crate) async fn start(config: impl Into<String>) -> Self {
        Setup::new(config).start().await
    }

    /// Learns the bound addresses from the log: the file says port 0.
    async fn await_sockets(&mut self) {
        let begun = Instant::now();
        while self.admin.port() == 0 || self.listeners.is_empty() {
            let ended = self.child.try_wait().expect("a child");
            assert!(
                ended.is_none() && begun.elapsed() < DEADLINE,
                "no sockets (exit {ended:?}); stderr:\n{}",
                self.stderr.lock().join("\n")
            );
            tokio::time::sleep(Duration::from_millis(10)).await;
            self.learn_sockets();
        }
    }

    /// Takes the addresses that the log has so far.
    pub(crate) fn learn_sockets(&mut self) {
        self.listeners.clear();
        let mut admin: Vec<SocketAddr> = Vec::new();
        let (json, text) = self.stderr.json();
        let json = json
            .iter()
            .filter(|line| field(line, "message") == Some("listening"));
        let json = json.map(|line| (field(line, "kind"), field(line, "address")));
        let text = text.iter().filter(|line| line.contains(" listening "));
        let text = text.map(|line| (word(line, "kind"), word(line, "address")));
        for (kind, address) in json.chain(text) {
            let address = address.and_then(|text| text.parse().ok());
            let address = address.expect("an address in the log");
            match kind {
                Some("admin") => admin.push(address),
                Some("probes") => self.probes = Some(address),
                _ => self.listeners.push(address),
            }
        }
        // The first, as the file has them.
        if let Some(first) = admin.first() {
            self.admin = *first;
        }
    }

    /// The first listener's address.
    pub(crate) fn address(&self) -> SocketAddr {
        self.listeners[0]
    }

    /// The listeners' addresses, as the file has them.
    pub(crate) fn addresses(&self) -> &[SocketAddr] {
        &self.listeners
    }

    /// The admin listener's address.
    pub(crate) fn admin_address(&self) -> SocketAddr {
        self.admin
    }

    /// The address of the listener for probes and metrics alone, if there is one.
    pub(crate) fn probes_address(&self) -> SocketAddr {
        self.probes.expect("a listener for probes")
    }

    /// Runs a command of the binary against this gateway's admin API, on loopback.
    pub(crate) fn ask(&self, command: &[&str]) -> Output {
        let admin = format!("http://127.0.0.1:{}", self.admin.port());
        run_serin(command.iter().chain(&["--admin", &admin]))
    }

    /// What `serin explain` says of a user's request for `/` to `api.example.com`, asked of this gateway.
    pub(crate) fn explain(&self, user: &str) -> String {
        let admin = format!("http://{}", self.admin);
        let target = ["explain", "--admin", &admin, "--user", user];
        let output = run_serin(target.iter().chain(&["--host", "api.example.com"]));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// The folder that `routes.yaml` is in.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Sends a request over a connection of its own.
    pub(crate) async fn send(&self, call: Call) -> Answer {
        client::send(self.address(), call).await
    }

    /// GET, as a user.
    pub(crate) async fn get_as(&self, user: &str, path: &str) -> Answer {
        self.send(get(path).user(user)).await
    }

    /// A connection that is kept open.
    pub(crate) async fn connect(&self) -> Connection {
        Connection::open(self.address()).await
    }

    /// An HTTP/2 connection.
    pub(crate) async fn connect_h2c(&self) -> H2Connection {
        H2Connection::connect(self.address()).await
    }

    /// A connection on which the test says every byte.
    pub(crate) async fn open_raw(&self) -> Raw {
        Raw::open(self.address()).await
    }

    /// Sends bytes, reads until the gateway closes. Say `Connection: close` in them.
    pub(crate) async fn raw(&self, bytes: impl AsRef<[u8]>) -> RawAnswer {
        client::raw(self.address(), bytes.as_ref()).await
    }

    /// GET on the admin listener.
    pub(crate) async fn admin(&self, path: &str) -> Answer {
        self.admin_send(get(path)).await
    }

    /// Any request to the admin listener, whose answer must be as the API's document says.
    pub(crate) async fn admin_send(&self, call: Call) -> Answer {
        let call = call.host(&self.admin.to_string()).said_to_be_json();
        let asked = call.clone();
        let answer = client::send(self.admin, call).await;
        let document = ApiDocument::of_the_binary().await;
        let found = document.check(asked.method(), asked.path(), &answer);
        found.unwrap_or_else(|wrong| panic!("{wrong}\n{asked:?}\n{:.2000}", answer.text()));
        answer
    }

    /// `GET /api/v1/status`.
    pub(crate) async fn status(&self) -> Value {
        let answer = self.admin("/api/v1/status").await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.json()
    }

    /// The generation in force.
    pub(crate) async fn generation(&self) -> u64 {
        self.status().await["generation"]
            .as_u64()
            .expect("a number")
    }

    /// Waits until this generation, or a later one, is in force.
    pub(crate) async fn await_generation(&self, generation: u64) {
        let what = format!("generation {generation}");
        eventually(&what, || async {
            (self.generation().await >= generation).then_some(())
        })
        .await;
    }

    /// The figures of `/metrics`.
    pub(crate) async fn metrics(&self) -> Metrics {
        let answer = self.admin("/metrics").await;
        assert_eq!(answer.status, 200, "{answer:?}");
        Metrics::parse(answer.text())
    }

    /// Waits until the series of this name with these labels add up to `value`: a request is counted when it
    /// has ended, which may be just after its answer.
    pub(crate) async fn await_metric(&self, name: &str, labels: &[(&str, &str)], value: f64) {
        let what = format!("{name}{labels:?} = {value}");
        eventually(&what, || async {
            (self.metrics().await.sum(name, labels) == value).then_some(())
        })
        .await;
    }

    /// The access log so far; nothing else may be on standard output.
    pub(crate) fn access_log(&self) -> Vec<Value> {
        let (lines, others) = self.stdout.json();
        assert_eq!(others, Vec::<String>::new(), "no JSON on standard output");
        lines
    }

    /// The lines of the access log from this one on.
    pub(crate) fn access_log_since(&self, first: usize) -> Vec<Value> {
        let lines = self.stdout.since(first).into_iter();
        lines
            .map(|line| serde_json::from_str(&line).expect("JSON on standard output"))
            .collect()
    }

    /// How many lines the access log has so far.
    pub(crate) fn access_log_lines(&self) -> usize {
        self.stdout.lock().len()
    }

    /// Waits for the first line of the access log that `wanted` accepts.
    pub(crate) async fn await_access_log(&self, wanted: impl Fn(&Value) -> bool) -> Value {
        until("a line of the access log", || {
            self.access_log().into_iter().find(|line| wanted(line))
        })
        .await
    }

    /// Waits for a line of the access log with this path.
    pub(crate) async fn await_access_log_of(&self, path: &str) -> Value {
        self.await_access_log(|line| line["path"] == path).await
    }

    /// What it has written to standard error so far.
    pub(crate) fn log(&self) -> String {
        self.stderr.lock().join("\n")
    }

    /// The lines of its log that are JSON.
    pub(crate) fn log_lines(&self) -> Vec<Value> {
        self.stderr.json().0
    }

    /// Waits until a line of its log contains this text.
    pub(crate) async fn await_log(&self, text: &str) {
        let what = format!("{text:?} in the log");
        until(&what, || self.log().contains(text).then_some(())).await;
    }

    /// Replaces `routes.yaml` by renaming another file over it.
    pub(crate) fn rewrite_config(&self, config: &str) {
        let next = self.folder().join("routes.yaml.next");
        fs::write(&next, complete(config)).expect("a file");
        fs::rename(&next, &self.path).expect("it is renamed");
    }

    /// Truncates `routes.yaml` and writes it anew, in pieces.
    pub(crate) fn write_in_place(&self, config: &str) {
        use std::io::Write;
        let mut file = fs::File::create(&self.path).expect("a file");
        for piece in complete(config).as_bytes().chunks(64) {
            file.write_all(piece).expect("it is written");
        }
    }

    /// Points the ConfigMap's `..data` to a new folder, as the kubelet does.
    pub(crate) fn swap_config_map(&self, version: &str, config: &str) {
        let folder = self.folder().join(version);
        fs::create_dir(&folder).expect("a folder");
        fs::write(folder.join("routes.yaml"), complete(config)).expect("a file");
        let next = self.folder().join("..data_tmp");
        link(version, &next);
        fs::rename(next, self.folder().join("..data")).expect("it is renamed");
    }

    /// Its process ID.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(super) fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.pid()).ok().and_then(Pid::from_raw);
        // A process that has ended already cannot be told anything.
        let _ = kill_process(pid.expect("a process ID"), signal);
    }

    /// Begins to read its standard output.
    pub(crate) fn listen(&mut self) {
        if let Some(pipe) = self.unread.take() {
            self.stdout = Lines::of(pipe);
        }
    }

    /// Asks for a reload by signal.
    pub(crate) fn sighup(&self) {
        self.signal(Signal::HUP);
    }

    /// Asks it to end.
    pub(crate) fn sigterm(&self) {
        self.signal(Signal::TERM);
    }

    /// Kills it as a crash would.
    pub(crate) fn sigkill(&self) {
        self.signal(Signal::KILL);
    }

    /// Whether it has ended.
    pub(crate) fn has_ended(&mut self) -> bool {
        self.child.try_wait().expect("a child").is_some()
    }

    /// Waits until it has ended by itself, and all that it wrote has been read.
    pub(crate) async fn await_exit(&mut self) -> ExitStatus {
        let child = &mut self.child;
        let status = until("the gateway's end", || child.try_wait().expect("a child")).await;
        let deaf = self.unread.is_some();
        until("the end of what it wrote", || {
            ((deaf || self.stdout.ended()) && self.stderr.ended()).then_some(())
        })
        .await;
        status
    }

    /// Asks it to end and waits until it has.
    pub(crate) async fn terminate(&mut self) -> ExitStatus {
        self.sigterm();
        self.await_exit().await
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        // Others may be given their ports.
        wire::note(&self.listeners, false);
        let ended = |child: &mut Child| !matches!(child.try_wait(), Ok(None));
        if !ended(&mut self.child) {
            self.sigterm();
            let begun = Instant::now();
            // The origins run on this very thread and cannot help a draining gateway now: a failed test, or one
            // that leaves a request open, must not wait for its grace.
            let patience = if thread::panicking() {
                Duration::ZERO
            } else {
                DEADLINE
            };
            while !ended(&mut self.child) {
                if begun.elapsed() > patience {
                    let _ = self.child.kill();
                    let _ = self.child.wait();
                    break;
                }
                thread::sleep(Duration::from_millis(10));
            }
        }
        if thread::panicking() {
            eprintln!("--- the gateway's log\n{}\n---", self.log());
        }
    }
}
