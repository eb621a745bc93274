//! Plain JavaScript values in and out. Reading is strict: an unknown key, a wrong type, NaN and an infinity are errors
//! that name the place. A getter or a proxy that throws is one too: every access is caught, because an exception that
//! passed through would leave the object that was called borrowed for ever.

use std::cell::Cell;
use std::fmt;
use std::vec::IntoIter;

use js_sys::{Array, ArrayBuffer, Reflect, Uint8Array};
use serde::Serialize;
use serde::de::value::StrDeserializer;
use serde::de::{
    DeserializeOwned, DeserializeSeed, Deserializer, Error, Expected, IntoDeserializer, MapAccess, SeqAccess,
    Unexpected, Visitor,
};
use wasm_bindgen::prelude::wasm_bindgen;
use wasm_bindgen::{JsCast, JsError, JsValue};

#[wasm_bindgen]
extern "C" {
    // A revoked proxy throws.
    #[wasm_bindgen(catch, js_namespace = Array, js_name = isArray)]
    fn is_array(value: &JsValue) -> Result<bool, JsValue>;
    // The own enumerable ones, as `Object.entries` has them; a proxy may throw.
    #[wasm_bindgen(catch, js_namespace = Object, js_name = keys)]
    fn keys(value: &JsValue) -> Result<Array, JsValue>;
}

/// Values nested deeper than this are refused; they may contain themselves.
const MAX_DEPTH: usize = 32;
/// The most values one argument may consist of.
const MAX_VALUES: usize = 1 << 20;
/// Bytes of the largest type that arrays are made of, an outcome.
const LARGEST: usize = 64;
/// Bytes of the smallest tree of a free-form object: room for eleven members.
const OBJECT: usize = 1024;
/// The most bytes of a model or a snapshot.
const MAX_BYTES: u32 = 64 << 20;

/// Reads an argument; `name` is its name in errors.
///
/// # Errors
/// The place and what is wrong there.
pub(crate) fn read<T: DeserializeOwned>(name: &str, value: &JsValue) -> Result<T, JsError> {
    room(0)?;
    let left = Cell::new(MAX_VALUES);
    let place = Place { step: Step::Argument(name), outer: None, depth: 0 };
    let reader = Reader { value: value.clone(), place: &place, left: &left };
    T::deserialize(reader).map_err(|fault| JsError::new(&fault.at(&place).to_string()))
}

/// A result as a plain object.
///
/// # Errors
/// None in practice: the types shown have text keys only.
pub(crate) fn show<T: Serialize>(value: &T) -> Result<JsValue, JsError> {
    room(0)?;
    let serializer = serde_wasm_bindgen::Serializer::new();
    value.serialize(&serializer).map_err(|error| JsError::new(&error.to_string()))
}

/// The bytes of a `Uint8Array` or `ArrayBuffer`.
///
/// # Errors
/// Another type, or more bytes than memory should be asked for.
pub(crate) fn bytes(name: &str, value: &JsValue) -> Result<Vec<u8>, JsError> {
    let refused = || JsError::new(&format!("{name}: give a Uint8Array or an ArrayBuffer"));
    let array = match value.dyn_ref::<Uint8Array>() {
        Some(array) => array.clone(),
        None if value.is_instance_of::<ArrayBuffer>() => {
            // A buffer that was transferred to a worker is gone.
            let view = Reflect::get(&js_sys::global(), &"Uint8Array".into()).and_then(|constructor| {
                Reflect::construct::<fn() -> JsValue>(constructor.unchecked_ref(), &Array::of1(value))
            });
            view.map_err(|_| refused())?.unchecked_into()
        }
        None => return Err(refused()),
    };
    let length = array.length();
    if length > MAX_BYTES {
        return Err(JsError::new(&format!("{name}: {length} bytes, at most {MAX_BYTES} are read")));
    }
    room(4 * length as usize)?;
    Ok(array.to_vec())
}

/// Makes sure that memory for `bytes`, and [`SLACK`] for all that is small, can be had: an allocation that fails inside of
/// the module would end it. Called before whatever takes memory.
///
/// # Errors
/// It cannot.
pub(crate) fn room(bytes: usize) -> Result<(), JsError> {
    let mut probe = Vec::<u8>::new();
    let found = probe.try_reserve_exact(bytes.saturating_add(SLACK));
    // Unless somebody looks at it, the compiler takes it for granted.
    std::hint::black_box(&probe);
    found.map_err(|_| JsError::new(NO_ROOM))
}

/// More than any call allocates beside what `room` is asked for.
const SLACK: usize = 1 << 20;
const NO_ROOM: &str = "out of memory; free() what is not needed any more";

/// Where a value stands in an argument: `options.axes[0].min`.
#[derive(Clone, Copy)]
struct Place<'p> {
    step: Step<'p>,
    outer: Option<&'p Self>,
    depth: usize,
}

