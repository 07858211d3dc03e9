//! `serin demo`: a stranger's first minute.

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};

use regex::Regex;
use rustix::process::{Pid, Signal, kill_process};
use rustix::termios::LocalModes;
use tempfile::TempDir;
use tokio::sync::{Mutex, MutexGuard};

use crate::harness::client::send;
use crate::harness::terminal::Terminal;
use crate::harness::{Answer, Lines, eventually, get, run_serin, serin, until};
use crate::readme;

/// One demo at a time: they would take each other's ports when a sample canary is dead.
static ONE: Mutex<()> = Mutex::const_new(());

/// A running demo; it is ended when this is dropped.
struct Demo {
    child: Child,
    /// What it shows: lines, or what is drawn on its terminal.
    shown: Lines,
    stderr: Option<Lines>,
    folder: TempDir,
    _alone: MutexGuard<'static, ()>,
}

impl Demo {
    /// A demo that writes lines, in a folder of its own.
    async fn start(args: &[&str]) -> Self {
        Self::start_in(TempDir::new().expect("a folder"), args).await
    }

    async fn start_in(folder: TempDir, args: &[&str]) -> Self {
        let alone = ONE.lock().await;
        let mut child = command(&folder, args)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary starts");
        Self {
            shown: Lines::of(child.stdout.take().expect("a pipe")),
            stderr: Some(Lines::of(child.stderr.take().expect("a pipe"))),
            child,
            folder,
            _alone: alone,
        }
    }

    /// A demo on a terminal.
    async fn start_on(terminal: &Terminal, env: &[(&str, &str)]) -> Self {
        let alone = ONE.lock().await;
        let folder = TempDir::new().expect("a folder");
        let child = command(&folder, &["--port", "0"])
            .env("TERM", "xterm-256color")
            .envs(env.iter().copied())
            .stdin(terminal.open())
            .stdout(terminal.open())
            .stderr(terminal.open())
            .spawn()
            .expect("the binary starts");
        Self {
            child,
            shown: Lines::of(terminal.shown()),
            stderr: None,
            folder,
            _alone: alone,
        }
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("serin-demo/routes.yaml")
    }

    fn edit(&self, from: &str, to: &str) {
        let text = fs::read_to_string(self.file()).expect("the file");
        let edited = text.replace(from, to);
        assert_ne!(text, edited, "{from} is not in it");
        fs::write(self.file(), edited).expect("it is written");
    }

    /// What stands on its screen: the last picture that was drawn whole, without colours.
    fn screen(&self) -> Vec<String> {
        let shown = self.shown.text();
        let Some((pictures, _)) = shown.rsplit_once("\x1b[J") else {
            return Vec::new();
        };
        let (_, last) = pictures.rsplit_once("\x1b[H").expect("its beginning");
        let codes = Regex::new("\x1b\\[[0-9;?]*[a-zA-Z]").expect("an expression");
        let last = codes.replace_all(last, "");
        last.split("\r\n").map(str::to_owned).collect()
    }

    /// Waits until a line of its screen contains all of these.
    async fn await_line(&self, parts: &[&str]) {
        let what = format!("a line with {parts:?}");
        until(&what, || {
            let screen = self.screen();
            let has = |line: &String| parts.iter().all(|part| line.contains(part));
            screen.iter().any(has).then_some(())
        })
        .await;
    }

    async fn await_shown(&self, text: &str) {
        let what = format!("{text:?} from the demo");
        until(&what, || self.shown.text().contains(text).then_some(())).await;
    }

    /// Waits for the lines that are to be tried in another terminal.
    async fn curls(&self) -> Vec<Curl> {
        until("four lines for curl", || {
            let curls: Vec<Curl> = self.shown.text().lines().filter_map(Curl::parse).collect();
            (curls.len() == 4).then_some(curls)
        })
        .await
    }

    fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        kill_process(pid.expect("a process ID"), signal).expect("it runs");
    }

    /// Waits until it has ended, and all that it showed has been read.
    async fn await_exit(&mut self) -> ExitStatus {
        let child = &mut self.child;
        let status = until("the demo's end", || child.try_wait().expect("a child")).await;
        if let Some(stderr) = &self.stderr {
            until("the end of what it said", || {
                (self.shown.ended() && stderr.ended()).then_some(())
            })
            .await;
        }
        status
    }

    /// Asks it to end; it must do so well, and before a test's deadline.
    async fn end(&mut self, signal: Signal) {
        self.signal(signal);
        assert_eq!(self.await_exit().await.code(), Some(0));
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("--- the demo\n{}\n---", self.shown.text());
            let stderr = self.stderr.as_ref().map(Lines::text);
            eprintln!("{}\n---", stderr.unwrap_or_default());
        }
    }
}

