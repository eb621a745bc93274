//! Messages of the topic `events` (`<userEventPrefix>events`): one [`Activation`] for every finished run and one
//! [`Metric`] for every throttled request, in every form OpenWhisk has written since 2018.
//!
//! All times are milliseconds; `timestamp_ms` is milliseconds since the epoch on the clock of the host that wrote the
//! message, taken *after* the run and after its logs were collected. Fields come in any order; unknown ones are passed
//! over. Which of the two a message is, the presence of `metricName` in its body says, not `eventType`.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, Unexpected, Visitor};

/// A message of the topic `events`.
#[derive(Clone, Debug, PartialEq)]
pub enum Event<'a> {
    /// A run ended.
    Activation(Activation<'a>),
    /// A number about a namespace.
    Metric(Metric<'a>),
}

/// A finished run of an action, or of a whole sequence or composition.
#[derive(Clone, Debug, PartialEq)]
pub struct Activation<'a> {
    /// Who wrote the message: `invoker<N>`, `controller<id>` (sequences, compositions) or `scheduler<id>` (failed before
    /// it ran).
    pub source: Cow<'a, str>,
    /// When the message was written, milliseconds since the epoch.
    pub timestamp_ms: i64,
    /// The namespace that invoked (the action may belong to another one, see `name`).
    pub namespace: Cow<'a, str>,
    /// `namespace/[package/]action`, not empty.
    pub name: Cow<'a, str>,
    /// 32 hexadecimal digits; older platforms do not send it.
    pub activation_id: Option<Cow<'a, str>>,
    /// How the run ended.
    pub status: Status,
    /// Initialisation and run together, not below 0. For sequences the *sum* of the components, not wall time.
    pub duration_ms: i64,
    /// From admission at the controller to the begin of the initialisation or run: queueing and creation of the
    /// container. Negative when the two clocks disagree.
    pub wait_ms: i64,
    /// The call of `/init`, not below 0; 0 on a warm container. Stem cells are initialised too.
    pub init_ms: i64,
    /// The runtime kind: `python:3`, `blackbox`, `sequence`, ..; not empty.
    pub kind: Cow<'a, str>,
    /// The primary record of a composition.
    pub conductor: bool,
    /// The action's memory limit, MB; 0 when the platform does not know it.
    pub memory_mb: u32,
    /// A part of a sequence or composition.
    pub in_sequence: bool,
    /// The status code the action itself put into its result.
    pub user_status: Option<i64>,
}

/// A number about a namespace.
#[derive(Clone, Debug, PartialEq)]
pub struct Metric<'a> {
    /// Who wrote the message.
    pub source: Cow<'a, str>,
    /// When the message was written, milliseconds since the epoch.
    pub timestamp_ms: i64,
    /// The namespace that invoked.
    pub namespace: Cow<'a, str>,
    /// `ConcurrentInvocations`, `ConcurrentRateLimit` or `TimedRateLimit`.
    pub name: Cow<'a, str>,
    /// The value; 1 for each request turned away by a rate limit.
    pub value: i64,
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// Success.
    Success,
    /// The action said `error`.
    ApplicationError,
    /// The action or its container failed.
    DeveloperError,
    /// The platform failed; also any code this version does not know.
    SystemError,
}

