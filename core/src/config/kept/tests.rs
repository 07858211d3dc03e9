use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value, json};

use super::{CompiledKept, Document, Documents, Earlier, KeptDocuments, Subject};
use crate::config::Config;
use crate::config::document::FieldProblem;
use crate::config::tests::config;
use crate::context::{Context, Moment};
use crate::engine::Flag;
use crate::engine::origin::Origin;
use crate::engine::trace::Silent;

const NOW: Moment = Moment {
    unix_ms: 1_800_000_000_000,
};

const FILE: &str = "
services: { search: { stable: 'http://127.0.0.1:1' } }
routes: [{ service: search }]
identity: { user_id: [{ header: x-user, trust: anyone }], properties: { plan: { header: x-plan } } }
segments: { Team: { userId: [ann, bob] } }
canary_urls: { allow: [127.0.0.0/8], ports: [1-65535] }
";

fn documents(all: &[(&str, Value)]) -> Documents {
    let one =
        |(name, json): &(&str, Value)| ((*name).into(), Arc::new(Document::new(json.clone())));
    all.iter().map(one).collect()
}

fn kept(flags: &[(&str, Value)], segments: &[(&str, Value)]) -> KeptDocuments {
    KeptDocuments {
        flags: documents(flags),
        segments: documents(segments),
    }
}

fn compiled(flags: &[(&str, Value)], segments: &[(&str, Value)]) -> CompiledKept {
    kept(flags, segments).compile(&config(FILE), NOW, None)
}

fn on(flag: &Flag, user: &str) -> bool {
    let context = Context {
        user_id: Some(user.into()),
        ..Context::default()
    };
    flag.evaluate(&context, NOW, &mut Silent).on
}

fn told(problems: &[FieldProblem]) -> Vec<(&str, String)> {
    let told = problems.iter();
    told.map(|one| (&*one.pointer, one.in_one_line())).collect()
}

fn ranker() -> Value {
    json!({
        "url": "http://127.0.0.1:9001", "owner": "search-team",
        "rings": [{ "name": "team", "segment": "Team" }, { "name": "new", "segments": ["New"], "rollout": "50%" }],
    })
}

#[test]
fn a_document_is_the_flag_that_the_same_words_in_the_file_are() {
    let new = json!({ "plan": "new" });
    let compiled = compiled(&[("search.a", ranker())], &[("New", new)]);
    let [flag] = compiled.flags.as_slice() else {
        panic!("{:?}", compiled.flags);
    };
    let file = FILE.replace("segments: {", "segments: { New: { plan: new },")
        + "flags:
  search.a:
    url: http://127.0.0.1:9001
    owner: search-team
    rings: [{ name: team, segment: Team }, { name: new, segments: [New], rollout: 50% }]
";
    let local = config(&file).flags[0].clone();
    assert_eq!(flag.origin, Origin::Serin);
    let same = Flag {
        origin: Origin::Local,
        ..Flag::clone(flag)
    };
    assert_eq!(same, *local);
    assert_eq!(compiled.warnings(), [""; 0]);
    assert!(on(flag, "ann") && !on(flag, "eve"));
}

#[test]
fn every_problem_is_told_at_once_with_its_place() {
    let wrong = json!({
        "ulr": "http://127.0.0.1:9001", "url": "http://10.0.0.7:1", "enabled": "false",
        "rings": [{ "name": "a", "rollout": 5 }, { "segment": "Taem" }, { "when": { "version": 1.5 } }],
    });
    let compiled = compiled(&[("search.a", wrong)], &[]);
    let problems = compiled.problems(&Subject::Flag("search.a".into()));
    insta::assert_debug_snapshot!(told(problems));
    let [flag] = compiled.flags.as_slice() else {
        panic!("one");
    };
    assert!(!flag.can_be_on() && flag.url.is_none() && flag.origin == Origin::Serin);
    let [warning] = compiled.warnings().try_into().expect("one warning");
    let expected = "flag search.a of serin does not compile any more, so it is off: ";
    assert!(warning.starts_with(expected), "{warning}");
}

#[test]
fn what_is_no_flag_at_all_is_told() {
    for wrong in [json!([]), json!("x"), json!(null), json!(7)] {
        let compiled = compiled(&[("search.a", wrong.clone())], &[]);
        assert!(
            compiled.is_broken(&Subject::Flag("search.a".into())),
            "{wrong}"
        );
    }
    let both =
        json!({ "url": "http://127.0.0.1:1", "variants": [{ "name": "b", "weight": "100%" }] });
    assert!(compiled(&[("search.a", both)], &[]).is_broken(&Subject::Flag("search.a".into())));
    let none = json!({});
    assert!(!compiled(&[("search.a", none)], &[]).is_broken(&Subject::Flag("search.a".into())));
}

