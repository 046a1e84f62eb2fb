//! A real nats-server for one test: a port and a folder of its own. Without the program tests
//! say that they are skipped, and fail with ATTEST_REQUIRE_NATS=1.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// A running server.
pub struct Nats {
    folder: TempDir,
    port: u16,
    /// Where it tells how it is.
    monitor: u16,
    child: Child,
    scheme: &'static str,
}

impl Nats {
    /// One that knows no keys; `None` if there is no program.
    pub fn start() -> Option<Self> {
        Self::start_with("", "nats")
    }

    /// One with this in its configuration.
    pub fn start_with(configuration: &str, scheme: &'static str) -> Option<Self> {
        let program = program()?;
        let folder = tempfile::tempdir().expect("a folder");
        if scheme == "tls" {
            certify(folder.path());
        }
        let ports = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").expect("a port"));
        let [port, monitor] =
            ports.map(|listener| listener.local_addr().expect("an address").port());
        let text = text_of([port, monitor], folder.path(), configuration);
        std::fs::write(folder.path().join("nats.conf"), text).expect("written");
        let child = spawn(&program, folder.path());
        let nats = Self { folder, port, monitor, child, scheme };
        nats.wait();
        Some(nats)
    }

    /// One that speaks TLS only.
    pub fn start_tls() -> Option<Self> {
        let tls = "tls { cert_file: \"FOLDER/cert.pem\", key_file: \"FOLDER/key.pem\" }";
        Self::start_with(tls, "tls")
    }

    /// The certificate of its authority.
    pub fn ca(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    /// Where it listens.
    pub fn url(&self) -> String {
        format!("{}://127.0.0.1:{}", self.scheme, self.port)
    }

    /// What it tells of itself: messages, bytes, connections, memory.
    pub fn figures(&self) -> serde_json::Value {
        let mut stream =
            std::net::TcpStream::connect(("127.0.0.1", self.monitor)).expect("it runs");
        stream.write_all(b"GET /varz HTTP/1.0\r\n\r\n").expect("it listens");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("UTF-8");
        let body = answer.split_once("\r\n\r\n").expect("a body").1;
        serde_json::from_str(body).expect("JSON")
    }

    /// Kills it.
    pub fn kill(&mut self) {
        self.child.kill().expect("it runs");
        self.child.wait().expect("it ends");
    }

    /// Starts it again.
    pub fn start_again(&mut self) {
        self.child = spawn(&program().expect("it was there"), self.folder.path());
        self.wait();
    }

    /// Has it read this configuration in place of the last one, as `nats-server --signal reload`
    /// does.
    pub fn reload_with(&self, configuration: &str) {
        let path = self.folder.path().join("nats.conf");
        let text = text_of([self.port, self.monitor], self.folder.path(), configuration);
        std::fs::write(path, text).expect("written");
        let done = Command::new("kill").arg("-HUP").arg(self.child.id().to_string()).status();
        assert!(done.expect("a command").success());
    }

    fn wait(&self) {
        let start = Instant::now();
        while std::net::TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            let log = std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
            assert!(start.elapsed() < Duration::from_secs(60), "nats-server does not start: {log}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Nats {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn text_of([port, monitor]: [u16; 2], folder: &Path, configuration: &str) -> String {
    format!(
        "listen: 127.0.0.1:{port}\nhttp: 127.0.0.1:{monitor}\njetstream {{ store_dir: {folder:?} }}\n{}",
        configuration.replace("FOLDER", &folder.display().to_string())
    )
}

/// Makes an authority, and a certificate for 127.0.0.1.
fn certify(folder: &Path) {
    const SCRIPT: &str = r#"
set -eu
cat >c.cnf <<'END'
[req]
distinguished_name = dn
prompt = no
[dn]
CN = attest test
[ca]
basicConstraints = critical, CA:TRUE
[leaf]
basicConstraints = critical, CA:FALSE
subjectAltName = IP:127.0.0.1
END
new="-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -config c.cnf"
openssl req -x509 $new -keyout ca.key -out ca.pem -days 30 -extensions ca
openssl req $new -keyout key.pem -out leaf.csr
openssl x509 -req -in leaf.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 30 \
    -extfile c.cnf -extensions leaf -out cert.pem
"#;
    let made = Command::new("sh").arg("-c").arg(SCRIPT).current_dir(folder).output();
    let made = made.expect("a shell");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
}

fn spawn(program: &Path, folder: &Path) -> Child {
    let log = std::fs::File::create(folder.join("log")).expect("a log");
    Command::new(program)
        .arg("-c")
        .arg(folder.join("nats.conf"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
        .expect("nats-server starts")
}

fn program() -> Option<PathBuf> {
    let found = ["/usr/sbin/nats-server", "/usr/bin/nats-server", "/usr/local/bin/nats-server"]
        .into_iter()
        .map(PathBuf::from)
        .find(|path| path.exists());
    if found.is_none() {
        let cause = "no nats-server (apt-get install nats-server)";
        let required = std::env::var_os("ATTEST_REQUIRE_NATS").is_some_and(|set| set == "1");
        assert!(!required, "{cause}");
        // Past the capture of the test harness.
        let _ = writeln!(std::io::stderr(), "skipped: {cause}");
    }
    found
}
