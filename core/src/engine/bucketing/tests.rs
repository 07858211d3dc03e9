use std::io::Cursor;

use super::{Bucketing, murmur3_32, rollout_position, variant_bucket_value};
use crate::context::Field;
use crate::engine::{Stickiness, Variant, VariantIndex, Variants};

fn reference(seed: u32, text: &str) -> u32 {
    murmur3::murmur3_32(&mut Cursor::new(text), seed).expect("memory can be read")
}

#[test]
fn the_hash_is_murmur3_wherever_the_text_is_cut() {
    let text = "search.ranker-v2:Grüße, 用户 0123456789abcdef";
    for seed in [0, 1, 86_028_157, u32::MAX] {
        for end in (0..=text.len()).filter(|&end| text.is_char_boundary(end)) {
            let whole = &text[..end];
            let expected = reference(seed, whole);
            for cut in 0..=end {
                let (head, tail) = whole.as_bytes().split_at(cut);
                assert_eq!(
                    murmur3_32(seed, [head, tail]),
                    expected,
                    "{whole:?} cut at {cut}"
                );
                assert_eq!(murmur3_32(seed, [head, b"", tail]), expected);
            }
        }
        let bytes = text.as_bytes().chunks(1);
        assert_eq!(murmur3_32(seed, bytes), reference(seed, text));
    }
}

#[test]
fn a_position_refines_the_whole_percent_by_the_hash_s_next_digits() {
    for id in 0..10_000 {
        let id = id.to_string();
        let hash = reference(0, &format!("search.ranker-v2:{id}"));
        let position = u32::from(rollout_position("search.ranker-v2", &id));
        assert_eq!(position / 100, hash % 100);
        assert_eq!(position % 100, hash / 100 % 100);
    }
}

#[test]
fn bucket_values_are_one_to_the_total_weight() {
    let mut drawn = [0_u32; 4];
    for id in 0..1_000 {
        let value = variant_bucket_value("group", &id.to_string(), 3);
        drawn[value as usize] += 1;
    }
    assert_eq!(drawn[0], 0);
    assert!(drawn[1..].iter().all(|&count| count > 250), "{drawn:?}");
    assert_eq!(variant_bucket_value("group", "u1", 0), 1);
}

fn variants(weights: &[(&str, u32)]) -> Variants {
    let variant = |(name, weight): &(&str, u32)| Variant {
        name: (*name).into(),
        weight: *weight,
        url: None,
        service: None,
        payload: None,
        nearly: None,
    };
    let list = weights.iter().map(variant).collect();
    Variants::new(
        list,
        Bucketing::unleash("group"),
        Stickiness::Field(Field::UserId),
    )
    .expect("variants")
}

#[test]
fn bucket_values_are_dealt_out_in_name_order() {
    let variants = variants(&[("c", 2), ("a", 0), ("d", 0), ("b", 1)]);
    let names: Vec<_> = (1..=3)
        .filter_map(|value| variants.get(variants.by_bucket_value(value)?))
        .map(|variant| &*variant.name)
        .collect();
    assert_eq!(names, ["b", "c", "c"]);
    assert_eq!(variants.by_bucket_value(4), None);
}

#[test]
fn a_choice_of_one_is_none() {
    assert_eq!(
        variants(&[("a", 0), ("b", 7)]).only(),
        Some(VariantIndex::new(1))
    );
    assert_eq!(variants(&[("a", 1), ("b", 7)]).only(), None);
}
