//! TLS to the aggregator: whose certificates are accepted, through which proxies, and what is said
//! where something is in the way.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "the lints' exceptions for tests do not reach the helpers of an integration test"
)]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use ringfence_clock::Clock;
use ringfence_crypto::Digest;
use ringfence_crypto::id::StudyId;
use ringfence_site::transport::{Transport, TransportError, Way};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{NamedGroup, ServerConfig, ServerConnection, StreamOwned};
use tempfile::TempDir;

const STUDY: StudyId = StudyId(Digest([7; 32]));

/// Where the child process of a test finds the server to ask, and its CA.
const SERVER: &str = "RINGFENCE_TEST_SERVER";
const CA: &str = "RINGFENCE_TEST_CA";

const NOT_FOUND: &str = "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";

/// A CA of the tests, and its certificate in a file.
struct Ca {
    issuer: CertifiedIssuer<'static, KeyPair>,
    folder: TempDir,
}

/// A certificate and its key.
type Pair = (CertificateDer<'static>, PrivateKeyDer<'static>);

fn pair(certificate: &rcgen::Certificate, key: &KeyPair) -> Pair {
    (certificate.der().clone(), PrivateKeyDer::try_from(key.serialize_der()).unwrap())
}

/// A server's certificate to be, valid until the end of a year.
fn params(host: &str, until: i32) -> CertificateParams {
    let mut params = CertificateParams::new(vec![host.to_owned()]).unwrap();
    params.distinguished_name.push(DnType::CommonName, "the aggregator");
    params.not_before = rcgen::date_time_ymd(2019, 1, 1);
    params.not_after = rcgen::date_time_ymd(until, 12, 31);
    params
}

impl Ca {
    fn new(name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().unwrap();
        let issuer = CertifiedIssuer::self_signed(params, key).unwrap();
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("ca.pem"), issuer.pem()).unwrap();
        Self { issuer, folder }
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    fn issue(&self, host: &str, until: i32) -> Pair {
        let key = KeyPair::generate().unwrap();
        pair(&params(host, until).signed_by(&key, &self.issuer).unwrap(), &key)
    }
}

/// What a server of these tests has seen.
type Seen = Arc<Mutex<Vec<String>>>;

fn config(pair: Pair) -> Arc<ServerConfig> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider);
    let config = config.with_safe_default_protocol_versions().unwrap().with_no_client_auth();
    Arc::new(config.with_single_cert(vec![pair.0], pair.1).unwrap())
}

/// The lines of a request's head.
fn head(reader: &mut impl BufRead) -> Vec<String> {
    let mut lines = Vec::new();
    let mut line = String::new();
    while reader.read_line(&mut line).is_ok_and(|read| read > 2) {
        lines.push(std::mem::take(&mut line).trim().to_owned());
    }
    lines
}

/// Answers one connection by 404 over TLS; tells the first line, or what went wrong.
fn answer(stream: TcpStream, config: &Arc<ServerConfig>) -> String {
    let tls = ServerConnection::new(Arc::clone(config)).unwrap();
    let mut stream = StreamOwned::new(tls, stream);
    let lines = match stream.conn.complete_io(&mut stream.sock) {
        Ok(_) => head(&mut BufReader::new(&mut stream)),
        Err(error) => return error.to_string(),
    };
    let group = stream.conn.negotiated_key_exchange_group().unwrap().name();
    assert_eq!(group, NamedGroup::X25519MLKEM768);
    let _ = stream.write_all(NOT_FOUND.as_bytes());
    stream.conn.send_close_notify();
    let _ = stream.flush();
    lines.first().cloned().unwrap_or_default()
}

fn listen(serve: impl Fn(TcpStream) -> String + Send + Sync + 'static) -> (SocketAddr, Seen) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let seen = Seen::default();
    let (all, serve) = (Arc::clone(&seen), Arc::new(serve));
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (all, serve) = (Arc::clone(&all), Arc::clone(&serve));
            std::thread::spawn(move || {
                let line = serve(stream.unwrap());
                all.lock().unwrap().push(line);
            });
        }
    });
    (address, seen)
}

