//! Plain JavaScript values in and out. Reading is strict: an unknown key, a wrong type, NaN and an infinity are errors
//! that name the place.

use js_sys::{Array, Object, Uint8Array};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Number, Value};
use wasm_bindgen::{JsCast, JsError, JsValue};

/// Values nested deeper than this are refused; they may contain themselves.
const MAX_DEPTH: usize = 32;
/// The most values one argument may consist of.
const MAX_VALUES: usize = 1 << 20;
/// The most bytes of a model or a snapshot.
const MAX_BYTES: u32 = 64 << 20;

/// Reads an argument; `name` is its name in errors.
///
/// # Errors
/// The place and what is wrong there.
pub(crate) fn read<T: DeserializeOwned>(name: &str, value: &JsValue) -> Result<T, JsError> {
    let mut left = MAX_VALUES;
    let value = convert(name, value, 0, &mut left)?;
    T::deserialize(&value).map_err(|error| {
        let message = error.to_string();
        let place = locate::<T>(&value, &message);
        JsError::new(&format!("{name}{place}: {message}"))
    })
}

/// Where in `root` the fault is that `message` tells of: at the innermost value without which there is another fault or
/// none. Bindings that keep the path while they read would be a tenth of the module.
fn locate<T: DeserializeOwned>(root: &Value, message: &str) -> String {
    let missing = message.starts_with("missing field");
    let (mut place, mut pointer) = (String::new(), String::new());
    while let Some(parent) = root.pointer(&pointer) {
        let children: Vec<(String, bool)> = match parent {
            Value::Object(members) => members.iter().map(|(key, v)| (key.clone(), holds(v))).collect(),
            Value::Array(items) => items.iter().enumerate().map(|(i, v)| (i.to_string(), holds(v))).collect(),
            _ => break,
        };
        let culprit = children.into_iter().take(MAX_PROBES).find(|(key, holds)| {
            // A field can be missing inside of an object only.
            (*holds || !missing) && {
                let mut rest = root.clone();
                match rest.pointer_mut(&pointer) {
                    Some(Value::Object(members)) => drop(members.remove(key)),
                    Some(Value::Array(items)) => drop(key.parse().map(|i: usize| items.remove(i))),
                    _ => {}
                }
                T::deserialize(&rest).err().is_none_or(|error| error.to_string() != message)
            }
        });
        let Some((key, _)) = culprit else { break };
        place += &if parent.is_array() { format!("[{key}]") } else { format!(".{key}") };
        pointer += &format!("/{}", key.replace('~', "~0").replace('/', "~1"));
    }
    place
}

fn holds(value: &Value) -> bool {
    value.is_object() || value.is_array()
}

/// The most values of one object or array that are tried.
const MAX_PROBES: usize = 256;

/// A result as a plain object.
///
/// # Errors
/// None in practice: the types shown have text keys only.
pub(crate) fn show<T: Serialize>(value: &T) -> Result<JsValue, JsError> {
    let serializer = serde_wasm_bindgen::Serializer::new();
    value.serialize(&serializer).map_err(|error| JsError::new(&error.to_string()))
}

/// The bytes of a `Uint8Array` or `ArrayBuffer`.
///
/// # Errors
/// Another type, or more bytes than memory should be asked for.
pub(crate) fn bytes(name: &str, value: &JsValue) -> Result<Vec<u8>, JsError> {
    let array = if let Some(array) = value.dyn_ref::<Uint8Array>() {
        array.clone()
    } else if value.is_instance_of::<js_sys::ArrayBuffer>() {
        Uint8Array::new(value)
    } else {
        return Err(JsError::new(&format!("{name}: give a Uint8Array or an ArrayBuffer")));
    };
    if array.length() > MAX_BYTES {
        let found = array.length();
        return Err(JsError::new(&format!("{name}: {found} bytes, at most {MAX_BYTES} are read")));
    }
    Ok(array.to_vec())
}

fn convert(place: &str, value: &JsValue, depth: usize, left: &mut usize) -> Result<Value, JsError> {
    let refuse = |what: &str| Err(JsError::new(&format!("{place}: {what}")));
    if depth > MAX_DEPTH {
        return refuse("is nested too deeply; does it contain itself?");
    }
    match left.checked_sub(1) {
        Some(fewer) => *left = fewer,
        None => return refuse("has too many values; give less at a time"),
    }
    if value.is_null() || value.is_undefined() {
        return Ok(Value::Null);
    }
    if let Some(number) = value.as_f64() {
        return match number_of(number) {
            Some(number) => Ok(Value::Number(number)),
            None => refuse(&format!("is {number}; give a finite number")),
        };
    }
    if let Some(flag) = value.as_bool() {
        return Ok(Value::Bool(flag));
    }
    if let Some(text) = value.as_string() {
        return Ok(Value::String(text));
    }
    if Array::is_array(value) || js_sys::ArrayBuffer::is_view(value) {
        let items = Array::from(value);
        let item = |(i, item): (usize, JsValue)| convert(&format!("{place}[{i}]"), &item, depth + 1, left);
        return Ok(Value::Array(items.iter().enumerate().map(item).collect::<Result<_, _>>()?));
    }
    if value.is_function() || value.is_symbol() || value.is_bigint() || !value.is_object() {
        return refuse("is neither a number, a text, a flag, an array nor a plain object");
    }
    let mut members = Map::new();
    for entry in Object::entries(value.unchecked_ref()).iter() {
        let entry: Array = entry.unchecked_into();
        let Some(key) = entry.get(0).as_string() else { continue };
        let member = entry.get(1);
        // A key without a value says nothing.
        if !member.is_undefined() {
            members.insert(key.clone(), convert(&format!("{place}.{key}"), &member, depth + 1, left)?);
        }
    }
    Ok(Value::Object(members))
}

/// Whole numbers as such, so that they can be read as integers; nothing for NaN and infinities.
fn number_of(number: f64) -> Option<Number> {
    const EXACT: f64 = 9_007_199_254_740_992.0; // 2^53
    if number.fract() == 0.0 && number.abs() <= EXACT {
        Some(if number < 0.0 { Number::from(number as i64) } else { Number::from(number as u64) })
    } else {
        Number::from_f64(number)
    }
}
