//! What happens between the demo's beginning and its end, and how it is shown.

use std::io::{self, Write as _};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;
use tokio::time::MissedTickBehavior;

use super::figures::{Ledger, RECENT, Window};
use super::sample::Samples;
use super::screen::{Scene, View, complaints};
use super::story::{Story, Turn};
use super::terminal::Terminal;
use super::users::UserCounts;
use crate::clock;
use crate::gateway::Gateway;
use crate::reload::{LastReload, Reloader};

/// How often figures are read, and the view is redrawn.
const TICK: Duration = Duration::from_millis(250);
/// What a line is about: a second, however late the tick came.
const SECOND: Duration = Duration::from_millis(1125);
/// How many news the view has room for.
const NEWS: usize = 3;

/// Where the demo is shown.
#[derive(Debug)]
pub(super) enum Display {
    /// A view that is redrawn in place.
    Live(Terminal),
    /// A line a second.
    Lines,
}

impl Display {
    pub(super) fn open(live: bool) -> io::Result<Self> {
        Ok(if live {
            Self::Live(Terminal::enter()?)
        } else {
            Self::Lines
        })
    }

    fn keys(&self) -> mpsc::Receiver<u8> {
        match self {
            Self::Live(terminal) => terminal.keys(),
            Self::Lines => mpsc::channel(1).1,
        }
    }
}

/// The demo as it goes.
pub(super) struct Show {
    scene: Scene,
    samples: Samples,
    story: Story,
    ledger: Ledger,
    window: Window,
    tally: Arc<UserCounts>,
    reloader: Arc<Reloader>,
    last_reload: LastReload,
    generation: u64,
    killed: Vec<Arc<str>>,
    news: Vec<(Duration, String)>,
    /// The second that the last line was about, where lines are shown.
    shown: u64,
    keys: bool,
    length: Option<Duration>,
    started: Instant,
    elapsed: Duration,
}

impl Show {
    pub(super) fn new(
        scene: Scene,
        samples: Samples,
        gateway: &Gateway,
        tally: Arc<UserCounts>,
        length: Option<Duration>,
    ) -> Self {
        let mut ledger = Ledger::new(gateway.store().clone());
        let started = Instant::now();
        let mut window = Window::default();
        window.push(ledger.read(started));
        let reloader = gateway.reloader().clone();
        Self {
            story: Story::new(length),
            generation: ledger.generation(),
            killed: Vec::new(),
            last_reload: reloader.last(),
            scene,
            samples,
            ledger,
            window,
            tally,
            reloader,
            news: Vec::new(),
            shown: 0,
            keys: false,
            length,
            started,
            elapsed: Duration::ZERO,
        }
    }

