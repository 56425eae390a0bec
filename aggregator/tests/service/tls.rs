//! TLS: what is spoken, that nobody slow at it holds up others, and that a certificate is renewed
//! while the service runs.

use std::fs::{File, Permissions};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, NamedGroup, ProtocolVersion, RootCertStore};
use tempfile::TempDir;

use crate::child::{TOKEN, binary, refusal, serve_command};

/// A CA of the tests.
struct Ca(CertifiedIssuer<'static, KeyPair>);

impl Ca {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "Test CA");
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    /// Certificate and key for 127.0.0.1, as PEM, with a name of its own; valid until a year's end.
    fn issue(&self, name: &str, until: i32) -> (String, String) {
        let mut params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.not_before = rcgen::date_time_ymd(2019, 1, 1);
        params.not_after = rcgen::date_time_ymd(until, 12, 31);
        let key = KeyPair::generate().unwrap();
        (params.signed_by(&key, &self.0).unwrap().pem(), key.serialize_pem())
    }
}

/// A folder with what a service needs, and the service in it.
struct Service {
    folder: TempDir,
    ca: Ca,
    child: Option<Child>,
    address: String,
}

impl Drop for Service {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl Service {
    /// Key and token, no service yet.
    fn prepare() -> Self {
        let folder = TempDir::new().unwrap();
        let key = folder.path().join("key");
        assert!(binary().args(["keygen", "--key"]).arg(&key).output().unwrap().status.success());
        let service = Self { folder, ca: Ca::new(), child: None, address: String::new() };
        service.write("token", TOKEN);
        service
    }

    /// The service, with a certificate of this name.
    fn start(name: &str, until: i32) -> Self {
        let mut service = Self::prepare();
        service.renew(name, until);
        let mut command = service.command("0.0.0.0:0");
        let log = File::create(service.path("log")).unwrap();
        let mut child =
            command.env("RUST_LOG", "info").stdout(Stdio::piped()).stderr(log).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        service.child = Some(child);
        let port = line.trim().strip_prefix("listening on https://0.0.0.0:");
        service.address =
            format!("127.0.0.1:{}", port.unwrap_or_else(|| panic!("{line}{}", service.log())));
        service
    }

    fn path(&self, file: &str) -> PathBuf {
        self.folder.path().join(file)
    }

    fn write(&self, file: &str, text: &str) {
        // In one step, as programs that renew certificates do.
        let new = self.path("new");
        std::fs::write(&new, text).unwrap();
        std::fs::set_permissions(&new, Permissions::from_mode(0o600)).unwrap();
        std::fs::rename(new, self.path(file)).unwrap();
    }

    fn renew(&self, name: &str, until: i32) {
        let (certificate, key) = self.ca.issue(name, until);
        self.write("cert.pem", &certificate);
        self.write("key.pem", &key);
    }

    fn command(&self, listen: &str) -> Command {
        let mut command = serve_command(self.folder.path(), listen);
        command.arg("--tls-certificate").arg(self.path("cert.pem"));
        command.arg("--tls-key").arg(self.path("key.pem"));
        command
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.path("log")).unwrap()
    }

    /// A handshake and one request; the connection afterwards, and the answer.
    fn ask(&self, config: ClientConfig) -> (ClientConnection, String) {
        let name = ServerName::try_from("127.0.0.1").unwrap();
        let mut tls = ClientConnection::new(Arc::new(config), name).unwrap();
        let mut stream = TcpStream::connect(&self.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let mut connection = rustls::Stream::new(&mut tls, &mut stream);
        let request = "GET /v2/aggregator HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
        connection.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        connection.read_to_string(&mut answer).unwrap();
        (tls, answer)
    }

    /// The certificate that is shown now.
    fn shown(&self) -> CertificateDer<'static> {
        let (tls, answer) = self.ask(self.client());
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        tls.peer_certificates().unwrap()[0].clone().into_owned()
    }

    /// Waits until another certificate than this one is shown; how long that took.
    fn renewed(&self, before: &CertificateDer<'_>) -> Duration {
        let start = Instant::now();
        while self.shown() == *before {
            assert!(start.elapsed() < Duration::from_secs(20), "{}", self.log());
            std::thread::sleep(Duration::from_millis(100));
        }
        start.elapsed()
    }

    fn client(&self) -> ClientConfig {
        self.client_of(&[&rustls::version::TLS13, &rustls::version::TLS12])
    }

