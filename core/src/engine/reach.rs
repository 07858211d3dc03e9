//! How many users a flag could have.

use std::fmt;
use std::sync::Arc;

use super::condition::Condition;
use super::flag::Flag;
use crate::flag::Share;

/// How many users a flag could be on for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reach {
    /// At most this part of all users: the percentages of rings without conditions.
    pub share: Option<Share>,
    /// Besides, users who meet the conditions of these rings.
    pub rings: Vec<Arc<str>>,
}

impl Reach {
    /// The reach of a flag as it stands.
    pub fn of(flag: &Flag) -> Self {
        let mut reach = Self::default();
        if !flag.can_be_on() {
            return reach;
        }
        let mut parts = 0_u32;
        for (ring, share) in flag.open_rings() {
            let unconditional =
                matches!(&ring.condition, Condition::All(parts) if parts.is_empty());
            if unconditional && flag.dependencies.is_empty() {
                parts = parts.saturating_add(share.hundred_thousandths());
            } else {
                reach.rings.push(ring.name.clone());
            }
        }
        let share = Share::of_hundred_thousandths(parts).unwrap_or(Share::ALL);
        reach.share = Some(share).filter(|share| *share != Share::NONE);
        reach
    }

    /// Whether it is every user, with or without an ID.
    pub fn is_everybody(&self) -> bool {
        self.share == Some(Share::ALL)
    }
}

impl fmt::Display for Reach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.share {
            Some(Share::ALL) => return f.write_str("all users"),
            Some(share) => write!(f, "{share} of all users")?,
            None if self.rings.is_empty() => return f.write_str("nobody"),
            None => {}
        }
        let and = if self.share.is_some() { " and " } else { "" };
        match self.rings.as_slice() {
            [] => Ok(()),
            [ring] => write!(f, "{and}those who meet the conditions of {ring:?}"),
            [ring, others @ ..] => write!(
                f,
                "{and}those who meet the conditions of {ring:?} or of {} more",
                others.len()
            ),
        }
    }
}
