//! Web services of every kind on loopback, bare, by TLS and behind a proxy.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use super::*;

const BOTH: [Family; 2] = Family::ALL;

/// The first line of a request, once its head is complete.
async fn head(stream: &mut (impl AsyncRead + Unpin)) -> String {
    let mut text = Vec::new();
    while !text.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => text.push(byte),
            Err(_) => break,
        }
    }
    String::from_utf8_lossy(&text).lines().next().unwrap_or_default().to_owned()
}

async fn answer(mut stream: impl AsyncRead + AsyncWrite + Unpin) {
    let line = head(&mut stream).await;
    let ok = |body: &str| format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    let text = match line.split(' ').nth(1).unwrap_or_default() {
        "/plain" => ok("203.0.113.9\n"),
        "/json" => ok(r#"{"ip":"203.0.113.9"}"#),
        "/six" => ok("2001:db8::9"),
        "/private" => ok("192.168.1.1"),
        "/garbage" => ok("<html>log in first</html>"),
        "/huge" => ok(&"x".repeat(100_000)),
        "/endless" => "HTTP/1.1 200 OK\r\n\r\n1".to_owned(),
        "/moved" => "HTTP/1.1 302 Found\r\nlocation: /plain\r\ncontent-length: 0\r\n\r\n".to_owned(),
        "/broken" => "I am no web service\r\n\r\n".to_owned(),
        "/hang" => return std::future::pending().await,
        _ => "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n".to_owned(),
    };
    stream.write_all(text.as_bytes()).await.ok();
    if line.contains("/endless") {
        while stream.write_all(&[b'1'; 1000]).await.is_ok() {}
    }
}

async fn answer_securely(acceptor: TlsAcceptor, stream: TcpStream) {
    if let Ok(stream) = acceptor.accept(stream).await {
        answer(stream).await;
    }
}

async fn listen() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

async fn service() -> SocketAddr {
    let (listener, address) = listen().await;
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(answer(stream));
        }
    });
    address
}

/// A service by TLS for this name, and what trusts it.
async fn secure_service(name: &str) -> (SocketAddr, RootCertStore) {
    let made = rcgen::generate_simple_self_signed([name.to_owned()]).unwrap();
    let (certificate, key) = (made.cert.der().clone(), made.signing_key.serialize_der());
    let mut roots = RootCertStore::empty();
    roots.add(certificate.clone()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key)))
        .unwrap();
    let (acceptor, (listener, address)) = (TlsAcceptor::from(Arc::new(config)), listen().await);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(answer_securely(acceptor.clone(), stream));
        }
    });
    (address, roots)
}

/// A proxy that leads every name to one place, and what it was asked.
async fn proxy(to: SocketAddr) -> (SocketAddr, Arc<Mutex<Vec<String>>>) {
    let (asked, (listener, address)) = (Arc::new(Mutex::new(Vec::new())), listen().await);
    let told = Arc::clone(&asked);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let line = head(&mut stream).await;
            told.lock().unwrap().push(line);
            tokio::spawn(async move {
                stream.write_all(b"HTTP/1.1 200 Connected\r\n\r\n").await.unwrap();
                let mut onward = TcpStream::connect(to).await.unwrap();
                tokio::io::copy_bidirectional(&mut stream, &mut onward).await.ok();
            });
        }
    });
    (address, asked)
}

fn bare() -> Outside {
    Outside::new(RootCertStore::empty(), Matcher::builder().build())
}

async fn ask(outside: &Outside, url: &str) -> Result<String, String> {
    let Heard { found, failure } = outside.ask(&Resolver::Api(url.to_owned()), &BOTH.into()).await;
    let found: Vec<String> = found.iter().map(|(_, address)| address.to_string()).collect();
    failure.map_or_else(|| Ok(found.join(" ")), Err)
}

#[tokio::test]
async fn a_service_is_believed_where_its_answer_is_one_public_address() {
    let (outside, service) = (bare(), service().await);
    let say = async |path: &str| ask(&outside, &format!("http://{service}{path}")).await;
    for path in ["/plain", "/json"] {
        assert_eq!(say(path).await, Ok("203.0.113.9".to_owned()));
    }
    let refused = [
        ("/private", "private"),
        ("/garbage", "no address"),
        ("/huge", "cannot be read"),
        ("/endless", "cannot be read"),
        ("/moved", "elsewhere"),
        ("/broken", "invalid"),
        ("/absent", "404"),
        ("/six", "another family"),
    ];
    for (path, why) in refused {
        let said = say(path).await.unwrap_err();
        assert!(said.contains(why), "{path}: {said}");
    }
    let (listener, closed) = listen().await;
    drop(listener);
    let said = ask(&outside, &format!("http://{closed}/")).await.unwrap_err();
    assert!(said.contains("refused"), "{said}");
}

#[tokio::test(start_paused = true)]
async fn a_service_that_hangs_is_given_up_in_time() {
    let (outside, service) = (bare(), service().await);
    let begun = Instant::now();
    let said = ask(&outside, &format!("http://{service}/hang")).await.unwrap_err();
    assert!(said.contains("within 10 s"), "{said}");
    assert!(begun.elapsed() < PATIENCE, "the clock of the test was stopped");
}

#[tokio::test]
async fn certificates_are_checked() {
    let (address, roots) = secure_service("127.0.0.1").await;
    let trusting = Outside::new(roots, Matcher::builder().build());
    let url = format!("https://{address}/plain");
    assert_eq!(ask(&trusting, &url).await, Ok("203.0.113.9".to_owned()));
    let said = ask(&bare(), &url).await.unwrap_err();
    assert!(said.contains("certificate"), "{said}");
}

#[tokio::test]
async fn the_proxy_is_used_for_all_but_the_networks_that_it_is_not_for() {
    let (address, roots) = secure_service("ip.example").await;
    let (proxy, asked) = proxy(address).await;
    let url = format!("http://{proxy}");
    let behind = Outside::new(roots.clone(), Matcher::builder().all(url.as_str()).build());
    assert_eq!(ask(&behind, "https://ip.example/plain").await, Ok("203.0.113.9".to_owned()));
    // What goes through a proxy may come out in another family.
    assert_eq!(ask(&behind, "https://ip.example/six").await, Ok("2001:db8::9".to_owned()));
    assert_eq!(*asked.lock().unwrap(), ["CONNECT ip.example:443 HTTP/1.1"; 2]);
    let service = service().await;
    let beside = Matcher::builder().all(url).no("example.org,127.0.0.0/8").build();
    let beside = Outside::new(roots, beside);
    assert_eq!(ask(&beside, &format!("http://{service}/plain")).await, Ok("203.0.113.9".to_owned()));
    assert_eq!(asked.lock().unwrap().len(), 2, "a network of NO_PROXY is reached without the proxy");
}

#[tokio::test]
async fn a_proxy_that_refuses_is_named_without_its_password() {
    let (listener, closed) = listen().await;
    drop(listener);
    let url = format!("http://somebody:secret@{closed}");
    let behind = Outside::new(RootCertStore::empty(), Matcher::builder().all(url).build());
    let said = ask(&behind, "https://ip.example/").await.unwrap_err();
    assert!(said.contains(&closed.to_string()) && !said.contains("secret"), "{said}");
}

#[tokio::test]
async fn names_that_lead_to_no_host_elsewhere_are_refused() {
    let said = names("localhost").await.failure.unwrap();
    assert!(said.contains("no host"), "{said}");
    let said = names("nobody.invalid").await.failure.unwrap();
    assert!(said.contains("cannot be resolved"), "{said}");
}
