//! CPU time of this process and of a thread: what a run and its sampling cost the
//! host.
#![allow(unsafe_code)]

use std::mem::MaybeUninit;
use std::time::Duration;

/// CPU time of all threads of this process so far, ended ones included.
pub(super) fn of_process() -> Option<Duration> {
    let mut usage = MaybeUninit::<libc::rusage>::zeroed();
    // SAFETY: writes one `rusage` to a local of that type.
    if unsafe { libc::getrusage(libc::RUSAGE_SELF, usage.as_mut_ptr()) } != 0 {
        return None;
    }
    // SAFETY: filled in by the call above; plain integers, valid as zeroes too.
    let usage = unsafe { usage.assume_init() };
    let time = |value: libc::timeval| {
        let seconds = u64::try_from(value.tv_sec).ok()?;
        Some(Duration::from_secs(seconds) + Duration::from_micros(value.tv_usec.try_into().ok()?))
    };
    Some(time(usage.ru_utime)? + time(usage.ru_stime)?)
}

/// CPU time of the calling thread so far, if Linux tells it.
pub(super) fn of_this_thread() -> Option<Duration> {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    text.split_whitespace().next()?.parse().ok().map(Duration::from_nanos)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_goes_on_and_a_thread_is_part_of_its_process() {
        let before = of_process().expect("getrusage works");
        let mut sum = 0_u64;
        while of_process().unwrap() == before {
            sum = std::hint::black_box(sum.wrapping_mul(31) + 1);
        }
        assert!(of_process().unwrap() > before);
        if let Some(thread) = of_this_thread() {
            // A tick of slack: the two are counted by different clocks.
            assert!(thread <= of_process().unwrap() + Duration::from_millis(20));
        }
    }
}
