//! The marks that requests look at.

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use crate::canary::{Withdrawal, WithdrawalFlag};

/// The marks that snapshots hold, by service and flag.
#[derive(Debug, Default)]
pub(super) struct Marks(HashMap<Box<str>, HashMap<Box<str>, Weak<WithdrawalFlag>>>);

impl Marks {
    /// The one mark of a flag's canaries in a service. A new one says what `standing` does.
    pub(super) fn get_or_make(
        &mut self,
        service: &str,
        flag: &str,
        standing: impl FnOnce() -> Option<Withdrawal>,
    ) -> Arc<WithdrawalFlag> {
        let held = self.0.get(service).and_then(|marks| marks.get(flag));
        if let Some(mark) = held.and_then(Weak::upgrade) {
            return mark;
        }
        let mark = Arc::new(WithdrawalFlag::new(standing()));
        let of_service = self.0.entry(service.into()).or_default();
        of_service.insert(flag.into(), Arc::downgrade(&mark));
        mark
    }

    /// Every mark that something holds.
    pub(super) fn all(&self) -> impl Iterator<Item = (&str, &str, Arc<WithdrawalFlag>)> {
        self.0.iter().flat_map(|(service, marks)| {
            marks
                .iter()
                .filter_map(move |(flag, mark)| Some((&**service, &**flag, mark.upgrade()?)))
        })
    }

    /// Forgets the marks that nothing holds.
    pub(super) fn sweep(&mut self) {
        for marks in self.0.values_mut() {
            marks.retain(|_, mark| mark.strong_count() > 0);
        }
        self.0.retain(|_, marks| !marks.is_empty());
    }
}