#[derive(Clone, Copy)]
enum Step<'p> {
    Argument(&'p str),
    Member(&'p str),
    Item(u32),
}

impl<'p> Place<'p> {
    fn inner(&'p self, step: Step<'p>) -> Self {
        Self { step, outer: Some(self), depth: self.depth + 1 }
    }
}

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(outer) = self.outer {
            outer.fmt(f)?;
        }
        match self.step {
            Step::Argument(name) => f.write_str(name),
            Step::Member(name) => write!(f, ".{name}"),
            Step::Item(i) => write!(f, "[{i}]"),
        }
    }
}

/// What is wrong, and where: the innermost place that is known.
#[derive(Debug)]
pub(crate) struct Fault {
    place: Option<String>,
    what: String,
}

impl Fault {
    fn at(self, place: &Place<'_>) -> Self {
        Self { place: self.place.or_else(|| Some(place.to_string())), ..self }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(place) = &self.place {
            write!(f, "{place}: ")?;
        }
        f.write_str(&self.what)
    }
}

impl std::error::Error for Fault {}

impl Error for Fault {
    fn custom<T: fmt::Display>(what: T) -> Self {
        Self { place: None, what: what.to_string() }
    }

    // Serde's own wording would bring the tables of all printable characters with it.
    fn invalid_type(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        // JavaScript knows no integers by name.
        let expected = expected.to_string();
        let expected = match expected.as_str() {
            "u16" => "a whole number from 0 to 65535",
            "u32" | "usize" => "a whole number from 0 to 4294967295",
            "u64" => "a whole number from 0 to 2^53",
            other => other,
        };
        match found {
            Unexpected::Other(found) => Self::custom(format_args!("is {found}; must be {expected}")),
            Unexpected::Signed(found) => Self::custom(format_args!("is {found}; must be {expected}")),
            Unexpected::Unsigned(found) => Self::custom(format_args!("is {found}; must be {expected}")),
            Unexpected::Float(found) => Self::custom(format_args!("is {found}; must be {expected}")),
            _ => Self::custom(format_args!("must be {expected}")),
        }
    }

    fn invalid_value(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::invalid_type(found, expected)
    }
}

/// One value, its place, and how many values may still be read.
struct Reader<'r> {
    value: JsValue,
    place: &'r Place<'r>,
    left: &'r Cell<usize>,
}

impl<'r> Reader<'r> {
    /// # Errors
    /// Anything but a finite number.
    fn number(&self) -> Result<f64, Fault> {
        match self.value.as_f64() {
            Some(number) if number.is_finite() => Ok(number),
            Some(number) if number.is_nan() => Err(Fault::custom("is NaN; give a finite number")),
            Some(_) => Err(Fault::custom("is infinite; give a finite number")),
            None => Err(self.wrong("a number")),
        }
    }

    fn wrong(&self, expected: &str) -> Fault {
        let value = &self.value;
        Fault::invalid_type(
            Unexpected::Other(if value.is_null() || value.is_undefined() {
                "missing"
            } else if value.is_string() {
                "a text"
            } else if value.as_bool().is_some() {
                "a flag"
            } else if value.as_f64().is_some() {
                "a number"
            } else if is_list(value).unwrap_or(false) {
                "an array"
            } else if is_object(value) && !value.is_function() {
                "an object"
            } else {
                "neither a number, a text, a flag, an array nor a plain object"
            }),
            &expected,
        )
    }

    /// # Errors
    /// A place too deep, or too many values in all.
    fn admit(&self, values: usize) -> Result<(), Fault> {
        if self.place.depth >= MAX_DEPTH {
            return Err(Fault::custom("is nested too deeply; does it contain itself?"));
        }
        let left = self.left.get().checked_sub(values);
        self.left.set(left.ok_or_else(|| Fault::custom("has too many values; give less at a time"))?);
        Ok(())
    }

    /// The values of an array, one after the other.
    fn items(self) -> Result<Items<'r>, Fault> {
        if !is_list(&self.value)? {
            return Err(self.wrong("an array"));
        }
        let length = Reflect::get(&self.value, &"length".into()).map_err(thrown)?;
        let length = length.as_f64().unwrap_or(0.0) as u32;
        self.admit(length as usize)?;
        // A vector grows by doubling, and the old one is there while it is copied.
        room(4 * LARGEST * length as usize).map_err(|_| Fault::custom(NO_ROOM))?;
        Ok(Items { list: self.value, place: self.place, left: self.left, next: 0, length })
    }

    /// The members of an object that have a value.
    fn members(self) -> Result<Members<'r>, Fault> {
        if !is_object(&self.value) || is_list(&self.value)? || self.value.is_function() {
            return Err(self.wrong("an object"));
        }
        if Reflect::get(&self.value, &"then".into()).is_ok_and(|then| then.is_function()) {
            return Err(Fault::custom("is a Promise; await it first"));
        }
        let keys = keys(&self.value).map_err(thrown)?;
        self.admit(keys.length() as usize)?;
        room(OBJECT + 4 * LARGEST * keys.length() as usize).map_err(|_| Fault::custom(NO_ROOM))?;
        let mut members = Vec::new();
        for key in keys.iter() {
            let Some(name) = key.as_string() else { continue };
            let value = Reflect::get(&self.value, &key)
                .map_err(|exception| thrown(exception).at(&self.place.inner(Step::Member(&name))))?;
            // A key without a value says nothing.
            if !value.is_undefined() {
                members.push((name, value));
            }
        }
        let members = members.into_iter();
        Ok(Members { members, place: self.place, left: self.left, current: Default::default() })
    }
}

