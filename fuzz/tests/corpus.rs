//! The corpora, as they are and a little changed.

use std::fs;
use std::path::Path;

use rand::rngs::SmallRng;
use rand::seq::IndexedRandom as _;
use rand::{RngExt as _, SeedableRng as _};
use serin_fuzz::{CHECKS, Check};

/// How often each input is changed.
const CHANGES: usize = 60;

/// Pieces that mean something to one reader or another.
const PIECES: [&[u8]; 16] = [
    b"%2e",
    b"%2F",
    b"%5c",
    b"..",
    b"//",
    b";",
    b"=",
    b",",
    b"\"",
    b"{",
    b"}",
    b"\n",
    b"\0",
    b"\xff",
    b"999999999999999999999",
    b"null",
];

#[test]
fn what_is_in_the_corpora_holds() {
    for &(name, check) in CHECKS {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("corpus")
            .join(name);
        let files =
            fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
        let mut inputs: Vec<(String, Vec<u8>)> = files
            .map(|file| {
                let path = file.expect("an entry").path();
                let input = fs::read(&path).expect("a file");
                (path.display().to_string(), input)
            })
            .collect();
        inputs.sort();
        assert!(!inputs.is_empty(), "{} is empty", folder.display());
        for (file, input) in &inputs {
            eprintln!("{file}");
            check(input);
            change(check, input, &inputs);
        }
    }
}

/// Checks an input with a few bytes gone, doubled, or others, as chance has it that is the same each time.
fn change(check: Check, input: &[u8], others: &[(String, Vec<u8>)]) {
    let mut random = SmallRng::seed_from_u64(input.len() as u64);
    for _ in 0..CHANGES {
        let mut changed = input.to_vec();
        for _ in 0..random.random_range(1..=3) {
            let at = random.random_range(0..=changed.len());
            let end = (at + random.random_range(0..8)).min(changed.len());
            let piece = match random.random_range(0..4) {
                0 => Vec::new(),
                1 => PIECES
                    .choose(&mut random)
                    .copied()
                    .unwrap_or_default()
                    .to_vec(),
                2 => {
                    let other = others.choose(&mut random);
                    let other = other.map(|(_, other)| &**other).unwrap_or_default();
                    let from = random.random_range(0..=other.len());
                    other.iter().skip(from).take(16).copied().collect()
                }
                _ => vec![random.random()],
            };
            changed.splice(at..end, piece);
        }
        eprintln!("  {:?}", String::from_utf8_lossy(&changed));
        check(&changed);
    }
}
