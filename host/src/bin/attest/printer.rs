//! A thread that writes what sessions have to say, so that none of them waits for a
//! reader that is slow or stands still, and no clock is read late for it.
//!
//! Guarantees: lines and verdicts leave in the order in which they came.

use crate::outcome::{Result, note, print};
use std::sync::mpsc::{self, Sender};
use std::thread::JoinHandle;

/// The thread.
pub struct Printer {
    pen: Pen,
    thread: JoinHandle<Result<()>>,
}

/// What writes with it.
#[derive(Clone)]
pub struct Pen(Sender<Piece>);

enum Piece {
    Note(String),
    Print(String),
    End,
}

impl Printer {
    /// Starts the thread.
    ///
    /// # Errors
    /// The system gives none.
    pub fn start() -> std::io::Result<Self> {
        let (sender, pieces) = mpsc::channel();
        let thread = std::thread::Builder::new().name("printer".into()).spawn(move || {
            let mut done = Ok(());
            for piece in pieces {
                match piece {
                    Piece::Note(text) => note(&text),
                    Piece::Print(text) => done = done.and(print(&text)),
                    Piece::End => break,
                }
            }
            done
        })?;
        Ok(Self { pen: Pen(sender), thread })
    }

    /// What writes with it.
    pub fn pen(&self) -> Pen {
        self.pen.clone()
    }

    /// Waits until all is written that has been said.
    ///
    /// # Errors
    /// The first of [`print`].
    pub fn finish(self) -> Result<()> {
        self.pen.say(Piece::End);
        self.thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }
}

impl Pen {
    /// A line to standard error.
    pub fn note(&self, text: String) {
        self.say(Piece::Note(text));
    }

    /// A text to standard output.
    pub fn print(&self, text: String) {
        self.say(Piece::Print(text));
    }

    fn say(&self, piece: Piece) {
        // After the end nobody listens.
        let _ = self.0.send(piece);
    }
}
