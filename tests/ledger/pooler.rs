//! A ledger behind PgBouncer in transaction mode, which gives each transaction whatever
//! connection is free: nothing of one may be left for the next.

use crate::server::{self, skip, unprivileged_shell};
use crate::{EXPIRES_MS, ISSUED_MS, coin_of, commitment_of, device, everything, issued, verified};
use attest::ledger::{Acceptance, Accepting, HISTORY_WINDOW, Ledger, Location, open};
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Stdio};

/// Starts a pooler before the server in $2, and ends with its input. It has one
/// connection for all clients.
const SCRIPT: &str = r#"
set -eu
folder=$(mktemp -d /tmp/attest-pgbouncer-XXXXXX)
trap 'rm -rf "$folder"' EXIT
cat >"$folder/ini" <<END
[databases]
* = host=$2 user=attest
[pgbouncer]
listen_port = 6432
unix_socket_dir = $folder
auth_type = any
pool_mode = transaction
default_pool_size = 1
max_client_conn = 200
END
"$1" -q "$folder/ini" >"$folder/log" 2>&1 &
pid=$!
trap 'kill $pid; wait $pid || true; rm -rf "$folder"' EXIT
until [ -S "$folder/.s.PGSQL.6432" ]; do
    kill -0 $pid || { cat "$folder/log" >&2; exit 1; }
    sleep 0.05
done
echo "$folder"
read -r _ || true
"#;

struct Pooler {
    child: Child,
    folder: String,
}

impl Pooler {
    fn start() -> Option<Self> {
        let server = server::shared()?;
        let Some(program) = ["/usr/sbin/pgbouncer", "/usr/bin/pgbouncer"]
            .into_iter()
            .find(|p| Path::new(p).exists())
        else {
            skip("no pgbouncer (apt-get install pgbouncer)");
            return None;
        };
        let mut child = unprivileged_shell(SCRIPT)
            .args([program, server.folder()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a shell starts");
        let mut answers = BufReader::new(child.stdout.take().expect("piped")).lines();
        let folder = answers.next().expect("the pooler starts, see above").expect("UTF-8");
        Some(Self { child, folder })
    }

    /// A new, empty database by way of the pooler.
    fn new_database(&self) -> String {
        let address = server::shared().expect("it runs").new_database();
        let database = address.rsplit('/').next().expect("a database");
        format!("postgres://attest@{}:6432/{database}", self.folder.replace('/', "%2F"))
    }
}

impl Drop for Pooler {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}

#[test]
fn many_clients_share_a_poolers_connection() {
    let Some(pooler) = Pooler::start() else { return };
    let address = pooler.new_database();
    let open = &|| open(&Location::parse(&address).unwrap()).unwrap();
    let accept = &|ledger: &dyn Ledger, number: u8| {
        let c = issued(ledger);
        let accepting = Accepting {
            commitment: commitment_of(number),
            coin: coin_of(99),
            arrived_unix_ms: ISSUED_MS + 5,
            devices: &[device(number)],
            until_unix_ms: EXPIRES_MS,
            window: HISTORY_WINDOW,
        };
        let answer = ledger.accept_session(&c, &accepting).unwrap();
        assert_eq!(answer, (Acceptance::Accepted, vec![]));
        ledger.settle(&c, &verified()).unwrap();
    };
    std::thread::scope(|scope| {
        for number in 1..=6 {
            // As processes of their own would.
            scope.spawn(move || accept(&*open(), number));
        }
    });
    let ledger = open();
    std::thread::scope(|scope| {
        for number in 7..=16 {
            let ledger = &ledger;
            scope.spawn(move || accept(&**ledger, number));
        }
    });
    assert_eq!(everything(&*ledger).len(), 16);

    // Others who use the same connection find it as it was.
    let mut other = postgres::Client::connect(&address, postgres::NoTls).unwrap();
    for (setting, default) in [("search_path", "\"$user\", public"), ("lock_timeout", "0")] {
        let answers = other.simple_query(&format!("SHOW {setting}")).unwrap();
        let found = answers.iter().find_map(|answer| match answer {
            postgres::SimpleQueryMessage::Row(row) => row.get(0),
            _ => None,
        });
        assert_eq!(found, Some(default), "{setting}");
    }
}
