//! A covering array: rows of choices such that each pair of choices that may stand together does so in some row.

/// A small generator of numbers (xorshift64*), so that a seed always gives the same rows.
#[derive(Debug)]
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed.max(1))
    }

    /// A number below `bound`.
    pub(super) fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let mixed = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d);
        (mixed >> 33) as usize % bound
    }
}

/// Rows of at most `width` of `count` choices. `together(a, b)` says whether two may stand in one row.
///
/// Greedy: a row begins with a pair that no row has yet, and takes the choice that adds most such pairs until it is full
/// or nothing adds any.
pub(super) fn rows(
    count: usize,
    width: usize,
    seed: u64,
    together: impl Fn(usize, usize) -> bool,
) -> Vec<Vec<usize>> {
    let mut random = Random::new(seed);
    let line = |a| (0..count).map(|b| a != b && together(a, b)).collect();
    let together: Vec<Vec<bool>> = (0..count).map(line).collect();
    let mut open = together.clone();
    let mut rows = Vec::new();
    while let Some((a, b)) = first(&open, random.below(count)) {
        let mut row = vec![a, b];
        while row.len() < width {
            let offset = random.below(count);
            let candidates = (0..count).map(|at| (at + offset) % count);
            let fits = |new: &usize| row.iter().all(|old| together[*old][*new]);
            let gain = |new: usize| row.iter().filter(|old| open[**old][new]).count();
            let best = candidates.filter(fits).map(|new| (gain(new), new));
            match best.reduce(|best, next| if next.0 > best.0 { next } else { best }) {
                Some((gain, new)) if gain > 0 => row.push(new),
                _ => break,
            }
        }
        for a in &row {
            for b in &row {
                open[*a][*b] = false;
            }
        }
        row.sort_unstable();
        rows.push(row);
    }
    rows
}

/// An open pair, looked for from a row of the table on.
fn first(open: &[Vec<bool>], offset: usize) -> Option<(usize, usize)> {
    let count = open.len();
    (0..count).map(|at| (at + offset) % count).find_map(|a| {
        let b = open[a].iter().position(|open| *open)?;
        Some((a, b))
    })
}

#[test]
fn every_pair_that_may_be_is_in_a_row_and_no_other() {
    let together = |a: usize, b: usize| a / 3 != b / 3 && a + b != 20;
    let rows = rows(40, 9, 7, together);
    for a in 0..40 {
        for b in 0..40 {
            let covered = rows.iter().any(|row| row.contains(&a) && row.contains(&b));
            assert_eq!(covered && a != b, together(a, b) && a != b, "{a} {b}");
        }
    }
    assert!(rows.iter().all(|row| row.len() <= 9));
    assert!(rows.len() < 60, "{} rows", rows.len());
    assert_eq!(rows, self::rows(40, 9, 7, together));
}
