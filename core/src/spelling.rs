//! What a misspelt name was probably meant to be.

/// The name with the fewest edits, if these are few for its length.
pub fn nearest<'n>(wrong: &str, valid: impl IntoIterator<Item = &'n str>) -> Option<&'n str> {
    let wrong: Vec<char> = wrong
        .chars()
        .flat_map(char::to_lowercase)
        .take(64)
        .collect();
    let most = (wrong.len() / 3).max(1);
    valid
        .into_iter()
        .filter_map(|name| {
            let letters: Vec<char> = name.chars().flat_map(char::to_lowercase).take(64).collect();
            let near = letters.len().abs_diff(wrong.len()) <= most;
            near.then(|| (edits(&wrong, &letters), name))
        })
        .filter(|(distance, _)| *distance <= most)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

/// Further than any two words are apart.
const FAR: usize = usize::MAX / 2;

/// How many letters must be inserted, deleted, replaced or swapped with their neighbour (Damerau's distance,
/// restricted to editing nothing twice).
fn edits(a: &[char], b: &[char]) -> usize {
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, y) in b.iter().enumerate() {
            let at = |row: &[usize], column: usize| row.get(column).copied().unwrap_or(FAR);
            let replaced = at(&last, j) + usize::from(x != y);
            let mut best = replaced.min(at(&last, j + 1) + 1).min(at(&row, j) + 1);
            let swapped = i > 0 && j > 0 && b.get(j - 1) == Some(x) && a.get(i - 1) == Some(y);
            if swapped {
                best = best.min(at(&before, j - 1) + 1);
            }
            row.push(best);
        }
        before = std::mem::replace(&mut last, row);
    }
    last.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn the_nearest_name_is_near() {
        let keys = ["stable", "canaries", "timeouts", "userId", "on"];
        assert_eq!(nearest("stabel", keys), Some("stable"));
        assert_eq!(nearest("canary", keys), None);
        assert_eq!(nearest("Timeout", keys), Some("timeouts"));
        assert_eq!(nearest("userid", keys), Some("userId"));
        assert_eq!(nearest("no", keys), Some("on"));
        assert_eq!(nearest("", keys), None);
        assert_eq!(nearest("completely", keys), None);
    }
}
