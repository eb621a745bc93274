//! The HTTP side against a socket that answers what it is told to: bounds, errors, authentication.

use std::time::Duration;

use aquatope_openwhisk::credentials::Credentials;
use aquatope_openwhisk::error::{Cause, RestError};
use aquatope_openwhisk::rest::{Client, Transport, Wait};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// Serves one connection: reads a request, answers `answer`, gives back the request. With no answer it stays silent.
async fn server(answer: Option<String>) -> (String, JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let task = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut buffer = vec![0; 1 << 16];
        let read = stream.read(&mut buffer).await.unwrap();
        match answer {
            Some(answer) => stream.write_all(answer.as_bytes()).await.unwrap(),
            None => std::future::pending().await,
        }
        String::from_utf8_lossy(&buffer[..read]).into_owned()
    });
    (base, task)
}

fn ok(body: &str) -> Option<String> {
    Some(format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len()))
}

fn client(base: &str, transport: &Transport) -> Result<Client, RestError> {
    Client::new(base, "_", Credentials::new("user", "hunter2"), transport)
}

#[tokio::test]
async fn requests_are_authenticated_and_encoded() {
    let (base, server) = server(ok(r#"{"activationId":"1","name":"a b","start":5}"#)).await;
    let client = client(&base, &Transport::default()).unwrap();
    client.invoke("pkg/a b", &json!({"x": 1}), Wait::UpTo(Duration::from_secs(90))).await.unwrap();
    let request = server.await.unwrap();
    let first = request.lines().next().unwrap();
    assert_eq!(first, "POST /api/v1/namespaces/_/actions/pkg/a%20b?blocking=true&timeout=60000 HTTP/1.1");
    // Base 64 of user:hunter2.
    assert!(request.contains("authorization: Basic dXNlcjpodW50ZXIy\r\n"));
    assert!(request.contains("user-agent: aquatope/"));
    assert!(request.ends_with(r#"{"x":1}"#));
}

#[tokio::test]
async fn long_answers_and_silence_are_cut_off() {
    let (base, _server) = server(ok(&format!("{:<200}", "{}"))).await;
    let bounded = Transport { max_response: 100, ..Transport::default() };
    let error = client(&base, &bounded).unwrap().limits().await.unwrap_err();
    assert_eq!(error.cause, Cause::Oversize(100));

    let (base, _server) = server(None).await;
    let hasty = Transport { timeout: Duration::from_millis(50), ..Transport::default() };
    let error = client(&base, &hasty).unwrap().limits().await.unwrap_err();
    assert_eq!(error.cause, Cause::TimedOut);
    assert!(error.is_transient());
}

#[tokio::test]
async fn redirects_are_not_followed() {
    let answer = "HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n";
    let (base, _server) = server(Some(answer.into())).await;
    let error = client(&base, &Transport::default()).unwrap().limits().await.unwrap_err();
    assert!(matches!(error.cause, Cause::Refused { status: 302, .. }), "{error}");
}

#[tokio::test]
async fn a_dead_address_is_named_and_no_secret_is() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let client = client(&base, &Transport::default()).unwrap();
    let error = client.activation("0f").await.unwrap_err();
    assert!(matches!(error.cause, Cause::Unreachable(_)));
    let text = error.to_string();
    assert!(
        text.starts_with(&format!("GET {base}/api/v1/namespaces/_/activations/0f: no connection: ")),
        "{text}"
    );
    assert!(!format!("{error:?} {client:?}").contains("hunter2"));
}

#[test]
fn addresses_and_files_that_cannot_work_are_refused_at_once() {
    for base in [
        "ow.example",
        "ftp://ow.example",
        "https://user:hunter2@ow.example",
        "https://ow.example/?key=hunter2",
    ] {
        let text = client(base, &Transport::default()).unwrap_err().to_string();
        assert!(text.ends_with("write it as https://host[:port]") && !text.contains("hunter2"), "{text}");
    }
    let missing = Transport { ca_file: Some("no/such.pem".into()), ..Transport::default() };
    let text = client("https://ow.example", &missing).unwrap_err().to_string();
    assert!(text.starts_with("no/such.pem: ") && text.ends_with("PEM form"), "{text}");
    let empty = Transport {
        ca_file: Some(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml").into()),
        ..Transport::default()
    };
    assert!(client("https://ow.example", &empty).unwrap_err().to_string().contains("no certificate in it"));
}

#[tokio::test]
async fn names_that_change_the_path_are_refused() {
    let client = client("http://127.0.0.1:1", &Transport::default()).unwrap();
    for name in ["", "..", "a/../b", "a//b"] {
        let error = client.action(name, false).await.unwrap_err();
        assert!(matches!(error.cause, Cause::Setup { .. }), "{name}: {error}");
    }
}
