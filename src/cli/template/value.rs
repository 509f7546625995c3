//! What a template and a JSON document show: values with the names and types that Podman gives them.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::Duration;

use serde::ser::{Serialize, SerializeMap, SerializeSeq, Serializer};

use crate::sys::time::Stamp;

/// One value.
#[derive(Clone, PartialEq, Debug, Default)]
pub(in crate::cli) enum Value {
    /// Nothing: `null` in JSON.
    #[default]
    Null,
    /// A key that a map has not; templates print `<no value>`.
    Missing,
    /// True or false.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A number with a fraction.
    Float(f64),
    /// Text.
    Str(String),
    /// A time, microseconds since the epoch; 0: never (Go's zero time).
    Time(u64),
    /// Values in order.
    List(Vec<Value>),
    /// Values by keys that users choose.
    Map(BTreeMap<String, Value>),
    /// Values by names that are fixed, in order.
    Struct(Struct),
    /// A method with one argument that looks something up, such as `.Label "key"`.
    Lookup(BTreeMap<String, String>),
    /// What such a method returns in the heading of a table.
    Heading(&'static str),
}

/// Named values in the order in which JSON has them.
#[derive(Clone, PartialEq, Debug)]
pub(in crate::cli) struct Struct {
    /// What Podman calls the type; errors name it.
    pub(in crate::cli) name: &'static str,
    /// Name and value.
    pub(in crate::cli) fields: Vec<(&'static str, Value)>,
    /// What it is in JSON, where that is something else.
    json: Option<Box<Value>>,
}

impl Value {
    /// A struct.
    pub(in crate::cli) fn fields(name: &'static str, fields: Vec<(&'static str, Value)>) -> Self {
        Self::Struct(Struct {
            name,
            fields,
            json: None,
        })
    }

    /// The same with another form in JSON.
    pub(in crate::cli) fn with_json(mut self, json: Value) -> Self {
        if let Self::Struct(of) = &mut self {
            of.json = Some(Box::new(json));
        }
        self
    }

    /// A list of anything that is a value.
    pub(in crate::cli) fn list<T: Into<Value>>(items: impl IntoIterator<Item = T>) -> Self {
        Self::List(items.into_iter().map(Into::into).collect())
    }

    /// A map of texts.
    pub(in crate::cli) fn map<'a>(
        items: impl IntoIterator<Item = (&'a String, &'a String)>,
    ) -> Self {
        let item = |(key, value): (&String, &String)| (key.clone(), Self::Str(value.clone()));
        Self::Map(items.into_iter().map(item).collect())
    }

    /// As Go's templates decide what is empty.
    pub(super) fn is_true(&self) -> bool {
        match self {
            Self::Null | Self::Missing => false,
            Self::Bool(on) => *on,
            Self::Int(number) => *number != 0,
            Self::Float(number) => *number != 0.0,
            Self::Str(text) => !text.is_empty(),
            Self::List(items) => !items.is_empty(),
            Self::Map(items) => !items.is_empty(),
            Self::Time(_) | Self::Struct(_) | Self::Lookup(_) | Self::Heading(_) => true,
        }
    }

    /// Go's name of the type, for errors.
    pub(super) fn type_name(&self) -> &'static str {
        match self {
            Self::Null | Self::Missing => "<nil>",
            Self::Bool(_) => "bool",
            Self::Int(_) => "int",
            Self::Float(_) => "float64",
            Self::Str(_) => "string",
            Self::Time(_) => "time.Time",
            Self::List(_) => "[]string",
            Self::Map(_) => "map[string]string",
            Self::Struct(of) => of.name,
            Self::Lookup(_) | Self::Heading(_) => "func(string) string",
        }
    }

    /// As Go's `%v` prints it.
    pub(in crate::cli) fn show(&self) -> String {
        let mut out = String::new();
        self.print(&mut out);
        out
    }

    fn print(&self, out: &mut String) {
        match self {
            Self::Null => out.push_str("<nil>"),
            Self::Missing => out.push_str("<no value>"),
            Self::Bool(on) => out.push_str(if *on { "true" } else { "false" }),
            Self::Int(number) => out.push_str(&number.to_string()),
            Self::Float(number) => out.push_str(&number.to_string()),
            Self::Str(text) => out.push_str(text),
            Self::Time(micros) => out.push_str(&go_time(*micros)),
            Self::List(items) => print_all(out, "[", items.iter(), "]"),
            Self::Struct(of) => {
                print_all(out, "{", of.fields.iter().map(|(_, value)| value), "}");
            }
            Self::Map(items) => {
                out.push_str("map[");
                for (at, (key, value)) in items.iter().enumerate() {
                    let gap = if at == 0 { "" } else { " " };
                    let _ = write!(out, "{gap}{key}:");
                    value.print(out);
                }
                out.push(']');
            }
            Self::Lookup(_) => out.push_str("<func>"),
            Self::Heading(text) => out.push_str(text),
        }
    }

    /// One line of JSON.
    pub(in crate::cli) fn to_json(&self) -> String {
        serde_json::to_string(self).expect("keys are text")
    }

    /// JSON over many lines, indented as Podman does it.
    pub(in crate::cli) fn to_pretty_json(&self, indent: &str) -> String {
        let mut bytes = Vec::new();
        let format = serde_json::ser::PrettyFormatter::with_indent(indent.as_bytes());
        let mut serializer = serde_json::Serializer::with_formatter(&mut bytes, format);
        self.serialize(&mut serializer).expect("keys are text");
        String::from_utf8(bytes).expect("JSON is UTF-8")
    }
}

