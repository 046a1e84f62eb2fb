//! A dashboard that serves, and whoever asks it.
#![allow(dead_code, reason = "each test uses its part")]

use attest::dashboard::{NEWEST_DEFAULT, Options, listen};
use attest::http::Limits;
use attest::ledger::{self, Location};
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// How long anything may take on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// A dashboard on a port of its own, until it is dropped.
pub struct Site {
    pub address: SocketAddr,
    // Its tasks end with it.
    _runtime: tokio::runtime::Runtime,
}

/// What came back.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl Site {
    pub fn of(location: &Location) -> Self {
        Self::with(location, Limits::default(), NEWEST_DEFAULT)
    }

    pub fn with(location: &Location, limits: Limits, newest: u32) -> Self {
        let patience = Duration::from_secs(5);
        let options = ledger::Options { patience, ..ledger::Options::default() };
        let ledger = ledger::open_read_only(location, options).expect("the ledger opens");
        let options = Options {
            ledger,
            place: location.to_string(),
            listen: ([127, 0, 0, 1], 0).into(),
            hosts: vec!["proxy.example".to_owned()],
            newest,
            limits,
        };
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .expect("a runtime");
        let listening = runtime.block_on(listen(options)).expect("it listens");
        let address = listening.address();
        runtime.spawn(listening.serve());
        Self { address, _runtime: runtime }
    }

    pub fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).expect("it accepts");
        stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
        stream
    }

    /// The answer to this head, in which HOST stands for the server's own name.
    pub fn ask(&self, head: &str) -> Answer {
        let mut stream = self.connect();
        let head = head.replace("HOST", &self.address.to_string());
        stream.write_all(head.replace('\n', "\r\n").as_bytes()).expect("it reads");
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).expect("it answers and ends");
        Answer::read(&bytes)
    }

    pub fn get(&self, target: &str) -> Answer {
        self.ask(&format!("GET {target} HTTP/1.1\nHost: HOST\nConnection: close\n\n"))
    }

    /// The page at `target`, once it is as `fits` wants it.
    #[track_caller]
    pub fn until(&self, target: &str, fits: impl Fn(&Answer) -> bool) -> Answer {
        let start = Instant::now();
        loop {
            let answer = self.get(target);
            if fits(&answer) {
                return answer;
            }
            assert!(start.elapsed() < PATIENCE, "{target} stays {answer:?}");
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

impl Answer {
    fn read(bytes: &[u8]) -> Self {
        let text = String::from_utf8_lossy(bytes);
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
        Self { status: status.unwrap_or(0), head: head.to_owned(), body: body.to_owned() }
    }

    /// The value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        let line = |line: &'_ str| {
            let (found, _) = line.split_once(": ")?;
            found.eq_ignore_ascii_case(name).then_some(())
        };
        let found = self.head.lines().find(|text| line(text).is_some())?;
        Some(found.split_once(": ")?.1)
    }

    /// Panics unless the page has each of these.
    #[track_caller]
    pub fn has(&self, texts: &[&str]) -> &Self {
        for text in texts {
            assert!(self.body.contains(text), "{text:?} is missing in {}", self.body);
        }
        self
    }

    /// Panics if the page has one of these.
    #[track_caller]
    pub fn lacks(&self, texts: &[&str]) -> &Self {
        for text in texts {
            assert!(!self.body.contains(text), "{text:?} is in {}", self.body);
        }
        self
    }
}

/// What a stream of events brings, event by event.
pub struct Events {
    stream: TcpStream,
    read: Vec<u8>,
}

impl Events {
    pub fn of(site: &Site) -> Self {
        let mut stream = site.connect();
        let head = format!("GET /events HTTP/1.1\r\nHost: {}\r\n\r\n", site.address);
        stream.write_all(head.as_bytes()).expect("it reads");
        Self { stream, read: Vec::new() }
    }

    /// All that came until `fits` is content with it.
    #[track_caller]
    pub fn until(&mut self, fits: impl Fn(&str) -> bool) -> String {
        let mut piece = [0; 4096];
        loop {
            let text = String::from_utf8_lossy(&self.read).into_owned();
            if fits(&text) {
                return text;
            }
            let length = self.stream.read(&mut piece).expect("something comes");
            assert!(length > 0, "the stream ended after {text}");
            self.read.extend_from_slice(&piece[..length]);
        }
    }
}
