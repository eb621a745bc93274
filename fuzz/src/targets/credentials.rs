//! Text as credentials; what is accepted is given back, and the secret is never shown.

use aquatope_openwhisk::credentials::Credentials;

/// See the head of the module.
pub fn run(bytes: &[u8]) {
    let Ok(text) = str::from_utf8(bytes) else { return };
    match Credentials::parse(text) {
        Ok(credentials) => {
            let (user, secret) = (&credentials.user, credentials.secret.reveal());
            assert_eq!(format!("{user}:{secret}"), text.trim());
            let shown = format!("{credentials:?}");
            assert_eq!(shown, format!("Credentials {{ user: {user:?}, secret: <hidden> }}"));
        }
        Err(error) => {
            let said = error.to_string();
            assert!(said.starts_with("the credentials are not of the form user:secret"), "{said}");
        }
    }
}

/// Well-formed inputs.
pub fn seeds() -> Vec<Vec<u8>> {
    ["789c46b1-71f6-4ed5-8c54-816aa4f8c502:abcz", " user:pass:word\n", "user", ":", "us er:x"]
        .map(|text| text.as_bytes().to_vec())
        .into()
}
