//! Reading the configuration: file, then environment, then checks across keys.

use std::path::Path;

use aquatope_workflow::fault::Fault;
use toml::{Table, Value};

use super::check::check;
use super::source::{Source, try_one, unknown_key};
use super::{Config, Secrets};
use crate::platform::fault;

/// The commented default, as `aquatope config` prints it.
pub const DEFAULT: &str = include_str!("default.toml");

/// The configuration in `file` (none: the defaults), overridden by `environment`, and its secrets.
///
/// # Errors
/// The first fault, naming the key and its place.
pub fn read(
    file: Option<&Path>,
    environment: impl IntoIterator<Item = (String, String)>,
) -> Result<(Config, Secrets), Fault> {
    let (config, secrets, faults) = read_all(file, environment)?;
    match faults.into_iter().next() {
        None => Ok((config, secrets)),
        Some(fault) => Err(fault),
    }
}

/// The same, with what is wrong with the files of secrets and certificates apart: such a secret is left out.
///
/// # Errors
/// The first fault of the configuration itself.
pub fn read_all(
    file: Option<&Path>,
    environment: impl IntoIterator<Item = (String, String)>,
) -> Result<(Config, Secrets, Vec<Fault>), Fault> {
    let at = file.map_or_else(|| "configuration".to_owned(), |path| path.display().to_string());
    let text = match file {
        Some(path) => std::fs::read_to_string(path)
            .map_err(|error| fault(&at, error, "pass the file that `aquatope config` printed to --config"))?,
        None => String::new(),
    };
    let environment: Vec<(String, String)> =
        environment.into_iter().filter(|(name, _)| name.starts_with("AQUATOPE_")).collect();
    let (secrets, overrides) = Secrets::split(environment);
    // First by itself, so that a fault of the file is placed in the file.
    let file = Source { at: &at, text: &text, overrides: &[] };
    let mut table: Table = text.parse().map_err(|error| file.syntax(&error))?;
    toml::from_str::<Config>(&text).map_err(|error| match unknown_key(&at, &error) {
        Some(_) => file.syntax(&error),
        None => file.wrong_value(&table).unwrap_or_else(|| file.syntax(&error)),
    })?;
    let source = Source { overrides: &overrides, ..file };
    for (name, value) in &overrides {
        set(&mut table, name, value)?;
        let read = table.clone().try_into::<Config>();
        if let Some(fault) = read.err().and_then(|error| unknown_key(name, &error)) {
            return Err(fault);
        }
    }
    if let Some(fault) = source.wrong_value(&table) {
        return Err(fault);
    }
    let config: Config = table.try_into().map_err(|error| source.syntax(&error))?;
    check(&config, &source)?;
    let (secrets, faults) = secrets.with_files(&config, &source);
    Ok((config, secrets, faults))
}

/// Set the key that the variable `name` stands for.
fn set(table: &mut Table, name: &str, value: &str) -> Result<(), Fault> {
    let key = name.trim_start_matches("AQUATOPE_").to_lowercase();
    let Some((section, key)) = key.split_once('_').filter(|(section, _)| *section != "workflow") else {
        let mend = "name it AQUATOPE_<SECTION>_<KEY>, or unset it; a [[workflow]] stands in the file only";
        return Err(fault(name, "stands for no key", mend));
    };
    // What is not TOML, or is something else than the key takes, may be a text without quotes.
    let takes = |value: &Value| try_one(section, key, value.clone()).is_ok();
    let parsed = format!("v = {value}").parse::<Table>().ok().and_then(|mut t| t.remove("v"));
    let text = Value::String(value.to_owned());
    let value = match parsed {
        Some(parsed) if takes(&parsed) || !takes(&text) => parsed,
        _ => text,
    };
    let section = table.entry(section).or_insert_with(|| Value::Table(Table::new()));
    if let Value::Table(section) = section {
        section.insert(key.to_owned(), value);
    }
    Ok(())
}
