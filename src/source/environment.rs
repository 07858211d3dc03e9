//! The process's own environment, for what `routes.yaml` takes from it.

use crate::config::Environment;

/// Environment variables and files of this process.
#[derive(Clone, Copy, Debug, Default)]
pub struct ProcessEnvironment;

impl Environment for ProcessEnvironment {
    fn variable(&self, name: &str) -> Option<String> {
        std::env::var(name).ok()
    }

    /// The file without the one line break that editors and `echo` end it with.
    fn file(&self, path: &str) -> Result<String, String> {
        let mut content = std::fs::read_to_string(path).map_err(|error| error.to_string())?;
        if content.ends_with('\n') {
            content.pop();
            if content.ends_with('\r') {
                content.pop();
            }
        }
        Ok(content)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::ProcessEnvironment;
    use crate::config::Environment;

    #[test]
    fn one_line_break_at_the_end_of_a_file_is_not_part_of_a_secret() {
        let mut file = tempfile::NamedTempFile::new().expect("a file");
        for (content, secret) in [
            ("s3cret\n", "s3cret"),
            ("a\n\n", "a\n"),
            ("b\r\n", "b"),
            ("", ""),
        ] {
            file.as_file().set_len(0).expect("emptied");
            std::io::Seek::rewind(&mut file).expect("rewound");
            file.write_all(content.as_bytes()).expect("written");
            let path = file.path().to_str().expect("a path in UTF-8");
            assert_eq!(ProcessEnvironment.file(path).as_deref(), Ok(secret));
        }
        assert!(ProcessEnvironment.file("/nonexistent/secret").is_err());
    }
}
