//! The process's own environment, for `${NAME}` and `${file:…}` in `routes.yaml`.

use std::fs::File;
use std::io::Read;

use crate::config::Environment;

/// A secret is small; what is larger was named by mistake.
const MAX_SECRET_BYTES: u64 = 64 * 1024;

/// Reads the variables and files of this process.
#[derive(Clone, Copy, Debug, Default)]
pub struct ProcessEnvironment;

impl Environment for ProcessEnvironment {
    fn variable(&self, name: &str) -> Option<String> {
        std::env::var(name).ok()
    }

    fn file(&self, path: &str) -> Result<String, String> {
        // Asked before it is opened: opening a pipe would wait for its writer.
        let is_file = std::fs::metadata(path).map(|metadata| metadata.is_file());
        if !is_file.map_err(|error| error.to_string())? {
            return Err("it is not a regular file".to_owned());
        }
        let file = File::open(path).map_err(|error| error.to_string())?;
        let mut text = String::new();
        file.take(MAX_SECRET_BYTES + 1)
            .read_to_string(&mut text)
            .map_err(|error| error.to_string())?;
        if text.len() as u64 > MAX_SECRET_BYTES {
            return Err(format!("it has more than {MAX_SECRET_BYTES} bytes"));
        }
        // Editors and `echo` end the file with a line break, which is no part of the secret.
        let end = text.trim_end_matches(['\r', '\n']).len();
        text.truncate(end);
        Ok(text)
    }
}

/// Knows nothing: for texts that a caller of the API sends to be checked, who must not learn this process's secrets from
/// the problems that are found.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoEnvironment;

impl Environment for NoEnvironment {
    fn variable(&self, _: &str) -> Option<String> {
        None
    }

    fn file(&self, _: &str) -> Result<String, String> {
        Err("it is not read for this check".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::ProcessEnvironment;
    use crate::config::Environment;

    #[test]
    fn a_secrets_last_line_break_is_no_part_of_it() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("secret");
        std::fs::write(&path, " s3cret\n").unwrap();
        let path = path.to_str().unwrap();
        assert_eq!(ProcessEnvironment.file(path), Ok(" s3cret".to_owned()));
        assert!(ProcessEnvironment.file("/nonexistent").is_err());
        assert!(
            ProcessEnvironment
                .variable("SERIN_NO_SUCH_VARIABLE")
                .is_none()
        );
    }

    #[test]
    fn a_huge_file_is_no_secret() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("secret");
        std::fs::write(&path, vec![b'x'; 70_000]).unwrap();
        assert!(ProcessEnvironment.file(path.to_str().unwrap()).is_err());
    }
}
