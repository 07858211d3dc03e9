//! The process's own figures, from `/proc`. The page leaves out those that cannot be read there.

use std::fmt;

use super::{Collector, Page};

/// Clock ticks a second in `/proc`: 100 on every Linux, whatever the kernel's own rate (proc(5), `USER_HZ`).
const TICKS: f64 = 100.0;

/// The figures of a process that all of Prometheus' client libraries show.
#[derive(Clone, Copy, Debug)]
pub struct Process;

/// Those figures at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct ProcessFigures {
    cpu_seconds: Option<f64>,
    start_seconds: Option<f64>,
    resident_bytes: Option<u64>,
    virtual_bytes: Option<u64>,
    threads: Option<u64>,
    open_fds: Option<u64>,
    max_fds: Option<u64>,
}

impl Collector for Process {
    fn collect(&self, page: &mut Page<'_>) -> fmt::Result {
        let figures = ProcessFigures::read();
        if let Some(seconds) = figures.cpu_seconds {
            page.counter("process_cpu_seconds", "User and system time", &seconds)?;
        }
        if let Some(seconds) = figures.start_seconds {
            let help = "When the process began";
            page.gauge("process_start_time_seconds", help, &seconds)?;
        }
        let gauges = [
            (
                "process_resident_memory_bytes",
                "Memory in use",
                figures.resident_bytes,
            ),
            (
                "process_virtual_memory_bytes",
                "Address space in use",
                figures.virtual_bytes,
            ),
            ("process_threads", "Threads", figures.threads),
            (
                "process_open_fds",
                "Open file descriptors",
                figures.open_fds,
            ),
            (
                "process_max_fds",
                "The most file descriptors that may be open",
                figures.max_fds,
            ),
        ];
        for (name, help, figure) in gauges {
            if let Some(figure) = figure {
                page.gauge(name, help, &figure)?;
            }
        }
        Ok(())
    }
}

impl ProcessFigures {
    /// As they are now.
    fn read() -> Self {
        let text = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
        let mut figures = Self::default();
        figures.take_stat(&text("/proc/self/stat"), &text("/proc/stat"));
        figures.take_status(&text("/proc/self/status"));
        figures.take_limits(&text("/proc/self/limits"));
        // The directory that is being read is open too.
        figures.open_fds = std::fs::read_dir("/proc/self/fd")
            .ok()
            .map(|entries| (entries.count() as u64).saturating_sub(1));
        figures
    }

    fn take_stat(&mut self, own: &str, machine: &str) {
        // The second field is the program's name, which may have spaces and brackets in it.
        let Some((_, rest)) = own.rsplit_once(')') else {
            return;
        };
        let fields: Vec<&str> = rest.split_whitespace().collect();
        // proc(5) counts from 1, and the third field is the first of these.
        let field = |number: usize| fields.get(number - 3)?.parse::<f64>().ok();
        self.cpu_seconds = field(14)
            .zip(field(15))
            .map(|(user, system)| (user + system) / TICKS);
        let boot = machine
            .lines()
            .find_map(|line| line.strip_prefix("btime "))
            .and_then(|seconds| seconds.trim().parse::<f64>().ok());
        self.start_seconds = boot
            .zip(field(22))
            .map(|(boot, since_boot)| boot + since_boot / TICKS);
    }

    fn take_status(&mut self, status: &str) {
        let value = |key: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(key))?;
            line.split_whitespace().next()?.parse::<u64>().ok()
        };
        self.resident_bytes = value("VmRSS:").map(|kib| kib * 1024);
        self.virtual_bytes = value("VmSize:").map(|kib| kib * 1024);
        self.threads = value("Threads:");
    }

    fn take_limits(&mut self, limits: &str) {
        self.max_fds = limits
            .lines()
            .find_map(|line| line.strip_prefix("Max open files"))
            .and_then(|rest| rest.split_whitespace().next()?.parse().ok());
    }
}

#[cfg(test)]
mod tests {
    use super::ProcessFigures;

    #[test]
    fn what_the_kernel_writes_is_understood() {
        let mut figures = ProcessFigures::default();
        figures.take_stat(
            "7 (a) b) c) S 1 7 7 0 -1 4194560 1 0 0 0 250 50 0 0 20 0 4 0 12345 1 2",
            "cpu 1\nbtime 1700000000\n",
        );
        figures.take_status("Name:\tx\nVmSize:\t 200 kB\nVmRSS:\t 100 kB\nThreads:\t4\n");
        figures
            .take_limits("Limit Soft Hard\nMax open files            1024      4096      files\n");
        assert_eq!(figures.cpu_seconds, Some(3.0));
        assert_eq!(figures.start_seconds, Some(1_700_000_123.45));
        assert_eq!(figures.resident_bytes, Some(102_400));
        assert_eq!(figures.virtual_bytes, Some(204_800));
        assert_eq!((figures.threads, figures.max_fds), (Some(4), Some(1024)));
    }

    #[test]
    fn this_process_has_figures() {
        let figures = ProcessFigures::read();
        assert!(figures.cpu_seconds.is_some() && figures.open_fds.is_some_and(|count| count > 0));
    }
}
