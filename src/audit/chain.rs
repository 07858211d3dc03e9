//! The chain of hashes: each line has the hash (SHA-256) of the one before in it, and its own at its end. Its own is that of
//! every byte of the line before `,"hash":`.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::actor::ActorView;
use super::entry::{Deed, Entry};
use crate::context::Moment;
use crate::digest::Digest;

/// What comes before the hash in a line.
const BEFORE_HASH: &str = ",\"hash\":\"";
/// What comes after it.
const AFTER_HASH: &str = "\"}";
/// The digits of a hash.
const HASH_DIGITS: usize = 64;

/// The end of a chain: what the next entry is tied to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// The chain's name.
    pub chain: String,
    /// The last entry's number; the first has 1.
    pub number: u64,
    /// The last entry's hash.
    pub hash: String,
}

/// An entry, as a line of the file has it.
#[derive(Serialize)]
struct Body<'a> {
    id: &'a str,
    at: String,
    actor: ActorView<'a>,
    action: &'static str,
    service: Option<&'a str>,
    object: &'a str,
    before: &'a Value,
    after: &'a Value,
    reason: Option<&'a str>,
    scope: &'static str,
    previous: &'a str,
}

/// What is read of a line to find and to check it.
#[derive(Debug, Deserialize)]
pub(super) struct Head<'a> {
    #[serde(borrow)]
    pub(super) id: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) at: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) service: Option<Cow<'a, str>>,
    #[serde(borrow)]
    previous: Cow<'a, str>,
}

/// Why a line is not what was written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// It says something else than its hash is of.
    #[error("this entry was changed: its hash is of something else")]
    Changed,
    /// It is no entry.
    #[error("this is no entry of a trail")]
    Garbled,
    /// It has no end.
    #[error("this entry is not complete: its line has no end")]
    Cut,
    /// Entries before it are missing.
    #[error("{count} entries are missing before this one: `{id}` comes after number {after}")]
    Missing {
        /// How many.
        count: u64,
        /// The entry that is there.
        id: String,
        /// The last number before it.
        after: u64,
    },
    /// It is tied to something else than what is before it.
    #[error("`{0}` does not follow the entry before it, which was exchanged or is missing")]
    Untied(String),
    /// Another chain begins.
    #[error(
        "`{0}` begins another chain, or is of another gateway: what came before it here may be missing"
    )]
    OtherChain(String),
}

impl Link {
    /// A chain without entries.
    pub fn first() -> Self {
        Self {
            chain: format!("{:08x}", rand::random::<u32>()),
            number: 0,
            hash: "0".repeat(HASH_DIGITS),
        }
    }

    /// Ties what was done to the chain: the entry, and the chain's new end.
    pub(super) fn tie(&self, deed: &Deed, at: Moment) -> (Entry, Self) {
        let number = self.number + 1;
        let id = format!("{}-{number}", self.chain);
        let body = Body {
            id: &id,
            at: at.to_string(),
            actor: ActorView::from(&deed.actor),
            action: deed.action.as_str(),
            service: deed.service.as_deref(),
            object: &deed.object,
            before: &deed.before,
            after: &deed.after,
            reason: deed.reason.as_deref(),
            scope: deed.scope,
            previous: &self.hash,
        };
        // Texts, numbers and JSON values always make JSON.
        let mut line = serde_json::to_string(&body).unwrap_or_default();
        line.pop();
        let hash = hashed(line.as_bytes());
        // Writing to a String cannot fail.
        let _ = write!(line, "{BEFORE_HASH}{hash}{AFTER_HASH}");
        let link = Self {
            chain: self.chain.clone(),
            number,
            hash,
        };
        let entry = Entry {
            id,
            at,
            action: deed.action,
            service: deed.service.clone(),
            line: Arc::from(line),
        };
        (entry, link)
    }

    /// Reads a line, without its end, by itself: the chain's end with it, and the hash that it says is before it.
    fn read(line: &[u8]) -> Result<(Self, String), Fault> {
        let end = line.strip_suffix(AFTER_HASH.as_bytes());
        let end = end.ok_or(Fault::Garbled)?;
        let at = end.len().checked_sub(HASH_DIGITS).ok_or(Fault::Garbled)?;
        let (rest, hash) = end.split_at_checked(at).ok_or(Fault::Garbled)?;
        let content = rest.strip_suffix(BEFORE_HASH.as_bytes());
        let content = content.ok_or(Fault::Garbled)?;
        if hashed(content).as_bytes() != hash {
            return Err(Fault::Changed);
        }
        let head = Head::of(line).ok_or(Fault::Garbled)?;
        let (chain, number) = head.id.split_once('-').ok_or(Fault::Garbled)?;
        let link = Self {
            chain: chain.to_owned(),
            number: number.parse().map_err(|_| Fault::Garbled)?,
            hash: String::from_utf8_lossy(hash).into_owned(),
        };
        Ok((link, head.previous.into_owned()))
    }
}

impl<'a> Head<'a> {
    /// Of a line; `None`: it is no entry.
    pub(super) fn of(line: &'a [u8]) -> Option<Self> {
        serde_json::from_slice(line).ok()
    }
}

/// Checks lines one after the other.
#[derive(Clone, Debug, Default)]
pub struct Verifier {
    end: Option<Link>,
    count: u64,
}

impl Verifier {
    /// Checks the next line, with its end. After a fault it goes on with what the line says of itself.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn check(&mut self, line: &[u8]) -> Result<(), Fault> {
        let line = line.strip_suffix(b"\n").ok_or(Fault::Cut)?;
        let before = self.end.clone();
        let (link, previous) = match Link::read(line) {
            Ok(read) => read,
            Err(fault) => {
                // What comes next would be tied to what this line was.
                self.end = None;
                return Err(fault);
            }
        };
        self.count += 1;
        self.end = Some(link.clone());
        match before {
            Some(before) => link.follow(&before, &previous),
            // Older files may be gone; but nothing is before the very first.
            None if link.number == 1 && previous.bytes().any(|digit| digit != b'0') => {
                Err(Fault::Untied(link.id()))
            }
            None => Ok(()),
        }
    }

    /// How many entries there were.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The end of the chain; `None`: there is no entry, or the last line is none.
    pub fn end(&self) -> Option<&Link> {
        self.end.as_ref()
    }
}

impl Link {
    fn id(&self) -> String {
        format!("{}-{}", self.chain, self.number)
    }

    fn follow(&self, before: &Self, previous: &str) -> Result<(), Fault> {
        if self.chain != before.chain {
            return Err(Fault::OtherChain(self.id()));
        }
        let count = self.number.saturating_sub(before.number + 1);
        if count > 0 {
            let (id, after) = (self.id(), before.number);
            return Err(Fault::Missing { count, id, after });
        }
        if self.number != before.number + 1 || previous != before.hash {
            return Err(Fault::Untied(self.id()));
        }
        Ok(())
    }
}

fn hashed(content: &[u8]) -> String {
    Digest(Sha256::digest(content).into()).to_string()
}
