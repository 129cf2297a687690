//! "Did you mean": the nearest of some known words.

/// The known words nearest to `word`, the nearest first, at most three.
pub(crate) fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    const SHOWN: usize = 3;
    let reach = (word.chars().count() / 3).clamp(1, 3);
    let mut near: Vec<(usize, &str)> = known
        .into_iter()
        .map(|candidate| (distance(word, candidate), candidate))
        .filter(|&(distance, candidate)| distance <= reach || (word.len() >= 3 && candidate.starts_with(word)))
        .collect();
    near.sort_unstable();
    near.dedup();
    near.into_iter().take(SHOWN).map(|(_, candidate)| candidate.to_owned()).collect()
}

/// Edits between two words: a letter more, less, other, or two neighbours swapped (optimal string alignment).
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().take(128).collect(), b.chars().take(128).collect());
    let mut before = vec![0; b.len() + 1];
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i; b.len() + 1];
        for j in 1..=b.len() {
            let change = usize::from(a[i - 1] != b[j - 1]);
            row[j] = (last[j] + 1).min(row[j - 1] + 1).min(last[j - 1] + change);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                row[j] = row[j].min(before[j - 2] + 1);
            }
        }
        before = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn typing_errors_find_their_word() {
        let known = ["static", "noarch", "nostrip", "nocheck", "meta-only"];
        assert_eq!(nearest("statci", known), ["static"]);
        assert_eq!(nearest("nochekc", known), ["nocheck"]);
        assert_eq!(nearest("meta", known), ["meta-only"]);
        assert!(nearest("network", known).is_empty());
        assert!(nearest("", known).is_empty());
    }

    #[test]
    fn distances() {
        for (a, b, edits) in [("", "abc", 3), ("abc", "acb", 1), ("abc", "abd", 1), ("zlib", "zlib-dev", 4)] {
            assert_eq!(distance(a, b), edits, "{a} {b}");
            assert_eq!(distance(b, a), edits, "{b} {a}");
        }
    }
}
