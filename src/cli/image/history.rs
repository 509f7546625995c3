//! `history`.

use clap::{Arg, ArgMatches, Command};

use super::filter::{moment_of, seconds_of};
use crate::cli::args::{is_on, switch, toggle};
use crate::cli::error::CliError;
use crate::cli::prune::now;
use crate::cli::template::{Template, Value, is_table};
use crate::cli::{Host, output, ps, table};
use crate::image::{Images, Step};

/// What the table shows of a command, at most.
const WIDEST: usize = 45;
const TABLE: &str = "table {{.ID}}\t{{.Created}}\t{{.CreatedBy}}\t{{.Size}}\t{{.Comment}}";
const HEADINGS: &[(&str, &str)] = &[
    ("Comment", "COMMENT"),
    ("Created", "CREATED"),
    // Podman has no headings for these two.
    ("CreatedAt", "<no value>"),
    ("CreatedSince", "<no value>"),
    ("CreatedBy", "CREATED BY"),
    ("ID", "ID"),
    ("Size", "SIZE"),
    ("Tags", "TAGS"),
];

/// The grammar.
pub(in crate::cli) fn command() -> Command {
    let human = toggle("human", "Times for humans, the default");
    Command::new("history")
        .about("Show how an image came to be, the last step first")
        .arg(ps::template())
        .arg(human.short('H').default_value("true"))
        .arg(switch("no-trunc", None, "Do not shorten ids and commands"))
        .arg(switch("quiet", Some('q'), "Ids only"))
        .arg(Arg::new("image").value_name("IMAGE").required(true))
}

pub(in crate::cli) fn run(args: &ArgMatches, host: &Host) -> Result<u8, CliError> {
    let store = Images::open(&host.layout.state())?;
    let name = args.get_one::<String>("image").expect("clap demands it");
    let image = store.resolve(name)?;
    let steps = store.history(&image)?;
    let format = args.get_one::<String>("format").map_or("", String::as_str);
    if format == "json" {
        let steps = steps.iter().map(json);
        output::say(&Value::List(steps.collect()).to_json())?;
        return Ok(0);
    }
    let whole = args.get_flag("no-trunc");
    if args.get_flag("quiet") && format.is_empty() {
        for step in &steps {
            output::say(&shown(step, whole))?;
        }
        return Ok(0);
    }
    let human = is_on(args, "human");
    let rows = steps.iter().map(|step| row(step, whole, human, now()));
    let rows = Value::List(rows.collect());
    let format = if format.is_empty() { TABLE } else { format };
    let template = Template::of_rows("history", format)?;
    let text = template.render(&rows)?;
    if !is_table(format) {
        output::print(&text)?;
        return Ok(0);
    }
    let heading = template.heading(HEADINGS)?;
    output::print(&table::tabbed(&(heading + &text)))?;
    Ok(0)
}

fn shown(step: &Step, whole: bool) -> String {
    match &step.id {
        None => "<missing>".to_owned(),
        Some(id) if whole => id.clone(),
        Some(id) => id.chars().take(12).collect(),
    }
}

fn micros(step: &Step) -> u64 {
    moment_of(step.created.as_deref())
}

fn row(step: &Step, whole: bool, human: bool, now: u64) -> Value {
    let exact = seconds_of(micros(step));
    let ago = table::ago(micros(step), now);
    let created = if human { &ago } else { &exact };
    let mut by = step.created_by.clone();
    if !whole && by.chars().count() > WIDEST {
        by = by.chars().take(WIDEST - 3).collect::<String>() + "...";
    }
    let fields = vec![
        ("ID", shown(step, whole).into()),
        ("Created", created.as_str().into()),
        ("CreatedSince", ago.as_str().into()),
        ("CreatedAt", exact.as_str().into()),
        ("CreatedBy", by.into()),
        ("Size", table::size(step.size, "").into()),
        ("Comment", step.comment.as_str().into()),
        ("Tags", Value::list(&step.names)),
    ];
    Value::fields("images.historyReporter", fields)
}

fn json(step: &Step) -> Value {
    let id = step.id.as_deref().unwrap_or("<missing>");
    let mut fields = vec![("id", id.into())];
    if let Some(created) = &step.created {
        fields.push(("created", created.as_str().into()));
    }
    if !step.created_by.is_empty() {
        fields.push(("CreatedBy", step.created_by.as_str().into()));
    }
    if !step.names.is_empty() {
        fields.push(("tags", Value::list(&step.names)));
    }
    fields.push(("size", step.size.into()));
    if !step.comment.is_empty() {
        fields.push(("comment", step.comment.as_str().into()));
    }
    fields.push(("Created", seconds_of(micros(step)).into()));
    Value::fields("", fields)
}
