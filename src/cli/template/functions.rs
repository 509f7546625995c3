//! The functions of templates: Go's own, and those that Podman adds.

use std::cmp::Ordering;

use super::printf::printf;
use super::value::Value;

/// Name, fewest and most arguments.
const FUNCTIONS: &[(&str, usize, usize)] = &[
    ("and", 1, ANY),
    ("eq", 1, ANY),
    ("ge", 2, 2),
    ("gt", 2, 2),
    ("html", 0, ANY),
    ("index", 1, ANY),
    ("join", 2, 2),
    ("json", 1, 1),
    ("le", 2, 2),
    ("len", 1, 1),
    ("lower", 1, 1),
    ("lt", 2, 2),
    ("ne", 2, 2),
    ("not", 1, 1),
    ("or", 1, ANY),
    ("pad", 3, 3),
    ("print", 0, ANY),
    ("printf", 1, ANY),
    ("println", 0, ANY),
    ("slice", 1, 3),
    ("split", 2, 2),
    ("title", 1, 1),
    ("truncate", 2, 2),
    ("upper", 1, 1),
];

const ANY: usize = usize::MAX;

/// Whether there is a function of this name.
pub(super) fn exists(name: &str) -> bool {
    FUNCTIONS.iter().any(|(known, ..)| *known == name)
}

/// Whether so many arguments are right.
pub(super) fn check_count(name: &str, given: usize) -> Result<(), String> {
    let (_, least, most) = FUNCTIONS
        .iter()
        .find(|(known, ..)| *known == name)
        .expect("the parser refuses others");
    if (*least..=*most).contains(&given) {
        return Ok(());
    }
    let want = match *most {
        ANY => format!("at least {least}"),
        most if given > most => most.to_string(),
        _ => least.to_string(),
    };
    Err(format!(
        "wrong number of args for {name}: want {want} got {given}"
    ))
}

/// Calls a function with as many arguments as it takes.
pub(super) fn call(name: &str, args: &[&Value]) -> Result<Value, String> {
    match name {
        "eq" => eq(args),
        "ne" => Ok(Value::Bool(!equal(args[0], args[1])?)),
        "lt" => compare(args).map(|order| Value::Bool(order == Ordering::Less)),
        "le" => compare(args).map(|order| Value::Bool(order != Ordering::Greater)),
        "gt" => compare(args).map(|order| Value::Bool(order == Ordering::Greater)),
        "ge" => compare(args).map(|order| Value::Bool(order != Ordering::Less)),
        "not" => Ok(Value::Bool(!args[0].is_true())),
        "len" => len(args[0]),
        "index" => index(args),
        "slice" => slice(args),
        "html" => Ok(Value::Str(html(&print(args)))),
        "print" => Ok(Value::Str(print(args))),
        "println" => {
            let all: Vec<String> = args.iter().map(|arg| arg.show()).collect();
            Ok(Value::Str(all.join(" ") + "\n"))
        }
        "printf" => Ok(Value::Str(printf(text(args[0])?, &args[1..]))),
        "json" => Ok(Value::Str(args[0].to_json())),
        "join" => join(args[0], text(args[1])?),
        "split" => Ok(Value::list(split(text(args[0])?, text(args[1])?))),
        "lower" => Ok(Value::Str(text(args[0])?.to_lowercase())),
        "upper" => Ok(Value::Str(text(args[0])?.to_uppercase())),
        "title" => Ok(Value::Str(title(text(args[0])?))),
        "truncate" => {
            let count = usize::try_from(number(args[1])?).unwrap_or(0);
            Ok(Value::Str(text(args[0])?.chars().take(count).collect()))
        }
        "pad" => pad(args),
        other => unreachable!("{other} is in the table only"),
    }
}

fn text(value: &Value) -> Result<&str, String> {
    match value {
        Value::Str(text) => Ok(text),
        other => Err(format!(
            "wrong type for value; expected string; got {}",
            other.type_name()
        )),
    }
}

fn number(value: &Value) -> Result<i64, String> {
    match value {
        Value::Int(number) => Ok(*number),
        other => Err(format!(
            "wrong type for value; expected int; got {}",
            other.type_name()
        )),
    }
}

fn eq(args: &[&Value]) -> Result<Value, String> {
    let (first, rest) = args.split_first().expect("the count was checked");
    if rest.is_empty() {
        return Err("missing argument for comparison".to_owned());
    }
    for other in rest {
        if equal(first, other)? {
            return Ok(Value::Bool(true));
        }
    }
    Ok(Value::Bool(false))
}

fn equal(a: &Value, b: &Value) -> Result<bool, String> {
    match (a, b) {
        (Value::Null | Value::Missing, other) | (other, Value::Null | Value::Missing) => {
            Ok(matches!(other, Value::Null | Value::Missing))
        }
        (Value::Bool(_), Value::Bool(_))
        | (Value::Int(_), Value::Int(_))
        | (Value::Float(_), Value::Float(_))
        | (Value::Str(_), Value::Str(_))
        | (Value::Time(_), Value::Time(_)) => Ok(a == b),
        (Value::List(_) | Value::Map(_) | Value::Lookup(_) | Value::Heading(_), _)
        | (_, Value::List(_) | Value::Map(_) | Value::Lookup(_) | Value::Heading(_)) => {
            Err("non-comparable type in comparison".to_owned())
        }
        _ => Err("incompatible types for comparison".to_owned()),
    }
}

