//! What the demo shows, as lines of text.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::figures::{Reading, Row};
use super::layout::{Line, Rank};
use super::sample::{self, Sample};
use super::style::Style;
use super::users::UserCounts;
use crate::config::diagnostic::{Diagnostic, Severity};
use crate::context::Moment;
use crate::reload::{LastReload, ReloadFailure};

/// How wide a bar is at most.
const BAR: usize = 8;
/// How wide the column of deployments is.
const NAME: usize = 28;
/// How many of a file's errors are shown.
const ERRORS: usize = 2;

/// What stays the same throughout.
#[derive(Debug)]
pub(super) struct Scene {
    pub(super) gateway: SocketAddr,
    pub(super) admin: SocketAddr,
    pub(super) file: PathBuf,
    pub(super) file_is_new: bool,
    /// The name of the sample canary that dies, and its port.
    pub(super) canary: (&'static str, u16),
    pub(super) style: Style,
}

impl Scene {
    pub(super) fn new(
        (gateway, admin): (SocketAddr, SocketAddr),
        (file, file_is_new): (PathBuf, bool),
        canary: &Sample,
        colour: bool,
    ) -> Self {
        Self {
            gateway,
            admin,
            file,
            file_is_new,
            canary: (canary.plan.name, canary.port),
            style: Style { colour },
        }
    }

    /// Where everything is, and what to try.
    pub(super) fn introduction(&self) -> Vec<Line> {
        let Self {
            gateway,
            admin,
            file,
            style,
            ..
        } = self;
        let file = file.display().to_string();
        let origin = if self.file_is_new {
            "written just now"
        } else {
            "there already, used as it is"
        };
        let url = format!("http://{gateway}/search");
        let hints = [
            "Try in another terminal: a team member, a customer, anybody, and the decision"
                .to_owned(),
            format!("  curl -H 'x-user-id: alice' {url}"),
            format!("  curl -H 'x-customer-id: 112233' {url}"),
            format!("  curl -H 'x-user-id: bob' {url}"),
            format!("  curl -i -H 'x-user-id: alice' {url}"),
        ];
        let title = style.bold("Serin demo");
        let title = format!("{title}  gateway http://{gateway}  admin http://{admin}");
        let file = style.bold(&printable(&file));
        let mut lines = vec![
            Line::new(Rank::Figures, title),
            Line::new(
                Rank::Hint,
                format!("{file} ({origin}): edit it while this runs."),
            ),
            Line::gap(),
        ];
        lines.extend(hints.map(|hint| Line::new(Rank::Hint, hint)));
        lines
    }
}

/// Everything that changes.
#[derive(Debug)]
pub(super) struct View<'a> {
    pub(super) scene: &'a Scene,
    pub(super) elapsed: Duration,
    /// What was added of late.
    pub(super) recent: Reading,
    /// Since the start.
    pub(super) total: &'a Reading,
    pub(super) tally: &'a UserCounts,
    pub(super) generation: u64,
    pub(super) last_reload: &'a LastReload,
    pub(super) now: Moment,
    /// The sample canary's port is closed.
    pub(super) is_dead: bool,
    /// The deployments that the kill switch keeps from all users.
    pub(super) killed: &'a [Arc<str>],
    /// What has happened, the latest last.
    pub(super) news: &'a [(Duration, String)],
    /// Whether keys are read.
    pub(super) keys: bool,
}

