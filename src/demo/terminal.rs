//! The terminal that the live view is drawn on: taken over at the start, and given back as it was however the demo
//! ends.

use std::io::{self, IsTerminal as _, Read as _, Write as _};
use std::sync::{Mutex, Once, PoisonError};

use rustix::termios::{
    LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcgetwinsize, tcsetattr,
};
use tokio::sync::mpsc;

use super::layout::{Line, fit};

/// The other screen, without a cursor, and lines that end at its edge.
const ENTER: &str = "\x1b[?1049h\x1b[?25l\x1b[?7l";
const LEAVE: &str = "\x1b[?7h\x1b[?25h\x1b[?1049l";
/// What is drawn between these two is shown at once, by terminals that know how.
const BEGIN: &str = "\x1b[?2026h\x1b[H";
const END: &str = "\x1b[J\x1b[?2026l";
/// Presses that may wait.
const PRESSES: usize = 16;

/// What is to be undone; `None` when nothing is.
static TAKEN: Mutex<Option<TakenTerminal>> = Mutex::new(None);

struct TakenTerminal {
    /// How keys were read before; `None` where there are none.
    keys: Option<Termios>,
    by: std::thread::ThreadId,
}

/// The terminal, until dropped.
#[derive(Debug)]
pub(super) struct Terminal(());

impl Terminal {
    /// Takes the terminal over.
    pub(super) fn enter() -> io::Result<Self> {
        static HOOK: Once = Once::new();
        HOOK.call_once(|| {
            let next = std::panic::take_hook();
            std::panic::set_hook(Box::new(move |panic| {
                // A message on the other screen would be gone with it.
                if taken().as_ref().is_some_and(TakenTerminal::is_mine) {
                    give_back();
                }
                next(panic);
            }));
        });
        let keys = if io::stdin().is_terminal() {
            Some(unbuffered()?)
        } else {
            None
        };
        *taken() = Some(TakenTerminal {
            keys,
            by: std::thread::current().id(),
        });
        let terminal = Self(());
        write(ENTER)?;
        Ok(terminal)
    }

    /// The keys that are pressed; none where standard input is no terminal. Ctrl-C stays a signal.
    pub(super) fn keys(&self) -> mpsc::Receiver<u8> {
        let (presses, keys) = mpsc::channel(PRESSES);
        if taken().as_ref().is_some_and(|taken| taken.keys.is_some()) {
            // Reading cannot be interrupted: the thread ends with the process.
            std::thread::spawn(move || {
                for key in io::stdin().lock().bytes().map_while(Result::ok) {
                    if presses.blocking_send(key).is_err() {
                        return;
                    }
                }
            });
        }
        keys
    }

    /// Draws the lines over what was drawn before, as they fit the terminal now.
    pub(super) fn draw(&self, lines: &[Line]) -> io::Result<()> {
        let (rows, columns) = tcgetwinsize(io::stdout()).map_or((0, 0), |size| {
            (usize::from(size.ws_row), usize::from(size.ws_col))
        });
        // A terminal that does not know its size says 0.
        let or = |size, usual| if size == 0 { usual } else { size };
        write(&frame(&fit(lines, or(rows, 24), or(columns, 80))))
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        give_back();
    }
}

impl TakenTerminal {
    fn is_mine(&self) -> bool {
        self.by == std::thread::current().id()
    }
}

/// Everything that is written for one picture, in one piece.
fn frame(lines: &[String]) -> String {
    // No line break after the last: it would move everything up.
    format!("{BEGIN}{}\x1b[K{END}", lines.join("\x1b[K\r\n"))
}

/// Keys are read as they are pressed, and not shown. Answers how it was before.
fn unbuffered() -> io::Result<Termios> {
    let before = tcgetattr(io::stdin())?;
    let mut wanted = before.clone();
    wanted.local_modes -= LocalModes::ICANON | LocalModes::ECHO;
    wanted.special_codes[SpecialCodeIndex::VMIN] = 1;
    wanted.special_codes[SpecialCodeIndex::VTIME] = 0;
    tcsetattr(io::stdin(), OptionalActions::Now, &wanted)?;
    Ok(before)
}

fn taken() -> std::sync::MutexGuard<'static, Option<TakenTerminal>> {
    TAKEN.lock().unwrap_or_else(PoisonError::into_inner)
}

fn give_back() {
    if let Some(taken) = taken().take() {
        // A terminal that is gone needs nothing back.
        let _ = write(LEAVE);
        if let Some(before) = taken.keys {
            let _ = tcsetattr(io::stdin(), OptionalActions::Now, &before);
        }
    }
}

fn write(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}
