//! A day in UTC has one exposure of a user: over midnight under load, and whatever becomes of the calendar.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use futures_util::future::join_all;
use jiff::Timestamp;
use serde_json::Value;
use tempfile::TempDir;

use super::exposures::{CONFIG, kept, recorded, text};
use crate::harness::calendar::Calendar;
use crate::harness::{Gateway, Origin, Setup, eventually, fill, get};

const USERS: usize = 12;

/// The next midnight in UTC from when the test began, in seconds since 1970-01-01.
static MIDNIGHT: LazyLock<i64> = LazyLock::new(|| {
    let days = Timestamp::now().as_second().div_euclid(24 * HOUR);
    (days + 1) * 24 * HOUR
});

/// How far ahead a calendar is that shows this many seconds after midnight now.
fn ahead(after_midnight: i64) -> String {
    let now = Timestamp::now().as_second();
    format!("{:+}s", *MIDNIGHT + after_midnight - now)
}

/// The day that begins at midnight, or one so many days later.
fn day(later: i64) -> String {
    let begin = Timestamp::from_second(*MIDNIGHT + later * 24 * HOUR);
    begin.expect("a moment").to_string()[..10].to_owned()
}

const HOUR: i64 = 60 * 60;
const NOON: i64 = 12 * HOUR;

async fn ask_all(gateway: &Gateway) {
    let answers = (0..USERS).map(|user| gateway.send(get("/").user(&format!("u{user}"))));
    for answer in join_all(answers).await {
        assert_eq!(answer.status, 200);
    }
}

/// Sets the calendar, and waits until the gateway goes by it: a stranger is recorded at that time.
async fn set(gateway: &Gateway, calendar: &Calendar, name: &str, after_midnight: i64) {
    calendar.set(&ahead(after_midnight));
    let hour = format!("T{:02}:", after_midnight.rem_euclid(24 * HOUR) / HOUR);
    let date = day(after_midnight.div_euclid(24 * HOUR));
    let mut strangers = 0..;
    eventually("the calendar", || {
        let stranger = format!("{name}-{}", strangers.next().unwrap_or(0));
        let shown = date.clone() + &hour;
        async move {
            gateway.get_as(&stranger, "/").await;
            let found = recorded(gateway, &format!("&user={stranger}")).await;
            let time = found.first().map(|one| text(one, "time").to_owned())?;
            time.starts_with(&shown).then_some(())
        }
    })
    .await;
}

/// What is recorded of the users, once all that they did is: a stranger comes after them.
async fn settled(gateway: &Gateway, stranger: &str) -> Vec<Value> {
    let found = eventually("the stranger's exposure", || async {
        gateway.get_as(stranger, "/").await;
        let found = recorded(gateway, "").await;
        let has_come = found.iter().any(|one| text(one, "user") == stranger);
        has_come.then_some(found)
    })
    .await;
    let own = found.into_iter();
    own.filter(|one| text(one, "user").starts_with('u'))
        .collect()
}

/// Asserts that every user is recorded once on each of these days.
fn assert_once_each(found: &[Value], days: &[String]) {
    let of = |one: &Value| {
        (
            text(one, "user").to_owned(),
            text(one, "time")[..10].to_owned(),
        )
    };
    let once: BTreeSet<(String, String)> = found.iter().map(of).collect();
    let users = (0..USERS).map(|user| format!("u{user}"));
    let expected = users.flat_map(|user| days.iter().map(move |day| (user.clone(), day.clone())));
    assert_eq!(once, expected.collect());
    let ids: BTreeSet<&str> = found.iter().map(|one| text(one, "id")).collect();
    assert_eq!((found.len(), ids.len()), (once.len(), once.len()));
}

/// Users who come all the time have one exposure before midnight, and one after it.
async fn pass_midnight(gateway: &Gateway, calendar: &Calendar) {
    calendar.set(&ahead(-2));
    eventually("the next day", || async {
        ask_all(gateway).await;
        let found = recorded(gateway, "").await;
        let after = found
            .iter()
            .filter(|one| text(one, "time").starts_with(&day(0)));
        (after.count() == USERS).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_day_has_one_exposure_of_a_user_whatever_becomes_of_the_calendar() {
    let (stable, canary) = (Origin::start("stable").await, Origin::start("canary").await);
    let folder = TempDir::new().expect("a folder");
    let setup = || Setup::new(kept(&fill(CONFIG, [&stable, &canary]), &folder));
    let calendar = Calendar::new(&ahead(-NOON));
    let mut gateway = calendar.of(setup()).start().await;
    let days = [day(-1), day(0)];
    ask_all(&gateway).await;
    pass_midnight(&gateway, &calendar).await;
    let before = settled(&gateway, "stranger-0").await;
    assert_once_each(&before, &days);
    // It is set back and forward over midnight: both days have all their exposures already.
    for (turn, time) in [-NOON, NOON, -2 * HOUR, 2 * HOUR].into_iter().enumerate() {
        set(&gateway, &calendar, &format!("first-{turn}"), time).await;
        ask_all(&gateway).await;
        let after = settled(&gateway, &format!("stranger-1{turn}")).await;
        assert_eq!(after, before, "turn {turn}");
    }
    // Nor does the next process record them anew, which knows no other calendar than the one that is set.
    gateway.sigkill();
    gateway.await_exit().await;
    calendar.set(&ahead(-NOON));
    let gateway = calendar.of(setup()).start().await;
    for (turn, time) in [-NOON, NOON].into_iter().enumerate() {
        set(&gateway, &calendar, &format!("second-{turn}"), time).await;
        ask_all(&gateway).await;
        let after = settled(&gateway, &format!("stranger-2{turn}")).await;
        assert_eq!(after, before, "turn {turn} after the restart");
    }
    // A day that nobody has seen has its own.
    set(&gateway, &calendar, "third", NOON + 24 * HOUR).await;
    ask_all(&gateway).await;
    let after = settled(&gateway, "stranger-3").await;
    assert_eq!(after[..before.len()], before);
    assert_once_each(&after, &[day(-1), day(0), day(1)]);
}
