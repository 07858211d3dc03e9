//! Answers to those who have given orders.

use super::local::Durable;
use super::{Answer, StoreError, Stored};

pub(super) fn respond(answer: Answer, result: Result<Stored, StoreError>) {
    // Whoever asked may have gone away.
    drop(answer.send(result));
}

/// Answers when the copy is on the disk, or cannot be, without having the task wait for that.
pub(super) fn answer_when(
    durable: Durable,
    answer: Answer,
    judge: impl FnOnce(Result<(), StoreError>) -> Result<Stored, StoreError> + Send + 'static,
) {
    tokio::spawn(async move {
        let durable = durable.await.unwrap_or(Err(StoreError::Stopped));
        respond(answer, judge(durable));
    });
}

/// Answers a write that Redis has carried out: when the copy is on the disk, or cannot be. Where it is `known` where that stands, at
/// once: Redis holds a lease that was renewed, and the file, which has the registration already, follows.
pub(super) fn answer_shared(durable: Durable, answer: Answer, known: Option<Stored>) {
    match known {
        Some(stored) => respond(answer, Ok(stored)),
        None => answer_when(durable, answer, |durable| {
            Ok(match durable {
                Ok(()) => Stored::EVERYWHERE,
                Err(_) => Stored::ELSEWHERE,
            })
        }),
    }
}