impl View<'_> {
    /// The whole picture.
    pub(super) fn picture(&self) -> Vec<Line> {
        let style = self.scene.style;
        let mut lines = self.scene.introduction();
        lines.push(Line::gap());
        lines.push(Line::new(Rank::Figures, self.rates()));
        lines.push(Line::new(Rank::Figures, style.faint(&self.own_time())));
        lines.push(Line::gap());
        lines.extend(self.table());
        lines.push(Line::gap());
        let rescues = format!("rescued onto stable  {}", self.rescues());
        lines.push(Line::new(Rank::Figures, rescues));
        let reload = self.reload().into_iter();
        lines.extend(reload.map(|line| Line::new(Rank::Figures, line)));
        lines.push(Line::gap());
        for (at, news) in self.news {
            let at = style.faint(&format!("{:>3} s", at.as_secs()));
            lines.push(Line::new(Rank::News, format!("{at}  {news}")));
        }
        lines.push(Line::gap());
        let verb = if self.is_dead { "restore" } else { "kill" };
        let kill = format!("k  {verb} {}   q  end", self.scene.canary.0);
        let end = "Ctrl-C  end".to_owned();
        let keys = style.faint(if self.keys { &kill } else { &end });
        lines.push(Line::new(Rank::Figures, keys));
        lines
    }

    /// The last second in one line.
    pub(super) fn line(&self) -> String {
        let list = |count: fn(&Row) -> u64, all: u64| {
            let share =
                |row: &Row| format!("{} {}", row.deployment, percent(count(row), all).trim());
            let shares: Vec<String> = self.recent.rows.iter().map(share).collect();
            shares.join(", ")
        };
        format!(
            "{:>3} s  {}; gateway's own part {:.1} ms; assigned: {}; served: {}; rescued: {}; generation {}",
            self.elapsed.as_secs(),
            self.rates(),
            self.recent.own_time().unwrap_or_default().as_secs_f64() * 1e3,
            list(|row| row.assigned, self.recent.assigned()),
            list(|row| row.served, self.recent.served()),
            self.recent.rescued(),
            self.generation,
        )
    }

    /// What it was all in all.
    pub(super) fn summary(&self) -> Vec<String> {
        let style = self.scene.style;
        let mut lines = vec![format!(
            "{} requests in {:.1} s, failed: {}",
            grouped(self.total.assigned()),
            self.elapsed.as_secs_f64(),
            self.tally.failed(),
        )];
        if let Some(failure) = self.tally.last_failure() {
            lines.push(format!("the last failure: {}", printable(&failure)));
        }
        let width = self.total.rows.iter().map(|row| row.deployment.chars());
        let width = width.map(Iterator::count).max().unwrap_or(0);
        for row in &self.total.rows {
            lines.push(format!(
                "  {:<width$}  assigned {:>7}  served {:>7}",
                row.deployment,
                grouped(row.assigned),
                grouped(row.served),
            ));
        }
        let causes = causes(self.total);
        let rescued = grouped(self.total.rescued());
        lines.push(format!("rescued onto stable: {rescued}{causes}"));
        let file = printable(&self.scene.file.display().to_string());
        lines.push(style.faint(&format!("{file} stays, for the next time.")));
        lines
    }

    fn rates(&self) -> String {
        let style = self.scene.style;
        let failed = format!("failed {}", self.tally.failed());
        let failed = if self.tally.failed() == 0 {
            style.good(&failed)
        } else {
            style.bad(&failed)
        };
        format!(
            "{:>3.0} requests/s  p50 {}  p99 {}  {failed} of {}",
            self.recent.rate(),
            millis(self.recent.quantile(0.50)),
            millis(self.recent.quantile(0.99)),
            grouped(self.tally.answered() + self.tally.failed()),
        )
    }

    fn rescues(&self) -> String {
        let style = self.scene.style;
        let lately = match self.recent.rescued() {
            0 => String::new(),
            count => style.notable(&format!(", {} in the last 5 s", grouped(count))),
        };
        let causes = causes(self.total);
        format!("{}{causes}{lately}", grouped(self.total.rescued()))
    }

    /// Where the time of requests goes: a newcomer would take the samples' for the gateway's.
    fn own_time(&self) -> String {
        let (from, to) = sample::PACE;
        let own = self.recent.own_time().unwrap_or_default().as_secs_f64() * 1e3;
        format!(
            "the samples take {from} to {to} ms, on purpose; the gateway's own part: {own:.1} ms"
        )
    }

    /// Whether its users get stable: its port is closed, or it was killed.
    fn is_out(&self, deployment: &str) -> bool {
        let has_died = self.is_dead && deployment == self.scene.canary.0;
        has_died || self.killed.iter().any(|killed| **killed == *deployment)
    }

    /// Assigned and served by deployment.
    fn table(&self) -> Vec<Line> {
        let (recent, total, style) = (&self.recent, self.total, self.scene.style);
        let heads = [
            format!("{:NAME$}{:<28}{:>20}", "", "last 5 s", "since the start"),
            format!(
                "{:<NAME$}{:<14}{:<14}{:>10}{:>10}",
                "deployment", "assigned", "served", "assigned", "served"
            ),
        ];
        let heads = heads.into_iter().map(|head| style.faint(&head));
        let (assigned, served) = (recent.assigned(), recent.served());
        let several = total
            .rows
            .windows(2)
            .any(|rows| matches!(rows, [a, b] if a.service != b.service));
        let row = |(now, all): (&Row, &Row)| {
            let name = match several {
                true => format!("{} {}", all.service, all.deployment),
                false => all.deployment.to_string(),
            };
            let name = match self.is_out(&all.deployment) {
                true => style.bad(&cell(&format!("{name} (killed)"))),
                false => cell(&name),
            };
            format!(
                "{name}{}{}{:>10}{:>10}",
                share(now.assigned, assigned, style),
                share(now.served, served, style),
                grouped(all.assigned),
                grouped(all.served),
            )
        };
        let rows = recent.rows.iter().zip(&total.rows).map(row);
        heads.chain(rows).map(Line::row).collect()
    }

    fn reload(&self) -> Vec<String> {
        let style = self.scene.style;
        let mut lines = Vec::new();
        let generation = self.generation;
        let ago = (self.now.unix_ms - self.last_reload.at.unix_ms).max(0) / 1000;
        lines.push(match (&self.last_reload.result, self.last_reload.cause) {
            (Ok(()), None) => format!("generation {generation}, as the demo began"),
            (Ok(()), Some(_)) => format!("generation {generation}, reloaded {ago} s ago"),
            (Err(_), _) => style.bad(&format!(
                "the edit {ago} s ago has errors; generation {generation} goes on"
            )),
        });
        lines.extend(complaints(&self.scene.file, self.last_reload));
        lines
    }
}

