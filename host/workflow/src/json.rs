//! Reading JSON with errors that name the field: a [`Field`] is a value together with the path that leads to it.

use serde_json::Value;

use crate::fault::{Fault, Result};

/// A place in a JSON document, present or absent: `functions[2].serial_s` of `ml4.json`.
#[derive(Clone)]
pub struct Field<'v> {
    source: &'v str,
    path: String,
    value: Option<&'v Value>,
}

impl<'v> Field<'v> {
    /// The whole document; `source` names it in errors (a file, or `standard input line 3`).
    pub fn root(source: &'v str, document: &'v Value) -> Self {
        Self { source, path: String::new(), value: Some(document) }
    }

    /// The member `name` of an object; absent when there is none or it is null.
    pub fn get(&self, name: &str) -> Self {
        let path = if self.path.is_empty() { name.to_string() } else { format!("{}.{name}", self.path) };
        let value = self.value.and_then(|value| value.get(name)).filter(|value| !value.is_null());
        Self { source: self.source, path, value }
    }

    /// This field when it is there.
    pub fn present(self) -> Option<Self> {
        self.value.is_some().then_some(self)
    }

    /// The entries of an array.
    pub fn items(&self) -> Result<Vec<Self>> {
        let items = self.required()?.as_array().ok_or_else(|| self.wrong("an array"))?;
        let entry = |(i, value)| Self {
            source: self.source,
            path: format!("{}[{i}]", self.path),
            value: Some(value),
        };
        Ok(items.iter().enumerate().map(entry).collect())
    }

    /// Fails for a member that is not one of `known`, so that a misspelt one is not overlooked.
    pub fn only(&self, known: &[&str]) -> Result<()> {
        let members = self.value.and_then(Value::as_object);
        match members.into_iter().flatten().find(|(name, _)| !known.contains(&name.as_str())) {
            None => Ok(()),
            Some((name, _)) => Err(self
                .get(name)
                .fault("is not known here", format!("it may be one of {}", known.join(", ")))),
        }
    }

    /// Fails unless this is an object.
    pub fn object(&self) -> Result<()> {
        self.required()?.as_object().map(|_| ()).ok_or_else(|| self.wrong("an object"))
    }

    /// A text.
    pub fn text(&self) -> Result<&'v str> {
        self.required()?.as_str().ok_or_else(|| self.wrong("a text"))
    }

    /// A finite number.
    pub fn number(&self) -> Result<f64> {
        self.required()?.as_f64().filter(|x| x.is_finite()).ok_or_else(|| self.wrong("a finite number"))
    }

    /// A finite number above 0.
    pub fn positive(&self) -> Result<f64> {
        let x = self.number()?;
        if x > 0.0 { Ok(x) } else { Err(self.fault(format!("is {x}"), "must be above 0")) }
    }

    /// A finite number, 0 or above.
    pub fn non_negative(&self) -> Result<f64> {
        let x = self.number()?;
        if x >= 0.0 { Ok(x) } else { Err(self.fault(format!("is {x}"), "must not be negative")) }
    }

    /// A finite number from 0 to 1.
    pub fn share(&self) -> Result<f64> {
        let x = self.number()?;
        if (0.0..=1.0).contains(&x) { Ok(x) } else { Err(self.fault(format!("is {x}"), "must lie in 0..1")) }
    }

    /// A whole number from `least` up.
    pub fn whole(&self, least: u64) -> Result<u64> {
        let x = self.required()?.as_u64().ok_or_else(|| self.wrong("a whole number"))?;
        if x >= least {
            Ok(x)
        } else {
            Err(self.fault(format!("is {x}"), format!("must be at least {least}")))
        }
    }

    /// An array of finite numbers.
    pub fn numbers(&self) -> Result<Vec<f64>> {
        self.items()?.iter().map(Self::number).collect()
    }

    /// An error at this place: what is wrong and how to mend it.
    pub fn fault(&self, what: impl Into<String>, mend: impl Into<String>) -> Fault {
        let at = match self.path.as_str() {
            "" => self.source.to_string(),
            path => format!("{}: {path}", self.source),
        };
        Fault { at, what: what.into(), mend: mend.into() }
    }

    /// The value as it stands.
    pub fn required(&self) -> Result<&'v Value> {
        self.value.ok_or_else(|| self.fault("is missing", "add this field"))
    }

    fn wrong(&self, expected: &str) -> Fault {
        self.fault(format!("is {}", show(self.value.unwrap_or(&Value::Null))), format!("must be {expected}"))
    }
}

/// A value as errors name it.
pub fn show(value: &Value) -> String {
    match value {
        Value::Null => "null".into(),
        Value::Bool(flag) => flag.to_string(),
        Value::Number(number) => number.as_f64().unwrap_or(f64::NAN).to_string(),
        Value::String(text) if text.chars().count() > 40 => {
            format!("\"{}...\"", text.chars().take(40).collect::<String>())
        }
        Value::String(text) => format!("\"{text}\""),
        Value::Array(_) => "an array".into(),
        Value::Object(_) => "an object".into(),
    }
}

/// Parse `text` as one JSON document; `source` names it in errors.
pub fn parse(source: &str, text: &str) -> Result<Value> {
    if text.trim().is_empty() {
        let mend = "write a JSON document";
        return Err(Fault { at: source.into(), what: "is empty".into(), mend: mend.into() });
    }
    serde_json::from_str(text).map_err(|fault| {
        let at = format!("{source}:{}:{}", fault.line(), fault.column());
        let what = fault.to_string();
        let what = what.split(" at line ").next().unwrap_or(&what).to_string();
        Fault { at, what: format!("not valid JSON ({what})"), mend: "mend the text at this place".into() }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_name_the_path() {
        let document = parse("a.json", r#"{"functions": [{"serial_s": -1}]}"#).unwrap();
        let field = Field::root("a.json", &document).get("functions").items().unwrap()[0].get("serial_s");
        let error = field.non_negative().unwrap_err();
        assert_eq!(error.to_string(), "a.json: functions[0].serial_s: is -1; must not be negative");
        assert_eq!(
            field.get("x").number().unwrap_err().to_string(),
            "a.json: functions[0].serial_s.x: is missing; add this field"
        );
        assert!(
            parse("a.json", "{\n \"a\": NaN}")
                .unwrap_err()
                .to_string()
                .starts_with("a.json:2:7: not valid JSON")
        );
        assert!(parse("a.json", "1e999").is_err());
        assert_eq!(
            parse("a.json", " \n").unwrap_err().to_string(),
            "a.json: is empty; write a JSON document"
        );
    }
}
