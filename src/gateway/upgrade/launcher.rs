//! Starts a new process of this program, which is to take over from this one.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::sync::Arc;
use std::time::Duration;

use tokio::process::{Child, Command};
use tokio::time::timeout;

use super::metrics::UpgradeFigures;
use super::{READY_WITHIN, irreplaceable};
use crate::custody::Custody;

/// How long a process may take to take over before it is killed: it gives up itself before.
const LIMIT: Duration = READY_WITHIN.saturating_add(Duration::from_secs(15));
/// What tells a process to take over.
const UPGRADE: &str = "--upgrade";

/// Starts the program again by which this process was started: by its path then, where by now there may be another version.
#[derive(Clone, Debug)]
pub(in crate::gateway) struct Launcher {
    program: PathBuf,
    arguments: Vec<OsString>,
    custody: Custody,
    figures: Arc<UpgradeFigures>,
}

impl Launcher {
    /// With the arguments of this process. `custody` says whether another has taken over.
    pub(in crate::gateway) fn new(custody: Custody, figures: Arc<UpgradeFigures>) -> Self {
        let mut arguments = std::env::args_os();
        let program = arguments.next().map(PathBuf::from).unwrap_or_default();
        let mut arguments: Vec<OsString> = arguments.collect();
        if !arguments.iter().any(|argument| argument == UPGRADE) {
            arguments.push(UPGRADE.into());
        }
        Self {
            program: lasting(program),
            arguments,
            custody,
            figures,
        }
    }

    /// Waits until another process has taken over.
    pub(in crate::gateway) async fn is_obsolete(&self) {
        self.custody.is_given().await;
    }

    /// Starts the new process, and waits until it has taken over or is no more.
    pub(in crate::gateway) async fn launch(self) {
        if let Some(why) = irreplaceable(std::process::id()) {
            self.figures.failed.inc();
            tracing::error!("no new process is started: {why}");
            return;
        }
        let program = self.program.display();
        let failed = self.figures.failed.get();
        let child = Command::new(&self.program).args(&self.arguments).spawn();
        let why = match child {
            Ok(child) => {
                tracing::info!(%program, pid = child.id(), "a new process is started to take over");
                match self.watch(child).await {
                    None => return,
                    Some(why) => why,
                }
            }
            Err(error) => format!("{program} cannot be started: {error}"),
        };
        // What it said to this process is told by those whom it said it to.
        if self.figures.failed.get() == failed {
            self.figures.failed.inc();
        }
        tracing::error!("the new process has not taken over: {why}; this process goes on");
    }

    /// What has become of the new process; `None`: it has taken over.
    async fn watch(&self, mut child: Child) -> Option<String> {
        let waited = tokio::select! {
            () = self.custody.is_given() => return None,
            waited = timeout(LIMIT, child.wait()) => waited,
        };
        let Ok(ended) = waited else {
            // It neither takes over nor ends: it is no gateway.
            let _ = child.kill().await;
            return Some(format!(
                "it was killed after {} s without a sign",
                LIMIT.as_secs()
            ));
        };
        let how = ended.as_ref().map_or_else(ToString::to_string, told);
        Some(how)
    }
}

fn told(status: &ExitStatus) -> String {
    format!("it has ended ({status})")
}

/// A path that means the same wherever the process goes; a mere name is looked up when it is needed.
fn lasting(program: PathBuf) -> PathBuf {
    if program == Path::new("") {
        return std::env::current_exe().unwrap_or(program);
    }
    let is_path = program.components().count() > 1;
    let absolute = is_path.then(|| std::path::absolute(&program).ok());
    absolute.flatten().unwrap_or(program)
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    use super::lasting;

    #[test]
    fn a_relative_path_is_that_of_the_start_and_a_name_is_looked_up_later() {
        let here = std::env::current_dir().expect("a folder");
        assert_eq!(lasting(PathBuf::from("./serin")), here.join("serin"));
        // A link is followed when the time comes: it may lead to another version.
        let link = Path::new("/opt/serin/current/serin");
        assert_eq!(lasting(link.to_owned()), link);
        assert_eq!(lasting(PathBuf::from("serin")), Path::new("serin"));
        assert!(lasting(PathBuf::new()).is_absolute());
    }
}
