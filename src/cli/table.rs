//! Tables and times as Podman prints them.

/// A column is at least so wide, and so many spaces part it from the next (Go's text/tabwriter, as Podman sets it up).
const NARROWEST: usize = 12;
const GAP: usize = 2;

/// Lines of cells as columns; the last cell of each line is not padded.
pub(super) fn columns(lines: &[Vec<String>]) -> String {
    // What users wrote must not steer the terminal.
    let clean = |cell: &String| -> String {
        let chars = cell.chars();
        chars
            .map(|c| if c.is_control() { ' ' } else { c })
            .collect()
    };
    let lines: Vec<Vec<String>> = lines
        .iter()
        .map(|line| line.iter().map(clean).collect())
        .collect();
    let mut widths: Vec<usize> = Vec::new();
    for line in &lines {
        for (at, cell) in line.iter().rev().skip(1).rev().enumerate() {
            let width = NARROWEST.max(cell.chars().count() + GAP);
            match widths.get_mut(at) {
                Some(widest) => *widest = width.max(*widest),
                None => widths.push(width),
            }
        }
    }
    let mut text = String::new();
    for line in &lines {
        for (at, cell) in line.iter().enumerate() {
            text.push_str(cell);
            if at + 1 < line.len() {
                let padding = widths[at].saturating_sub(cell.chars().count());
                text.extend(std::iter::repeat_n(' ', padding));
            }
        }
        text.push('\n');
    }
    text
}

/// Text with a tab between its cells as columns.
pub(super) fn tabbed(text: &str) -> String {
    let cells = |line: &str| line.split('\t').map(str::to_owned).collect();
    let lines: Vec<Vec<String>> = text.lines().map(cells).collect();
    columns(&lines)
}

/// A span of time as a human says it: `Less than a second`, `5 seconds`, `About a minute`, `3 hours`.
pub(super) fn span(micros: u64) -> String {
    let seconds = micros / 1_000_000;
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    match seconds {
        0 => "Less than a second".to_owned(),
        1 => "1 second".to_owned(),
        2..=59 => format!("{seconds} seconds"),
        60..=119 => "About a minute".to_owned(),
        120..=3599 => format!("{minutes} minutes"),
        3600..=7199 => "About an hour".to_owned(),
        7200..=172_799 => format!("{hours} hours"),
        172_800..=1_209_599 => format!("{days} days"),
        1_209_600..=5_183_999 => format!("{} weeks", days / 7),
        5_184_000..=63_071_999 => format!("{} months", days / 30),
        _ => format!("{} years", days / 365),
    }
}

/// The span between two times, as a human says it of the past.
pub(super) fn ago(then: u64, now: u64) -> String {
    format!("{} ago", span(now.saturating_sub(then)))
}

/// Bytes as Podman shows them: three digits, units by 1000, and what stands between number and unit.
pub(super) fn size(bytes: u64, gap: &str) -> String {
    let mut value = bytes as f64;
    for unit in ["B", "kB", "MB", "GB", "TB"] {
        if value < 1000.0 {
            return format!("{}{gap}{unit}", three_digits(value));
        }
        value /= 1000.0;
    }
    format!("{}{gap}PB", three_digits(value))
}

/// Go's `%.3g` for numbers below 1000.
fn three_digits(value: f64) -> String {
    let digits = match value {
        v if v >= 100.0 => 0,
        v if v >= 10.0 => 1,
        _ => 2,
    };
    let text = format!("{value:.digits$}");
    match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text,
    }
}
