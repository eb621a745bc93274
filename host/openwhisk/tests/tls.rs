//! HTTPS: whom the client believes. Keys and certificates are made here, for one test.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use aquatope_openwhisk::credentials::Credentials;
use aquatope_openwhisk::error::Cause;
use aquatope_openwhisk::rest::{Client, Transport};
use openssl::asn1::Asn1Time;
use openssl::ec::{EcGroup, EcKey};
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::{PKey, Private};
use openssl::ssl::{SslAcceptor, SslMethod};
use openssl::x509::extension::{BasicConstraints, SubjectAlternativeName};
use openssl::x509::{X509, X509NameBuilder};

/// A certificate that vouches for itself, for the address 127.0.0.1 or for a name.
fn certificate(name: Option<&str>) -> (X509, PKey<Private>) {
    let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1).unwrap();
    let key = PKey::from_ec_key(EcKey::generate(&group).unwrap()).unwrap();
    let mut subject = X509NameBuilder::new().unwrap();
    subject.append_entry_by_text("CN", "a test of aquatope").unwrap();
    let subject = subject.build();
    let mut builder = X509::builder().unwrap();
    builder.set_version(2).unwrap();
    builder.set_subject_name(&subject).unwrap();
    builder.set_issuer_name(&subject).unwrap();
    builder.set_pubkey(&key).unwrap();
    builder.set_not_before(&Asn1Time::days_from_now(0).unwrap()).unwrap();
    builder.set_not_after(&Asn1Time::days_from_now(2).unwrap()).unwrap();
    builder.append_extension(BasicConstraints::new().critical().ca().build().unwrap()).unwrap();
    let mut names = SubjectAlternativeName::new();
    match name {
        Some(name) => names.dns(name),
        None => names.ip("127.0.0.1"),
    };
    let names = names.build(&builder.x509v3_context(None, None)).unwrap();
    builder.append_extension(names).unwrap();
    builder.sign(&key, MessageDigest::sha256()).unwrap();
    (builder.build(), key)
}

/// Serves 200 to whoever completes the handshake, and counts the requests that it could read.
fn server(certificate: &X509, key: &PKey<Private>) -> (String, Arc<AtomicUsize>) {
    let mut acceptor = SslAcceptor::mozilla_intermediate_v5(SslMethod::tls_server()).unwrap();
    acceptor.set_certificate(certificate).unwrap();
    acceptor.set_private_key(key).unwrap();
    let acceptor = acceptor.build();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let base = format!("https://{}", listener.local_addr().unwrap());
    let requests = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&requests);
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let Ok(mut stream) = acceptor.accept(stream) else { continue };
            if stream.read(&mut [0; 1 << 14]).is_ok_and(|read| read > 0) {
                counted.fetch_add(1, Ordering::SeqCst);
                let _ = stream.write_all(b"HTTP/1.1 404 Not Found\r\ncontent-length: 2\r\n\r\n{}");
            }
        }
    });
    (base, requests)
}

async fn cause(base: &str, transport: &Transport) -> Cause {
    let client = Client::new(base, "_", Credentials::new("user", "hunter2"), transport).unwrap();
    client.limits().await.unwrap_err().cause
}

#[tokio::test]
async fn a_certificate_nobody_vouches_for_is_refused_unless_its_authority_is_given() {
    let folder = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("tls");
    std::fs::create_dir_all(&folder).unwrap();
    for (name, believed) in [(None, true), (Some("elsewhere.example"), false)] {
        let (certificate, key) = certificate(name);
        let (base, requests) = server(&certificate, &key);
        let refused = cause(&base, &Transport::default()).await;
        assert!(matches!(&refused, Cause::Unreachable(why) if why.contains("certificate")), "{refused:?}");
        assert_eq!(requests.load(Ordering::SeqCst), 0, "the key was sent to a stranger");
        let ca_file = folder.join(format!("{believed}.pem"));
        std::fs::write(&ca_file, certificate.to_pem().unwrap()).unwrap();
        let answered = cause(&base, &Transport { ca_file: Some(ca_file), ..Transport::default() }).await;
        // With its authority given it is believed, but only for the name that it is for.
        assert_eq!(matches!(answered, Cause::NotFound(_)), believed, "{answered:?}");
        assert_eq!(requests.load(Ordering::SeqCst), usize::from(believed));
    }
}
