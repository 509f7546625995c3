//! `--format`: the part of Go's text/template that people use, over values with Podman's names and types.

mod eval;
mod functions;
mod lex;
mod parse;
mod printf;
#[cfg(test)]
mod tests;
mod value;

use parse::Node;

pub(super) use value::Value;

/// What is wrong with a template, in Go's words.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("template: {0}")]
pub(super) struct TemplateError(String);

/// A template that can be filled.
#[derive(Debug)]
pub(super) struct Template {
    name: &'static str,
    text: String,
    nodes: Vec<Node>,
}

/// Before and behind a format that has no loop of its own.
const RANGE: &str = "{{range .}}";
const END: &str = "{{end -}}";

impl Template {
    /// Reads a template; errors begin with its name.
    ///
    /// # Errors
    /// It is no template.
    pub(super) fn parse(name: &'static str, text: &str) -> Result<Self, TemplateError> {
        match parse::parse(text) {
            Ok(nodes) => Ok(Self {
                name,
                text: text.to_owned(),
                nodes,
            }),
            Err(trouble) => {
                let line = 1 + text[..trouble.at.min(text.len())].matches('\n').count();
                Err(TemplateError(format!("{name}:{line}: {}", trouble.text)))
            }
        }
    }

    /// Reads what a user gave as `--format`, to be filled with a list: a line for each of its values, unless it has a
    /// loop of its own.
    ///
    /// # Errors
    /// It is no template.
    pub(super) fn of_rows(name: &'static str, format: &str) -> Result<Self, TemplateError> {
        let format = normal(format);
        if has_loop(&format) {
            Self::parse(name, &format)
        } else {
            Self::parse(name, &format!("{RANGE}{format}{END}"))
        }
    }

    /// Reads what a user gave as `--format`, to be filled once.
    ///
    /// # Errors
    /// It is no template.
    pub(super) fn of_one(name: &'static str, format: &str) -> Result<Self, TemplateError> {
        Self::parse(name, &normal(format))
    }

    /// The heading of a table: the template filled with the headings of its fields.
    ///
    /// # Errors
    /// It does with a field what cannot be done with its heading.
    pub(super) fn heading(&self, of: &[(&'static str, &str)]) -> Result<String, TemplateError> {
        let fields = of
            .iter()
            .map(|(field, heading)| (*field, Value::from(*heading)));
        let mut fields: Vec<(&'static str, Value)> = fields.collect();
        // `{{.Label "key"}}` takes an argument there too.
        for (field, value) in &mut fields {
            if *field == "Label" {
                *value = Value::Heading("LABEL");
            }
        }
        self.render(&Value::List(vec![Value::fields("heading", fields)]))
    }

    /// Fills the template.
    ///
    /// # Errors
    /// A field that is not there, or a function with wrong arguments.
    pub(super) fn render(&self, data: &Value) -> Result<String, TemplateError> {
        let mut out = String::new();
        eval::render(&self.nodes, data, &mut out).map_err(|failure| {
            let before = &self.text[..failure.column];
            let line = 1 + before.matches('\n').count();
            let column = before.len() - before.rfind('\n').map_or(0, |at| at + 1);
            let (name, context) = (self.name, &self.text[failure.at..failure.end]);
            TemplateError(format!(
                "{name}:{line}:{column}: executing \"{name}\" at <{context}>: {}",
                failure.text
            ))
        })?;
        Ok(out)
    }
}

/// Whether a format begins with a loop over all rows.
fn has_loop(format: &str) -> bool {
    let inner = format
        .strip_prefix("{{")
        .and_then(|rest| rest.split_once("}}"));
    let words = inner.map(|(inner, _)| inner.trim_start_matches('-').trim_end_matches('-'));
    words.is_some_and(|words| words.split_whitespace().eq(["range", "."]))
}

/// Whether a format asks for a table with a heading.
pub(super) fn is_table(format: &str) -> bool {
    format.starts_with("table ")
}

/// The format without `table`, with its `\t` and `\n` as the characters that they mean, and a line's end.
fn normal(format: &str) -> String {
    let mut text = match format.strip_prefix("table ") {
        Some(rest) => rest.trim_start().replace("}} {{", "}}\t{{"),
        None => format.to_owned(),
    };
    text = text.replace("\\t", "\t").replace("\\n", "\n");
    if !text.ends_with('\n') {
        text.push('\n');
    }
    text
}
