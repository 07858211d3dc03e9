//! Whatever a server sends, nothing panics, and what is read can be evaluated and explained.

use serde_json::json;

use super::oracle::generated;
use super::{FeatureSet, NOW, Stage};
use crate::engine::tests::Dice;
use crate::engine::trace::{Recorder, Silent};

const ROUNDS: usize = 3_000;

/// Parses, compiles, evaluates, explains; says whether anything was read.
fn swallow(stage: &mut Stage, text: &[u8]) -> bool {
    let delta = FeatureSet::default().apply(text);
    let whole = FeatureSet::parse(text);
    let mut read = false;
    for set in [whole, delta].into_iter().flatten() {
        let again = FeatureSet::parse(set.to_json().as_bytes()).expect("what we wrote");
        assert_eq!(again, set);
        let compiled = stage.compile(&set, None);
        let context = stage.context(&[("userId", "u1"), ("region", "eu")]);
        for flag in &compiled.flags {
            let mut recorder = Recorder::default();
            let evaluation = flag.evaluate(&context, NOW, &mut recorder);
            assert_eq!(evaluation, flag.evaluate(&context, NOW, &mut Silent));
            assert_eq!(recorder.into_flags().len(), 1);
        }
        read |= !set.is_empty();
    }
    read
}

#[test]
fn random_bytes_are_refused() {
    let mut dice = Dice(1);
    let mut stage = Stage::new();
    for _ in 0..ROUNDS {
        let text: Vec<u8> = (0..dice.roll(64)).map(|_| dice.roll(256) as u8).collect();
        assert!(!swallow(&mut stage, &text));
    }
}

#[test]
fn mutated_documents_break_nothing() {
    let mut dice = Dice(2);
    let mut stage = Stage::new();
    let whole = generated(&mut dice, 12).to_string().into_bytes();
    assert!(swallow(&mut stage, &whole));
    let mut read = 0;
    for _ in 0..ROUNDS {
        let mut text = whole.clone();
        for _ in 0..=dice.roll(3) {
            mutate(&mut dice, &mut text);
        }
        read += usize::from(swallow(&mut stage, &text));
    }
    // Most of what is changed is still JSON, or this would test nothing but the parser.
    assert!(read > ROUNDS / 10, "{read}");
}

fn mutate(dice: &mut Dice, text: &mut Vec<u8>) {
    let place = dice.roll(text.len());
    match dice.roll(5) {
        0 => text[place] = dice.roll(256) as u8,
        1 => text[place] = b"0123456789aZ%/(){}[]\",:\\"[dice.roll(24)],
        2 => drop(text.remove(place)),
        3 => text.insert(place, b"09\"-e"[dice.roll(5)]),
        _ => {
            let words: [&[u8]; 6] = [b"null", b"-1", b"1e999", b"[]", b"\"\\u0000\"", b"{}"];
            let word = words[dice.roll(words.len())];
            // In place of a value.
            let start = text[..place].iter().rposition(|byte| *byte == b':');
            let start = start.map_or(place, |colon| colon + 1);
            let end = text[start..].iter().position(|byte| b",}]".contains(byte));
            let end = end.map_or(text.len(), |length| start + length);
            text.splice(start..end, word.iter().copied());
        }
    }
}

#[test]
fn depth_and_size_are_no_danger() {
    let mut stage = Stage::new();
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let deep = format!(r#"{{"features":[{{"name":"f","enabled":true,"strategies":{deep}}}]}}"#);
    swallow(&mut stage, deep.as_bytes());
    let many = json!({ "version": 2, "features": [{ "name": "f", "enabled": true, "strategies":
        (0..10_000).map(|_| json!({ "name": "default", "segments": [1] })).collect::<Vec<_>>() }] });
    assert!(swallow(&mut stage, many.to_string().as_bytes()));
}
