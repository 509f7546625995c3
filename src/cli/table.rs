//! Tables and times as Podman prints them.

/// Rows below a heading, in columns two spaces apart; the last column is not padded.
pub(super) fn render<const N: usize>(heading: [&str; N], rows: &[[String; N]]) -> String {
    let mut widths = heading.map(|word| word.chars().count());
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut text = line(&heading, &widths);
    for row in rows {
        let cells: Vec<&str> = row.iter().map(String::as_str).collect();
        text.push_str(&line(&cells, &widths));
    }
    text
}

fn line(cells: &[&str], widths: &[usize]) -> String {
    let mut text = String::new();
    for (at, (cell, width)) in cells.iter().zip(widths).enumerate() {
        // What users wrote must not steer the terminal.
        let clean: String = cell
            .chars()
            .map(|c| if c.is_control() { ' ' } else { c })
            .collect();
        text.push_str(&clean);
        if at + 1 < cells.len() {
            let padding = width.saturating_sub(clean.chars().count()) + 2;
            text.extend(std::iter::repeat_n(' ', padding));
        }
    }
    text.truncate(text.trim_end().len());
    text.push('\n');
    text
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

/// Text of at most so many characters, the cut marked.
pub(super) fn shorten(text: &str, limit: usize) -> String {
    if text.chars().count() <= limit {
        return text.to_owned();
    }
    let kept: String = text.chars().take(limit.saturating_sub(3)).collect();
    format!("{kept}...")
}