#[test]
fn segments_refer_to_those_of_the_file_and_to_each_other_but_not_in_a_circle() {
    let segments = [
        (
            "a",
            json!({ "segment": "b", "userId": { "not": true, "in": ["bob"] } }),
        ),
        ("b", json!([{ "segment": "Team" }])),
        ("round", json!({ "segment": "about" })),
        (
            "about",
            json!({ "any": [{ "segment": "round" }, { "segment": "gone" }] }),
        ),
        ("Team", json!({ "userId": "eve" })),
    ];
    let flag =
        |segment: &str| json!({ "url": "http://127.0.0.1:9", "rings": [{ "segment": segment }] });
    let flags = [
        ("search.a", flag("a")),
        ("search.b", flag("Team")),
        ("search.c", flag("round")),
    ];
    let compiled = compiled(&flags, &segments);
    let [a, b, c] = compiled.flags.as_slice() else {
        panic!("three");
    };
    assert!(on(a, "ann") && !on(a, "bob") && on(b, "bob") && !on(b, "eve"));
    assert!(!c.can_be_on());
    let warnings = compiled.warnings();
    insta::assert_debug_snapshot!(warnings);
}

#[test]
fn only_what_is_another_is_compiled_and_what_says_the_same_stays_the_same() {
    let documents = kept(
        &[("search.a", ranker()), ("search.b", ranker())],
        &[("New", json!({ "plan": "new" }))],
    );
    let file = config(FILE);
    let first = documents.compile(&file, NOW, None);
    let other_words = |second: &KeptDocuments, config: &Config, is_same_config| {
        let earlier = Earlier {
            documents: &documents,
            compiled: &first,
            is_same_config,
        };
        let compiled = second.compile(config, NOW, Some(earlier));
        let pairs = first.flags.iter().zip(&compiled.flags);
        let same: Vec<bool> = pairs.map(|(one, other)| Arc::ptr_eq(one, other)).collect();
        (same, compiled.digest == first.digest)
    };
    assert_eq!(
        other_words(&documents, &file, true),
        (vec![true, true], true)
    );
    assert_eq!(
        other_words(&documents, &file, false),
        (vec![true, true], true)
    );
    let mut second = documents.clone();
    let mut closed = ranker();
    closed["rings"][0]["enabled"] = json!(false);
    second
        .flags
        .insert("search.b".into(), Arc::new(Document::new(closed)));
    assert_eq!(
        other_words(&second, &file, true),
        (vec![true, false], false)
    );
    let mut third = documents.clone();
    third.segments = BTreeMap::from([(
        "New".into(),
        Arc::new(Document::new(json!({ "plan": "old" }))),
    )]);
    assert_eq!(
        other_words(&third, &file, true),
        (vec![false, false], false)
    );
    // The team of the file is another one.
    let reloaded = config(&FILE.replace("[ann, bob]", "[eve]"));
    assert_eq!(
        other_words(&documents, &reloaded, false),
        (vec![false, false], true)
    );
}

#[test]
fn a_flag_that_does_not_compile_any_more_is_off_until_it_does() {
    let documents = kept(
        &[("search.a", ranker())],
        &[("New", json!({ "plan": "new" }))],
    );
    let file = config(FILE);
    let first = documents.compile(&file, NOW, None);
    let without = config(&FILE.replace("plan: { header: x-plan }", ""));
    let earlier = Earlier {
        documents: &documents,
        compiled: &first,
        is_same_config: false,
    };
    let second = documents.compile(&without, NOW, Some(earlier));
    assert!(!second.flags[0].can_be_on());
    assert_eq!(second.warnings().len(), 2, "{:?}", second.warnings());
    let earlier = Earlier {
        documents: &documents,
        compiled: &second,
        is_same_config: false,
    };
    let third = documents.compile(&file, NOW, Some(earlier));
    assert_eq!(third.flags, first.flags);
    assert_eq!(third.warnings(), [""; 0]);
}

#[test]
fn a_chain_of_segments_has_an_end_and_so_has_what_they_come_to() {
    let mut chain: Vec<(String, Value)> = vec![("s000".into(), json!({ "userId": "ann" }))];
    for number in 1..40 {
        let before = format!("s{:03}", number - 1);
        chain.push((
            format!("s{number:03}"),
            json!({ "all": [{ "segment": before }, { "segment": before }] }),
        ));
    }
    let chain: Vec<(&str, Value)> = chain
        .iter()
        .map(|(name, json)| (&**name, json.clone()))
        .collect();
    let compiled = compiled(&[], &chain);
    let broken =
        |number: usize| compiled.is_broken(&Subject::Segment(format!("s{number:03}").into()));
    assert!(!broken(5) && broken(20) && broken(39));
    let message = &compiled.problems(&Subject::Segment("s013".into()))[0].message;
    assert_eq!(message, "this segment comes to more than 10000 tests");
}

#[test]
fn nothing_kept_has_no_digest() {
    assert_eq!(compiled(&[], &[]).digest, None);
}
