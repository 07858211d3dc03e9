//! The file that kills are stored in: `kills.json` in `state_dir`.
//!
//! It is written beside the old one, forced to the disk and renamed over it, so that whatever happens there is one whole
//! file or the other.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{Kill, Kills};
use crate::context::Moment;

const NAME: &str = "kills.json";

/// The one form of the file so far.
const VERSION: u32 = 1;

/// Readable and writable by the gateway's own user alone.
const MODE: u32 = 0o600;

/// Where kills are stored.
#[derive(Clone, Debug)]
pub(super) struct KillFile {
    folder: PathBuf,
}

#[derive(Debug, Serialize, Deserialize)]
struct Document {
    version: u32,
    kills: Vec<KillDocument>,
}

#[derive(Debug, Serialize, Deserialize)]
struct KillDocument {
    service: String,
    flag: String,
    at_unix_ms: i64,
    by: String,
}

impl KillFile {
    pub(super) fn new(state_dir: &Path) -> Self {
        Self {
            folder: state_dir.to_owned(),
        }
    }

    /// What is stored: nothing when there is no file. An error says what was wrong, and where the file is now.
    pub(super) fn read(&self) -> Result<Kills, String> {
        let path = self.folder.join(NAME);
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Kills::new()),
            Err(error) => return Err(self.set_aside(&path, &error.to_string())),
        };
        parse(&text).map_err(|why| self.set_aside(&path, &why))
    }

    /// Keeps a file that nobody can read, under another name: the next kill must not destroy it.
    fn set_aside(&self, path: &Path, why: &str) -> String {
        let free = (1..)
            .map(|number| self.folder.join(format!("{NAME}.damaged.{number}")))
            .find(|aside| !aside.exists());
        let aside = free.unwrap_or_else(|| self.folder.join(format!("{NAME}.damaged")));
        let place = match fs::rename(path, &aside) {
            Ok(()) => format!("it is set aside as {}", aside.display()),
            Err(error) => format!("it cannot be set aside either: {error}"),
        };
        format!(
            "{} cannot be read ({why}), so no canary is killed; {place}",
            path.display()
        )
    }

    pub(super) fn write(&self, kills: &Kills) -> io::Result<()> {
        fs::create_dir_all(&self.folder)?;
        let document = Document {
            version: VERSION,
            kills: kills.iter().map(KillDocument::from).collect(),
        };
        let text = serde_json::to_vec_pretty(&document)?;
        let next = self.folder.join(format!("{NAME}.next"));
        let mut options = OpenOptions::new();
        let mut file = options
            .write(true)
            .create(true)
            .truncate(true)
            .mode(MODE)
            .open(&next)?;
        file.write_all(&text)?;
        file.sync_all()?;
        fs::rename(&next, self.folder.join(NAME))?;
        // The rename itself, too, must outlive a power cut.
        File::open(&self.folder)?.sync_all()
    }
}

fn parse(text: &[u8]) -> Result<Kills, String> {
    let document: Document = serde_json::from_slice(text).map_err(|error| error.to_string())?;
    if document.version != VERSION {
        return Err(format!("its version is {}", document.version));
    }
    let kill = |kill: KillDocument| {
        let at = Moment {
            unix_ms: kill.at_unix_ms,
        };
        ((kill.service, kill.flag), Kill { at, by: kill.by })
    };
    Ok(document.kills.into_iter().map(kill).collect())
}

impl From<(&(String, String), &Kill)> for KillDocument {
    fn from(((service, flag), kill): (&(String, String), &Kill)) -> Self {
        Self {
            service: service.clone(),
            flag: flag.clone(),
            at_unix_ms: kill.at.unix_ms,
            by: kill.by.clone(),
        }
    }
}
