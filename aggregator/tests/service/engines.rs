//! A real PostgreSQL and a real S3-compatible server (SeaweedFS), started by the tests that need them.
//!
//! One of each a test process, in a temporary folder, on free ports. A shell watches over each: when
//! the test process ends, however it ends, its pipe to the shell closes, and the shell stops the
//! server and removes the folder.

use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// A server that does not answer after so long is given up: a test that cannot go on must fail.
const START_TIME: Duration = Duration::from_secs(60);

/// An engine that runs, until this process ends.
struct Engine {
    port: u16,
    folder: PathBuf,
    _watched: Child,
}

/// Whether tests fail that find no engine; else they say so and pass.
fn required() -> bool {
    std::env::var("RINGFENCE_ENGINES").is_ok_and(|value| value == "required")
}

/// What a test does that finds no engine.
fn missing<T>(what: &str) -> Option<T> {
    assert!(!required(), "{what}, and RINGFENCE_ENGINES=required");
    println!("skipped: {what}");
    None
}

fn free_port() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port()
}

/// Starts `script`, which gets the folder and the port, starts its server in the background and says
/// in `stop` how it is stopped.
fn start(name: &str, script: &str) -> Engine {
    // The server may run as another user, who must reach the folder.
    let folder = tempfile::Builder::new().prefix(name).tempdir().unwrap().keep();
    let port = free_port();
    let script = format!("{script}\ncat > /dev/null\n$stop\nwait\ncd /\nrm -rf \"$folder\"\n");
    let log = fs::File::create(folder.join("log")).unwrap();
    let mut shell = Command::new("sh");
    shell.args(["-c", &script]).stdin(Stdio::piped()).stdout(log.try_clone().unwrap()).stderr(log);
    // Ctrl-c is for the tests: the shell hears of it by the pipe.
    std::os::unix::process::CommandExt::process_group(&mut shell, 0);
    shell.env("folder", &folder).env("port", port.to_string());
    let watched = shell.spawn().unwrap();
    Engine { port, folder, _watched: watched }
}

/// Waits until it is ready; fails with what the engine has written.
fn wait(engine: &Engine, is_ready: impl Fn() -> bool) {
    let began = Instant::now();
    while !is_ready() {
        let log = || fs::read_to_string(engine.folder.join("log")).unwrap_or_default();
        assert!(began.elapsed() < START_TIME, "an engine does not start: {}", log());
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// The newest PostgreSQL of Debian's packages.
fn postgres_programs() -> Option<PathBuf> {
    let versions = fs::read_dir("/usr/lib/postgresql").ok()?.filter_map(Result::ok);
    let programs = versions.map(|version| version.path().join("bin"));
    programs.filter(|bin| bin.join("initdb").exists()).max()
}

const POSTGRES: &str = r#"
as=""
if [ "$(id -u)" = 0 ]; then chown postgres "$folder"; as="runuser -u postgres --"; fi
cd "$folder"
$as "$bin/initdb" -D "$folder/db" -U test -A trust -E UTF8 --locale C --no-sync
$as "$bin/postgres" -D "$folder/db" -h 127.0.0.1 -p "$port" -k "$folder" -c fsync=off -c max_connections=300 &
stop="$as $bin/pg_ctl -D $folder/db -m immediate stop"
"#;

fn postgres() -> Option<&'static Engine> {
    static ENGINE: OnceLock<Option<Engine>> = OnceLock::new();
    let engine = ENGINE.get_or_init(|| {
        let Some(bin) = postgres_programs() else {
            return missing("no PostgreSQL is installed (apt-get install postgresql)");
        };
        let engine = start("ringfence-postgres", &format!("bin='{}'{POSTGRES}", bin.display()));
        let ready = || {
            let mut psql = Command::new(bin.join("pg_isready"));
            psql.args(["-q", "-h", "127.0.0.1", "-p", &engine.port.to_string()]);
            psql.status().unwrap().success()
        };
        wait(&engine, ready);
        Some(engine)
    });
    engine.as_ref()
}

/// A new database: a URL of one that has no password, for everybody on this machine. Nothing where
/// PostgreSQL is not installed.
pub(crate) fn new_database() -> Option<String> {
    static COUNT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
    let engine = postgres()?;
    let name = format!("test_{}", COUNT.fetch_add(1, std::sync::atomic::Ordering::Relaxed));
    let url = |name: &str| format!("postgres://test@127.0.0.1:{}/{name}", engine.port);
    psql(&url("postgres"), &format!("CREATE DATABASE {name}"));
    Some(url(&name))
}

/// What a database answers to a query, as `psql` shows it.
pub(crate) fn psql(url: &str, query: &str) -> String {
    let psql = postgres_programs().unwrap().join("psql");
    let mut psql = Command::new(psql);
    psql.args(["-XqtA", "-v", "ON_ERROR_STOP=1", "-d", url, "-c", query]);
    let output = psql.output().unwrap();
    assert!(output.status.success(), "{query}: {output:?}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}
