//! The aggregator's binary as a child process, and requests to it.

use std::fs::Permissions;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use reqwest::{Method, StatusCode};
use ringfence_crypto::api::{PROBLEM_JSON, Problem};
use ringfence_crypto::signature::PublicKey;
use ringfence_crypto::wire::json;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tempfile::TempDir;

use crate::engines::{new_bucket, new_database};
use crate::openapi::{self, Exchange};
use crate::signing::sign_as_usual;

pub(crate) const TOKEN: &str = "a-token-only-for-these-tests";

/// The binary under test.
pub(crate) fn binary() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ringfence-aggregator"));
    command.env("RUST_LOG", "warn");
    command
}

/// A running aggregator with its own data folder; killed when dropped.
pub(crate) struct Aggregator {
    pub(crate) folder: TempDir,
    pub(crate) key: PublicKey,
    /// Stays the same over restarts.
    pub(crate) address: String,
    options: Vec<String>,
    child: Child,
}

impl Aggregator {
    pub(crate) fn start() -> Self {
        Self::start_with(&[])
    }

    pub(crate) fn start_with(options: &[&'static str]) -> Self {
        Self::start_by(options.iter().map(|option| (*option).to_owned()).collect())
    }

    /// Starts it over PostgreSQL and S3; nothing where they are not installed.
    pub(crate) fn start_on_engines() -> Option<Self> {
        Self::start_over(new_database()?)
    }

    /// The same over this database.
    pub(crate) fn start_over(database: String) -> Option<Self> {
        let (endpoint, bucket) = new_bucket()?;
        let options =
            [("--postgres", database), ("--s3-endpoint", endpoint), ("--s3-bucket", bucket)];
        let options = options.into_iter().flat_map(|(name, value)| [name.to_owned(), value]);
        Some(Self::start_by(options.collect()))
    }

    /// Another one with the same key, database and bucket, and marks of its own.
    pub(crate) fn another(&self, marks: &str) -> Self {
        self.another_with(marks, self.options.clone())
    }

    /// The same, which reaches the bucket at another address.
    pub(crate) fn another_by(&self, marks: &str, endpoint: &str) -> Self {
        let mut options = self.options.clone();
        let place = options.iter().position(|option| option == "--s3-endpoint").unwrap();
        options[place + 1] = endpoint.to_owned();
        self.another_with(marks, options)
    }

    /// The value of an option that it was started with.
    pub(crate) fn option(&self, name: &str) -> &str {
        &self.options[self.options.iter().position(|option| option == name).unwrap() + 1]
    }

    fn another_with(&self, marks: &str, mut options: Vec<String>) -> Self {
        let folder = TempDir::new().unwrap();
        for file in ["key", "token"] {
            std::fs::copy(self.folder.path().join(file), folder.path().join(file)).unwrap();
        }
        options.extend(["--marks".to_owned(), folder.path().join(marks).display().to_string()]);
        let (child, address) = serve(folder.path(), "127.0.0.1:0", &options);
        Self { folder, key: self.key, address, options, child }
    }

    fn start_by(options: Vec<String>) -> Self {
        let folder = TempDir::new().unwrap();
        let output =
            binary().args(["keygen", "--key"]).arg(folder.path().join("key")).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        let key = String::from_utf8(output.stdout).unwrap().trim().parse().unwrap();
        let token = folder.path().join("token");
        std::fs::write(&token, format!("{TOKEN}\n")).unwrap();
        std::fs::set_permissions(&token, Permissions::from_mode(0o600)).unwrap();
        let (child, address) = serve(folder.path(), "127.0.0.1:0", &options);
        Self { folder, key, address, options, child }
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// The file that marks how far a study has come.
    pub(crate) fn mark(&self, study: impl std::fmt::Display) -> PathBuf {
        self.folder.path().join("key.marks").join(study.to_string())
    }

    /// Forgets the last leaves of the mark of the only study: as if the crash had come before their
    /// rows. Where rows are removed without this, the database is behind.
    pub(crate) fn unmark(&self, leaves: u64) {
        let marks = std::fs::read_dir(self.folder.path().join("key.marks")).unwrap();
        let marks = marks.map(|mark| mark.unwrap().path());
        let marks: Vec<PathBuf> = marks.filter(|mark| !mark.ends_with("lock")).collect();
        let [mark] = marks.as_slice() else { panic!("one study: {marks:?}") };
        let file = std::fs::OpenOptions::new().write(true).open(mark).unwrap();
        file.set_len(file.metadata().unwrap().len() - 96 * leaves).unwrap();
    }

    pub(crate) fn process(&self) -> u32 {
        self.child.id()
    }

    /// SIGKILL: no instruction of the server runs after this.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub(crate) fn restart(&mut self) {
        let (child, address) = serve(self.folder.path(), &self.address, &self.options);
        assert_eq!(address, self.address);
        self.child = child;
    }

    /// Starts it again with more options, this time only.
    pub(crate) fn restart_with(&mut self, options: &[&str]) {
        let usual = self.options.len();
        self.options.extend(options.iter().map(|option| (*option).to_owned()));
        self.restart();
        self.options.truncate(usual);
    }

    /// Waits for the server to end by itself.
    pub(crate) fn wait(&mut self) -> std::process::ExitStatus {
        self.child.wait().unwrap()
    }

    pub(crate) fn client(&self) -> Client {
        Client::new(&self.address)
    }

    /// What serves with the same key, on another port, and does not say yet where it stores.
    pub(crate) fn elsewhere(&self) -> Command {
        serve_elsewhere(self.folder.path(), "127.0.0.1:0")
    }
}

impl Drop for Aggregator {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) fn serve_command(folder: &Path, listen: &str) -> Command {
    let mut command = serve_elsewhere(folder, listen);
    command.arg("--data").arg(folder.join("data"));
    command
}

/// The same, without saying where what is stored lies.
fn serve_elsewhere(folder: &Path, listen: &str) -> Command {
    let mut command = binary();
    command.arg("serve");
    command.arg("--key").arg(folder.join("key"));
    command.arg("--admin-token-file").arg(folder.join("token"));
    command.arg("--listen").arg(listen);
    command
}

/// What a server says that refuses to serve; one that serves is killed, and the test fails.
#[track_caller]
pub(crate) fn refusal(command: &mut Command) -> Output {
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    if !line.is_empty() {
        child.kill().unwrap();
    }
    let output = child.wait_with_output().unwrap();
    assert!(line.is_empty(), "it serves: {line}");
    output
}

fn serve(folder: &Path, listen: &str, options: &[String]) -> (Child, String) {
    let mut command = match options.iter().any(|option| option == "--postgres") {
        true => serve_elsewhere(folder, listen),
        false => serve_command(folder, listen),
    };
    command.envs([("AWS_ACCESS_KEY_ID", "test"), ("AWS_SECRET_ACCESS_KEY", "test-secret")]);
    let mut child = command.args(options).stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let address = line.trim().strip_prefix("listening on http://").expect("the line of a server");
    (child, address.to_owned())
}

/// What the client wants to be given, for requests that need none of it.
fn no_tls() -> rustls::ClientConfig {
    let provider = std::sync::Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider);
    let config = config.with_safe_default_protocol_versions().unwrap();
    config.with_root_certificates(rustls::RootCertStore::empty()).with_no_client_auth()
}

