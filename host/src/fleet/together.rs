//! One start for the sessions of a group.
//!
//! Guarantees: no session of a group goes on before all of them are ready or over; whoever is
//! not ready in time does not start.
//! Deliberately lacks: knowledge of sessions.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::timeout;

/// How far a group is.
#[derive(Clone, Copy, Debug)]
struct Waiting {
    /// Members that are neither ready nor over.
    for_members: usize,
    /// It has begun.
    is_begun: bool,
}

/// A member's place at the start; dropped, the member is over.
pub(super) struct Place {
    group: Arc<watch::Sender<Waiting>>,
    is_counted: bool,
    /// Set if the group began without this one.
    pub(super) is_late: Arc<AtomicBool>,
}

/// Places for a group of `members`.
pub(super) fn places(members: usize) -> Vec<Place> {
    let waiting = Waiting { for_members: members, is_begun: members == 0 };
    let group = Arc::new(watch::Sender::new(waiting));
    let place = |_| Place { group: Arc::clone(&group), is_counted: true, is_late: Arc::default() };
    (0..members).map(place).collect()
}

impl Place {
    /// This member is ready: waits for the others, for up to `patience`. Whether it is to
    /// start.
    pub(super) async fn ready(mut self, patience: Duration) -> bool {
        if self.group.borrow().is_begun {
            self.is_late.store(true, Ordering::SeqCst);
            return false;
        }
        self.uncount();
        let mut group = self.group.subscribe();
        if timeout(patience, group.wait_for(|group| group.is_begun)).await.is_err() {
            self.group.send_modify(|group| group.is_begun = true);
        }
        true
    }

    fn uncount(&mut self) {
        if std::mem::take(&mut self.is_counted) {
            self.group.send_modify(|group| {
                group.for_members -= 1;
                group.is_begun |= group.for_members == 0;
            });
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.uncount();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::task::{Context, Poll, Waker};

    fn poll(future: &mut (impl Future<Output = bool> + Unpin)) -> Poll<bool> {
        std::pin::Pin::new(future).poll(&mut Context::from_waker(Waker::noop()))
    }

    #[tokio::test(start_paused = true)]
    async fn all_start_when_the_last_one_is_ready_or_over() {
        let patience = Duration::from_secs(5);
        let mut group = places(3);
        let (last, over, first) = (group.remove(2), group.remove(1), group.remove(0));
        let mut first = Box::pin(first.ready(patience));
        assert_eq!(poll(&mut first), Poll::Pending);
        drop(over);
        assert_eq!(poll(&mut first), Poll::Pending);
        assert!(last.ready(patience).await);
        assert!(first.await);
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_not_ready_in_time_does_not_start() {
        let patience = Duration::from_secs(5);
        let mut group = places(2);
        let (late, ready) = (group.remove(1), group.remove(0));
        let is_late = Arc::clone(&late.is_late);
        assert!(ready.ready(patience).await);
        assert!(!late.ready(patience).await);
        assert!(is_late.load(Ordering::SeqCst));
    }
}
