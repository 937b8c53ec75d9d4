//! Which known word somebody may have meant by an unknown one.

/// The longest word that is compared; longer ones are no slips of the pen.
const WORD_LIMIT: usize = 64;

/// The nearest candidate, when it is near enough to be a slip of the pen: one
/// edit for each three characters, and at least one.
pub(super) fn did_you_mean<'a>(
    word: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let limit = (word.chars().count() / 3).max(1);
    if word.len() > WORD_LIMIT {
        return None;
    }
    candidates
        .into_iter()
        .filter(|candidate| candidate.len() <= WORD_LIMIT)
        .map(|candidate| (distance(word, candidate, limit), candidate))
        .filter(|(distance, _)| *distance <= limit)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// Levenshtein's distance, without regard to case; more than `limit` when that
/// is clear from the lengths.
fn distance(one: &str, other: &str, limit: usize) -> usize {
    let one: Vec<char> = one.to_lowercase().chars().collect();
    let other: Vec<char> = other.to_lowercase().chars().collect();
    if one.len().abs_diff(other.len()) > limit {
        return limit + 1;
    }
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (deleted, from) in one.iter().enumerate() {
        let mut diagonal = deleted;
        let mut left = deleted + 1;
        let mut next = vec![left];
        for (to, above) in other.iter().zip(row.iter().skip(1)) {
            left = (diagonal + usize::from(from != to)).min(left + 1).min(above + 1);
            diagonal = *above;
            next.push(left);
        }
        row = next;
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_pen_finds_its_word() {
        let known = ["critical", "critical_for", "warn"];
        assert_eq!(did_you_mean("crticial_for", known), Some("critical_for"));
        assert_eq!(did_you_mean("Warn", known), Some("warn"));
        assert_eq!(did_you_mean("wran", ["warn"]), None);
        assert_eq!(did_you_mean("soak", known), None);
        assert_eq!(did_you_mean("", known), None);
    }

    #[test]
    fn distances_are_those_of_the_textbook() {
        for (one, other, expected) in
            [("kitten", "sitting", 3), ("", "abc", 3), ("same", "same", 0), ("ab", "ba", 2)]
        {
            assert_eq!(distance(one, other, 10), expected, "{one} {other}");
        }
    }
}