/// Requests to one aggregator.
#[derive(Clone)]
pub(crate) struct Client {
    http: reqwest::Client,
    address: String,
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) kind: String,
    pub(crate) headers: reqwest::header::HeaderMap,
    pub(crate) bytes: Vec<u8>,
}

impl Client {
    pub(crate) fn new(address: &str) -> Self {
        Self::patient(address, Duration::from_secs(20))
    }

    /// One that waits so long for each answer.
    pub(crate) fn patient(address: &str, time: Duration) -> Self {
        // A connection a request: one from before a kill must not be used after it.
        let http = reqwest::Client::builder()
            .timeout(time)
            .pool_max_idle_per_host(0)
            // Whatever the environment says: these requests carry the token.
            .no_proxy()
            .tls_backend_preconfigured(no_tls())
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .unwrap();
        Self { http, address: address.to_owned() }
    }

    pub(crate) fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        self.http.request(method, format!("http://{}{path}", self.address))
    }

    /// Sends a request, signed as usual where nothing else shows whose it is.
    pub(crate) async fn send(request: reqwest::RequestBuilder) -> reqwest::Result<Answer> {
        let (http, request) = request.build_split();
        let mut request = request?;
        sign_as_usual(&mut request);
        Self::exchange(&http, request).await
    }

    /// Sends a request as it is.
    pub(crate) async fn execute(&self, request: reqwest::Request) -> Answer {
        Self::exchange(&self.http, request).await.unwrap()
    }

    /// Sends a request, and holds it and its answer to the OpenAPI document.
    async fn exchange(
        http: &reqwest::Client,
        request: reqwest::Request,
    ) -> reqwest::Result<Answer> {
        let (method, path) = (request.method().clone(), request.url().path().to_owned());
        let sent = request.body().and_then(|body| body.as_bytes()).map(<[u8]>::to_vec);
        let answer = Self::answer(http.execute(request).await?).await?;
        openapi::check(&Exchange {
            method: method.as_str(),
            path: &path,
            sent: sent.as_deref(),
            status: answer.status.as_u16(),
            kind: &answer.kind,
            answer: &answer.bytes,
        });
        Ok(answer)
    }

    async fn answer(response: reqwest::Response) -> reqwest::Result<Answer> {
        let (status, headers) = (response.status(), response.headers().clone());
        let kind = headers.get("content-type").map_or("", |kind| kind.to_str().unwrap()).to_owned();
        Ok(Answer { status, kind, headers, bytes: response.bytes().await?.to_vec() })
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        Self::send(self.request(Method::GET, path)).await.unwrap()
    }

    pub(crate) async fn put(&self, path: &str, body: impl Into<reqwest::Body>) -> Answer {
        Self::send(self.request(Method::PUT, path).body(body)).await.unwrap()
    }

    pub(crate) async fn put_json<T: Serialize>(&self, path: &str, value: &T) -> Answer {
        self.put(path, json::compact(value)).await
    }

    pub(crate) async fn post_json<T: Serialize>(&self, path: &str, value: &T) -> Answer {
        let request = self.request(Method::POST, path).body(json::compact(value));
        Self::send(request).await.unwrap()
    }

    /// Has a study's signatures gathered.
    pub(crate) async fn post_draft<T: Serialize>(&self, study: &T) -> Answer {
        let request = self.request(Method::POST, "/v2/drafts").bearer_auth(TOKEN);
        Self::send(request.body(json::compact(study))).await.unwrap()
    }

    pub(crate) async fn post_study<T: Serialize>(&self, study: &T) -> Answer {
        let request = self.request(Method::POST, "/v2/studies").bearer_auth(TOKEN);
        Self::send(request.body(json::compact(study))).await.unwrap()
    }
}

