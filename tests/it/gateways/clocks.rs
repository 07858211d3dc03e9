//! Calendars that are set ten days forward or back (by Debian's libfaketime; what a process measures time with runs on): no
//! lease that was renewed ends, none that is over comes back, and kills hold.

use hyper::Method;
use jiff::{Timestamp, ToSpan as _};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{House, Member, agreed, canary, happened};
use crate::harness::calendar::Calendar;
use crate::harness::{Setup, eventually, post};

fn cats(url: &str, ttl: &str) -> Value {
    json!({ "url": url, "ttl": ttl, "rings": [{ "name": "cat", "segment": "cat" }] })
}

/// Registers what is kept for half an hour, what is over after a second, and what is killed.
async fn prepare(member: &Member, house: &House) {
    member.register("kept", &house.canary.url()).await;
    let over = cats(&house.other.url(), "1s");
    member.done(Method::PUT, &canary("over"), &over).await;
    let killed = json!({ "url": house.other.url(), "ttl": "30m", "rings": [{ "name": "dan", "segment": "dan" }] });
    member.done(Method::PUT, &canary("killed"), &killed).await;
    member.order("killed", "kill").await;
    member.await_state("kept", "ready").await;
    member.await_state("killed", "ready").await;
    member.await_state("over", "over").await;
}

async fn assert_unmoved(member: &Member, when: &str) {
    // That of Git, which cats get while nobody else has them, is no canary of a pipeline.
    for (user, origins) in [
        ("ann", ["canary"; 2]),
        ("cat", ["stable", "canary"]),
        ("dan", ["stable"; 2]),
    ] {
        let served = member.served(user).await;
        assert!(
            origins.contains(&&*served.0),
            "{when}: {user} is at {served:?}"
        );
    }
    for (name, state) in [("kept", "ready"), ("over", "over"), ("killed", "ready")] {
        let shown = member.shown(&canary(name)).await;
        assert_eq!(shown["state"], state, "{when}: {name} {shown:#}");
    }
}

/// The end of a lease of half an hour that was renewed in the last minutes, by a calendar that shows `now`.
async fn assert_ends_in_time(member: &Member, name: &str, now: Timestamp) {
    let lease = member.shown(&canary(name)).await["lease"].take();
    let end = lease["expires_at"].as_str().expect("a text");
    let end: Timestamp = end.parse().expect("a moment");
    let expected = (now + 25.minutes())..(now + 31.minutes());
    assert!(expected.contains(&end), "{lease} at {now}");
}

async fn restart(member: &mut Member, setup: Setup) {
    member.gateway.terminate().await;
    member.gateway = setup.start().await;
}

#[tokio::test]
async fn a_calendar_that_is_set_ends_no_lease_and_revives_none() {
    let house = House::new().await;
    for (ahead, hours) in [("+10d", 240), ("-10d", -240)] {
        let state = TempDir::new().expect("a folder");
        let calendar = Calendar::new("+0");
        let gateway = calendar.of(house.alone(&state)).start().await;
        let mut member = Member { gateway, state };
        prepare(&member, &house).await;
        let short = cats(&house.other.url(), "3s");
        member.done(Method::PUT, &canary("short"), &short).await;
        calendar.set(ahead);
        member.gateway.await_log("the calendar was set").await;
        assert_unmoved(&member, ahead).await;
        // It ends as if nothing had been.
        member.await_state("short", "over").await;
        // The next process knows no other calendar than the one that is set.
        member
            .gateway
            .await_log("leases are stored by the calendar")
            .await;
        let setup = calendar.of(house.alone(&member.state));
        restart(&mut member, setup).await;
        assert_unmoved(&member, ahead).await;
        assert_ends_in_time(&member, "kept", Timestamp::now() + hours.hours()).await;
        member.order("kept", "renew").await;
        assert_unmoved(&member, ahead).await;
        assert_ends_in_time(&member, "kept", Timestamp::now() + hours.hours()).await;
    }
}

#[tokio::test]
async fn a_calendar_that_is_set_while_nobody_looks_gives_no_lease_more_than_its_time() {
    let house = House::new().await;
    let state = TempDir::new().expect("a folder");
    let calendar = Calendar::new("+10d");
    let gateway = calendar.of(house.alone(&state)).start().await;
    let mut member = Member { gateway, state };
    prepare(&member, &house).await;
    // Ten days back, as far as the next process can tell: the lease was renewed in the future.
    calendar.set("+0");
    let setup = calendar.of(house.alone(&member.state));
    restart(&mut member, setup).await;
    assert_unmoved(&member, "back").await;
    assert_ends_in_time(&member, "kept", Timestamp::now()).await;
    member.order("kept", "renew").await;
    // Ten days forward: they may have passed, so that it is over, and what is registered anew is not.
    calendar.set("+10d");
    let setup = calendar.of(house.alone(&member.state));
    restart(&mut member, setup).await;
    eventually("a lease that was over long ago to be forgotten", || async {
        (member.gateway.admin(&canary("kept")).await.status == 404).then_some(())
    })
    .await;
    for user in ["ann", "dan"] {
        assert_eq!(member.served(user).await.0, "stable");
    }
    member.register("kept", &house.canary.url()).await;
    member.await_state("kept", "ready").await;
    assert_eq!(member.served("ann").await.0, "canary");
}

