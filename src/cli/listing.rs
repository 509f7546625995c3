//! Lists of images, volumes and secrets: a table, JSON, or a template.

use clap::ArgMatches;

use super::error::CliError;
use super::output;
use super::table;
use super::template::{Template, Value, is_table};

/// What a list shows.
pub(super) struct Listing {
    /// The verb, for errors in templates.
    pub(super) name: &'static str,
    /// The heading of each field.
    pub(super) headings: &'static [(&'static str, &'static str)],
    /// The table for who asks for nothing else.
    pub(super) table: &'static str,
    /// Of JSON.
    pub(super) indent: &'static str,
}

/// Prints rows in the form of `--format`.
pub(super) fn print(args: &ArgMatches, of: &Listing, rows: Vec<Value>) -> Result<(), CliError> {
    let rows = Value::List(rows);
    let given = args.get_one::<String>("format").map_or("", String::as_str);
    let format = match given {
        "json" => return output::say(&rows.to_pretty_json(of.indent)),
        "" | "table" => of.table,
        given => given,
    };
    let template = Template::of_rows(of.name, format)?;
    let text = template.render(&rows)?;
    if !is_table(format) {
        return output::print(&text);
    }
    let quiet = args.try_get_one::<bool>("noheading").ok().flatten();
    let heading = match quiet {
        Some(true) => String::new(),
        _ => template.heading(of.headings)?,
    };
    output::print(&table::tabbed(&(heading + &text)))
}
