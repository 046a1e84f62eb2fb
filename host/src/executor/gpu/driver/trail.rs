//! Marks between launches, by which another thread sees which kernel a device is at.

use crate::executor::gpu::error::from_cust;
use cuda_driver::Failure;
use cust::context::{Context, CurrentContext};
use cust::event::{Event, EventFlags, EventStatus};
use std::collections::VecDeque;

/// Most marks: a stream takes about this many launches before it holds the host up.
const MARKS_MAX: usize = 1024;

/// The last launches of a device, each followed by an event on its stream.
#[derive(Debug, Default)]
pub(crate) struct Trail {
    /// While it is set launches leave no marks.
    pub(crate) paused: bool,
    /// `None`: no device is used.
    context: Option<Context>,
    marks: VecDeque<Mark>,
    spare: Vec<Event>,
}

#[derive(Debug)]
struct Mark {
    launch: u64,
    kernel: &'static str,
    done: Event,
}

impl Trail {
    /// Marks launches in this context from here on.
    pub(super) fn attach(&mut self, context: Context) {
        self.context = Some(context);
    }

    /// Gives events and context back. The context is current on this thread.
    pub(super) fn detach(&mut self) {
        self.marks.clear();
        self.spare.clear();
        self.context = None;
    }

    /// Takes out an event to record after a launch; `None` if none is wanted.
    pub(super) fn take(&mut self) -> Result<Option<Event>, Failure> {
        if self.paused || self.context.is_none() {
            return Ok(None);
        }
        if let Some(spare) = self.spare.pop() {
            return Ok(Some(spare));
        }
        if self.marks.len() >= MARKS_MAX {
            return Ok(self.marks.pop_front().map(|mark| mark.done));
        }
        Event::new(EventFlags::DISABLE_TIMING).map(Some).map_err(from_cust)
    }

    /// Keeps an event that was recorded after this launch.
    pub(super) fn put(&mut self, launch: u64, kernel: &'static str, done: Event) {
        self.marks.push_back(Mark { launch, kernel, done });
    }

    /// The device is idle: every mark was passed.
    pub(crate) fn recycle(&mut self) {
        self.spare.extend(self.marks.drain(..).map(|mark| mark.done));
    }

    /// Number and kernel of the first launch that is not done, as far as the driver
    /// answers. On any thread.
    pub(crate) fn first_not_done(&self) -> Option<(u64, &'static str)> {
        CurrentContext::set_current(self.context.as_ref()?).ok()?;
        for Mark { launch, kernel, done } in &self.marks {
            match done.query() {
                Ok(EventStatus::Ready) => {}
                Ok(EventStatus::NotReady) => return Some((*launch, kernel)),
                Err(_) => return None,
            }
        }
        None
    }
}