    /// Shows it until it is over: by its length, by a key or by a signal.
    pub(super) async fn run(&mut self, display: &Display) -> io::Result<()> {
        let mut signals = Signals::new()?;
        let mut keys = display.keys();
        self.keys = !keys.is_closed();
        let length = self.length;
        let over = async move {
            match length {
                Some(length) => tokio::time::sleep(length).await,
                None => std::future::pending().await,
            }
        };
        let mut over = std::pin::pin!(over);
        self.begin(display)?;
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Skip);
        loop {
            tokio::select! {
                _ = tick.tick() => {}
                () = over.as_mut() => return Ok(()),
                () = signals.any() => return Ok(()),
                Some(key) = keys.recv() => match key {
                    b'k' | b'K' => {
                        let turn = self.story.switch();
                        self.act(turn);
                    }
                    b'q' | b'Q' => return Ok(()),
                    _ => continue,
                },
            }
            self.look();
            if let Some(turn) = self.story.tick(self.elapsed) {
                self.act(turn);
            }
            self.show(display)?;
        }
    }

    /// What it was all in all, when everything has ended.
    pub(super) fn conclude(&mut self) -> io::Result<()> {
        self.window.push(self.ledger.read(Instant::now()));
        let summary = self.view(RECENT).map(|view| view.summary());
        print(&summary.unwrap_or_default())
    }

    fn begin(&mut self, display: &Display) -> io::Result<()> {
        if let Story::Waiting { dies_at, dead_for } = self.story {
            let (name, _) = self.scene.canary;
            self.tell(format!(
                "After {dies_at:?} the canary {name} dies for {dead_for:?}: watch nobody notice."
            ));
        }
        match display {
            Display::Live(_) => Ok(()),
            Display::Lines => {
                let lines = self.scene.introduction().into_iter();
                print(&lines.map(|line| line.text).collect::<Vec<_>>())
            }
        }
    }

    /// Reads the figures, and what was done meanwhile: by editing the file, or by the kill switch.
    fn look(&mut self) {
        let now = Instant::now();
        self.elapsed = now.duration_since(self.started);
        self.window.push(self.ledger.read(now));
        self.look_at_the_file();
        self.look_at_kills();
        self.generation = self.ledger.generation();
    }

    fn look_at_the_file(&mut self) {
        let last = self.reloader.last();
        if last == self.last_reload {
            return;
        }
        let generation = self.ledger.generation();
        let file = self.scene.file.display();
        self.tell(match (&last.result, generation == self.generation) {
            (Ok(()), true) => format!("{file} was read again; nothing in it has changed."),
            (Ok(()), false) => format!("{file} was edited: generation {generation} is in force."),
            (Err(_), _) => {
                let errors = complaints(&self.scene.file, &last).join(";");
                format!("{file} was edited, but has errors; what ran goes on.{errors}")
            }
        });
        self.last_reload = last;
    }

    fn look_at_kills(&mut self) {
        let killed = self.ledger.killed();
        if killed == self.killed {
            return;
        }
        let before = std::mem::replace(&mut self.killed, killed.clone());
        for name in killed.iter().filter(|name| !before.contains(name)) {
            self.tell(format!(
                "{name} was killed: stable answers its users until it is restored."
            ));
        }
        for name in before.iter().filter(|name| !killed.contains(name)) {
            self.tell(format!("{name} was restored, and its users are back."));
        }
    }

    fn act(&mut self, turn: Turn) {
        let (name, port) = self.scene.canary;
        match turn {
            Turn::Kill => {
                self.samples.canary.close();
                self.tell(format!(
                    "{name} is dead: its port {port} is closed, and stable answers its users."
                ));
            }
            // Should another process have taken the port meanwhile, it is tried again at the next tick.
            Turn::Restore => {
                if self.samples.canary.open().is_ok() {
                    self.story.restored();
                    self.tell(format!("{name} is back, and so are its users."));
                }
            }
        }
    }

    fn tell(&mut self, news: String) {
        self.news.push((self.elapsed, news));
        let old = self.news.len().saturating_sub(NEWS);
        self.news.drain(..old);
    }

    fn show(&mut self, display: &Display) -> io::Result<()> {
        match display {
            Display::Live(terminal) => match self.view(RECENT) {
                Some(view) => terminal.draw(&view.picture()),
                None => Ok(()),
            },
            Display::Lines => {
                let mut lines: Vec<String> = self.news.drain(..).map(|(_, news)| news).collect();
                let second = self.elapsed.as_secs();
                if second > self.shown {
                    self.shown = second;
                    lines.extend(self.view(SECOND).map(|view| view.line()));
                }
                print(&lines)
            }
        }
    }

    /// What there is to see, with the figures of the last time of this length.
    fn view(&self, span: Duration) -> Option<View<'_>> {
        Some(View {
            scene: &self.scene,
            elapsed: self.elapsed,
            recent: self.window.within(span)?,
            total: self.window.latest()?,
            tally: &self.tally,
            generation: self.generation,
            last_reload: &self.last_reload,
            now: clock::now(),
            is_dead: self.story.is_dead(),
            killed: &self.killed,
            news: &self.news,
            keys: self.keys,
        })
    }
}

/// Whoever wants the demo to end.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hangup: Signal,
    quit: Signal,
}

impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hangup: signal(SignalKind::hangup())?,
            quit: signal(SignalKind::quit())?,
        })
    }

    async fn any(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
            _ = self.hangup.recv() => {}
            _ = self.quit.recv() => {}
        }
    }
}

fn print(lines: &[String]) -> io::Result<()> {
    let mut text = lines.join("\n");
    if text.is_empty() {
        return Ok(());
    }
    text.push('\n');
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}