/// Why a message was not understood. The text holds a place and a reason; of a field of the wrong type it quotes the
/// value, at any length.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EventError {
    /// Not JSON, or a field of the wrong type.
    #[error("not an event of OpenWhisk: {0}; check that the topic is the one of user events")]
    Unreadable(#[from] serde_json::Error),
    /// A field without which the message says nothing.
    #[error("not an event of OpenWhisk: `{0}` is missing; check that the topic is the one of user events")]
    Missing(&'static str),
    /// A name longer than OpenWhisk allows, which would be kept in memory.
    #[error("not an event of OpenWhisk: `{0}` is longer than {LONGEST_NAME} bytes")]
    TooLong(&'static str),
}

/// Of names, namespaces and kinds, bytes. OpenWhisk's names have three parts of at most 256.
const LONGEST_NAME: usize = 1_024;

/// Decodes one message; borrows from it wherever a text has no escapes.
pub fn decode(message: &[u8]) -> Result<Event<'_>, EventError> {
    let Envelope { source, timestamp, namespace, body } = serde_json::from_slice(message)?;
    let body = body.ok_or(EventError::Missing("body"))?;
    let timestamp_ms = timestamp.0.ok_or(EventError::Missing("timestamp"))?;
    let (source, namespace) =
        (source.0.unwrap_or_default(), limited(namespace.0.unwrap_or_default(), "namespace")?);
    if let Some(name) = body.metric_name.0 {
        let value = body.metric_value.0.ok_or(EventError::Missing("body.metricValue"))?;
        return Ok(Event::Metric(Metric { source, timestamp_ms, namespace, name, value }));
    }
    Ok(Event::Activation(Activation {
        source,
        timestamp_ms,
        namespace,
        name: limited(body.name.required("body.name")?, "body.name")?,
        activation_id: body.activation_id.0.filter(|id| !id.is_empty()),
        status: Status::from_code(body.status_code.0.unwrap_or(0)),
        duration_ms: body.duration.0.unwrap_or(0).max(0),
        wait_ms: body.wait_time.0.unwrap_or(0),
        init_ms: body.init_time.0.unwrap_or(0).max(0),
        kind: limited(body.kind.required("body.kind")?, "body.kind")?,
        conductor: body.conductor.0,
        memory_mb: body.memory.0.unwrap_or(0).clamp(0, i64::from(u32::MAX)) as u32,
        in_sequence: body.caused_by.0,
        user_status: body.user_defined_status_code.0,
    }))
}

fn limited<'a>(text: Cow<'a, str>, field: &'static str) -> Result<Cow<'a, str>, EventError> {
    if text.len() > LONGEST_NAME { Err(EventError::TooLong(field)) } else { Ok(text) }
}

impl Activation<'_> {
    /// When the run ended, milliseconds since the epoch; `lag_ms` is what lay between the end and the message (log
    /// collection, typically 0 to 2 s).
    pub fn end_ms(&self, lag_ms: i64) -> i64 {
        self.timestamp_ms.saturating_sub(lag_ms)
    }

    /// When the initialisation or run began.
    pub fn start_ms(&self, lag_ms: i64) -> i64 {
        self.end_ms(lag_ms).saturating_sub(self.duration_ms)
    }

    /// When the request arrived.
    pub fn arrival_ms(&self, lag_ms: i64) -> i64 {
        self.start_ms(lag_ms).saturating_sub(self.wait_ms.max(0))
    }

    /// The run without the initialisation.
    pub fn execution_ms(&self) -> i64 {
        self.duration_ms.saturating_sub(self.init_ms).max(0)
    }

    /// Whether no container was warm: the code had to be loaded, into a new container or a stem cell.
    pub fn cold(&self) -> bool {
        self.init_ms > 0
    }

    /// Whether this is the record of a whole sequence or composition, which occupied no container of its own.
    pub fn is_workflow(&self) -> bool {
        self.conductor || self.kind == "sequence"
    }
}

impl Metric<'_> {
    /// Whether this metric reports a request that was turned away.
    pub fn throttled(&self) -> bool {
        matches!(&*self.name, "ConcurrentRateLimit" | "TimedRateLimit")
    }

    /// Whether it was turned away for the number of requests in a minute, not for that at a time.
    pub fn beyond_rate(&self) -> bool {
        self.name == "TimedRateLimit"
    }
}

impl Status {
    /// From the number on the wire.
    pub fn from_code(code: i64) -> Self {
        match code {
            0 => Self::Success,
            1 => Self::ApplicationError,
            2 => Self::DeveloperError,
            _ => Self::SystemError,
        }
    }

    /// The number on the wire.
    pub fn code(self) -> u8 {
        self as u8
    }