    fn client_of(&self, versions: &[&'static rustls::SupportedProtocolVersion]) -> ClientConfig {
        let mut roots = RootCertStore::empty();
        roots.add(self.ca.0.der().clone()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider);
        let config = config.with_protocol_versions(versions).unwrap();
        config.with_root_certificates(roots).with_no_client_auth()
    }
}

#[test]
fn tls_is_spoken_on_any_address_with_a_hybrid_key_exchange() {
    let service = Service::start("first", 2099);
    let mut client = service.client();
    client.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let (tls, answer) = service.ask(client);
    assert!(answer.contains("\"aggregator_key\""), "{answer}");
    assert_eq!(tls.protocol_version(), Some(ProtocolVersion::TLSv1_3));
    let group = tls.negotiated_key_exchange_group().unwrap().name();
    assert_eq!(group, NamedGroup::X25519MLKEM768);
    assert_eq!(tls.alpn_protocol(), Some(&b"http/1.1"[..]));
    let (tls, answer) = service.ask(service.client_of(&[&rustls::version::TLS12]));
    assert!(answer.contains("\"aggregator_key\""), "{answer}");
    assert_eq!(tls.protocol_version(), Some(ProtocolVersion::TLSv1_2));
    // Plain HTTP gets no answer there.
    let mut plain = TcpStream::connect(&service.address).unwrap();
    plain.write_all(b"GET /v2/aggregator HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    let _ = plain.read_to_end(&mut answer);
    assert!(!answer.starts_with(b"HTTP"), "{}", String::from_utf8_lossy(&answer));
}

#[test]
fn a_handshake_that_is_not_finished_holds_up_nobody_and_ends() {
    let service = Service::start("first", 2099);
    let mut silent: Vec<_> =
        (0..50).map(|_| TcpStream::connect(&service.address).unwrap()).collect();
    // One that begins and stops: a record's first bytes.
    silent[0].write_all(&[0x16, 3, 1]).unwrap();
    let start = Instant::now();
    service.shown();
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
    for mut stream in silent {
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        let mut byte = [0];
        assert!(stream.read(&mut byte).is_ok_and(|read| read == 0), "it is still open");
    }
    assert!(start.elapsed() < Duration::from_secs(25), "{:?}", start.elapsed());
}

#[test]
fn a_handshake_does_not_hold_up_the_end() {
    let mut service = Service::start("first", 2099);
    let silent = TcpStream::connect(&service.address).unwrap();
    service.shown();
    let mut child = service.child.take().unwrap();
    assert!(Command::new("kill").arg(child.id().to_string()).status().unwrap().success());
    let start = Instant::now();
    assert!(child.wait().unwrap().success());
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
    drop(silent);
}

#[test]
fn a_certificate_is_renewed_without_a_restart_and_a_broken_one_is_not_taken() {
    let service = Service::start("first", 2099);
    let first = service.shown();
    service.renew("second", 2099);
    service.renewed(&first);
    let second = service.shown();

    // Half of a new pair: the old one stays, and the log says why.
    let (certificate, key) = service.ca.issue("third", 2099);
    service.write("cert.pem", &certificate);
    let process = service.child.as_ref().unwrap().id().to_string();
    let hangup = || {
        assert!(Command::new("kill").args(["-HUP", &process]).status().unwrap().success());
    };
    hangup();
    let start = Instant::now();
    while !service.log().contains("the one of before stays in use") {
        assert!(start.elapsed() < Duration::from_secs(20), "{}", service.log());
        std::thread::sleep(Duration::from_millis(50));
    }
    assert!(service.log().contains("is not that of the first certificate"), "{}", service.log());
    assert_eq!(service.shown(), second);

    // The other half, and word that it is there: nobody waits for the next look.
    service.write("key.pem", &key);
    hangup();
    let took = service.renewed(&second);
    assert!(took < Duration::from_secs(3), "SIGHUP is not heard: {took:?}");
}

#[test]
fn an_expired_certificate_is_warned_of() {
    let service = Service::start("first", 2020);
    let log = service.log();
    assert!(log.contains("has expired") && log.contains("2020-12-31"), "{log}");
}

#[track_caller]
fn refused(service: &Service, words: &[&str]) {
    let output = refusal(&mut service.command("127.0.0.1:0"));
    let text = String::from_utf8(output.stderr).unwrap();
    for word in words {
        assert!(text.contains(word), "{word:?} is not in {text:?}");
    }
}

fn der(pem: &str) -> Vec<u8> {
    use rustls::pki_types::pem::PemObject;
    CertificateDer::from_pem_slice(pem.as_bytes()).unwrap().to_vec()
}

#[test]
fn what_is_no_pair_is_refused_with_what_to_do() {
    let service = Service::prepare();
    refused(&service, &["cert.pem", "No such file"]);
    let (certificate, key) = service.ca.issue("right", 2099);
    let (_, other_key) = service.ca.issue("other", 2099);
    let folder: &Path = service.folder.path();
    let encrypted =
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMIIB\n-----END ENCRYPTED PRIVATE KEY-----\n";
    let old_encrypted = "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\nMIIB\n-----END RSA PRIVATE KEY-----\n";
    let later = format!("{}{certificate}", service.ca.0.pem());
    let cut = certificate.replace("-----END", "-----");
    for (certificate, key, words) in [
        (key.as_str(), certificate.as_str(), ["cert.pem holds a private key", "swapped?"]),
        (&certificate, &certificate, ["key.pem holds a certificate", "swapped?"]),
        ("", &key, ["cert.pem holds nothing", "PEM file"]),
        (&certificate, "", ["key.pem holds nothing", "private key"]),
        (&certificate, "a line\n", ["key.pem holds neither", "the right file?"]),
        (&certificate, encrypted, ["key.pem is encrypted", "openssl pkey -in"]),
        (&certificate, old_encrypted, ["key.pem is encrypted", "passphrase"]),
        (&certificate, &other_key, ["is not that of the first", "CN=right"]),
        (&later, &key, ["CN=Test CA", "must stand first"]),
        (&cut, &key, ["cert.pem is no sound PEM file", "copy it whole"]),
    ] {
        service.write("cert.pem", certificate);
        service.write("key.pem", key);
        refused(&service, &words);
    }
    std::fs::write(folder.join("cert.pem"), der(&certificate)).unwrap();
    refused(&service, &["cert.pem holds DER", "openssl x509 -inform der"]);
    // One without the other is a mistake, not plain HTTP.
    let mut half = serve_command(folder, "127.0.0.1:0");
    let half = half.arg("--tls-certificate").arg(folder.join("cert.pem")).output().unwrap();
    assert!(String::from_utf8_lossy(&half.stderr).contains("--tls-key"), "{half:?}");
    let mut half = serve_command(folder, "127.0.0.1:0");
    let half = half.env("RINGFENCE_TLS_KEY", folder.join("key.pem")).output().unwrap();
    assert!(String::from_utf8_lossy(&half.stderr).contains("--tls-certificate"), "{half:?}");
}
