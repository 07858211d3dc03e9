//! What the system knows of a running gateway, and what only the system can do to it.

use std::fs;

use rustix::process::Signal;

use super::Gateway;

/// Of memory, in bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Memory {
    /// What it holds now.
    pub(crate) resident: u64,
    /// The most that it held since [`Gateway::forget_peak`].
    pub(crate) peak: u64,
}

impl Gateway {
    /// Its memory.
    pub(crate) fn memory(&self) -> Memory {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid()));
        let status = status.expect("a process");
        let line = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            let kib = line.and_then(|line| line.trim().strip_suffix(" kB"));
            kib.and_then(|kib| kib.parse::<u64>().ok())
                .expect("so many kB")
                * 1024
        };
        Memory {
            resident: line("VmRSS:"),
            peak: line("VmHWM:"),
        }
    }

    /// How many files it has open.
    pub(crate) fn open_files(&self) -> usize {
        let files = fs::read_dir(format!("/proc/{}/fd", self.pid()));
        files.expect("a process").count()
    }

    /// Begins to note the peak anew.
    pub(crate) fn forget_peak(&self) {
        fs::write(format!("/proc/{}/clear_refs", self.pid()), "5").expect("our own process");
    }

    /// Ends it as a crash would.
    pub(crate) async fn kill(mut self) {
        self.signal(Signal::KILL);
        self.await_exit().await;
    }

    /// Stops it where it is; the kernel goes on to accept connections for it.
    pub(crate) fn pause(&self) {
        self.signal(Signal::STOP);
    }

    /// Lets it go on.
    pub(crate) fn resume(&self) {
        self.signal(Signal::CONT);
    }
}