fn print_all<'a>(
    out: &mut String,
    open: &str,
    items: impl Iterator<Item = &'a Value>,
    close: &str,
) {
    out.push_str(open);
    for (at, item) in items.enumerate() {
        if at > 0 {
            out.push(' ');
        }
        item.print(out);
    }
    out.push_str(close);
}

/// Date, time of day without idle zeros, and offset of a time.
fn parts(micros: u64) -> (String, String, String) {
    let stamp = Stamp::local(Duration::from_micros(micros));
    let text = stamp.as_str();
    let (date, rest) = text.split_once('T').unwrap_or((text, ""));
    let (clock, zone) = rest.split_at(rest.find(['+', '-']).unwrap_or(rest.len()));
    let clock = clock.trim_end_matches('0').trim_end_matches('.');
    (date.to_owned(), clock.to_owned(), zone.to_owned())
}

/// As Go's `time.Time` prints itself: `2026-11-24 02:00:01.5 +0000 UTC`.
fn go_time(micros: u64) -> String {
    if micros == 0 {
        return "0001-01-01 00:00:00 +0000 UTC".to_owned();
    }
    let (date, clock, zone) = parts(micros);
    let zone = zone.replace(':', "");
    let name = if zone == "+0000" {
        "UTC"
    } else {
        zone.as_str()
    };
    format!("{date} {clock} {zone} {name}")
}

/// RFC 3339, as Go puts a time into JSON.
fn json_time(micros: u64) -> String {
    if micros == 0 {
        return "0001-01-01T00:00:00Z".to_owned();
    }
    let (date, clock, zone) = parts(micros);
    let zone = if zone == "+00:00" { "Z" } else { zone.as_str() };
    format!("{date}T{clock}{zone}")
}

impl Serialize for Value {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Null | Self::Missing | Self::Lookup(_) | Self::Heading(_) => {
                serializer.serialize_unit()
            }
            Self::Bool(on) => serializer.serialize_bool(*on),
            Self::Int(number) => serializer.serialize_i64(*number),
            // Go writes a number without a fraction as a whole one.
            Self::Float(number) if number.fract() == 0.0 && number.abs() < 1e15 => {
                serializer.serialize_i64(*number as i64)
            }
            Self::Float(number) => serializer.serialize_f64(*number),
            Self::Str(text) => serializer.serialize_str(text),
            Self::Time(micros) => serializer.serialize_str(&json_time(*micros)),
            Self::List(items) => {
                let mut seq = serializer.serialize_seq(Some(items.len()))?;
                for item in items {
                    seq.serialize_element(item)?;
                }
                seq.end()
            }
            Self::Map(items) => {
                let mut map = serializer.serialize_map(Some(items.len()))?;
                for (key, value) in items {
                    map.serialize_entry(key, value)?;
                }
                map.end()
            }
            Self::Struct(Struct {
                json: Some(json), ..
            }) => json.serialize(serializer),
            Self::Struct(of) => {
                let mut map = serializer.serialize_map(Some(of.fields.len()))?;
                for (key, value) in &of.fields {
                    map.serialize_entry(key, value)?;
                }
                map.end()
            }
        }
    }
}

macro_rules! from {
    ($($type:ty => |$value:ident| $made:expr),+ $(,)?) => {
        $(impl From<$type> for Value {
            fn from($value: $type) -> Self {
                $made
            }
        })+
    };
}
from! {
    bool => |value| Self::Bool(value),
    i64 => |value| Self::Int(value),
    i32 => |value| Self::Int(i64::from(value)),
    u32 => |value| Self::Int(i64::from(value)),
    u64 => |value| Self::Int(i64::try_from(value).unwrap_or(i64::MAX)),
    f64 => |value| Self::Float(value),
    &str => |value| Self::Str(value.to_owned()),
    String => |value| Self::Str(value),
    &String => |value| Self::Str(value.clone()),
}

impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

impl From<serde_json::Value> for Value {
    fn from(value: serde_json::Value) -> Self {
        use serde_json::Value as Json;
        match value {
            Json::Null => Self::Null,
            Json::Bool(on) => Self::Bool(on),
            Json::Number(number) => match number.as_i64() {
                Some(whole) => Self::Int(whole),
                None => Self::Float(number.as_f64().unwrap_or_default()),
            },
            Json::String(text) => Self::Str(text),
            Json::Array(items) => Self::list(items),
            Json::Object(items) => Self::Map(
                items
                    .into_iter()
                    .map(|(key, value)| (key, value.into()))
                    .collect(),
            ),
        }
    }
}
