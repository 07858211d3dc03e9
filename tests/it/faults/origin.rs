//! An origin in a process of its own (`origin.py`): one that can be killed and stopped.

use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Child, ChildStdin, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use super::patiently;
use crate::harness::Lines;

/// What an origin did with a request.
#[derive(Clone, Debug)]
pub(super) struct Run {
    /// The request.
    pub(super) id: usize,
    /// Its method.
    pub(super) method: String,
    /// How it answered.
    pub(super) act: String,
    /// The deployment that the gateway said the attempt was for.
    pub(super) deployment: String,
}

/// A running origin.
pub(super) struct Origin {
    /// Its name, which its answers carry.
    pub(super) name: &'static str,
    /// Where it is, whenever it is.
    pub(super) address: SocketAddr,
    process: Process,
    /// What its killed predecessors did.
    earlier: Vec<Lines>,
}

struct Process {
    child: Child,
    commands: ChildStdin,
    lines: Lines,
    /// How many of its lines have been looked through for answers to commands.
    read: usize,
}

impl Origin {
    /// Starts one on an address that no other process uses: its port stays its own while nobody listens there.
    pub(super) async fn start(name: &'static str, number: u32) -> Self {
        let of_process = std::process::id() % 0x3e_0000 * 4;
        let ip = Ipv4Addr::from_bits(0x7f01_0000 + of_process + number);
        let mut address = SocketAddr::new(ip.into(), 0);
        let mut process = Process::spawn(name, address);
        address.set_port(process.done().await);
        Self {
            name,
            address,
            process,
            earlier: Vec::new(),
        }
    }

    /// The deployment that it is an endpoint of.
    pub(super) fn deployment(&self) -> &'static str {
        super::deployment_of(self.name)
    }

    /// Has a command done.
    pub(super) async fn tell(&mut self, command: &str) {
        let process = &mut self.process;
        writeln!(process.commands, "{command}").expect("it listens");
        process.done().await;
    }

    /// How often it has acted so, in this life.
    pub(super) fn acted(&self, act: &str) -> usize {
        let runs = self.process.lines.since(0);
        let runs = runs.iter().filter_map(|line| Run::read(line));
        runs.filter(|run| run.act == act).count()
    }

    /// Ends it without a warning.
    pub(super) fn kill(&mut self) {
        self.process.kill();
    }

    /// Starts it again where it was.
    pub(super) async fn restart(&mut self) {
        let next = Process::spawn(self.name, self.address);
        let last = std::mem::replace(&mut self.process, next);
        self.earlier.push(last.lines.clone());
        self.process.done().await;
    }

    /// Stops it where it is; the kernel goes on to accept connections for it.
    pub(super) fn stop(&self) {
        self.process.signal(Signal::STOP);
    }

    /// Lets it go on.
    pub(super) fn go_on(&self) {
        self.process.signal(Signal::CONT);
    }

    /// Ends it when it has read all that was sent to it, and says what it did in all its lives.
    pub(super) async fn finish(&mut self) -> Vec<Run> {
        writeln!(self.process.commands, "end").expect("it listens");
        let all: Vec<Lines> = self
            .earlier
            .iter()
            .chain([&self.process.lines])
            .cloned()
            .collect();
        patiently("the end of what an origin did", async || {
            all.iter().all(Lines::ended)
        })
        .await;
        let lines = all.iter().flat_map(|lines| lines.since(0));
        lines.filter_map(|line| Run::read(&line)).collect()
    }
}

impl Process {
    fn spawn(name: &str, address: SocketAddr) -> Self {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/faults/origin.py");
        let (ip, port) = (address.ip().to_string(), address.port().to_string());
        let mut child = Command::new("python3")
            .args([script, &ip, &port, name])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("python3 runs");
        let commands = child.stdin.take().expect("a pipe");
        let lines = Lines::of(child.stdout.take().expect("a pipe"));
        Self {
            child,
            commands,
            lines,
            read: 0,
        }
    }

    /// Waits until it has done what it was told. The port that it listens on.
    async fn done(&mut self) -> u16 {
        let (lines, read) = (&self.lines, &mut self.read);
        let mut port = None;
        patiently("an origin's answer to a command", async || {
            for line in lines.since(*read) {
                *read += 1;
                if let Some(text) = line.strip_prefix("done ") {
                    port = text.parse().ok();
                    break;
                }
            }
            port.is_some()
        })
        .await;
        port.expect("a port")
    }

    fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        kill_process(pid.expect("a process ID"), signal).expect("our own process");
    }

    fn kill(&mut self) {
        // One that has ended by itself is none the worse for it.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

impl Run {
    fn read(line: &str) -> Option<Self> {
        let words: Vec<&str> = line.strip_prefix("did ")?.split(' ').collect();
        let [id, method, act, deployment] = words[..] else {
            panic!("not what an origin says: {line:?}");
        };
        Some(Self {
            id: id.parse().expect("a number"),
            method: method.to_owned(),
            act: act.to_owned(),
            deployment: deployment.to_owned(),
        })
    }

    /// The status that it answered with, if it answered at all.
    pub(super) fn status(&self) -> Option<u16> {
        match self.act.as_str() {
            "500" => Some(500),
            "503" => Some(503),
            "reset" => None,
            _ => Some(200),
        }
    }
}
