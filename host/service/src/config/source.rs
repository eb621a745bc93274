//! Where a value stands, what it is and what it could be: faults of the configuration in an operator's words.

use aquatope_workflow::fault::Fault;
use toml::de::{DeTable, DeValue, Error};
use toml::{Spanned, Table, Value};

use super::Config;
use super::bounds::bounds;
use super::secrets::NAMED;
use crate::platform::fault;

/// What the configuration was read from.
pub(super) struct Source<'s> {
    /// The file's name.
    pub(super) at: &'s str,
    pub(super) text: &'s str,
    /// Variables that override keys.
    pub(super) overrides: &'s [(String, String)],
}

impl Source<'_> {
    /// Where `key` (`section.key`, of the `index`th table where there are several) gets its value: the variable, or file,
    /// line and column; without a place the file, where it could be set.
    pub(super) fn place(&self, key: &str, index: usize) -> String {
        let variable = format!("AQUATOPE_{}", key.replace('.', "_").to_uppercase());
        if self.overrides.iter().any(|(name, _)| *name == variable) {
            return variable;
        }
        match self.offset(key, index) {
            Some(offset) => format!("{}: {key}", self.at_offset(offset)),
            None => format!("{}: {key}", self.at),
        }
    }

    fn at_offset(&self, offset: usize) -> String {
        let before = self.text.get(..offset).unwrap_or(self.text);
        let line = before.matches('\n').count() + 1;
        let column = before.chars().rev().take_while(|&c| c != '\n').count() + 1;
        format!("{}:{line}:{column}", self.at)
    }

    fn offset(&self, key: &str, index: usize) -> Option<usize> {
        let document = DeTable::parse(self.text).ok()?.into_inner();
        let (section, key) = key.split_once('.').map_or((key, None), |(section, key)| (section, Some(key)));
        let section = value(&document, section)?;
        let Some(key) = key else { return Some(section.span().start) };
        let table = match section.get_ref() {
            DeValue::Array(tables) => tables.get(index)?.get_ref(),
            table => table,
        };
        Some(value(table.as_table()?, key)?.span().start)
    }

    /// A fault of the file's syntax, or of a name in it.
    pub(super) fn syntax(&self, error: &Error) -> Fault {
        let place = error.span().map(|span| self.at_offset(span.start));
        let place = place.as_deref().unwrap_or(self.at);
        unknown_key(place, error).unwrap_or_else(|| {
            let mend = match error.message() {
                "duplicate key" => {
                    "keep one: a key stands once in its section, and a section once in the file"
                }
                _ => "write `key = value` lines, texts in quotes, as `aquatope config` prints them",
            };
            fault(place, error.message(), mend)
        })
    }

    /// The first value in `table` that its key does not take.
    pub(super) fn wrong_value(&self, table: &Table) -> Option<Fault> {
        for (section, found) in table {
            let several = section == "workflow";
            let tables: Vec<&Table> = match found {
                Value::Table(keys) if !several => vec![keys],
                Value::Array(tables) if several && tables.iter().all(Value::is_table) => {
                    tables.iter().filter_map(Value::as_table).collect()
                }
                given => {
                    let mend = match several {
                        true => "write it as [[workflow]]".to_owned(),
                        false => format!("write it as a section, [{section}], with its keys below"),
                    };
                    return Some(fault(&self.place(section, 0), format!("is {}", shown(given)), mend));
                }
            };
            for (index, keys) in tables.into_iter().enumerate() {
                for (key, given) in keys {
                    let tried = try_one(section, key, given.clone());
                    if tried.is_ok() && is_within(section, key, given) {
                        continue;
                    }
                    let place = self.place(&format!("{section}.{key}"), index);
                    let unknown = tried.err().and_then(|error| unknown_key(&place, &error));
                    return Some(unknown.unwrap_or_else(|| {
                        let (what, mend) = (shown(given), allowed(section, key));
                        fault(&place, format!("is {what}"), format!("set {mend}"))
                    }));
                }
                if several && !keys.contains_key("file") {
                    let place = self.place("workflow.file", index);
                    return Some(fault(&place, "missing", "name the workflow file of every [[workflow]]"));
                }
            }
        }
        None
    }
}

