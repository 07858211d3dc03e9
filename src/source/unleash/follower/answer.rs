//! What becomes of what a server says.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use http::HeaderValue;
use tokio::task::spawn_blocking;

use super::Follower;
use crate::clock;
use crate::engine::unleash::{DocumentError, FeatureSet};
use crate::publisher::{PublishError, Stopped};
use crate::source::unleash::Refreshed;
use crate::source::unleash::client::FetchError;
use crate::source::unleash::guard::Guard;
use crate::source::unleash::stored::Stored;
use crate::source::{Mode, Stage};

impl Follower {
    /// Takes a whole answer in.
    pub(super) async fn take_answer(
        &mut self,
        body: Bytes,
        etag: Option<HeaderValue>,
    ) -> Result<(), FetchError> {
        let patience = self.outages.borrow().removal_guard;
        let facts = self.status.server().unwrap_or_default();
        // Behind one address there may be servers that know less than the one that streams.
        let told = facts.revision.filter(|_| facts.mode == Mode::Streaming);
        self.change(move |guard| {
            let answer = FeatureSet::parse(&body)?;
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
        self.said.etag = etag;
        Ok(())
    }

    /// Takes told changes in. From now on there is no answer to compare the server's next one with.
    pub(super) async fn take_changes(&mut self, changes: Vec<Vec<u8>>) -> Result<(), FetchError> {
        let patience = self.outages.borrow().removal_guard;
        self.said.etag = None;
        self.change(move |guard| {
            let now = Instant::now();
            changes
                .iter()
                .try_for_each(|delta| guard.delta(delta, now, patience))
        })
        .await
    }

    /// Changes what the server said, away from the threads that others wait for: documents may be large. An error
    /// changes nothing.
    async fn change(
        &mut self,
        change: impl FnOnce(&mut Guard) -> Result<(), DocumentError> + Send + 'static,
    ) -> Result<(), FetchError> {
        let mut guard = self.said.guard.clone();
        let changed = spawn_blocking(move || change(&mut guard).map(|()| guard)).await;
        let unusable = match changed {
            Ok(Ok(guard)) => {
                self.note_held(&guard);
                self.said.guard = guard;
                return Ok(());
            }
            Ok(Err(error)) => error.to_string(),
            Err(panic) => format!("the answer cannot be read: {panic}"),
        };
        Err(FetchError::Unusable(unusable))
    }

    fn note_held(&self, guard: &Guard) {
        let (before, held) = (self.said.guard.held(), guard.held());
        if held == before || held.is_empty() {
            return;
        }
        let source = &self.config.name;
        tracing::warn!(
            %source,
            flags = held.len(),
            patience = ?self.outages.borrow().removal_guard,
            "the server's answer lacks so many flags that they are kept for a while; to let them go at once: \
             POST /api/v1/sources/{source}/accept"
        );
    }

    /// Something is wrong: said once, and shown as long as it is so.
    pub(super) fn note_trouble(&self, stage: Stage, error: &str) {
        if self.status.fail(stage, error.to_owned()) {
            tracing::warn!(source = %self.config.name, "{error}; the last good flags stay");
        }
    }

    /// The server has answered, and nothing is wrong.
    pub(super) fn note_answer(&self) {
        let [reading, content] =
            [Stage::Reading, Stage::Content].map(|stage| self.status.recover(stage));
        if reading || content {
            tracing::info!(source = %self.config.name, "the flag server answers again");
        }
        self.status.confirm();
    }

    /// Puts in force what is to be, if it is not, and has it kept. An answer that no snapshot can be made of is of no
    /// use: what was last good stays, and the next answer is a new attempt.
    pub(super) async fn publish(&mut self) -> Result<Result<Refreshed, FetchError>, Stopped> {
        let set = self.said.guard.in_force().clone();
        let held = self.said.guard.held();
        let before = self.said.published.as_ref();
        let is_known = before.is_some_and(|(known, kept)| *kept == held && *known == set);
        let (generation, is_new) = if is_known {
            (*self.publisher.generation().borrow(), false)
        } else {
            let flags = FeatureSet::clone(&set);
            let name = &self.config.name;
            let published = self.publisher.publish_flags(name, flags, held.clone());
            match published.await {
                Ok(published) => (published.generation, published.is_new),
                Err(PublishError::Stopped(stopped)) => return Err(stopped),
                Err(error @ PublishError::Failed(_)) => {
                    return Ok(Err(FetchError::Unusable(error.to_string())));
                }
            }
        };
        let nothing = Arc::default();
        let known = before.map_or(&nothing, |(known, _)| known);
        let refreshed = Refreshed {
            generation,
            is_new,
            held: held.clone(),
            ..Refreshed::between(known, &set)
        };
        self.status.note(|facts| {
            // Only now: whoever waits for it wants to see decisions made on it.
            facts.has_answered |= self.said.guard.has_answer();
            facts.revision = set.revision();
            facts.held.clone_from(&held);
        });
        self.said.published = Some((set.clone(), held));
        if refreshed.is_new {
            self.said.latest = Some(refreshed.clone());
        }
        self.keep(set);
        Ok(Ok(refreshed))
    }

    /// Has what is in force kept: the server has just said or confirmed it.
    fn keep(&self, set: Arc<FeatureSet>) {
        self.keeper.keep(Stored {
            source: self.config.name.clone(),
            url: self.config.url.as_str().into(),
            confirmed: clock::now(),
            set,
        });
    }
}