    /// From the words the REST interface uses.
    pub fn from_words(words: &str) -> Self {
        match words {
            "success" => Self::Success,
            "application error" => Self::ApplicationError,
            "action developer error" => Self::DeveloperError,
            _ => Self::SystemError,
        }
    }

    /// The words the REST interface uses.
    pub fn words(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::ApplicationError => "application error",
            Self::DeveloperError => "action developer error",
            Self::SystemError => "whisk internal error",
        }
    }
}

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow, default)]
    source: Text<'a>,
    #[serde(default)]
    timestamp: Number,
    #[serde(borrow, default)]
    namespace: Text<'a>,
    #[serde(borrow)]
    body: Option<Body<'a>>,
}

/// Both kinds of body at once: the fields have no order, so that which it is shows only at the end.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Body<'a> {
    #[serde(borrow)]
    metric_name: Text<'a>,
    metric_value: Number,
    #[serde(borrow)]
    name: Text<'a>,
    #[serde(borrow)]
    activation_id: Text<'a>,
    status_code: Number,
    duration: Number,
    wait_time: Number,
    init_time: Number,
    #[serde(borrow)]
    kind: Text<'a>,
    conductor: Flag,
    memory: Number,
    caused_by: Flag,
    user_defined_status_code: Number,
}

/// A text, or null; borrowed when it has no escapes.
#[derive(Default)]
struct Text<'a>(Option<Cow<'a, str>>);

impl<'a> Text<'a> {
    fn required(self, field: &'static str) -> Result<Cow<'a, str>, EventError> {
        self.0.filter(|text| !text.is_empty()).ok_or(EventError::Missing(field))
    }
}

/// A number written as an integer or not, or null. Beyond 64 bits it saturates.
#[derive(Default)]
struct Number(Option<i64>);

/// True for `true` and for any text: `causedBy` is `"sequence"`, `false`, null or absent.
#[derive(Default)]
struct Flag(bool);

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextVisitor;
        impl<'de> Visitor<'de> for TextVisitor {
            type Value = Text<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text")
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Text<'de>, E> {
                Ok(Text(Some(Cow::Borrowed(text))))
            }

            fn visit_str<E>(self, text: &str) -> Result<Text<'de>, E> {
                Ok(Text(Some(Cow::Owned(text.to_owned()))))
            }

            fn visit_unit<E>(self) -> Result<Text<'de>, E> {
                Ok(Text(None))
            }
        }
        deserializer.deserialize_any(TextVisitor)
    }
}

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NumberVisitor;
        impl Visitor<'_> for NumberVisitor {
            type Value = Number;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number")
            }

            fn visit_i64<E>(self, number: i64) -> Result<Number, E> {
                Ok(Number(Some(number)))
            }

            fn visit_u64<E>(self, number: u64) -> Result<Number, E> {
                Ok(Number(Some(i64::try_from(number).unwrap_or(i64::MAX))))
            }

            fn visit_f64<E: serde::de::Error>(self, number: f64) -> Result<Number, E> {
                if !number.is_finite() {
                    return Err(E::invalid_value(Unexpected::Float(number), &self));
                }
                Ok(Number(Some(number as i64)))
            }

            fn visit_unit<E>(self) -> Result<Number, E> {
                Ok(Number(None))
            }
        }
        deserializer.deserialize_any(NumberVisitor)
    }
}

impl<'de> Deserialize<'de> for Flag {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct FlagVisitor;
        impl Visitor<'_> for FlagVisitor {
            type Value = Flag;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("true, false or a text")
            }

            fn visit_bool<E>(self, flag: bool) -> Result<Flag, E> {
                Ok(Flag(flag))
            }

            fn visit_str<E>(self, text: &str) -> Result<Flag, E> {
                Ok(Flag(!text.is_empty()))
            }

            fn visit_unit<E>(self) -> Result<Flag, E> {
                Ok(Flag(false))
            }
        }
        deserializer.deserialize_any(FlagVisitor)
    }
}
