//! Filter directives: which log lines are written while an operator looks for something.
//!
//! `serin::proxy=debug` adds the lines of a part of the program; a level alone, as in `info,serin::proxy=debug`, stands
//! in for `logging.level`.

use std::fmt;
use std::str::FromStr;

use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;

use crate::config::Level;

/// How many directives there may be at once.
const MOST: usize = 32;
/// How long they may be together, in bytes.
const MAX_BYTES: usize = 1_024;

/// Filter directives that can be put in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Directives {
    /// As the operator wrote them.
    text: String,
    level: Option<Level>,
    targets: Vec<(String, LevelFilter)>,
}

/// Why a text holds no directives. Each names the part that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DirectivesError {
    /// There is nothing in it.
    #[error(
        "the filter is empty: write LEVEL, TARGET=LEVEL or several of them with commas between"
    )]
    Empty,
    /// It is too long.
    #[error("the filter has more than {MOST} directives or {MAX_BYTES} bytes")]
    TooLong,
    /// A part is neither a level nor has an equals sign.
    #[error("`{0}` is neither a level (error, warn, info, debug or trace) nor TARGET=LEVEL")]
    Part(String),
    /// What stands before the equals sign is no target.
    #[error("`{0}`: a target is a module's path, as in serin::proxy")]
    Target(String),
    /// What stands behind the equals sign is no level.
    #[error("`{0}`: a target's level is off, error, warn, info, debug or trace")]
    TargetLevel(String),
    /// Two levels stand alone.
    #[error("`{0}` is the second level without a target")]
    SecondLevel(String),
}

impl FromStr for Directives {
    type Err = DirectivesError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let text = text.trim();
        if text.is_empty() {
            return Err(DirectivesError::Empty);
        }
        if text.len() > MAX_BYTES || text.split(',').count() > MOST {
            return Err(DirectivesError::TooLong);
        }
        let mut directives = Self {
            text: text.to_owned(),
            level: None,
            targets: Vec::new(),
        };
        for part in text.split(',') {
            directives.add(part.trim())?;
        }
        Ok(directives)
    }
}

impl Directives {
    fn add(&mut self, part: &str) -> Result<(), DirectivesError> {
        let Some((target, level)) = part.split_once('=') else {
            let level = level(part).ok_or_else(|| DirectivesError::Part(part.to_owned()))?;
            return match self.level.replace(level) {
                None => Ok(()),
                Some(_) => Err(DirectivesError::SecondLevel(part.to_owned())),
            };
        };
        let (target, level) = (target.trim(), level.trim());
        if !is_module_path(target) {
            return Err(DirectivesError::Target(part.to_owned()));
        }
        let level = match level {
            "off" => LevelFilter::OFF,
            level => own_level(
                self::level(level).ok_or_else(|| DirectivesError::TargetLevel(part.to_owned()))?,
            ),
        };
        self.targets.push((target.to_owned(), level));
        Ok(())
    }

    /// The level that stands in for `logging.level`, if one does.
    pub(super) fn level(&self) -> Option<Level> {
        self.level
    }

    /// Adds the targets, which come before those that are there and are as specific.
    pub(super) fn add_to(&self, targets: Targets) -> Targets {
        targets.with_targets(self.targets.iter().cloned())
    }

    /// The most that any dependency is to write.
    pub(super) fn others_level(&self) -> LevelFilter {
        let others = self.targets.iter();
        let others = others.filter(|(target, _)| !target.starts_with("serin"));
        others
            .map(|(_, level)| *level)
            .max()
            .unwrap_or(LevelFilter::OFF)
    }
}

impl fmt::Display for Directives {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

fn level(word: &str) -> Option<Level> {
    Some(match word {
        "error" => Level::Error,
        "warn" => Level::Warn,
        "info" => Level::Info,
        "debug" => Level::Debug,
        "trace" => Level::Trace,
        _ => return None,
    })
}

/// The filter that lets lines through from a level on.
pub(super) fn own_level(level: Level) -> LevelFilter {
    match level {
        Level::Error => LevelFilter::ERROR,
        Level::Warn => LevelFilter::WARN,
        Level::Info => LevelFilter::INFO,
        Level::Debug => LevelFilter::DEBUG,
        Level::Trace => LevelFilter::TRACE,
    }
}

fn is_module_path(target: &str) -> bool {
    let is_name = |name: &str| {
        !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
    };
    target.split("::").all(is_name)
}

#[cfg(test)]
mod tests {
    use super::{Directives, DirectivesError, MOST};

    #[test]
    fn what_is_wrong_names_its_part() {
        use DirectivesError::{Empty, Part, SecondLevel, Target, TargetLevel, TooLong};
        let part = |text: &str| text.to_owned();
        for (text, error) in [
            ("", Empty),
            (" ", Empty),
            ("inof", Part(part("inof"))),
            ("off", Part(part("off"))),
            ("info,serin::proxy", Part(part("serin::proxy"))),
            ("info,", Part(part(""))),
            ("info, warn", SecondLevel(part("warn"))),
            (
                "info,serin::proxy=loud",
                TargetLevel(part("serin::proxy=loud")),
            ),
            ("serin:proxy=debug", Target(part("serin:proxy=debug"))),
            ("=debug", Target(part("=debug"))),
            ("serin[span]=debug", Target(part("serin[span]=debug"))),
            (&"a=info,".repeat(MOST + 1), TooLong),
            (&"a".repeat(2_000), TooLong),
        ] {
            assert_eq!(text.parse::<Directives>(), Err(error), "{text}");
        }
    }

    #[test]
    fn directives_are_shown_as_they_were_written() {
        for text in ["info", "serin::proxy=debug", "warn, hyper=trace,serin=off"] {
            assert_eq!(text.parse::<Directives>().unwrap().to_string(), text);
        }
    }
}