fn compare(args: &[&Value]) -> Result<Ordering, String> {
    match (args[0], args[1]) {
        (Value::Int(a), Value::Int(b)) => Ok(a.cmp(b)),
        (Value::Str(a), Value::Str(b)) => Ok(a.cmp(b)),
        (Value::Float(a), Value::Float(b)) => Ok(a.partial_cmp(b).unwrap_or(Ordering::Greater)),
        (Value::Int(_) | Value::Str(_) | Value::Float(_), _) => {
            Err("incompatible types for comparison".to_owned())
        }
        _ => Err("invalid type for comparison".to_owned()),
    }
}

fn len(value: &Value) -> Result<Value, String> {
    let len = match value {
        Value::Str(text) => text.len(),
        Value::List(items) => items.len(),
        Value::Map(items) => items.len(),
        Value::Null | Value::Missing => return Err("len of nil pointer".to_owned()),
        other => return Err(format!("len of type {}", other.type_name())),
    };
    Ok(Value::Int(len as i64))
}

fn index(args: &[&Value]) -> Result<Value, String> {
    let mut value = args[0].clone();
    for key in &args[1..] {
        value = match (&value, key) {
            (Value::List(items), Value::Int(at)) => {
                let item = usize::try_from(*at).ok().and_then(|at| items.get(at));
                item.cloned()
                    .ok_or_else(|| format!("index out of range: {at}"))?
            }
            (Value::Str(text), Value::Int(at)) => {
                let byte = usize::try_from(*at)
                    .ok()
                    .and_then(|at| text.as_bytes().get(at));
                let byte = byte.ok_or_else(|| format!("index out of range: {at}"))?;
                Value::Int(i64::from(*byte))
            }
            (Value::Map(items), Value::Str(key)) => {
                let of_texts = items.values().all(|item| matches!(item, Value::Str(_)));
                let none = match of_texts {
                    true => Value::Str(String::new()),
                    false => Value::Null,
                };
                items.get(key.as_str()).cloned().unwrap_or(none)
            }
            (Value::Null | Value::Missing, _) => {
                return Err("index of untyped nil".to_owned());
            }
            (Value::List(_) | Value::Str(_), key) => {
                let kind = key.type_name();
                return Err(format!("cannot index slice/array with type {kind}"));
            }
            (Value::Map(_), key) => {
                let kind = key.type_name();
                return Err(format!("value has type {kind}; should be string"));
            }
            (other, _) => return Err(format!("can't index item of type {}", other.type_name())),
        };
    }
    Ok(value)
}

fn slice(args: &[&Value]) -> Result<Value, String> {
    let len = match args[0] {
        Value::Str(text) => text.len(),
        Value::List(items) => items.len(),
        other => return Err(format!("can't slice item of type {}", other.type_name())),
    };
    let mut ends = [0, len];
    for (end, arg) in ends.iter_mut().zip(&args[1..]) {
        let at = number(arg)?;
        *end = usize::try_from(at)
            .ok()
            .filter(|at| *at <= len)
            .ok_or_else(|| format!("index out of range: {at}"))?;
    }
    let [from, to] = ends;
    if from > to {
        return Err(format!("invalid slice index: {from} > {to}"));
    }
    match args[0] {
        Value::List(items) => Ok(Value::List(items[from..to].to_vec())),
        value => {
            let bytes = &value.show().into_bytes()[from..to];
            Ok(Value::Str(String::from_utf8_lossy(bytes).into_owned()))
        }
    }
}

/// Go's Sprint: a space between two values of which neither is text.
fn print(args: &[&Value]) -> String {
    let mut out = String::new();
    let is_text = |value: &Value| matches!(value, Value::Str(_));
    for (at, arg) in args.iter().enumerate() {
        if at > 0 && !is_text(arg) && !is_text(args[at - 1]) {
            out.push(' ');
        }
        out.push_str(&arg.show());
    }
    out
}

fn html(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        match c {
            '\'' => out.push_str("&#39;"),
            '"' => out.push_str("&#34;"),
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            c => out.push(c),
        }
    }
    out
}

fn join(list: &Value, separator: &str) -> Result<Value, String> {
    match list {
        Value::List(items) => {
            let items: Vec<String> = items.iter().map(Value::show).collect();
            Ok(Value::Str(items.join(separator)))
        }
        Value::Null => Ok(Value::Str(String::new())),
        other => Err(format!(
            "wrong type for value; expected []string; got {}",
            other.type_name()
        )),
    }
}

fn split<'t>(text: &'t str, separator: &str) -> Vec<String> {
    if separator.is_empty() {
        return text.chars().map(String::from).collect();
    }
    let parts = |text: &'t str| text.split(separator).map(str::to_owned);
    parts(text).collect()
}

/// The first letter of each word large, the others small.
fn title(text: &str) -> String {
    let mut inside = false;
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match (c.is_alphanumeric() || c == '\'', inside) {
            (true, true) => out.extend(c.to_lowercase()),
            (true, false) => out.extend(c.to_uppercase()),
            (false, _) => out.push(c),
        }
        inside = c.is_alphanumeric() || c == '\'';
    }
    out
}

/// Spaces before and after a text that is not empty.
fn pad(args: &[&Value]) -> Result<Value, String> {
    let text = text(args[0])?;
    if text.is_empty() {
        return Ok(Value::Str(String::new()));
    }
    let spaces = |value| number(value).map(|count| " ".repeat(count.clamp(0, 1000) as usize));
    let (before, after) = (spaces(args[1])?, spaces(args[2])?);
    Ok(Value::Str(format!("{before}{text}{after}")))
}
