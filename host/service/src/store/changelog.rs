//! What a transaction changes, as records of a log that is compacted by key: the last record of a key is its value.

use std::fmt;
use std::str::FromStr;

/// One row of a table, and what is in it now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The row; as text it is the key of a record.
    pub row: Row,
    /// `None`: it is gone.
    pub value: Option<Vec<u8>>,
}

/// A row of one of the tables.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Row {
    /// The format, and the state of the observer.
    About(String),
    /// A function.
    Function(u32),
    /// A closed minute.
    Minute(u32),
    /// Where to read on in a topic's partition.
    Offsets(String, i32),
    /// A message kept aside, by order and partition.
    Unreadable(i64, i32),
    /// Whatever else is kept under a name.
    Other(String),
    /// What a shard tells the others with its plan: it is not of the state.
    Plan(u32),
}

/// A log that only one instance writes at a time: who opened it last.
pub trait Changelog: Send {
    /// Hand out everything that is in it, in order.
    ///
    /// # Errors
    /// It cannot be read now.
    fn read(&mut self, each: &mut dyn FnMut(Change) -> Result<(), LogError>) -> Result<(), LogError>;

    /// Make `changes` durable, all or nothing. The same changes may be written again.
    ///
    /// # Errors
    /// It cannot be written now, or never again.
    fn write(&mut self, changes: &[Change]) -> Result<(), LogError>;
}

/// Why a log was not read or written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LogError {
    /// It may be tried again.
    #[error("{0}")]
    Unavailable(String),
    /// Another instance has opened it.
    #[error("another instance has taken over")]
    Lost,
    /// A record that this version does not know.
    #[error("{0:?} is not a record of this version")]
    Foreign(String),
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::About(name) => write!(f, "about/{name}"),
            Self::Function(id) => write!(f, "function/{id}"),
            Self::Minute(minute) => write!(f, "minute/{minute}"),
            Self::Offsets(topic, partition) => write!(f, "offsets/{topic}/{partition}"),
            Self::Unreadable(order, partition) => write!(f, "unreadable/{order}/{partition}"),
            Self::Other(name) => write!(f, "other/{name}"),
            Self::Plan(shard) => write!(f, "plan/{shard}"),
        }
    }
}

impl FromStr for Row {
    type Err = LogError;

    fn from_str(text: &str) -> Result<Self, LogError> {
        let parse = || {
            let (table, rest) = text.split_once('/')?;
            Some(match table {
                "about" => Self::About(rest.to_owned()),
                "function" => Self::Function(rest.parse().ok()?),
                "minute" => Self::Minute(rest.parse().ok()?),
                "offsets" => {
                    let (topic, partition) = rest.rsplit_once('/')?;
                    Self::Offsets(topic.to_owned(), partition.parse().ok()?)
                }
                "unreadable" => {
                    let (order, partition) = rest.split_once('/')?;
                    Self::Unreadable(order.parse().ok()?, partition.parse().ok()?)
                }
                "other" => Self::Other(rest.to_owned()),
                "plan" => Self::Plan(rest.parse().ok()?),
                _ => return None,
            })
        };
        parse().ok_or_else(|| LogError::Foreign(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_read_back() {
        for row in [
            Row::About("open".into()),
            Row::Function(7),
            Row::Minute(29_000_000),
            Row::Offsets("pre.events".into(), 3),
            Row::Unreadable(12, 0),
            Row::Other("model/light".into()),
            Row::Plan(3),
        ] {
            assert_eq!(row.to_string().parse(), Ok(row));
        }
        for foreign in ["", "functions/1", "function/x", "offsets/topic", "unreadable/1"] {
            assert_eq!(foreign.parse::<Row>(), Err(LogError::Foreign(foreign.into())));
        }
    }
}