/// How many connections a server has seen, once it has seen one to its end.
fn once_seen(seen: &Seen) -> usize {
    for _ in 0..200 {
        if !seen.lock().unwrap().is_empty() {
            break;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    seen.lock().unwrap().len()
}

/// An aggregator that has nothing, over TLS.
fn server(pair: Pair) -> (SocketAddr, Seen) {
    let config = config(pair);
    listen(move |stream| answer(stream, &config))
}

async fn ask(url: &str, ca: Option<&Path>) -> TransportError {
    let way = Way { allow_plain_http: false, ca: ca.map(Path::to_owned) };
    match Transport::by(url, &way, Clock::system()) {
        Ok(transport) => transport.status(STUDY).await.unwrap_err(),
        Err(error) => error,
    }
}

#[tokio::test]
async fn a_certificate_that_leads_to_the_given_ca_is_accepted() {
    let ca = Ca::new("Hospital CA");
    for host in ["127.0.0.1", "localhost"] {
        let (address, seen) = server(ca.issue(host, 2099));
        let error = ask(&format!("https://{host}:{}", address.port()), Some(&ca.file())).await;
        assert!(error.is_missing(), "{error}");
        // It notes what it has seen after it has answered.
        assert_eq!(once_seen(&seen), 1);
        assert!(seen.lock().unwrap()[0].starts_with("GET /v2/studies/"), "{seen:?}");
    }
}

#[tokio::test]
async fn a_certificate_that_is_not_accepted_is_said_with_names_and_dates_and_asked_once() {
    let (ca, other) = (Ca::new("Hospital CA"), Ca::new("Proxy CA"));
    let key = KeyPair::generate().unwrap();
    let itself = pair(&params("127.0.0.1", 2099).self_signed(&key).unwrap(), &key);
    for (pair, words) in [
        (
            ca.issue("127.0.0.1", 2020),
            ["has expired", "until 2020-12-31 00:00:00 UTC", "issuer CN=Hospital CA", "renew it"],
        ),
        (
            ca.issue("other.example", 2099),
            ["made for other.example, and not for 127.0.0.1", "CN=the aggregator", "", "--server"],
        ),
        (
            other.issue("127.0.0.1", 2099),
            ["issuer is unknown", "subject CN=the aggregator", "issuer CN=Proxy CA", "as --ca"],
        ),
        (
            itself,
            ["signed by itself", "issuer CN=the aggregator", "valid from 2019-01-01", "as --ca"],
        ),
    ] {
        let (address, seen) = server(pair);
        let url = format!("https://127.0.0.1:{}", address.port());
        let error = ask(&url, Some(&ca.file())).await;
        assert!(matches!(error, TransportError::Certificate { .. }), "{error:?}");
        assert!(!error.is_transient() && !error.is_away(), "waiting does not help: {error}");
        let text = error.to_string();
        for word in words.into_iter().chain([url.as_str()]) {
            assert!(text.contains(word), "{word:?} is not in {text:?}");
        }
        assert_eq!(once_seen(&seen), 1, "it is asked again: {text}");
    }
}

/// What signs itself by `openssl req -x509` is a CA unless told otherwise.
#[tokio::test]
async fn a_ca_that_a_server_shows_as_its_own_certificate_is_said_to_be_one() {
    let key = KeyPair::generate().unwrap();
    let mut itself = params("127.0.0.1", 2099);
    itself.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let itself = itself.self_signed(&key).unwrap();
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), itself.pem()).unwrap();
    let other = Ca::new("Hospital CA");
    let (address, _) = server(pair(&itself, &key));
    for ca in [file.path(), &other.file()] {
        let error = ask(&format!("https://{address}"), Some(ca)).await;
        assert!(matches!(error, TransportError::Certificate { .. }), "{error:?}");
        let text = error.to_string();
        for word in ["the certificate of a CA (CA:TRUE)", "CN=the aggregator", "CA:FALSE"] {
            assert!(text.contains(word), "{word:?} is not in {text:?}");
        }
    }
}

#[tokio::test]
async fn tls_and_plain_http_at_each_other_s_port_are_told_apart() {
    let ca = Ca::new("Hospital CA");
    let (plain, _) = listen(|mut stream| {
        let _ = stream.read(&mut [0; 1000]);
        let _ = stream.write_all(NOT_FOUND.as_bytes());
        String::new()
    });
    let error = ask(&format!("https://{plain}"), Some(&ca.file())).await;
    assert!(matches!(error, TransportError::NoTls { .. }), "{error:?}");
    assert!(!error.is_transient() && error.to_string().contains("--tls-certificate"), "{error}");
    let (secure, _) = server(ca.issue("127.0.0.1", 2099));
    let error = ask(&format!("http://{secure}"), None).await;
    assert!(matches!(error, TransportError::NoHttp { .. }), "{error:?}");
    assert!(error.to_string().contains("begins with https://"), "{error}");
}