fn command(folder: &TempDir, args: &[&str]) -> Command {
    let mut command = serin(["demo"].iter().chain(args));
    command.current_dir(folder.path());
    command
}

/// A line for curl, as a reader would copy it.
#[derive(Clone, Debug)]
struct Curl {
    address: SocketAddr,
    path: String,
    headers: Vec<(String, String)>,
    shows_head: bool,
}

impl Curl {
    fn parse(line: &str) -> Option<Self> {
        let words = Regex::new("'([^']*)'|([^ ]+)").expect("an expression");
        let mut words = words
            .captures_iter(line)
            .filter_map(|word| word.get(1).or(word.get(2)))
            .map(|word| word.as_str().to_owned());
        words.next().filter(|command| command == "curl")?;
        let mut curl = Self {
            address: ([0, 0, 0, 0], 0).into(),
            path: String::new(),
            headers: Vec::new(),
            shows_head: false,
        };
        while let Some(word) = words.next() {
            match word.as_str() {
                "-i" => curl.shows_head = true,
                "-H" => {
                    let header = words.next().expect("a header");
                    let (name, value) = header.split_once(": ").expect("name and value");
                    curl.headers.push((name.to_owned(), value.to_owned()));
                }
                url => {
                    let rest = url.strip_prefix("http://").expect("a URL");
                    let (address, path) = rest.split_once('/').expect("a path");
                    curl.address = address.parse().expect("an address");
                    curl.path = format!("/{path}");
                }
            }
        }
        Some(curl)
    }

    async fn run(&self) -> Answer {
        let call = get(&self.path).host(&self.address.to_string());
        let headers = self.headers.iter();
        let call = headers.fold(call, |call, (name, value)| call.header(name, value));
        let answer = send(self.address, call).await;
        assert_eq!(answer.status, 200, "{self:?}: {answer:?}");
        answer
    }

    async fn await_answer(&self, text: &str) {
        let what = format!("{text:?} for {self:?}");
        eventually(&what, || async {
            self.run().await.text().contains(text).then_some(())
        })
        .await;
    }
}

/// The number behind `before` in the first line that contains `line`.
fn number(text: &str, line: &str, before: &str) -> u64 {
    let line = text.lines().find(|candidate| candidate.contains(line));
    let line = line.unwrap_or_else(|| panic!("no line with it: {text}"));
    let number = Regex::new(&format!(r"{before}\s+([0-9,]+)")).expect("an expression");
    let found = number.captures(line).expect("a number");
    found[1].replace(',', "").parse().expect("a number")
}

#[tokio::test]
async fn a_canary_dies_and_nobody_notices() {
    let mut demo = Demo::start(&["--for", "6s", "--port", "0"]).await;
    demo.await_shown("search.ranker-v2 is dead").await;
    demo.await_shown("search.ranker-v2 is back").await;
    assert_eq!(demo.await_exit().await.code(), Some(0));
    let text = demo.shown.text();
    assert!(!text.contains('\x1b'), "{text}");
    assert_eq!(demo.stderr.as_ref().map(Lines::text).as_deref(), Some(""));

    let at_work = Regex::new(r"(?m)^ +[0-9]+ s +[0-9]+ requests/s .*assigned: stable +[0-9]+%");
    let lines = at_work.expect("an expression").find_iter(&text).count();
    assert!((3..=6).contains(&lines), "{lines} lines in six seconds");

    let (_, summary) = text.rsplit_once("requests in").expect("a summary");
    assert!(summary.contains("failed: 0"), "{summary}");
    let requests = Regex::new("(?m)^([0-9,]+) requests in").expect("an expression");
    let requests = &requests.captures(&text).expect("a summary")[1];
    let requests: u64 = requests.replace(',', "").parse().expect("a number");
    let of = |deployment: &str, what| number(summary, &format!("  {deployment} "), what);
    let names = ["stable", "search.ranker-v2", "search.ab"];
    let sum = |what| names.iter().map(|name| of(name, what)).sum::<u64>();
    assert!(requests > 100, "{requests}");
    assert_eq!(
        (sum("assigned"), sum("served")),
        (requests, requests),
        "{summary}"
    );
    let rescued = number(summary, "rescued onto stable", "stable:");
    // Its users find nobody there, until it is ejected: then nobody tries for a while.
    let cause = Regex::new(r"(connect|unhealthy) ([0-9]+)").expect("an expression");
    let by_cause = cause
        .captures_iter(summary)
        .map(|found| found[2].parse::<u64>().expect("a number"));
    assert_eq!(by_cause.sum::<u64>(), rescued, "{summary}");
    assert_eq!(of("stable", "served"), of("stable", "assigned") + rescued);
    assert!(of("search.ab", "served") > 0, "{summary}");

    // README shows lines as they are, but for the figures.
    let figures = Regex::new("[0-9,]+").expect("an expression");
    let spaces = Regex::new(" +").expect("an expression");
    let shape = |line: &str| {
        let line = figures.replace_all(line.trim(), "#");
        spaces.replace_all(&line, " ").into_owned()
    };
    let lines: Vec<String> = text.lines().map(shape).collect();
    let shown = readme::blocks("text").swap_remove(0);
    for line in shown.lines() {
        assert!(
            lines.contains(&shape(line)),
            "README shows {line:?}: {text}"
        );
    }
}

