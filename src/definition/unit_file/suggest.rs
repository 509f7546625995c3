//! Names that somebody may have meant.

/// The nearest of the known names, if it is near.
pub(super) fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let limit = if name.len() < 5 { 1 } else { 2 };
    let wrong = name.to_ascii_lowercase();
    let near = known
        .into_iter()
        .map(|known| (distance(&wrong, &known.to_ascii_lowercase()), known));
    let best = near.filter(|(distance, _)| *distance <= limit).min()?;
    Some(best.1)
}

/// The behind of a message: `(did you mean Image?)`.
pub(super) fn hint<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    let nearest = nearest(name, known);
    nearest.map_or_else(String::new, |known| format!(" (did you mean {known}?)"))
}

/// Edits between two words: insert, delete, replace, or swap neighbours.
fn distance(left: &str, right: &str) -> usize {
    let (left, right) = (left.as_bytes(), right.as_bytes());
    if left.len().abs_diff(right.len()) > 2 {
        return usize::MAX;
    }
    let mut rows = vec![vec![0; right.len() + 1]; left.len() + 1];
    for i in 0..=left.len() {
        for j in 0..=right.len() {
            rows[i][j] = if i == 0 || j == 0 {
                i + j
            } else {
                let changed = usize::from(left[i - 1] != right[j - 1]);
                let mut best = rows[i - 1][j - 1] + changed;
                best = best.min(rows[i - 1][j] + 1).min(rows[i][j - 1] + 1);
                let swapped =
                    i > 1 && j > 1 && left[i - 1] == right[j - 2] && left[i - 2] == right[j - 1];
                if swapped {
                    best = best.min(rows[i - 2][j - 2] + 1);
                }
                best
            };
        }
    }
    rows[left.len()][right.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_is_seen_and_another_word_is_not() {
        let known = ["Image", "Exec", "DNS", "Volume"];
        assert_eq!(nearest("Imgae", known), Some("Image"));
        assert_eq!(nearest("image", known), Some("Image"));
        assert_eq!(nearest("Volumes", known), Some("Volume"));
        assert_eq!(nearest("Zzz", known), None);
        assert_eq!(nearest("Whatever", known), None);
    }
}