#[tokio::test]
async fn a_file_without_a_ca_is_refused_before_anything_is_sent() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ca.pem");
    let key = KeyPair::generate().unwrap().serialize_pem();
    for (text, words) in [
        (None, "No such file"),
        (Some(""), "no certificate as PEM"),
        (Some(key.as_str()), "no certificate as PEM"),
        (Some("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"), "for --ca a PEM"),
    ] {
        if let Some(text) = text {
            std::fs::write(&file, text).unwrap();
        }
        let error = ask("https://127.0.0.1:9", Some(&file)).await;
        assert!(matches!(error, TransportError::Roots(_)), "{error:?}");
        let text = error.to_string();
        assert!(text.contains("ca.pem") && text.contains(words), "{text}");
    }
}

/// Run by the tests below, in a process with an environment of its own: says what came of a request.
#[tokio::test]
#[ignore = "needs the environment that the tests below give it"]
async fn child() {
    let ca = std::env::var(CA).ok().map(PathBuf::from);
    let way = Way { allow_plain_http: true, ca };
    let (clock, hand) = Clock::mock(ringfence_crypto::id::UnixSeconds(0));
    let server = std::env::var(SERVER).unwrap();
    let error = match Transport::by(&server, &way, clock) {
        Err(error) => error,
        Ok(transport) => {
            let asking = tokio::spawn(async move { transport.status(STUDY).await });
            while !asking.is_finished() {
                // Pauses pass quickly, and an answer has a while to begin: limits are by this clock, too.
                hand.advance(Duration::from_secs(1));
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            asking.await.unwrap().unwrap_err()
        }
    };
    println!("said: {error} transient: {}", error.is_transient());
}

/// What the child process says of a server, with these environment variables and no proxy's but
/// theirs.
fn said(server: &str, variables: &[(&str, &str)]) -> String {
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args(["child", "--exact", "--ignored", "--nocapture"]).env(SERVER, server);
    for name in ["HTTP", "HTTPS", "ALL", "NO"] {
        child.env_remove(format!("{name}_PROXY"));
        child.env_remove(format!("{name}_PROXY").to_lowercase());
    }
    child.env_remove("SSL_CERT_FILE").env_remove("SSL_CERT_DIR").env_remove(CA);
    let output = child.envs(variables.iter().copied()).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success() && text.contains("said: "), "{text}{output:?}");
    text
}

#[test]
fn without_a_ca_the_system_s_roots_count_and_none_are_told() {
    let (ca, other) = (Ca::new("Root of this machine"), Ca::new("Hospital CA"));
    let (address, _) = server(ca.issue("127.0.0.1", 2099));
    let url = format!("https://{address}");
    let [root, given] = [ca.file(), other.file()];
    let [root, given] = [root.to_str().unwrap(), given.to_str().unwrap()];
    let text = said(&url, &[("SSL_CERT_FILE", root)]);
    assert!(text.contains("refused (404)"), "{text}");
    // A CA that is given stands alone.
    let text = said(&url, &[("SSL_CERT_FILE", root), (CA, given)]);
    assert!(text.contains("its issuer is unknown") && text.contains(given), "{text}");
    let text = said(&url, &[("SSL_CERT_FILE", given)]);
    assert!(text.contains("not among this machine's root certificates"), "{text}");
    let text = said(&url, &[("SSL_CERT_FILE", "/nowhere.pem")]);
    assert!(text.contains("no root certificate was found") && text.contains("--ca"), "{text}");
    // Plain HTTP needs none.
    let text = said("http://127.0.0.1:9", &[("SSL_CERT_FILE", "/nowhere.pem")]);
    assert!(text.contains("nobody listens there"), "{text}");
}

/// A proxy that is named with `https://` and speaks plain HTTP, as most do.
#[test]
fn a_proxy_without_tls_is_said_to_be_named_with_http() {
    let ca = Ca::new("Hospital CA");
    let (address, _) = server(ca.issue("aggregator.example", 2099));
    let (way, _) = proxy("200 OK", address);
    let url = format!("https://u:secret@{way}");
    let text = said(AGGREGATOR, &[(CA, ca.file().to_str().unwrap()), ("HTTPS_PROXY", &url)]);
    for word in ["which HTTPS_PROXY names, speaks no TLS", "write http://", "transient: false"] {
        assert!(text.contains(word), "{word}: {text}");
    }
    assert!(!text.contains("secret") && !text.contains("--tls-certificate"), "{text}");
}

/// A proxy that answers CONNECT by a status, and, if that is 200, leads to a server, whatever was
/// asked for.
fn proxy(status: &'static str, target: SocketAddr) -> (SocketAddr, Seen) {
    listen(move |mut stream| {
        let lines = head(&mut BufReader::new(stream.try_clone().unwrap()));
        write!(stream, "HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n").unwrap();
        if status.starts_with("200") {
            let server = TcpStream::connect(target).unwrap();
            let (mut from, mut to) = (stream.try_clone().unwrap(), server.try_clone().unwrap());
            std::thread::spawn(move || std::io::copy(&mut from, &mut to));
            let (mut from, mut to) = (server, stream);
            let _ = std::io::copy(&mut from, &mut to);
        }
        lines.join("|")
    })
}