#[tokio::test]
async fn a_stranger_plays_with_it() {
    let mut demo = Demo::start(&["--port", "0"]).await;
    let curls = demo.curls().await;
    let file = demo.file();
    let checked = run_serin(["check".as_ref(), file.as_os_str()]);
    let said = String::from_utf8_lossy(&checked.stdout).into_owned();
    assert!(
        checked.status.success() && said.contains("no problems"),
        "{said}"
    );

    let [team, customer, anybody, decision] = curls.as_slice() else {
        panic!("{curls:?}");
    };
    team.await_answer("search.ranker-v2 answers alice").await;
    customer
        .await_answer("search.ranker-v2 answers whoever")
        .await;
    anybody.await_answer("stable answers bob").await;
    assert!(decision.shows_head);
    let answer = decision.run().await;
    let decided = answer.header("x-serin-decision").unwrap_or_default();
    assert!(
        decided.contains("search=\"search.ranker-v2\"") && decided.contains("reason=\"ring\""),
        "{decided}"
    );

    demo.edit("userId: [alice, ", "userId: [bob, ");
    demo.await_shown("generation 2 is in force").await;
    team.await_answer("stable answers alice").await;
    anybody.await_answer("search.ranker-v2 answers bob").await;

    demo.edit("rollout: 10%", "rollout: 110%");
    demo.await_shown("has errors; what ran goes on").await;
    let place = Regex::new(r"routes\.yaml:[0-9]+:[0-9]+: .*110%").expect("an expression");
    assert!(place.is_match(&demo.shown.text()));
    anybody.await_answer("search.ranker-v2 answers bob").await;
    demo.edit("rollout: 110%", "rollout: 11%");
    demo.await_shown("generation 3 is in force").await;

    let kept = fs::read_to_string(&file).expect("the file");
    demo.end(Signal::INT).await;
    assert!(demo.shown.text().contains("failed: 0"));
    assert_eq!(fs::read_to_string(&file).expect("the file"), kept);
}

#[tokio::test]
async fn a_file_that_is_there_is_used_as_it_is() {
    let folder = TempDir::new().expect("a folder");
    let mine = "
services: { search: 'http://127.0.0.1:${SERIN_DEMO_AB:-9003}' }
routes: [{ path: /search, service: search }]
listeners: [0.0.0.0:1]
admin: 127.0.0.1:0
";
    let path = folder.path().join("mine/routes.yaml");
    fs::create_dir(folder.path().join("mine")).expect("a folder");
    fs::write(&path, mine).expect("a file");
    let mut demo = Demo::start_in(folder, &["--port", "0", "--dir", "mine"]).await;
    demo.await_shown("mine/routes.yaml (there already, used as it is)")
        .await;
    let curls = demo.curls().await;
    curls[0].await_answer("search.ab answers").await;
    assert!(curls[0].address.ip().is_loopback());
    demo.end(Signal::TERM).await;
    assert_eq!(fs::read_to_string(&path).expect("the file"), mine);
}

#[test]
fn what_cannot_be_is_said() {
    let folder = TempDir::new().expect("a folder");
    let said = |args: &[&str]| {
        let output = command(&folder, args).output().expect("the binary runs");
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        (output.status.code().expect("an exit code"), stderr)
    };
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = taken.local_addr().expect("an address").port().to_string();
    let (code, stderr) = said(&["--port", &port, "--for", "1s"]);
    assert_eq!(code, 69, "{stderr}");
    assert!(
        stderr.contains(&format!("127.0.0.1:{port}")) && stderr.contains("--port 0"),
        "{stderr}"
    );
    assert!(!folder.path().join("serin-demo").exists());

    for args in [["--for", "soon"], ["--port", "65536"]] {
        assert_eq!(said(&args).0, 2, "{args:?}");
    }

    fs::write(folder.path().join("in-the-way"), "").expect("a file");
    let (code, stderr) = said(&["--port", "0", "--dir", "in-the-way"]);
    assert_eq!(code, 69, "{stderr}");
    assert!(stderr.contains("in-the-way"), "{stderr}");

    fs::create_dir(folder.path().join("broken")).expect("a folder");
    let broken = folder.path().join("broken/routes.yaml");
    fs::write(broken, "services: { a: ftp://b }\n").expect("a file");
    let (code, stderr) = said(&["--port", "0", "--dir", "broken"]);
    assert_eq!(code, 78, "{stderr}");
    assert!(
        stderr.contains("broken/routes.yaml:1:") && stderr.contains("`routes` is missing"),
        "{stderr}"
    );
}