/// What is wrong with the file, a line each.
pub(super) fn complaints(file: &std::path::Path, reload: &LastReload) -> Vec<String> {
    let Err(failure) = &reload.result else {
        return Vec::new();
    };
    let ReloadFailure::Invalid(problems) = failure else {
        return vec![format!("  {}", printable(&failure.to_string()))];
    };
    let is_error = |problem: &&Diagnostic| problem.severity == Severity::Error;
    let errors: Vec<&Diagnostic> = problems.iter().filter(is_error).collect();
    let file = file.display();
    let line = |error: &&Diagnostic| {
        let (line, column) = (error.span.line, error.span.column);
        printable(&format!("  {file}:{line}:{column}: {}", error.message))
    };
    let mut lines: Vec<String> = errors.iter().take(ERRORS).map(line).collect();
    if problems.errors() > ERRORS {
        lines.push(format!("  … {} errors in all", problems.errors()));
    }
    lines
}

/// As wide as the names' column: cut, or filled with spaces.
fn cell(text: &str) -> String {
    let cut: String = if text.chars().count() < NAME {
        text.to_owned()
    } else {
        text.chars().take(NAME - 2).chain("…".chars()).collect()
    };
    format!("{cut:<NAME$}")
}

/// A percentage and its bar.
fn share(part: u64, whole: u64, style: Style) -> String {
    let filled = (part as usize * BAR * 2)
        .checked_div(whole as usize)
        .unwrap_or(0);
    let half = if filled % 2 == 1 { "▌" } else { "" };
    let bar = format!("{}{half}", "█".repeat(filled / 2));
    let padding = " ".repeat(BAR + 1 - bar.chars().count());
    let percent = percent(part, whole);
    format!("{percent} {}{padding}", style.bar(&bar))
}

fn percent(part: u64, whole: u64) -> String {
    let hundredth = (part * 100 + whole / 2).checked_div(whole).unwrap_or(0);
    format!("{hundredth:>3}%")
}

/// The causes of rescues, in brackets.
fn causes(reading: &Reading) -> String {
    let causes = reading.rescues();
    let causes: Vec<String> = causes
        .map(|(cause, count)| format!("{cause} {}", grouped(count)))
        .collect();
    if causes.is_empty() {
        String::new()
    } else {
        format!(" ({})", causes.join(", "))
    }
}

fn millis(time: Option<Duration>) -> String {
    match time {
        Some(time) => format!("{:>3} ms", time.as_millis()),
        None => "  – ms".to_owned(),
    }
}

/// With commas between thousands.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// Without what would move a terminal's cursor or change its colours.
fn printable(text: &str) -> String {
    let shown = |c: char| if c.is_control() { '\u{fffd}' } else { c };
    text.chars().map(shown).collect()
}

#[cfg(test)]
mod tests;
