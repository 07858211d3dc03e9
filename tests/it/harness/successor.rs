//! Another process of a running gateway, which is to take over from it.

use std::mem;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use super::gateway::{Gateway, Lines, serin};
use super::until;

/// What a process says when it has taken over.
pub(crate) const TAKEN_OVER: &str = "this process serves instead of the other";

/// A process that is to take over, or one that was taken over from.
pub(crate) struct Process {
    child: Child,
    stdout: Lines,
    stderr: Lines,
}

impl Gateway {
    /// Starts a process that is to take over, as an operator does.
    pub(crate) fn launch_successor(&self) -> Process {
        self.launch(serin(["run", "-c", "routes.yaml", "--upgrade"]))
    }

    /// Starts a process beside the gateway, in its folder.
    pub(crate) fn launch(&self, mut command: Command) -> Process {
        let command = command.envs(self.env.iter().cloned());
        let command = command.current_dir(self.folder.path());
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary starts");
        let stdout = Lines::of(child.stdout.take().expect("a pipe"));
        let stderr = Lines::of(child.stderr.take().expect("a pipe"));
        Process {
            child,
            stdout,
            stderr,
        }
    }

    /// Has another process take over, which is the gateway from then on. Returns the one that was, which drains.
    pub(crate) async fn upgrade(&mut self) -> Process {
        let next = self.launch_successor();
        next.await_log(TAKEN_OVER).await;
        self.become_process(next)
    }

    /// Takes a process that has taken over for the gateway. Returns the one that was.
    pub(crate) fn become_process(&mut self, mut next: Process) -> Process {
        mem::swap(&mut self.child, &mut next.child);
        mem::swap(&mut self.stdout, &mut next.stdout);
        mem::swap(&mut self.stderr, &mut next.stderr);
        next
    }

    /// Asks for an upgrade by signal.
    pub(crate) fn sigusr2(&self) {
        self.signal(Signal::USR2);
    }

    /// Where other processes find this one.
    pub(crate) fn upgrade_socket(&self) -> std::path::PathBuf {
        self.folder().join("state/upgrade.sock")
    }
}

impl Process {
    /// What it has written to standard error so far.
    pub(crate) fn log(&self) -> String {
        self.stderr.text()
    }

    /// Waits until a line of its log contains this text.
    pub(crate) async fn await_log(&self, text: &str) {
        let what = format!("{text:?} in the other process's log");
        until(&what, || {
            let ended = self.stderr.ended() && !self.log().contains(text);
            assert!(!ended, "it ended without {text:?}:\n{}", self.log());
            self.log().contains(text).then_some(())
        })
        .await;
    }

    /// Whether it has ended.
    pub(crate) fn has_ended(&mut self) -> bool {
        self.child.try_wait().expect("a child").is_some()
    }

    /// Waits until it has ended by itself, and all that it wrote was read.
    pub(crate) async fn await_exit(&mut self) -> ExitStatus {
        let child = &mut self.child;
        let status = until("a process's end", || child.try_wait().expect("a child")).await;
        until("the end of what it wrote", || {
            (self.stdout.ended() && self.stderr.ended()).then_some(())
        })
        .await;
        status
    }

    /// Kills it as a crash would.
    pub(crate) fn sigkill(&self) {
        kill(self.child.id(), Signal::KILL);
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // One that has ended does not mind.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A process that this one did not start; it is ended when this is dropped.
pub(crate) struct Stranger(u32);

impl Stranger {
    /// The process of this ID.
    pub(crate) fn new(pid: u32) -> Self {
        Self(pid)
    }

    /// Asks it to end, and waits until it has.
    pub(crate) async fn terminate(self) {
        kill(self.0, Signal::TERM);
        let runs = || {
            let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.0));
            // One that nobody waits for is no more than a name.
            stat.is_ok_and(|stat| !stat.contains(") Z "))
        };
        until("a process's end", || (!runs()).then_some(())).await;
    }
}

impl Drop for Stranger {
    fn drop(&mut self) {
        if Path::new(&format!("/proc/{}", self.0)).exists() {
            kill(self.0, Signal::KILL);
        }
    }
}

fn kill(pid: u32, signal: Signal) {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    // A process that has ended already cannot be told anything.
    let _ = kill_process(pid.expect("a process ID"), signal);
}
