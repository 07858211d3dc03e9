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
