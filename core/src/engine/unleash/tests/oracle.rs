//! A million evaluations, held against the engine that Unleash publishes.
//!
//! Where ours answers otherwise on purpose, the generator does not go or the comparison says so:
//!
//! * What theirs draws by lot is not compared: a default stickiness below 100 % for a user with neither ID, and variants
//!   without an ID to choose by. Ours is off there, or has no variant. The stickiness `random` and the strategy
//!   `gradualRolloutRandom` are off but at 100 %; `currentTime` as stickiness is as random.
//! * An empty text is a missing one. Theirs hashes and compares it.
//! * Theirs puts names and values into a text that it parses: `5 or true` is a rule there, and no number here.
//! * A strategy that says that it is disabled takes nobody; theirs does not know the word.
//! * What theirs refuses with the whole answer (a member of the wrong type) is told here, and spoils its own flag, or
//!   less than that: the second test.
//! * Addresses are compared as addresses: in any way to write them, IPv4 within IPv6 too.
//! * A parent's rollout without a `groupId` is hashed with the parent's name; theirs takes the child's.
//! * A dependency on a parent that is off does not ask for its variant. Theirs does, though there is none to be had.

mod generate;

use std::collections::HashMap;

use unleash_yggdrasil::{ClientFeatures, Context as TheirContext, EngineState, ExtendedVariantDef};

use super::{Compiled, Stage, set};
use crate::context::{Context, Moment};
use crate::engine::evaluation::{RingVerdict, VariantSelection};
use crate::engine::tests::Dice;
use crate::engine::trace::{Purpose, Trace};
use crate::engine::{Flag, Ring, RingIndex, Stickiness, Variants};
use generate::{User, spoil, user};

pub(super) use generate::document as generated;

const EVALUATIONS: usize = 1_000_000;
const DOCUMENTS: usize = 50;
const FLAGS: usize = 200;
const USERS: usize = EVALUATIONS / DOCUMENTS / FLAGS;

/// At most this many seconds of CPU for all of it, their part included.
const SECONDS: u64 = 60;

#[test]
fn a_million_evaluations_agree_with_the_published_engine() {
    let start = cpu_nanoseconds();
    let mut dice = Dice(20_261_122);
    let mut tally = Tally::default();
    for _ in 0..DOCUMENTS {
        let json = generated(&mut dice, FLAGS);
        let theirs = engine(&json);
        let mut stage = Stage::new();
        let ours = stage.compile(&set(&json), None);
        for _ in 0..USERS {
            let user = user(&mut dice);
            let (context, their_context) = (user.context(&stage), user.their_context(&stage));
            for flag in &ours.flags {
                tally.compare(flag, &context, user.moment, &theirs, &their_context, &json);
            }
        }
        tally.broken += broken(&ours);
    }
    tally.check();
    let seconds = (cpu_nanoseconds() - start) / 1_000_000_000;
    println!("{tally:?} in {seconds} s of CPU");
    assert!(seconds < SECONDS, "{seconds} s of CPU");
}

/// How many documents, each with one flag that something is wrong with.
const SPOILT: usize = 600;

#[test]
fn what_cannot_be_read_spoils_no_other_flag() {
    let mut dice = Dice(20_261_127);
    let mut tally = Tally::default();
    let (mut refused, mut told) = (0, 0);
    for _ in 0..SPOILT {
        let mut json = generated(&mut dice, 30);
        let features = json["features"].as_array_mut().expect("a list");
        // No parent: what depends on it would be spoilt as well.
        let index = 3 + dice.roll(features.len() - 3);
        let name = features[index]["name"].as_str().expect("a name").to_owned();
        spoil(&mut dice, &mut features[index]);
        let mut stage = Stage::new();
        let ours = stage.compile(&set(&json), None);
        // Theirs takes all of it or nothing.
        let taken = serde_json::from_value::<ClientFeatures>(json.clone()).is_ok();
        if !taken {
            refused += 1;
            told += usize::from(
                ours.warnings
                    .iter()
                    .any(|text| text.contains(&format!("{name:?}"))),
            );
            let features = json["features"].as_array_mut().expect("a list");
            features.remove(index);
        }
        let theirs = engine(&json);
        let user = user(&mut dice);
        let (context, their_context) = (user.context(&stage), user.their_context(&stage));
        for flag in &ours.flags {
            // A child of the flag that theirs is not shown has no parent there.
            let depends = flag.dependencies.iter().any(|one| *one.name == *name);
            if taken || *flag.name != *name && !depends {
                tally.compare(flag, &context, user.moment, &theirs, &their_context, &json);
            }
        }
    }
    println!("{tally:?}, {refused} refused as a whole by theirs, {told} told here");
    assert!(refused > SPOILT / 3 && refused < SPOILT, "{refused}");
    // Nothing is told of what only people read.
    assert!(told > refused * 9 / 10, "{told} of {refused}");
}

