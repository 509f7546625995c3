//! Go's Printf, for values of templates.

use super::value::Value;

/// What stands between `%` and the verb.
#[derive(Default)]
struct Form {
    left: bool,
    zeros: bool,
    plus: bool,
    sharp: bool,
    width: usize,
    precision: Option<usize>,
}

/// The widest field; a format must not fill the memory.
const WIDEST: usize = 10_000;

/// Fills a format. What does not fit is said in the text, as Go does: `%!d(string=x)`.
pub(super) fn printf(format: &str, args: &[&Value]) -> String {
    let mut out = String::new();
    let mut rest = format;
    let mut used = 0;
    while let Some((plain, after)) = rest.split_once('%') {
        out.push_str(plain);
        let (form, after) = form(after);
        let mut chars = after.chars();
        let Some(verb) = chars.next() else {
            out.push_str("%!(NOVERB)");
            return out;
        };
        rest = chars.as_str();
        if verb == '%' {
            out.push('%');
            continue;
        }
        match args.get(used) {
            Some(value) => out.push_str(&filled(&form, verb, value)),
            None => out.push_str(&format!("%!{verb}(MISSING)")),
        }
        used += 1;
    }
    out.push_str(rest);
    if let Some(extra) = args.get(used..).filter(|extra| !extra.is_empty()) {
        let extra: Vec<String> = extra.iter().map(|value| typed(value)).collect();
        out.push_str(&format!("%!(EXTRA {})", extra.join(", ")));
    }
    out
}

fn form(mut text: &str) -> (Form, &str) {
    let mut form = Form::default();
    while let Some(flag) = text.chars().next() {
        match flag {
            '-' => form.left = true,
            '0' => form.zeros = true,
            '+' => form.plus = true,
            '#' => form.sharp = true,
            ' ' => {}
            _ => break,
        }
        text = &text[1..];
    }
    let mut number = || {
        let end = text
            .find(|c: char| !c.is_ascii_digit())
            .unwrap_or(text.len());
        let (digits, after) = text.split_at(end);
        text = after;
        digits
            .parse::<usize>()
            .map(|number| number.min(WIDEST))
            .ok()
    };
    form.width = number().unwrap_or(0);
    if let Some(after) = text.strip_prefix('.') {
        text = after;
        let end = text
            .find(|c: char| !c.is_ascii_digit())
            .unwrap_or(text.len());
        let digits = text[..end].parse::<usize>().unwrap_or(0);
        form.precision = Some(digits.min(WIDEST));
        text = &text[end..];
    }
    (form, text)
}

fn filled(form: &Form, verb: char, value: &Value) -> String {
    let wrong = || format!("%!{verb}({})", typed(value));
    let text = match (verb, value) {
        ('v' | 's', Value::List(items)) => {
            let plain = Form {
                precision: form.precision,
                ..Form::default()
            };
            let all: Vec<String> = items
                .iter()
                .map(|item| filled(&plain, verb, item))
                .collect();
            format!("[{}]", all.join(" "))
        }
        ('v', Value::Int(number)) if form.plus => format!("{number:+}"),
        ('v', Value::Float(number)) => number.to_string(),
        ('v', value) if form.sharp => match value {
            Value::Str(text) => format!("{text:?}"),
            other => other.show(),
        },
        ('v', value) => value.show(),
        ('s', Value::Int(_) | Value::Float(_) | Value::Bool(_)) => wrong(),
        ('s', value) => cut(&value.show(), form.precision),
        ('q', Value::Str(text)) => format!("{:?}", cut(text, form.precision)),
        ('q', Value::Int(number)) => match u32::try_from(*number).ok().and_then(char::from_u32) {
            Some(c) => format!("{c:?}"),
            None => wrong(),
        },
        ('d', Value::Int(number)) if form.plus => format!("{number:+}"),
        ('d', Value::Int(number)) => number.to_string(),
        ('x', Value::Int(number)) if form.sharp => format!("{number:#x}"),
        ('x', Value::Int(number)) => signed(*number, |digits| format!("{digits:x}")),
        ('X', Value::Int(number)) => signed(*number, |digits| format!("{digits:X}")),
        ('o', Value::Int(number)) => signed(*number, |digits| format!("{digits:o}")),
        ('b', Value::Int(number)) => signed(*number, |digits| format!("{digits:b}")),
        ('c', Value::Int(number)) => u32::try_from(*number)
            .ok()
            .and_then(char::from_u32)
            .unwrap_or('\u{fffd}')
            .to_string(),
        ('x', Value::Str(text)) => text.bytes().map(|byte| format!("{byte:02x}")).collect(),
        ('X', Value::Str(text)) => text.bytes().map(|byte| format!("{byte:02X}")).collect(),
        ('f' | 'F', Value::Float(number)) => format!("{number:.*}", form.precision.unwrap_or(6)),
        ('g', Value::Float(number)) => number.to_string(),
        ('t', Value::Bool(on)) => on.to_string(),
        ('T', value) => value.type_name().to_owned(),
        _ => wrong(),
    };
    padded(form, verb, text)
}

fn signed(number: i64, digits: impl Fn(u64) -> String) -> String {
    let sign = if number < 0 { "-" } else { "" };
    format!("{sign}{}", digits(number.unsigned_abs()))
}

fn cut(text: &str, precision: Option<usize>) -> String {
    match precision {
        Some(count) => text.chars().take(count).collect(),
        None => text.to_owned(),
    }
}

fn padded(form: &Form, verb: char, text: String) -> String {
    let missing = form.width.saturating_sub(text.chars().count());
    if missing == 0 {
        return text;
    }
    if form.left {
        return text + &" ".repeat(missing);
    }
    let numeric = matches!(verb, 'd' | 'x' | 'X' | 'o' | 'b' | 'f' | 'F' | 'g' | 'v');
    if !form.zeros || !numeric {
        return " ".repeat(missing) + &text;
    }
    let (sign, digits) = match text.strip_prefix(['-', '+']) {
        Some(digits) => (&text[..1], digits),
        None => ("", text.as_str()),
    };
    format!("{sign}{}{digits}", "0".repeat(missing))
}

fn typed(value: &Value) -> String {
    format!("{}={}", value.type_name(), value.show())
}