impl Answer {
    /// The JSON of a success.
    #[track_caller]
    pub(crate) fn json<T: DeserializeOwned>(&self) -> T {
        assert!(self.status.is_success(), "{}", String::from_utf8_lossy(&self.bytes));
        assert_eq!(self.kind, "application/json");
        json::parse(&self.bytes, usize::MAX, "answer").unwrap()
    }

    /// A success, and nothing more.
    #[track_caller]
    pub(crate) fn ok(self) -> Self {
        assert!(self.status.is_success(), "{}", String::from_utf8_lossy(&self.bytes));
        self
    }

    /// A problem with this status whose detail says all of `words`.
    #[track_caller]
    pub(crate) fn refused(&self, status: u16, words: &[&str]) -> Problem {
        let text = String::from_utf8_lossy(&self.bytes);
        assert_eq!(self.status.as_u16(), status, "{text}");
        assert_eq!(self.kind, PROBLEM_JSON, "{text}");
        let problem: Problem = json::parse(&self.bytes, usize::MAX, "problem").unwrap();
        assert_eq!(problem.status, status);
        assert!(problem.kind.starts_with("/problems/"), "{problem:?}");
        assert!(!problem.title.is_empty());
        for word in words {
            assert!(problem.detail.contains(word), "{word:?} is not in {:?}", problem.detail);
        }
        problem
    }
}
