//! Stands between a ledger and its PostgreSQL server, and ends a connection when a
//! test asks for it, as a server, a pooler or a network does.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

/// How a connection ends.
#[derive(Clone, Copy, Debug)]
pub enum End {
    /// With this code, instead of an answer.
    Fatal(&'static str),
    /// Without a word; the server never gets the message.
    Before,
    /// Without a word; the server has done what the message asks for.
    After,
}

/// The next message with this text meets this end.
type Plan = Arc<Mutex<Option<(&'static str, End)>>>;

/// What is done once the server has done what a message asks for, before its connection ends.
type Meanwhile = Arc<Mutex<Option<Box<dyn FnOnce() + Send>>>>;

pub struct Proxy {
    port: u16,
    plan: Plan,
    meanwhile: Meanwhile,
}

impl Proxy {
    /// Connections to it lead to the server that listens in `folder`.
    pub fn new(folder: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("bound").port();
        let (plan, socket) = (Plan::default(), format!("{folder}/.s.PGSQL.5432"));
        let meanwhile = Meanwhile::default();
        let (shared, to_do) = (Arc::clone(&plan), Arc::clone(&meanwhile));
        // They end with the process.
        thread::spawn(move || {
            for client in listener.incoming() {
                let (client, plan) = (client.expect("a connection"), Arc::clone(&shared));
                let Ok(server) = UnixStream::connect(&socket) else { continue };
                let meanwhile = Arc::clone(&to_do);
                thread::spawn(move || talk(client, server, &plan, &meanwhile));
            }
        });
        Self { port, plan, meanwhile }
    }

    /// `address` by way of this.
    pub fn address(&self, address: &str) -> String {
        let (user, rest) = address.split_once('@').expect("an address");
        let database = rest.split_once('/').expect("a database").1;
        format!("{user}@127.0.0.1:{}/{database}", self.port)
    }

    /// Lets the next message with `text` end its connection.
    pub fn end_at(&self, text: &'static str, end: End) {
        *self.plan.lock().expect("whole") = Some((text, end));
    }

    /// Lets the next message with `text` end its connection [`End::After`], and that after
    /// `meanwhile`.
    pub fn end_after(&self, text: &'static str, meanwhile: impl FnOnce() + Send + 'static) {
        *self.meanwhile.lock().expect("whole") = Some(Box::new(meanwhile));
        self.end_at(text, End::After);
    }

    /// Whether that has happened.
    pub fn has_ended(&self) -> bool {
        self.plan.lock().expect("whole").is_none()
    }
}

fn talk(mut client: TcpStream, mut server: UnixStream, plan: &Plan, meanwhile: &Meanwhile) {
    let is_cut = Arc::new(AtomicBool::new(false));
    let mut to_client = client.try_clone().expect("a handle");
    let (mut from_server, cut) = (server.try_clone().expect("a handle"), Arc::clone(&is_cut));
    let meanwhile = Arc::clone(meanwhile);
    let back = thread::spawn(move || {
        let mut bytes = [0; 16 * 1024];
        loop {
            match from_server.read(&mut bytes) {
                Ok(length) if length > 0 && !cut.load(Ordering::SeqCst) => {
                    if to_client.write_all(&bytes[..length]).is_err() {
                        break;
                    }
                }
                _ => break,
            }
        }
        if cut.load(Ordering::SeqCst) {
            let meanwhile = meanwhile.lock().expect("whole").take();
            meanwhile.into_iter().for_each(|meanwhile| meanwhile());
        }
        let _ = to_client.shutdown(Shutdown::Both);
    });
    let mut is_startup = true;
    let mut is_last = false;
    while let Some(message) = message(&mut client, is_startup) {
        is_startup = false;
        // What is parsed and bound is answered at the next Sync.
        let is_answered = matches!(message.first(), Some(b'Q' | b'S'));
        let has = |text: &str| message.windows(text.len()).any(|part| part == text.as_bytes());
        let end = {
            let mut plan = plan.lock().expect("whole");
            plan.take_if(|(text, _)| has(text)).map(|(_, end)| end)
        };
        is_last |= matches!(end, Some(End::After));
        match end {
            _ if is_last => {
                is_cut.store(is_answered, Ordering::SeqCst);
                let _ = server.write_all(&message);
                if is_answered {
                    // The answer ends the other direction, and is not passed on.
                    let _ = back.join();
                    return;
                }
            }
            None => {
                if server.write_all(&message).is_err() {
                    break;
                }
            }
            Some(End::Before | End::After) => break,
            Some(End::Fatal(code)) => {
                let _ = client.write_all(&fatal(code));
                break;
            }
        }
    }
    let _ = server.shutdown(Shutdown::Both);
    let _ = client.shutdown(Shutdown::Write);
}

/// The client's next message, with its head.
fn message(client: &mut TcpStream, is_startup: bool) -> Option<Vec<u8>> {
    let mut message = vec![0; if is_startup { 4 } else { 5 }];
    client.read_exact(&mut message).ok()?;
    let head = message.len();
    let length = u32::from_be_bytes(message[head - 4..].try_into().expect("four bytes")) as usize;
    message.resize(head + length - 4, 0);
    client.read_exact(&mut message[head..]).ok()?;
    Some(message)
}

/// A server's last words.
fn fatal(code: &str) -> Vec<u8> {
    let body = format!("SFATAL\0VFATAL\0C{code}\0Mended by the test\0\0");
    let mut message = vec![b'E'];
    message.extend((body.len() as u32 + 4).to_be_bytes());
    message.extend(body.as_bytes());
    message
}
