//! Nothing that a file can hold makes the reader panic, and every problem has a place in the file.

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

use super::{Given, NOW};
use crate::config::{OnUnset, compile, render};

const FILES: [&str; 2] = [
    include_str!("../../../../routes.yaml"),
    include_str!("../../../../deploy/reference.yaml"),
];

/// What is spliced into files: YAML's own signs, and values that mean something somewhere.
const PIECES: [&str; 34] = [
    ":", ": ", "- ", "\n", "\n  ", "{", "}", "[", "]", ",", "\"", "'", "#", " #", "&a ", "*a",
    "<<: ", "!!str ", "---\n", "|\n", "\t", "\u{feff}", "~", "null", "true", "100%", "5s", "${X}",
    "$${", "${", "http://", "any: ", "é", "\u{0}",
];

fn survives(text: &str, on_unset: OnUnset) {
    let found = match compile(text, &Given::default(), on_unset, NOW) {
        Ok(config) => config.warnings,
        Err(found) => {
            assert!(!found.is_empty(), "refused without a word:\n{text}");
            found
        }
    };
    let lines = text.lines().count().max(1) + 1;
    for diagnostic in found.iter() {
        let span = diagnostic.span;
        assert!(
            span.line >= 1 && span.column >= 1 && span.length >= 1,
            "{diagnostic:?}"
        );
        assert!(span.line <= lines, "{diagnostic:?} in\n{text}");
        assert!(!diagnostic.message.is_empty());
    }
    render::text("f", text, &found, true);
    render::json("f", &found);
}

#[test]
fn arbitrary_bytes() {
    let mut random = SmallRng::seed_from_u64(1);
    for _ in 0..3000 {
        let length = random.random_range(0..60);
        let bytes: Vec<u8> = (0..length).map(|_| random.random_range(0..=255)).collect();
        survives(&String::from_utf8_lossy(&bytes), OnUnset::StandIn);
    }
}

#[test]
fn arbitrary_pieces() {
    let mut random = SmallRng::seed_from_u64(2);
    for _ in 0..3000 {
        let count = random.random_range(0..30);
        let text: String = (0..count)
            .map(|_| PIECES[random.random_range(0..PIECES.len())])
            .collect();
        survives(&text, OnUnset::Refuse);
    }
}

#[test]
fn valid_files_with_something_cut_out_put_in_or_moved() {
    let mut random = SmallRng::seed_from_u64(3);
    for round in 0..400 {
        let mut letters: Vec<char> = FILES[round % FILES.len()].chars().collect();
        for _ in 0..random.random_range(1..4) {
            let at = random.random_range(0..letters.len());
            let to = (at + random.random_range(1..40)).min(letters.len());
            match random.random_range(0..4) {
                0 => drop(letters.drain(at..to)),
                1 => {
                    let piece = PIECES[random.random_range(0..PIECES.len())];
                    letters.splice(at..at, piece.chars());
                }
                2 => {
                    let part: Vec<char> = letters[at..to].to_vec();
                    let target = random.random_range(0..letters.len());
                    letters.splice(target..target, part);
                }
                _ => letters.truncate(to),
            }
        }
        let text: String = letters.into_iter().collect();
        survives(&text, OnUnset::StandIn);
    }
}

#[test]
fn every_beginning_of_a_valid_file() {
    let text = FILES[0];
    for (at, _) in text.char_indices().step_by(7) {
        survives(&text[..at], OnUnset::Refuse);
    }
}
