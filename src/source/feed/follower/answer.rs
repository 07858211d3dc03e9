//! From an answer or a change to what is in force.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use http::HeaderValue;
use tokio::task::spawn_blocking;

use super::Follower;
use crate::clock;
use crate::engine::source::SourceSet;
use crate::publisher::{PublishError, Stopped};
use crate::source::feed::flag_server::{FetchError, FlagServer};
use crate::source::feed::refreshed::Refreshed;
use crate::source::feed::removal_guard::RemovalGuard;
use crate::source::feed::stored::StoredSet;
use crate::source::{FeedMode, Stage};

impl<S: FlagServer> Follower<S> {
    /// Reads an answer with all flags.
    pub(super) async fn read_answer(
        &mut self,
        body: Bytes,
        tag: Option<HeaderValue>,
    ) -> Result<(), FetchError> {
        let patience = self.outages.borrow().removal_guard;
        let facts = self.status.server().unwrap_or_default();
        // Behind one address there may be servers that know less than the one that streams.
        let told = facts.revision.filter(|_| facts.mode == FeedMode::Streaming);
        self.change(move |guard| {
            let answer = S::read(&body)?;
            if answer
                .revision()
                .zip(told)
                .is_some_and(|(said, told)| said < told)
            {
                return Ok(());
            }
            let answer = answer.share(guard.in_force());
            guard.full(answer, Instant::now(), patience);
            Ok(())
        })
        .await?;
        self.latest.tag = tag;
        Ok(())
    }

    /// Makes changes that the stream brought. From then on there is no answer to compare the server's next one with.
    pub(super) async fn make_changes(&mut self, changes: Vec<Vec<u8>>) -> Result<(), FetchError> {
        let patience = self.outages.borrow().removal_guard;
        self.latest.tag = None;
        self.change(move |guard| {
            let now = Instant::now();
            changes
                .iter()
                .try_for_each(|data| S::apply(data, guard, now, patience))
        })
        .await
    }

    /// Changes what the server said, on a thread for slow work: documents may be large. An error changes nothing.
    async fn change(
        &mut self,
        change: impl FnOnce(&mut RemovalGuard) -> Result<(), FetchError> + Send + 'static,
    ) -> Result<(), FetchError> {
        let mut guard = self.latest.guard.clone();
        let changed = spawn_blocking(move || change(&mut guard).map(|()| guard)).await;
        let guard = changed.unwrap_or_else(|panic| {
            let why = format!("the answer cannot be read: {panic}");
            Err(FetchError::Unusable(why))
        })?;
        self.note_held(&guard);
        self.latest.guard = guard;
        Ok(())
    }

    fn note_held(&self, guard: &RemovalGuard) {
        let (before, held) = (self.latest.guard.held(), guard.held());
        if held == before || held.is_empty() {
            return;
        }
        let source = self.config.name();
        tracing::warn!(
            %source,
            flags = held.len(),
            patience = ?self.outages.borrow().removal_guard,
            "the server's answer lacks so many flags that they are kept for a while; to let them go at once: \
             POST /api/v1/sources/{source}/accept"
        );
    }

    /// Notes that something is wrong, which is logged once and shown as long as it lasts.
    pub(super) fn note_trouble(&self, stage: Stage, error: &str) {
        if self.status.fail(stage, error.to_owned()) {
            tracing::warn!(source = %self.config.name(), "{error}; the last good flags stay");
        }
    }

    /// Notes that the server has answered, and that nothing is wrong.
    pub(super) fn note_answer(&self) {
        let [reading, content] =
            [Stage::Reading, Stage::Content].map(|stage| self.status.recover(stage));
        if reading || content {
            tracing::info!(source = %self.config.name(), "the flag server answers again");
        }
        self.status.confirm();
    }

    /// Puts the guard's flags in force, if they are not, and has them stored. An answer that no snapshot can be made of is
    /// of no use: the last good flags stay, and the next answer is a new attempt.
    pub(super) async fn publish(&mut self) -> Result<Result<Refreshed, FetchError>, Stopped> {
        let set = self.latest.guard.in_force().clone();
        let held = self.latest.guard.held();
        let before = self.latest.published.as_ref();
        let is_known = before.is_some_and(|(known, kept)| *kept == held && *known == set);
        let (generation, is_new) = if is_known {
            (*self.publisher.generation().borrow(), false)
        } else {
            let flags = SourceSet::clone(&set);
            let name = self.config.name();
            let published = self.publisher.publish_flags(name, flags, held.clone());
            match published.await {
                Ok(published) => (published.generation, published.is_new),
                Err(PublishError::Stopped(stopped)) => return Err(stopped),
                Err(error @ PublishError::Failed(_)) => {
                    return Ok(Err(FetchError::Unusable(error.to_string())));
                }
            }
        };
        let nothing = Arc::new(SourceSet::empty(set.kind()));
        let known = before.map_or(&nothing, |(known, _)| known);
        let refreshed = Refreshed {
            generation,
            is_new,
            held: held.clone(),
            ..Refreshed::between(known, &set)
        };
        self.status.note(|facts| {
            // Only now: readiness waits for decisions that are made on it.
            facts.has_answered |= self.latest.guard.has_answer();
            facts.revision = set.revision();
            facts.held.clone_from(&held);
        });
        self.latest.published = Some((set.clone(), held));
        if refreshed.is_new {
            self.latest.change = Some(refreshed.clone());
        }
        self.store(set);
        Ok(Ok(refreshed))
    }

    /// Has the flags in force stored: the server has just sent or confirmed them.
    fn store(&self, set: Arc<SourceSet>) {
        self.backup.keep(StoredSet {
            source: self.config.name().clone(),
            url: self.config.url().as_str().into(),
            confirmed: clock::now(),
            set,
        });
    }
}
