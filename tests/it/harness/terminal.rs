//! A terminal, for what behaves differently on one.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::PathBuf;

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, Termios, Winsize, tcgetattr, tcsetwinsize};

/// Both ends of a terminal.
pub(crate) struct Terminal {
    master: File,
    path: PathBuf,
    /// As it was before anybody used it.
    before: Termios,
    /// Held open, so that the terminal outlives the demo.
    own: File,
}

impl Terminal {
    /// One of the usual size.
    pub(crate) fn new() -> Self {
        Self::sized(24, 100)
    }

    /// One with so many rows and columns.
    pub(crate) fn sized(rows: u16, columns: u16) -> Self {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a terminal");
        grantpt(&master).expect("it is ours");
        unlockpt(&master).expect("it is open");
        let size = Winsize {
            ws_row: rows,
            ws_col: columns,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        tcsetwinsize(&master, size).expect("a size");
        let name = ptsname(&master, Vec::new()).expect("a name");
        let path = PathBuf::from(name.into_string().expect("a path"));
        let own = open(&path);
        Self {
            before: tcgetattr(&own).expect("its modes"),
            master: master.into(),
            path,
            own,
        }
    }

    /// The end that a program reads from and writes to.
    pub(crate) fn open(&self) -> File {
        open(&self.path)
    }

    /// The end that shows what a program has written.
    pub(crate) fn shown(&self) -> File {
        self.master.try_clone().expect("a file")
    }

    /// Presses a key; 3 is Ctrl-C.
    pub(crate) fn press(&self, key: u8) {
        (&self.master).write_all(&[key]).expect("it is pressed");
    }

    /// How it treats what is typed now.
    pub(crate) fn modes(&self) -> LocalModes {
        tcgetattr(&self.own).expect("its modes").local_modes
    }

    /// Whether it is as it was before anybody used it.
    pub(crate) fn is_as_before(&self) -> bool {
        let now = tcgetattr(&self.own).expect("its modes");
        format!("{now:?}") == format!("{:?}", self.before)
    }
}

fn open(path: &PathBuf) -> File {
    let mut options = OpenOptions::new();
    options.read(true).write(true);
    options.open(path).expect("a terminal")
}