const AGGREGATOR: &str = "https://aggregator.example";

#[test]
fn a_proxy_of_the_environment_opens_the_way_and_is_told_its_user() {
    let ca = Ca::new("Hospital CA");
    let (address, asked) = server(ca.issue("aggregator.example", 2099));
    let (way, seen) = proxy("200 Connection established", address);
    let [ca, url] = [ca.file().display().to_string(), format!("http://user:pa%40ss@{way}")];
    let text = said(AGGREGATOR, &[(CA, &ca), ("https_proxy", &url)]);
    assert!(text.contains("refused (404)"), "{text}");
    assert_eq!(asked.lock().unwrap().len(), 1);
    let connect = seen.lock().unwrap().join("\n");
    assert!(connect.starts_with("CONNECT aggregator.example:443 HTTP/1.1"), "{connect}");
    // user:pa@ss
    assert!(connect.contains("Proxy-Authorization: Basic dXNlcjpwYUBzcw=="), "{connect}");
    // To loopback, and to what NO_PROXY names, there is none.
    let direct =
        said(&format!("https://localhost:{}", address.port()), &[(CA, &ca), ("HTTPS_PROXY", &url)]);
    assert!(direct.contains("made for") && direct.contains("not for localhost"), "{direct}");
    let direct = said(AGGREGATOR, &[(CA, &ca), ("ALL_PROXY", &url), ("NO_PROXY", ".example")]);
    assert!(direct.contains("could not be reached") && !direct.contains("proxy"), "{direct}");
    assert_eq!(seen.lock().unwrap().len(), 1, "{seen:?}");
}

#[test]
fn what_a_proxy_refuses_is_said_as_the_proxy_s_without_its_password() {
    let ca = Ca::new("Hospital CA");
    let (address, asked) = server(ca.issue("aggregator.example", 2099));
    let file = ca.file().display().to_string();
    for (status, user, words) in [
        ("407 Proxy Authentication Required", "", ["asks for a user and a password", "false"]),
        ("407 Proxy Authentication Required", "u:secret@", ["does not accept the user", "false"]),
        ("403 Forbidden", "u:secret@", ["opened no way to aggregator.example:443", "true"]),
        ("502 Bad Gateway", "u:secret@", ["opened no way to aggregator.example:443", "true"]),
    ] {
        let (way, seen) = proxy(status, address);
        let url = format!("http://{user}{way}");
        let text = said(AGGREGATOR, &[(CA, &file), ("HTTPS_PROXY", &url)]);
        assert!(text.contains(&format!("the proxy http://{way} ")), "{text}");
        assert!(text.contains(words[0]), "{status}: {text}");
        assert!(text.contains(&format!("transient: {}", words[1])), "{status}: {text}");
        assert!(!text.contains("secret") && !text.contains("dTpz"), "{text}");
        assert_eq!(once_seen(&seen) == 1, words[1] == "false", "{seen:?}");
    }
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://u:secret@{}", nobody.local_addr().unwrap());
    drop(nobody);
    let text = said(AGGREGATOR, &[(CA, &file), ("HTTPS_PROXY", &url)]);
    assert!(text.contains("which HTTPS_PROXY names, could not be reached"), "{text}");
    assert!(!text.contains("secret") && text.contains("transient: true"), "{text}");
    assert_eq!(asked.lock().unwrap().len(), 0);
}

#[test]
fn a_proxy_that_opens_connections_is_known_by_its_own_ca() {
    let (ca, opening) = (Ca::new("Hospital CA"), Ca::new("Proxy CA"));
    // What is spoken to behind the CONNECT is the proxy itself.
    let (itself, asked) = server(opening.issue("aggregator.example", 2099));
    let (way, _) = proxy("200 OK", itself);
    let url = format!("http://{way}");
    let [ca, opening] = [&ca, &opening].map(|ca| ca.file().display().to_string());
    let text = said(AGGREGATOR, &[(CA, &ca), ("HTTPS_PROXY", &url)]);
    assert!(text.contains("issuer CN=Proxy CA") && text.contains("as --ca"), "{text}");
    assert!(text.contains("transient: false"), "{text}");
    let text = said(AGGREGATOR, &[(CA, &opening), ("HTTPS_PROXY", &url)]);
    assert!(text.contains("refused (404)"), "{text}");
    // What was refused ended in the handshake.
    let requests = asked.lock().unwrap().iter().filter(|line| line.starts_with("GET ")).count();
    assert_eq!(requests, 1, "{asked:?}");
}