/// What this thread has used (`proc_pid_schedstat(5)`): others' work on the machine is not in it.
fn cpu_nanoseconds() -> u64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").expect("Linux");
    let first = text
        .split(' ')
        .next()
        .and_then(|number| number.parse().ok());
    first.expect("nanoseconds")
}

fn engine(json: &serde_json::Value) -> EngineState {
    let features: ClientFeatures = serde_json::from_value(json.clone()).expect("their form");
    let engine = EngineState::default();
    engine.apply_client_features(features);
    engine
}

fn broken(compiled: &Compiled) -> usize {
    let warnings = compiled.warnings.iter();
    warnings.filter(|text| text.contains("it is off: ")).count()
}

/// How it went.
#[derive(Debug, Default)]
struct Tally {
    compared: usize,
    on: usize,
    with_variant: usize,
    by_lot: usize,
    broken: usize,
}

impl Tally {
    fn compare(
        &mut self,
        flag: &Flag,
        context: &Context<'_>,
        moment: Moment,
        theirs: &EngineState,
        their_context: &TheirContext,
        json: &serde_json::Value,
    ) {
        let mut lots = Lots::default();
        let evaluation = flag.evaluate(context, moment, &mut lots);
        if lots.rollout {
            self.by_lot += 1;
            return;
        }
        let answer = theirs.get_variant(&flag.name, their_context, &None);
        let variant = evaluation.variant.and_then(|at| flag.variant(at));
        let same_variant = lots.variant || same(variant.map(|variant| &*variant.name), &answer);
        if evaluation.on != answer.feature_enabled || !same_variant {
            let features = json["features"].as_array().into_iter().flatten();
            let features: Vec<_> = features.filter(|one| one["name"] == *flag.name).collect();
            panic!(
                "{evaluation:?} {variant:?}, theirs {answer:?}\n{their_context:?}\n{features:#?}\n{flag:#?}"
            );
        }
        self.compared += 1;
        self.on += usize::from(evaluation.on);
        self.with_variant += usize::from(variant.is_some());
        self.by_lot += usize::from(lots.variant);
    }

    /// A comparison in which nearly everything is off, or nearly nothing broken, would prove little.
    fn check(&self) {
        assert_eq!(EVALUATIONS, DOCUMENTS * FLAGS * USERS);
        let share = |count: usize| 100 * count / EVALUATIONS;
        assert!(share(self.compared) >= 90, "{self:?}");
        assert!((20..=80).contains(&share(self.on)), "{self:?}");
        assert!(share(self.with_variant) >= 10, "{self:?}");
        assert!(self.broken >= DOCUMENTS, "{self:?}");
    }
}

fn same(ours: Option<&str>, theirs: &ExtendedVariantDef) -> bool {
    match ours {
        Some(name) => theirs.enabled && theirs.name == name,
        None => !theirs.enabled,
    }
}

/// Watches for what theirs draws by lot.
#[derive(Default)]
struct Lots {
    asked: Option<Stickiness>,
    rollout: bool,
    variant: bool,
}

impl<'a> Trace<'a> for Lots {
    fn ring_begin(&mut self, _index: RingIndex, ring: &'a Ring, _purpose: Purpose) {
        self.asked = Some(ring.rollout.stickiness);
    }

    fn ring_end(&mut self, verdict: RingVerdict<'a>) {
        self.rollout |= verdict == RingVerdict::NoId && self.asked == Some(Stickiness::Default);
    }

    fn variant_selected(&mut self, _variants: &'a Variants, selection: VariantSelection<'a>) {
        self.variant |= selection == VariantSelection::NoId;
    }

    fn dependency_end(&mut self, met: bool) {
        // A child that asks for the variant of a parent that has none for this user.
        self.rollout |= self.variant && !met;
        self.variant = false;
    }
}

impl User {
    fn context<'u>(&'u self, stage: &Stage) -> Context<'u> {
        let values = self.values.iter();
        let values: Vec<_> = values
            .map(|(name, value)| (*name, value.as_str()))
            .collect();
        stage.context(&values)
    }

    /// Without what is empty.
    fn their_context(&self, stage: &Stage) -> TheirContext {
        let known = |name: &str| {
            let mut values = self.values.iter();
            let found = values.find(|(known, value)| *known == name && !value.is_empty());
            found.map(|(_, value)| value.clone())
        };
        let own = ["userId", "sessionId", "remoteAddress"];
        let properties = self.values.iter();
        let properties =
            properties.filter(|(name, value)| !own.contains(name) && !value.is_empty());
        let properties = properties.map(|(name, value)| ((*name).to_owned(), value.clone()));
        TheirContext {
            user_id: known("userId"),
            session_id: known("sessionId"),
            remote_address: known("remoteAddress"),
            current_time: Some(self.moment.to_string()),
            environment: stage.environment.clone(),
            app_name: Some(stage.app_name.clone()),
            properties: Some(properties.collect::<HashMap<_, _>>()),
        }
    }
}
