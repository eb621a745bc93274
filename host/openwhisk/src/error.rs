//! What can go wrong in a call: what was asked where, why it failed, how to mend it. No text here holds a secret.

use std::fmt;
use std::path::PathBuf;

/// A call that failed.
#[derive(Debug)]
pub struct RestError {
    /// Method and address, without credentials and without the query.
    pub at: String,
    /// Why.
    pub cause: Cause,
}

/// Why a call failed.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Cause {
    /// An address, a name or a certificate file that cannot be used; nothing was sent.
    Setup {
        /// What is wrong.
        what: String,
        /// How to mend it.
        mend: &'static str,
    },
    /// No connection, or it broke.
    Unreachable(String),
    /// No answer in time.
    TimedOut,
    /// The answer is longer than the bound, bytes.
    Oversize(usize),
    /// The answer is not what OpenWhisk answers.
    Unexpected(String),
    /// 401: unknown credentials.
    Unauthorized,
    /// 403: the credentials do not allow this.
    Forbidden(String),
    /// 404.
    NotFound(String),
    /// 409: exists already, or somebody else is changing it.
    Conflict(String),
    /// 413: the request is larger than the platform allows.
    TooLarge(String),
    /// 429: more requests than the namespace's limits allow.
    Throttled(String),
    /// Any other refusal.
    Refused {
        /// The HTTP status.
        status: u16,
        /// What the platform says.
        message: String,
    },
}

impl RestError {
    pub(crate) fn setup(at: impl Into<String>, what: impl Into<String>, mend: &'static str) -> Self {
        Self { at: at.into(), cause: Cause::Setup { what: what.into(), mend } }
    }

    pub(crate) fn unreadable_file(path: PathBuf, error: &dyn fmt::Display) -> Self {
        Self::setup(
            path.display().to_string(),
            error.to_string(),
            "name a file with certificates in PEM form",
        )
    }

    /// Whether the same call may succeed later: no answer, throttled, a conflict, or a failure of the platform (5xx).
    pub fn is_transient(&self) -> bool {
        match self.cause {
            Cause::Unreachable(_) | Cause::TimedOut | Cause::Throttled(_) | Cause::Conflict(_) => true,
            Cause::Refused { status, .. } => status >= 500,
            _ => false,
        }
    }

    /// Whether a rate or concurrency limit of the namespace turned the request away.
    pub fn is_throttled(&self) -> bool {
        matches!(self.cause, Cause::Throttled(_))
    }

    /// Whether it was the limit on requests in a minute. Only the words of OpenWhisk's answer tell it from the limit on
    /// requests at a time.
    pub fn is_beyond_rate(&self) -> bool {
        matches!(&self.cause, Cause::Throttled(message) if message.contains("in the last minute"))
    }

    /// Whether the thing asked for does not exist.
    pub fn is_not_found(&self) -> bool {
        matches!(self.cause, Cause::NotFound(_))
    }
}

impl std::error::Error for RestError {}

impl fmt::Display for RestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (what, mend) = self.cause.explain();
        write!(f, "{}: {what}; {mend}", self.at)
    }
}

impl Cause {
    /// What went wrong, and how to mend it.
    pub fn explain(&self) -> (String, &'static str) {
        let says = |status: u16, message: &str| format!("refused with {status}: {message}");
        match self {
            Self::Setup { what, mend } => (what.clone(), mend),
            Self::Unreachable(why) => (
                format!("no connection: {why}"),
                "check the address, the network and the certificate authority",
            ),
            Self::TimedOut => {
                ("no answer in time".into(), "check the platform's load, or allow a longer time")
            }
            Self::Oversize(bound) => {
                (format!("the answer is longer than {bound} bytes"), "ask for less, or raise the bound")
            }
            Self::Unexpected(why) => (
                format!("not an answer of OpenWhisk: {why}"),
                "check that the address is OpenWhisk's and not that of a proxy's page",
            ),
            Self::Unauthorized => ("refused with 401: unknown credentials".into(), "check user and key"),
            Self::Forbidden(message) => {
                (says(403, message), "use the credentials of a subject with this right")
            }
            Self::NotFound(message) => (says(404, message), "check name and namespace"),
            Self::Conflict(message) => (says(409, message), "try again, or choose another name"),
            Self::TooLarge(message) => {
                (says(413, message), "send less, or raise the platform's payload limit")
            }
            Self::Throttled(message) => (
                says(429, message),
                "wait a minute, or raise the namespace's invocationsPerMinute and concurrentInvocations",
            ),
            Self::Refused { status, message } if *status >= 500 => {
                (says(*status, message), "check the controller's log")
            }
            Self::Refused { status, message } => (says(*status, message), "check the request"),
        }
    }
}
