//! The same flags in LaunchDarkly's engine.

use std::collections::HashMap;

use launchdarkly_server_sdk_evaluation::{Context, ContextBuilder, Flag, Segment, Store, evaluate};
use serde_json::{Value, json};

use super::{CANARIES, User, names, team};

/// Flags by name. Asked for one, LaunchDarkly's SDK makes a copy of it; here they are lent, in its favour.
pub(super) struct Engine {
    flags: HashMap<String, Flag>,
    users: Vec<Context>,
}

/// The variation that means "not in any ring".
const OFF: isize = 2;

impl Engine {
    pub(super) fn new(users: &[User]) -> Self {
        let flag = |(name, percent): (String, u16)| {
            let document = flag(&name, percent);
            let flag = serde_json::from_value(document).expect("a flag");
            (name, flag)
        };
        Self {
            flags: names().map(flag).collect(),
            users: users.iter().map(context).collect(),
        }
    }

    /// What a gateway would ask: the flags in order, until one is on.
    pub(super) fn first_on(&self, user: usize) -> Option<usize> {
        CANARIES.iter().position(|name| {
            let answer = evaluate(self, &self.flags[*name], &self.users[user], None);
            answer.variation_index.is_some_and(|index| index != OFF)
        })
    }
}

/// Asked for prerequisites and segments only, of which these flags have none.
impl Store for Engine {
    fn flag(&self, _: &str) -> Option<Flag> {
        None
    }

    fn segment(&self, _: &str) -> Option<Segment> {
        None
    }
}

fn context(user: &User) -> Context {
    let mut builder = ContextBuilder::new(user.id.as_str());
    builder.set_string("appVersion", user.version);
    builder.build().expect("a context")
}

/// A flag in the words of LaunchDarkly's server: a team by ID where it is a canary's, then a percentage, split evenly.
fn flag(name: &str, percent: u16) -> Value {
    let early = i32::from(percent) * 1_000;
    let rollout = |share: i32| {
        let weights = [share / 2, share / 2, 100_000 - share];
        let variations: Vec<_> = (0..).zip(weights).collect();
        let weighted =
            |&(variation, weight): &(i32, i32)| json!({ "variation": variation, "weight": weight });
        json!({ "variations": variations.iter().map(weighted).collect::<Vec<_>>() })
    };
    // There is no "at least" for versions: it is "not less".
    let version = json!({ "attribute": "appVersion", "op": "semVerLessThan", "negate": true, "values": ["10.1.0"] });
    let early = json!({ "id": "early", "clauses": [version], "rollout": rollout(early), "trackEvents": false });
    let of_the_team = json!({ "attribute": "key", "op": "in", "negate": false, "values": team() });
    let team = json!({ "id": "team", "clauses": [of_the_team], "rollout": rollout(100_000), "trackEvents": false });
    let rules = match CANARIES.contains(&name) {
        true => vec![team, early],
        false => vec![early],
    };
    json!({
        "key": name, "version": 1, "on": true, "salt": name,
        "targets": [], "prerequisites": [], "rules": rules,
        "fallthrough": { "variation": OFF }, "offVariation": OFF,
        "variations": ["http://127.0.0.1:9001", "", "off"],
        "clientSide": false,
    })
}
