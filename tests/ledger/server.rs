//! A real PostgreSQL server, from the system's packages, for the time of the tests.
//!
//! It listens on a unix socket in its own temporary folder only, and ends with the
//! process that started it, however that ends: it goes when its shell's standard
//! input closes. Without the programs the tests say that they are skipped, and fail
//! with ATTEST_REQUIRE_POSTGRES=1.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// Makes the database cluster, says where, then serves commands: "start", "crash"
/// (no shutdown, as in a loss of power), and the end of input.
const SCRIPT: &str = r#"
set -eu
bin=$1
fsync=$2
folder=$(mktemp -d "${TMPDIR:-/tmp}/attest-postgres-XXXXXX")
trap 'rm -rf "$folder"' EXIT
cd "$folder"
"$bin/initdb" -D data -U attest -A trust -E UTF8 --no-sync >log 2>&1 || { cat log >&2; exit 1; }
start() {
    "$bin/pg_ctl" -D data -l log -w -t 60 -o "-k $folder -h '' -c fsync=$fsync -c max_connections=200" start >out 2>&1 ||
        { cat out log >&2; exit 1; }
}
stop() { "$bin/pg_ctl" -D data -m immediate -w stop >out 2>&1 || true; }
trap 'stop; rm -rf "$folder"' EXIT
start
echo "$folder"
while read -r command; do
    case $command in
        start) start ;;
        crash) stop ;;
    esac
    echo done
done
"#;

/// A running server.
pub struct Server {
    folder: String,
    databases: AtomicU32,
    shell: std::sync::Mutex<Shell>,
}

struct Shell {
    child: Child,
    answers: std::io::Lines<BufReader<std::process::ChildStdout>>,
}

impl Server {
    fn start(bin: &std::path::Path, fsync: &str) -> Self {
        let mut child = unprivileged_shell(SCRIPT)
            .args([bin.as_os_str(), fsync.as_ref()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a shell starts");
        let mut answers = BufReader::new(child.stdout.take().expect("piped")).lines();
        let folder = answers.next().expect("the server starts, see above").expect("UTF-8");
        let shell = std::sync::Mutex::new(Shell { child, answers });
        Self { folder, databases: AtomicU32::new(0), shell }
    }

    /// Its own server, for tests that stop it.
    pub fn own() -> Option<Self> {
        Some(Self::start(programs()?, "off"))
    }

    /// Its own server that writes to the disk as one of use does, for figures.
    #[allow(dead_code, reason = "the fleet's simulation uses it")]
    pub fn durable() -> Option<Self> {
        Some(Self::start(programs()?, "on"))
    }

    /// The address of a new, empty database.
    pub fn new_database(&self) -> String {
        let name = format!("ledger{}", self.databases.fetch_add(1, Ordering::Relaxed));
        let mut client = self.client();
        client.batch_execute(&format!("CREATE DATABASE {name}")).expect("a database");
        self.address(&name)
    }

    fn address(&self, database: &str) -> String {
        let host = self.folder.replace('/', "%2F");
        format!("postgres://attest:hunter2@{host}/{database}")
    }

    /// A connection to a database that belongs to no ledger.
    pub fn client(&self) -> postgres::Client {
        postgres::Client::connect(&self.address("postgres"), postgres::NoTls)
            .expect("the server answers")
    }

    /// Where its socket is.
    pub fn folder(&self) -> &str {
        &self.folder
    }

    /// Crashes, and comes back.
    #[allow(dead_code, reason = "the ledger's tests use it")]
    pub fn crash_and_start(&self) {
        self.tell("crash");
        self.tell("start");
    }

    /// One of its processes is killed, at which it starts all of them anew.
    #[allow(dead_code, reason = "the ledger's tests use it")]
    pub fn lose_a_process(&self) {
        let (mut killed, mut witness) = (self.client(), self.client());
        let pid: i32 = killed.query_one("SELECT pg_backend_pid()", &[]).expect("a row").get(0);
        let kill = Command::new("kill").args(["-9", &pid.to_string()]).status();
        assert!(kill.expect("a kill program").success());
        while witness.simple_query("SELECT 1").is_ok() {
            std::thread::sleep(Duration::from_millis(10));
        }
        let address = self.address("postgres");
        while postgres::Client::connect(&address, postgres::NoTls).is_err() {
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// "start" or "crash".
    pub fn tell(&self, command: &str) {
        let mut shell = self.shell.lock().expect("no test panics while it holds this");
        let stdin = shell.child.stdin.as_mut().expect("piped");
        writeln!(stdin, "{command}").expect("the shell listens");
        assert_eq!(shell.answers.next().expect("an answer").expect("UTF-8"), "done");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let Ok(mut shell) = self.shell.lock() else { return };
        drop(shell.child.stdin.take());
        let start = Instant::now();
        while start.elapsed() < Duration::from_secs(30) {
            if let Ok(Some(_)) = shell.child.try_wait() {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        let _ = shell.child.kill();
    }
}

/// The server that the tests share. It is never dropped: the end of this process
/// closes its shell's input.
pub fn shared() -> Option<&'static Server> {
    static SERVER: OnceLock<Option<Server>> = OnceLock::new();
    SERVER.get_or_init(Server::own).as_ref()
}

/// Where the server's programs are.
fn programs() -> Option<&'static std::path::Path> {
    static BIN: OnceLock<Option<PathBuf>> = OnceLock::new();
    let bin = BIN.get_or_init(|| {
        let mut folders: Vec<PathBuf> = std::fs::read_dir("/usr/lib/postgresql")
            .into_iter()
            .flatten()
            .filter_map(|version| Some(version.ok()?.path().join("bin")))
            .filter(|bin| bin.join("initdb").exists() && bin.join("postgres").exists())
            .collect();
        folders.sort();
        folders.pop()
    });
    if bin.is_none() {
        skip("no server in /usr/lib/postgresql (apt-get install postgresql)");
    }
    bin.as_deref()
}

/// Says that a test is skipped, or fails where none may be.
pub fn skip(cause: &str) {
    let required = std::env::var_os("ATTEST_REQUIRE_POSTGRES").is_some_and(|set| set == "1");
    assert!(!required, "{cause}");
    // Past the capture of the test harness.
    let _ = writeln!(std::io::stderr(), "SKIPPED on PostgreSQL: {cause}");
}

/// A shell with this script: servers refuse to run as root.
pub fn unprivileged_shell(script: &str) -> Command {
    let mut command = match is_root() {
        true => {
            let mut command = Command::new("runuser");
            command.args(["-u", unprivileged(), "--", "sh"]);
            command
        }
        false => Command::new("sh"),
    };
    command.args(["-c", script, "sh"]).current_dir("/");
    command
}

fn is_root() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    status.lines().any(|line| line.starts_with("Uid:\t0\t"))
}

/// A user to run the server as.
fn unprivileged() -> &'static str {
    let users = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let exists = |name: &str| users.lines().any(|line| line.starts_with(&format!("{name}:")));
    if exists("postgres") { "postgres" } else { "nobody" }
}
