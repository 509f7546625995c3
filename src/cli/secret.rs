//! `secret create`, `ls`, `inspect`, `rm`, `exists`.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};

use clap::ArgMatches;

use super::error::CliError;
use super::listing::{self, Listing};
use super::template::Value;
use super::{Host, inspect, output, table, targets};
use crate::api::ExitCode;
use crate::store::secrets::{self, MAX_SECRET, SecretRecord};
use crate::sys::time::realtime;
use crate::types::{ObjectNameError, SecretName};

pub(super) fn run(args: &ArgMatches, host: &Host) -> Result<u8, CliError> {
    let (verb, args) = args.subcommand().expect("clap demands a verb");
    match verb {
        "create" => create(args, host),
        "ls" => list(args, host),
        "inspect" => show(args, host),
        "rm" => delete(args, host),
        "exists" => exists(args, host),
        other => unreachable!("clap knows no verb {other}"),
    }
}

fn create(args: &ArgMatches, host: &Host) -> Result<u8, CliError> {
    let one = |name| args.get_one::<String>(name).expect("clap demands one");
    let name = one("name").parse::<SecretName>();
    let name = name.map_err(|error: ObjectNameError| CliError::Usage(error.to_string()))?;
    let mut labels = BTreeMap::new();
    for label in targets::texts(args, "label") {
        let (key, value) = label.split_once('=').unwrap_or((label, ""));
        labels.insert(key.to_owned(), value.to_owned());
    }
    let data = match one("file").as_str() {
        variable if args.get_flag("env") => {
            let value = std::env::var_os(variable);
            let missing = || {
                CliError::Usage(format!(
                    "cannot find store secret data: environment variable {variable} is not set"
                ))
            };
            std::os::unix::ffi::OsStringExt::into_vec(value.ok_or_else(missing)?)
        }
        "-" => read(&mut io::stdin().lock(), "standard input")?,
        path => {
            let mut file = File::open(path).map_err(CliError::io("open", path))?;
            read(&mut file, path)?
        }
    };
    let id = secrets::create(&host.layout, &name, &data, labels, args.get_flag("replace"))?;
    output::say(&id)?;
    Ok(0)
}

/// All there is, but no more than a secret may have: the store tells what is wrong with one byte too many.
fn read(from: &mut dyn Read, what: &str) -> Result<Vec<u8>, CliError> {
    let mut data = Vec::new();
    let limited = &mut from.take(MAX_SECRET as u64 + 1);
    limited
        .read_to_end(&mut data)
        .map_err(CliError::io("read", what))?;
    Ok(data)
}

fn list(args: &ArgMatches, host: &Host) -> Result<u8, CliError> {
    let all = secrets::list(&host.layout)?;
    if args.get_flag("quiet") && !args.contains_id("format") {
        let ids: String = all
            .iter()
            .map(|record| format!("{}\n", record.id))
            .collect();
        output::print(&ids)?;
        return Ok(0);
    }
    let now = realtime().as_micros() as u64;
    let rows = all.iter().map(|record| {
        let fields = vec![
            ("ID", record.id.as_str().into()),
            ("Name", record.name.as_str().into()),
            ("Driver", "file".into()),
            ("CreatedAt", table::ago(record.created, now).into()),
            ("UpdatedAt", table::ago(record.updated, now).into()),
        ];
        Value::fields("entities.SecretListReport", fields).with_json(describe(record, None))
    });
    listing::print(args, &SECRETS, rows.collect())?;
    Ok(0)
}

const SECRETS: Listing = Listing {
    name: "secrets",
    headings: &[
        ("CreatedAt", "CREATED"),
        ("Driver", "DRIVER"),
        ("ID", "ID"),
        ("Name", "NAME"),
        ("UpdatedAt", "UPDATED"),
    ],
    table: "table {{.ID}}\t{{.Name}}\t{{.Driver}}\t{{.CreatedAt}}\t{{.UpdatedAt}}",
    indent: "    ",
};

fn describe(record: &SecretRecord, data: Option<&[u8]>) -> Value {
    let none = || Value::Map(BTreeMap::new());
    let driver = vec![("Name", "file".into()), ("Options", none())];
    let spec = vec![
        ("Name", record.name.as_str().into()),
        ("Driver", Value::fields("entities.SecretDriverSpec", driver)),
        ("Labels", Value::map(&record.labels)),
    ];
    let mut fields = vec![
        ("ID", record.id.as_str().into()),
        ("CreatedAt", Value::Time(record.created)),
        ("UpdatedAt", Value::Time(record.updated)),
        ("Spec", Value::fields("entities.SecretSpec", spec)),
    ];
    if let Some(data) = data {
        fields.push((
            "SecretData",
            String::from_utf8_lossy(data).into_owned().into(),
        ));
    }
    Value::fields("*entities.SecretInfoReport", fields)
}

fn show(args: &ArgMatches, host: &Host) -> Result<u8, CliError> {
    let mut found = Vec::new();
    let result = targets::each(targets::texts(args, "names"), |text| {
        let (record, data) = secrets::load(&host.layout, text)?;
        let shown = args.get_flag("showsecret").then_some(&data[..]);
        found.push(describe(&record, shown));
        Ok(())
    });
    inspect::print(args, found)?;
    result
}

fn exists(args: &ArgMatches, host: &Host) -> Result<u8, CliError> {
    let name = args.get_one::<String>("name").expect("clap demands one");
    match secrets::load(&host.layout, name) {
        Ok(_) => Ok(0),
        Err(error) if error.is_not_found() => Ok(ExitCode::Failure.number()),
        Err(error) => Err(error.into()),
    }
}

fn delete(args: &ArgMatches, host: &Host) -> Result<u8, CliError> {
    if args.get_flag("all") {
        for record in secrets::list(&host.layout)? {
            secrets::remove(&host.layout, &record.name)?;
            output::say(&record.id)?;
        }
        return Ok(0);
    }
    targets::each(targets::texts(args, "names"), |text| {
        match secrets::load(&host.layout, text) {
            Err(error) if error.is_not_found() && args.get_flag("ignore") => Ok(()),
            found => {
                let (record, _) = found?;
                secrets::remove(&host.layout, &record.name)?;
                output::say(&record.id)
            }
        }
    })
}