/// A key that there is not, with the nearest one that there is. `at` may be a variable, which may be meant for a secret.
pub(super) fn unknown_key(at: &str, error: &Error) -> Option<Fault> {
    let (wrong, expected) = error.message().strip_prefix("unknown field `")?.split_once('`')?;
    let measured = |wrong, known| (strsim::damerau_levenshtein(wrong, known), known);
    let keys = expected.split('`').skip(1).step_by(2).map(|key| measured(wrong, key));
    let is_variable = at.starts_with("AQUATOPE_");
    let secrets = NAMED.iter().filter(|_| is_variable).map(|named| measured(at, named.variable));
    let nearest = secrets.chain(keys).min_by_key(|&(distance, _)| distance);
    let mend = nearest.map_or_else(
        || "remove it".to_owned(),
        |(_, nearest)| format!("the nearest key is `{nearest}`; `aquatope config` lists them all"),
    );
    Some(fault(at, format!("unknown key `{wrong}`"), mend))
}

/// What the key takes, found out by trying.
fn allowed(section: &str, key: &str) -> String {
    let takes = |value: Value| try_one(section, key, value).is_ok();
    if let Some((least, most)) = bounds(section, key) {
        let kind = if takes(Value::Float(0.5)) { "a number" } else { "a whole number" };
        return format!("{kind} from {least} to {most}");
    }
    if takes(Value::Boolean(true)) {
        return "true or false".into();
    }
    if takes(Value::Array(vec![Value::String("text".into())])) {
        return "a list of texts, as [\"one\", \"two\"]".into();
    }
    match try_one(section, key, Value::String("text".into())) {
        Ok(()) => "a text in quotes".into(),
        Err(error) => match error.message().split_once(", expected ") {
            Some((_, names)) => {
                let names: Vec<String> =
                    names.split('`').skip(1).step_by(2).map(|name| format!("\"{name}\"")).collect();
                format!("one of {}", names.join(", "))
            }
            // The only other kind of text is an address.
            None => "an address in digits and a port, as \"127.0.0.1:9180\"".into(),
        },
    }
}

/// Whether `value` lies within the bounds of `key`, where it has any.
fn is_within(section: &str, key: &str, value: &Value) -> bool {
    let number = value.as_float().or_else(|| value.as_integer().map(|whole| whole as f64));
    match (bounds(section, key), number) {
        (Some((least, most)), Some(number)) => (least..=most).contains(&number),
        _ => true,
    }
}

/// Whether `key` of `section` takes values of the type of `value`.
pub(super) fn try_one(section: &str, key: &str, value: Value) -> Result<(), Error> {
    let mut keys = Table::new();
    let several = section == "workflow";
    if several {
        keys.insert("file".into(), Value::String("a.json".into()));
    }
    keys.insert(key.to_owned(), value);
    let keys = if several { Value::Array(vec![Value::Table(keys)]) } else { Value::Table(keys) };
    let mut table = Table::new();
    table.insert(section.to_owned(), keys);
    table.try_into::<Config>().map(drop)
}

fn value<'d, 'i>(table: &'d DeTable<'i>, name: &str) -> Option<&'d Spanned<DeValue<'i>>> {
    table.iter().find(|(key, _)| key.get_ref() == name).map(|(_, value)| value)
}

fn shown(value: &Value) -> String {
    match value {
        Value::String(text) if text.chars().count() > 60 => {
            format!("\"{}...\"", text.chars().take(60).collect::<String>())
        }
        Value::String(text) => format!("{text:?}"),
        Value::Integer(number) => number.to_string(),
        Value::Float(number) => number.to_string(),
        Value::Boolean(flag) => flag.to_string(),
        Value::Datetime(_) => "a date".into(),
        Value::Array(_) => "a list".into(),
        Value::Table(_) => "a table".into(),
    }
}