async fn with_calendar(house: &House, calendar: &Calendar) -> Member {
    let state = TempDir::new().expect("a folder");
    let gateway = calendar.of(house.setup(&state)).start().await;
    Member { gateway, state }
}

/// A lease of seconds that one gateway is told of ends at all of them: by then each has looked at its calendar.
async fn outlive_a_short_lease(members: &[Member], house: &House, when: &str) {
    let name = &format!("short{}", when.replace('+', "-in-"));
    let short = cats(&house.other.url(), "2s");
    members[0].done(Method::PUT, &canary(name), &short).await;
    for member in members {
        member.await_state(name, "over").await;
    }
}

#[tokio::test]
async fn with_redis_a_wrong_calendar_of_one_gateway_is_nobodys_trouble() {
    let house = House::new().await;
    let calendar = Calendar::new("+0");
    let odd = with_calendar(&house, &calendar).await;
    let mut members = [odd, house.member().await, house.member().await];
    prepare(&members[0], &house).await;
    for ahead in ["-10d", "+10d"] {
        calendar.set(ahead);
        outlive_a_short_lease(&members, &house, ahead).await;
        members[0].order("kept", "renew").await;
        agreed(&members).await;
        for member in &members {
            assert_unmoved(member, ahead).await;
            assert_ends_in_time(member, "kept", Timestamp::now()).await;
        }
        let setup = calendar.of(house.setup(&members[0].state));
        restart(&mut members[0], setup).await;
        assert_unmoved(&members[0], ahead).await;
    }
    // A gateway that is new, and was never right, ends nothing either.
    for ahead in ["+10d", "-10d"] {
        let newcomer = with_calendar(&house, &Calendar::new(ahead)).await;
        assert_unmoved(&newcomer, ahead).await;
        newcomer.order("kept", "renew").await;
        assert_unmoved(&members[1], ahead).await;
        assert_ends_in_time(&members[1], "kept", Timestamp::now()).await;
    }
    let told = agreed(&members).await;
    assert_eq!(happened(&told, "kept"), ["registered", "ready"]);
    let gone = members[2]
        .done(Method::DELETE, &canary("kept"), &Value::Null)
        .await;
    assert_eq!(gone["state"], "over");
    let told = agreed(&members).await;
    assert_eq!(told["canaries"]["search.kept"]["state"], "over");
}

#[tokio::test]
async fn a_gateway_that_started_with_a_wrong_calendar_and_without_redis_is_right_with_it() {
    for ahead in ["+10d", "-10d"] {
        let mut house = House::new().await;
        let calendar = Calendar::new("+0");
        let mut odd = with_calendar(&house, &calendar).await;
        let other = house.member().await;
        prepare(&odd, &house).await;
        agreed_on_kept(&[&odd, &other]).await;
        odd.gateway.terminate().await;
        house.redis.kill();
        calendar.set(ahead);
        odd.gateway = calendar.of(house.setup(&odd.state)).start().await;
        house.redis.start_again().await;
        eventually("users on their canary", || async {
            (odd.served("ann").await.0 == "canary").then_some(())
        })
        .await;
        agreed_on_kept(&[&odd, &other]).await;
        for member in [&odd, &other] {
            assert_unmoved(member, ahead).await;
        }
    }
}

/// Waits until gateways hear of Redis, and of the same renewal.
async fn agreed_on_kept(members: &[&Member]) {
    eventually("a gateway that takes a renewal", || async {
        let renew = post(&format!("{}/renew", canary("kept")), "");
        let renewed = members[0].gateway.admin_send(renew).await;
        (renewed.status == 200).then_some(())
    })
    .await;
    one_end(members).await;
}

/// Waits until the lease ends at the same moment at all gateways.
async fn one_end(members: &[&Member]) {
    eventually("one end of the lease everywhere", || async {
        let mut leases = Vec::new();
        for member in members {
            leases.push(member.shown(&canary("kept")).await["lease"].take());
        }
        leases.iter().all(|lease| *lease == leases[0]).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_redis_that_has_another_time_all_of_a_sudden_ends_no_lease() {
    let calendar = Calendar::new("+0");
    let mut house = House::new().await;
    house.redis = calendar.redis().await;
    let mut members = house.three().await;
    prepare(&members[0], &house).await;
    for (ahead, hours) in [("+10d", 240), ("-10d", -240)] {
        calendar.set(ahead);
        for member in &members {
            member.gateway.await_log("the calendar was set").await;
        }
        outlive_a_short_lease(&members, &house, ahead).await;
        for member in &members {
            assert_unmoved(member, ahead).await;
            assert_ends_in_time(member, "kept", Timestamp::now() + hours.hours()).await;
        }
        one_end(&members.each_ref()).await;
        // One that has seen nothing of it, and knows what is stored alone.
        let setup = house.setup(&members[2].state);
        restart(&mut members[2], setup).await;
        assert_unmoved(&members[2], ahead).await;
        let newcomer = house.member().await;
        assert_unmoved(&newcomer, ahead).await;
        assert_ends_in_time(&newcomer, "kept", Timestamp::now() + hours.hours()).await;
    }
}
