//! The file that the record is stored in: `canary-order.json` in `state_dir`, whole or not at all.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::durable;
use crate::snapshot::seniority::Seniority;

const NAME: &str = "canary-order.json";

/// The one form of the file so far.
const VERSION: u32 = 1;

/// Where the record is stored.
#[derive(Clone, Debug)]
pub(super) struct OrderFile {
    folder: PathBuf,
}

#[derive(Debug, Serialize, Deserialize)]
struct Document {
    version: u32,
    services: Vec<ServiceDocument>,
}

#[derive(Debug, Serialize, Deserialize)]
struct ServiceDocument {
    service: String,
    /// The one that ran first at the front.
    flags: Vec<String>,
}

impl OrderFile {
    pub(super) fn new(state_dir: &Path) -> Self {
        Self {
            folder: state_dir.to_owned(),
        }
    }

    /// What is stored; `None`: there is no file. An error says what was wrong, and where the file is now.
    pub(super) fn read(&self) -> Result<Option<Seniority>, String> {
        let path = self.folder.join(NAME);
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(set_aside(&path, &error.to_string())),
        };
        parse(&text).map(Some).map_err(|why| set_aside(&path, &why))
    }

    pub(super) fn write(&self, record: &Seniority) -> io::Result<()> {
        let services = record.services().map(|(service, flags)| ServiceDocument {
            service: service.to_string(),
            flags: flags.iter().map(ToString::to_string).collect(),
        });
        let document = Document {
            version: VERSION,
            services: services.collect(),
        };
        let text = serde_json::to_vec_pretty(&document)?;
        durable::replace(&self.folder.join(NAME), &text)
    }
}

/// Sets an unreadable file aside, and says so in words.
fn set_aside(path: &Path, why: &str) -> String {
    let place = match durable::set_aside(path) {
        Ok(aside) => format!("it is set aside as {}", aside.display()),
        Err(error) => format!("it cannot be set aside either: {error}"),
    };
    format!(
        "{} cannot be read ({why}), so canary flags are ranked by name; {place}",
        path.display()
    )
}

fn parse(text: &[u8]) -> Result<Seniority, String> {
    let document: Document = serde_json::from_slice(text).map_err(|error| error.to_string())?;
    if document.version != VERSION {
        return Err(format!("its version is {}", document.version));
    }
    let services = document.services.into_iter().map(|one| {
        let flags = one.flags.into_iter().map(Into::into);
        (one.service.into(), flags.collect())
    });
    Ok(Seniority::new(services))
}
