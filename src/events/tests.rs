use std::sync::Arc;

use super::{EventId, EventKind, Events, Heard, KEPT, Listener, Missed};

fn recovered(source: &str) -> EventKind {
    EventKind::SourceRecovered {
        source: source.into(),
    }
}

#[tokio::test]
async fn every_listener_hears_what_is_told_after_it_began() {
    let events = Events::default();
    events.emit(recovered("early"));
    let mut listeners = [events.listen(), events.listen()];
    events.emit(recovered("late"));
    events.emit(EventKind::Stopping);
    for listener in &mut listeners {
        let mut heard = Vec::new();
        while let Some(Heard::Event(event)) = listener.next().await {
            heard.push(Arc::unwrap_or_clone(event).what);
        }
        assert_eq!(heard, [recovered("late"), EventKind::Stopping]);
    }
}

#[tokio::test]
async fn who_is_too_slow_learns_how_much_is_lost() {
    let events = Events::default();
    let mut slow = events.listen();
    for _ in 0..KEPT + 3 {
        events.emit(recovered("flags"));
    }
    assert_eq!(slow.next().await, Some(Heard::Lagged(3)));
    assert!(matches!(slow.next().await, Some(Heard::Event(_))));
}

/// The numbers of the events that have come by now.
async fn numbers(listener: &mut Listener, count: usize) -> Vec<u64> {
    let mut numbers = Vec::new();
    while numbers.len() < count {
        match listener.next().await {
            Some(Heard::Event(event)) => numbers.push(event.id.number),
            other => panic!("{other:?} after {numbers:?}"),
        }
    }
    numbers
}

#[tokio::test]
async fn who_comes_back_hears_each_event_once() {
    let events = Events::default();
    for _ in 0..3 {
        events.emit(recovered("flags"));
    }
    let first = events.resume(None);
    assert_eq!(
        (first.missed, first.after.number, first.kept.len()),
        (None, 3, 0)
    );
    events.emit(recovered("flags"));
    let last = EventId {
        number: 2,
        ..first.after
    };
    let mut again = events.resume(Some(last));
    events.emit(recovered("flags"));
    let kept: Vec<u64> = again.kept.iter().map(|event| event.id.number).collect();
    assert_eq!((again.missed, kept), (None, vec![3, 4]));
    assert_eq!(numbers(&mut again.listener, 1).await, [5]);
}

#[test]
fn who_was_away_too_long_learns_what_is_lost() {
    let events = Events::default();
    for _ in 0..KEPT + 5 {
        events.emit(recovered("flags"));
    }
    let now = events.resume(None).after;
    let all = u64::try_from(KEPT).unwrap();
    assert_eq!(now.number, all + 5);
    let of = |number, run| events.resume(Some(EventId { run, number }));
    for (number, run, missed, after) in [
        (5, now.run, None, 5),
        (4, now.run, Some(Missed::TooOld(1)), 5),
        (0, now.run, Some(Missed::TooOld(5)), 5),
        (7, now.run - 1, Some(Missed::Restarted(5)), 5),
        (all + 5, now.run, None, all + 5),
        (all + 6, now.run, Some(Missed::Unknown), all + 5),
    ] {
        let resumed = of(number, run);
        assert_eq!(
            (resumed.missed, resumed.after.number),
            (missed, after),
            "{number}"
        );
        let expected = usize::try_from(all + 5 - after).unwrap();
        assert_eq!(resumed.kept.len(), expected, "{number}");
    }
}
