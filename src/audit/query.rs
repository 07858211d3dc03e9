//! Which entries somebody asks for, and how they are found.

use std::collections::VecDeque;
use std::io;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use super::chain::Head;
use super::files;

/// Entries that somebody asks for.
#[derive(Clone, Debug)]
pub struct Query {
    /// Only what comes after this; `None`: the newest.
    pub since: Option<Since>,
    /// Only what is about one of these services; `None`: everything.
    pub services: Option<Arc<[Arc<str>]>>,
    /// At most so many.
    pub limit: usize,
}

/// After what the entries come that are asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Since {
    /// The entry of this name.
    Entry(String),
    /// This moment; entries of that very moment are meant, too.
    Moment(jiff::Timestamp),
}

/// Why entries are not found.
#[derive(Debug, thiserror::Error)]
pub enum QueryError {
    /// The entry is not kept, or never was.
    #[error("no entry `{0}` is kept: ask since a moment")]
    NoSuchEntry(String),
    /// The files cannot be read.
    #[error("the trail cannot be read: {0}")]
    Unreadable(#[from] io::Error),
}

/// Gathers what is asked for from entries that it is shown, the newest first.
#[derive(Debug)]
pub struct Search<'a> {
    query: &'a Query,
    /// Whether no entry is older than those before it.
    is_sorted: bool,
    found: VecDeque<Arc<str>>,
    has_reached: bool,
}

impl<'a> Search<'a> {
    /// In the trail of one gateway.
    pub(super) fn new(query: &'a Query) -> Self {
        Self {
            is_sorted: true,
            ..Self::of_several(query)
        }
    }

    /// In entries of several gateways, which may be later than those that come after them.
    pub fn of_several(query: &'a Query) -> Self {
        Self {
            query,
            is_sorted: false,
            found: VecDeque::new(),
            has_reached: false,
        }
    }

    /// Looks at the entry before those that it was shown.
    pub fn look(&mut self, line: &[u8]) -> ControlFlow<()> {
        // Half a line, or what somebody else has written.
        let Some(head) = Head::of(line) else {
            return ControlFlow::Continue(());
        };
        let is_before = match &self.query.since {
            None => false,
            Some(Since::Entry(id)) => *id == head.id,
            Some(Since::Moment(moment)) => {
                let at = head.at.parse::<jiff::Timestamp>();
                at.is_ok_and(|at| at < *moment)
            }
        };
        let is_moment = matches!(self.query.since, Some(Since::Moment(_)));
        if is_before && is_moment && !self.is_sorted {
            return ControlFlow::Continue(());
        }
        if is_before {
            self.has_reached = true;
            return ControlFlow::Break(());
        }
        let is_wanted = self.query.services.as_ref().is_none_or(|services| {
            let mut services = services.iter();
            services.any(|service| head.service.as_deref() == Some(service))
        });
        if !is_wanted {
            return ControlFlow::Continue(());
        }
        if self.found.len() == self.query.limit {
            if self.query.since.is_none() {
                return ControlFlow::Break(());
            }
            // Those right after the beginning are wanted, and it is not reached yet.
            self.found.pop_back();
        }
        let line = String::from_utf8_lossy(line);
        self.found.push_front(Arc::from(line));
        ControlFlow::Continue(())
    }

    /// What was found, the newest last.
    ///
    /// # Errors
    /// When the entry was not shown after which others are asked for.
    pub fn end(self) -> Result<Vec<Arc<str>>, QueryError> {
        match &self.query.since {
            Some(Since::Entry(id)) if !self.has_reached => Err(QueryError::NoSuchEntry(id.clone())),
            _ => Ok(self.found.into()),
        }
    }
}

/// Looks in files.
pub(super) fn in_files(folder: &Path, query: &Query) -> Result<Vec<Arc<str>>, QueryError> {
    let mut search = Search::new(query);
    for file in &files::opened(folder)? {
        if files::backwards(file, |line| search.look(line))?.is_break() {
            break;
        }
    }
    search.end()
}