pub(crate) fn is_list(value: &JsValue) -> Result<bool, Fault> {
    Ok(is_array(value).map_err(thrown)? || ArrayBuffer::is_view(value))
}

fn is_object(value: &JsValue) -> bool {
    value.is_object() && !value.is_null()
}

fn thrown(exception: JsValue) -> Fault {
    // Reading that may throw, too, and need not be a text.
    let message = Reflect::get(&exception, &"message".into()).ok().and_then(|message| message.as_string());
    Fault::custom(format_args!("cannot be read ({})", message.as_deref().unwrap_or("it throws")))
}

/// Whole numbers of which every neighbour is a number, too.
const EXACT: f64 = 9_007_199_254_740_992.0; // 2^53

impl<'de> Deserializer<'de> for Reader<'_> {
    type Error = Fault;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        if self.value.is_null() || self.value.is_undefined() {
            visitor.visit_unit()
        } else if let Some(flag) = self.value.as_bool() {
            visitor.visit_bool(flag)
        } else if let Some(text) = self.value.as_string() {
            visitor.visit_string(text)
        } else if is_list(&self.value)? {
            self.deserialize_seq(visitor)
        } else if is_object(&self.value) {
            let members = self.members()?;
            visitor.visit_map(members)
        } else {
            self.deserialize_u64(visitor)
        }
    }

    /// Whole numbers as such, so that they can be read as integers.
    fn deserialize_u64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        let number = self.number()?;
        if number.fract() != 0.0 || number.abs() > EXACT {
            visitor.visit_f64(number)
        } else if number < 0.0 {
            visitor.visit_i64(number as i64)
        } else {
            visitor.visit_u64(number as u64)
        }
    }

    fn deserialize_u32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        self.deserialize_u64(visitor)
    }

    fn deserialize_u16<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        self.deserialize_u64(visitor)
    }

    fn deserialize_f64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        let number = self.number()?;
        visitor.visit_f64(number)
    }

    fn deserialize_f32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        self.deserialize_f64(visitor)
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match self.value.as_bool() {
            Some(flag) => visitor.visit_bool(flag),
            None => Err(self.wrong("true or false")),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        if self.value.is_null() || self.value.is_undefined() {
            visitor.visit_none()
        } else {
            visitor.visit_some(self)
        }
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        let items = self.items()?;
        visitor.visit_seq(items)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        let members = self.members()?;
        visitor.visit_map(members)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        match self.value.as_string() {
            Some(text) => visitor.visit_enum(IntoDeserializer::<Fault>::into_deserializer(text)),
            None => Err(self.wrong("a text")),
        }
    }

    serde::forward_to_deserialize_any! {
        i8 i16 i32 i64 i128 u8 u128 char str string bytes byte_buf unit unit_struct newtype_struct tuple
        tuple_struct map identifier ignored_any
    }
}

struct Items<'r> {
    list: JsValue,
    place: &'r Place<'r>,
    left: &'r Cell<usize>,
    next: u32,
    length: u32,
}

impl<'de> SeqAccess<'de> for Items<'_> {
    type Error = Fault;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Fault> {
        if self.next == self.length {
            return Ok(None);
        }
        let place = self.place.inner(Step::Item(self.next));
        self.next += 1;
        let value = Reflect::get_u32(self.list.unchecked_ref(), self.next - 1);
        let value = value.map_err(|exception| thrown(exception).at(&place))?;
        let reader = Reader { value, place: &place, left: self.left };
        seed.deserialize(reader).map(Some).map_err(|fault| fault.at(&place))
    }
}

struct Members<'r> {
    members: IntoIter<(String, JsValue)>,
    place: &'r Place<'r>,
    left: &'r Cell<usize>,
    current: (String, JsValue),
}

impl<'de> MapAccess<'de> for Members<'_> {
    type Error = Fault;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Fault> {
        let Some(member) = self.members.next() else { return Ok(None) };
        self.current = member;
        let key: StrDeserializer<'_, Fault> = self.current.0.as_str().into_deserializer();
        let place = self.place.inner(Step::Member(&self.current.0));
        seed.deserialize(key).map(Some).map_err(|fault| fault.at(&place))
    }

    fn next_value_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<T::Value, Fault> {
        let (name, value) = std::mem::take(&mut self.current);
        let place = self.place.inner(Step::Member(&name));
        let reader = Reader { value, place: &place, left: self.left };
        seed.deserialize(reader).map_err(|fault| fault.at(&place))
    }
}
