//! User names and secrets that do not leak into logs.

use std::fmt;

/// A secret text: `Debug` shows that there is one, nothing shows which.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Hides `text`.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The secret itself, to be sent and not to be shown.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<hidden>")
    }
}

/// Who asks: for HTTP basic authentication.
///
/// A subject's key (`uuid:key`) opens the REST interface; the controllers' and the invokers' own endpoints have user names
/// and passwords of their own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credentials {
    /// The uuid of a subject's key, or a user name.
    pub user: String,
    /// The key or password.
    pub secret: Secret,
}

/// A text that is not `user:secret`. The error holds no part of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the credentials are not of the form user:secret; take them whole, as `wsk property get --auth` prints them"
)]
pub struct MalformedCredentials;

impl Credentials {
    /// A user name and a secret.
    pub fn new(user: impl Into<String>, secret: impl Into<String>) -> Self {
        Self { user: user.into(), secret: Secret::new(secret) }
    }

    /// Parses `user:secret`. White space around it, as files end with, does not count.
    pub fn parse(text: &str) -> Result<Self, MalformedCredentials> {
        let (user, secret) = text.trim().split_once(':').ok_or(MalformedCredentials)?;
        let plain =
            |part: &str| !part.is_empty() && !part.contains(|c: char| c.is_whitespace() || c.is_control());
        if plain(user) && plain(secret) { Ok(Self::new(user, secret)) } else { Err(MalformedCredentials) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_splits_at_the_first_colon() {
        let credentials = Credentials::parse(" 23bc46b1:abc:def\n").unwrap();
        assert_eq!((credentials.user.as_str(), credentials.secret.reveal()), ("23bc46b1", "abc:def"));
    }

    #[test]
    fn nothing_shows_the_secret() {
        let shown = format!("{:?}", Credentials::new("user", "hunter2"));
        assert_eq!(shown, r#"Credentials { user: "user", secret: <hidden> }"#);
        for text in ["hunter2", ":hunter2", "user:", "us er:hunter2", "user:hunter2 x", ""] {
            let error = Credentials::parse(text).unwrap_err();
            assert!(!format!("{error} {error:?}").contains("hunter2"));
        }
    }
}
