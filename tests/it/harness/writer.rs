//! Changes of `routes.yaml` in every way that people and tools have, at a pace of their own.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::Duration;

/// Whoever changes the file, in one way after the other; what and when is drawn from a seed.
pub(crate) struct Writer {
    folder: PathBuf,
    seed: u64,
}

impl Writer {
    /// Whoever changes `routes.yaml` in a folder.
    pub(crate) fn new(folder: &Path, seed: u64) -> Self {
        Self {
            folder: folder.to_owned(),
            seed,
        }
    }

    fn draw(&mut self, below: u64) -> u64 {
        self.seed = self
            .seed
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (self.seed >> 33) % below
    }

    fn pause(&mut self, below: u64) {
        sleep(Duration::from_millis(self.draw(below)));
    }

    fn path(&self) -> PathBuf {
        self.folder.join("routes.yaml")
    }

    /// Renames a new file over it.
    pub(crate) fn rename_over(&self, text: &str) {
        let next = self.folder.join("next");
        fs::write(&next, text).expect("a file");
        fs::rename(next, self.path()).expect("it is renamed");
    }

    fn link_over(&self, n: usize, text: &str) {
        let file = self.folder.join(format!("v{n}.yaml"));
        fs::write(&file, text).expect("a file");
        let next = self.folder.join("link");
        symlink(file.file_name().expect("a name"), &next).expect("a link");
        fs::rename(next, self.path()).expect("it is renamed");
    }

    /// Truncates and writes in two parts, each of which can be seen for a while.
    fn write_in_parts(&mut self, text: &str, below: u64) {
        let mut file = File::create(self.path()).expect("a file");
        self.pause(below);
        let half = self.draw(text.len() as u64) as usize;
        let half = text[..half].rfind('\n').map_or(0, |end| end + 1);
        file.write_all(&text.as_bytes()[..half])
            .expect("it is written");
        self.pause(below);
        file.write_all(&text.as_bytes()[half..])
            .expect("it is written");
    }

    /// Makes one change, the `n`th, after which the file holds `text`; somebody else's `torn` beginning may have been
    /// there for a while.
    pub(crate) fn change(&mut self, n: usize, text: &str, torn: &str) {
        match self.draw(7) {
            0 | 1 => self.rename_over(text),
            2 => self.link_over(n, text),
            3 => self.write_in_parts(text, 3),
            // Half of it is there for longer than it takes to notice.
            4 => self.write_in_parts(text, 60),
            5 => {
                // Somebody is amid writing when another file takes the name.
                let mut file = File::create(self.path()).expect("a file");
                file.write_all(torn.as_bytes()).expect("it is written");
                self.pause(20);
                self.rename_over(text);
                self.pause(5);
                drop(file);
            }
            _ => {
                fs::remove_file(self.path()).expect("it is removed");
                self.pause(5);
                self.rename_over(text);
            }
        }
        self.pause(20);
    }
}