#[tokio::test]
async fn keys_kill_restore_and_end() {
    let terminal = Terminal::new();
    let mut demo = Demo::start_on(&terminal, &[]).await;
    demo.await_shown("k  kill search.ranker-v2").await;
    let shown = demo.shown.text();
    assert!(
        shown.contains("\x1b[?1049h") && shown.contains("\x1b[1m"),
        "{shown:?}"
    );
    assert!(!terminal.modes().contains(LocalModes::ICANON));
    terminal.press(b'k');
    demo.await_shown("search.ranker-v2 is dead").await;
    demo.await_shown("k  restore search.ranker-v2").await;
    // Rescues are on show.
    demo.await_shown("(connect ").await;
    terminal.press(b'k');
    demo.await_shown("search.ranker-v2 is back").await;
    terminal.press(b'q');
    assert_eq!(demo.await_exit().await.code(), Some(0));
    demo.await_shown("stays, for the next time").await;
    let shown = demo.shown.text();
    let (_, after) = shown.rsplit_once("\x1b[?1049l").expect("it was left");
    assert!(after.contains("failed: 0"), "{after:?}");
    assert!(terminal.is_as_before());
}

#[tokio::test]
async fn a_kill_by_command_shows_as_one_by_key() {
    let terminal = Terminal::sized(40, 100);
    let mut demo = Demo::start_on(&terminal, &[]).await;
    demo.await_line(&["generation 1"]).await;
    demo.await_line(&["the gateway's own part: "]).await;
    let address = Regex::new("admin (http://[0-9.:]+)").expect("an expression");
    let admin = address.captures(&demo.shown.text()).expect("an address")[1].to_owned();
    let order = |order: &str| {
        let words = [
            "canary",
            order,
            "search",
            "search.ranker-v2",
            "--admin",
            &admin,
        ];
        let output = run_serin(words);
        assert!(output.status.success(), "{output:?}");
    };
    order("kill");
    demo.await_line(&["search.ranker-v2 was killed"]).await;
    demo.await_line(&["search.ranker-v2 (killed)", "  0%"])
        .await;
    demo.await_line(&["generation 2"]).await;
    order("restore");
    demo.await_line(&["search.ranker-v2 was restored"]).await;
    demo.await_line(&["generation 3"]).await;
    let screen = demo.screen();
    assert!(
        !screen.iter().any(|line| line.contains("(killed)")),
        "{screen:?}"
    );
    demo.end(Signal::INT).await;
}

#[tokio::test]
async fn on_a_small_terminal_sentences_wrap_and_the_keys_stay() {
    let terminal = Terminal::sized(15, 60);
    let mut demo = Demo::start_on(&terminal, &[]).await;
    demo.await_line(&["k  kill search.ranker-v2   q  end"])
        .await;
    terminal.press(b'k');
    demo.await_line(&["k  restore search.ranker-v2"]).await;
    // The end of a sentence that is longer than the screen is wide.
    demo.await_line(&["stable answers its users."]).await;
    let screen = demo.screen();
    assert!(screen.len() <= 15, "{screen:#?}");
    let last = screen.last().map(String::as_str);
    assert_eq!(last, Some("k  restore search.ranker-v2   q  end"));
    let is_row =
        |line: &str| line.contains('%') || line.contains("assigned") || line.contains("last 5 s");
    for line in screen.iter().filter(|line| !is_row(line)) {
        assert!(line.chars().count() <= 60, "{line:?}");
    }
    demo.end(Signal::INT).await;
}

#[tokio::test]
async fn the_terminal_is_given_back_on_a_signal_and_colours_can_be_declined() {
    let terminal = Terminal::new();
    let mut demo = Demo::start_on(&terminal, &[("NO_COLOR", "1")]).await;
    demo.await_shown("generation 1").await;
    assert!(!terminal.modes().contains(LocalModes::ECHO));
    demo.end(Signal::TERM).await;
    demo.await_shown("failed: 0").await;
    assert!(terminal.is_as_before());
    let colours = Regex::new("\x1b\\[[0-9;]*m").expect("an expression");
    let shown = demo.shown.text();
    assert!(!colours.is_match(&shown), "{shown:?}");
    assert!(shown.contains("\x1b[?25h"), "the cursor is back");
}
