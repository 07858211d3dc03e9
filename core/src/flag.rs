//! Small values that flags are made of: shares, weights, and the globs that flag names are matched by.

use std::fmt;
use std::str::FromStr;

/// A part of all users, from none to all. It is kept in hundred-thousandths, LaunchDarkly's step; all others are whole
/// hundredths of a percent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Share(u32);

impl Share {
    /// Nobody.
    pub const NONE: Self = Self(0);
    /// Everybody.
    pub const ALL: Self = Self(100_000);

    /// From hundredths of a percent; `None` above 10,000.
    pub const fn new(hundredths: u16) -> Option<Self> {
        Self::of_hundred_thousandths(hundredths as u32 * 10)
    }

    /// From hundred-thousandths of all users; `None` above 100,000.
    pub const fn of_hundred_thousandths(parts: u32) -> Option<Self> {
        if parts <= Self::ALL.0 {
            Some(Self(parts))
        } else {
            None
        }
    }

    /// Whole hundredths of a percent: 0 to 10,000.
    pub const fn hundredths(self) -> u16 {
        // At most 10,000.
        (self.0 / 10) as u16
    }

    /// Hundred-thousandths of all users: 0 to 100,000.
    pub const fn hundred_thousandths(self) -> u32 {
        self.0
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_percentage(f, self.0)
    }
}

/// Where a user stands among all users. A share takes those who stand below it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position(u32);

impl Position {
    /// The lowest position, which every share but that of 0 % takes.
    pub const START: Self = Self(0);

    /// From hundredths of a percent.
    pub const fn of_hundredths(hundredths: u16) -> Self {
        Self(hundredths as u32 * 10)
    }

    /// From hundred-thousandths of all users.
    pub const fn of_hundred_thousandths(parts: u32) -> Self {
        Self(parts)
    }

    /// Hundred-thousandths of all users.
    pub const fn hundred_thousandths(self) -> u32 {
        self.0
    }

    /// Whether the share takes a user who stands here.
    pub const fn is_below(self, share: Share) -> bool {
        self.0 < share.0
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_percentage(f, self.0)
    }
}

/// Writes hundred-thousandths as a percentage, with as few decimals as it takes.
fn write_percentage(f: &mut fmt::Formatter<'_>, parts: u32) -> fmt::Result {
    let (whole, part) = (parts / 1_000, parts % 1_000);
    match (part % 10, part % 100) {
        _ if part == 0 => write!(f, "{whole}%"),
        (_, 0) => write!(f, "{whole}.{}%", part / 100),
        (0, _) => write!(f, "{whole}.{:02}%", part / 10),
        _ => write!(f, "{whole}.{part:03}%"),
    }
}

/// Why a text is not a [`Share`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ShareError {
    /// It is not a number followed by `%`.
    #[error("a percentage is a number followed by %, as in 5% or 0.25%")]
    Form,
    /// It has more than two decimals.
    #[error("a percentage has at most two decimals (steps of 0.01 %)")]
    TooFine,
    /// It is above 100 %.
    #[error("a percentage is at most 100%")]
    TooLarge,
}

impl FromStr for Share {
    type Err = ShareError;

    fn from_str(text: &str) -> Result<Self, ShareError> {
        let number = text.strip_suffix('%').ok_or(ShareError::Form)?.trim_end();
        let (whole, part) = number.split_once('.').unwrap_or((number, "0"));
        let digits = |s: &str| !s.is_empty() && s.bytes().all(|b| b.is_ascii_digit());
        if !digits(whole) || !digits(part) {
            return Err(ShareError::Form);
        }
        let part = part.trim_end_matches('0');
        if part.len() > 2 {
            return Err(ShareError::TooFine);
        }
        let whole: u32 = whole.parse().map_err(|_| ShareError::TooLarge)?;
        let part: u32 = format!("{part:0<2}")
            .parse()
            .map_err(|_| ShareError::Form)?;
        u16::try_from(whole.saturating_mul(100).saturating_add(part))
            .ok()
            .and_then(Self::new)
            .ok_or(ShareError::TooLarge)
    }
}

/// A pattern for flag names: `*` stands for any run of characters.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Glob(Box<str>);

impl Glob {
    /// Compiles a pattern; every text is one.
    pub fn new(pattern: &str) -> Self {
        Self(pattern.into())
    }

    /// The pattern as written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether the pattern matches the whole of `name`.
    pub fn matches(&self, name: &str) -> bool {
        let mut parts = self.0.split('*');
        let first = parts.next().unwrap_or_default();
        let Some(mut rest) = name.strip_prefix(first) else {
            return false;
        };
        let mut parts = parts.peekable();
        if parts.peek().is_none() {
            return rest.is_empty();
        }
        while let Some(part) = parts.next() {
            if parts.peek().is_none() {
                return rest.ends_with(part);
            }
            let Some(at) = rest.find(part) else {
                return false;
            };
            let (_, behind) = rest.split_at(at);
            rest = behind.strip_prefix(part).unwrap_or_default();
        }
        true
    }

    /// How many characters stand before the first `*`: of two services that match one flag, the more literal wins.
    pub fn literal_prefix(&self) -> usize {
        self.0.find('*').unwrap_or(self.0.len())
    }
}

impl fmt::Display for Glob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::{Glob, Position, Share, ShareError};

    #[test]
    fn shares_are_read_and_written_in_hundredths() {
        for (text, hundredths) in [
            ("0%", 0),
            ("0.01%", 1),
            ("5%", 500),
            ("12.5%", 1250),
            ("100%", 10_000),
            ("7.10%", 710),
        ] {
            assert_eq!(
                text.parse::<Share>().map(Share::hundredths),
                Ok(hundredths),
                "{text}"
            );
        }
        assert_eq!(
            Share::new(1250).map(|s| s.to_string()).as_deref(),
            Some("12.5%")
        );
        assert_eq!(
            Share::new(1).map(|s| s.to_string()).as_deref(),
            Some("0.01%")
        );
        for (parts, text) in [
            (1, "0.001%"),
            (10, "0.01%"),
            (33_333, "33.333%"),
            (42_050, "42.05%"),
            (99_900, "99.9%"),
            (100_000, "100%"),
        ] {
            let share = Share::of_hundred_thousandths(parts).expect("a share");
            assert_eq!(share.to_string(), text);
            assert_eq!(Position::of_hundred_thousandths(parts).to_string(), text);
        }
        assert_eq!(Share::of_hundred_thousandths(100_001), None);
        assert_eq!(Share::new(10_000), Some(Share::ALL));
        assert_eq!("5".parse::<Share>(), Err(ShareError::Form));
        assert_eq!("-5%".parse::<Share>(), Err(ShareError::Form));
        assert_eq!("0.001%".parse::<Share>(), Err(ShareError::TooFine));
        assert_eq!("100.01%".parse::<Share>(), Err(ShareError::TooLarge));
        assert_eq!("99999999999%".parse::<Share>(), Err(ShareError::TooLarge));
    }

    #[test]
    fn globs_match_whole_names() {
        let matches = |pattern: &str, name: &str| Glob::new(pattern).matches(name);
        assert!(matches("search.*", "search.ranker-v2"));
        assert!(matches("search.*", "search."));
        assert!(!matches("search.*", "searchx"));
        assert!(matches("search", "search") && !matches("search", "search2"));
        assert!(
            matches("*.canary", "a.b.canary")
                && matches("a*b*c", "a1b2c")
                && !matches("a*b*c", "acb")
        );
        assert!(!matches("ab*ba", "aba"));
        assert_eq!(Glob::new("search.*").literal_prefix(), 7);
    }
}
