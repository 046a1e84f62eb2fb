//! Meetings: recorded by key, counted apart where the key is not proven, forgotten.

use crate::places::{Place, on_both};
use crate::{ISSUED_MS, digest, key_of};
use attest::ledger::{
    DODGES, Dodges, Ending, Ledger, Meeting, MeetingFilter, Peer, Pruned, Pruning, SessionEnd,
    SettledAs,
};
use std::time::Duration;

on_both![
    a_meeting_is_on_record_as_it_was,
    a_stranger_cannot_dodge_in_anothers_name,
    only_the_miners_own_doing_within_the_window_counts,
    what_a_stranger_says_of_itself_is_bounded,
    old_meetings_are_forgotten,
];

/// A meeting that ended with `code` before a challenge.
pub fn dodged(peer: Peer, code: &str) -> Meeting {
    Meeting {
        met_unix_ms: ISSUED_MS,
        peer,
        address: Some("192.0.2.1".to_owned()),
        ending: Ending::Before(code.to_owned()),
        round_trip: None,
        session: None,
    }
}

fn all(ledger: &dyn Ledger, filter: MeetingFilter) -> Vec<Meeting> {
    ledger.meetings(&filter).unwrap().into_iter().map(|met| met.meeting).collect()
}

fn a_meeting_is_on_record_as_it_was(place: &Place) {
    let ledger = place.open();
    let challenged = Meeting {
        ending: Ending::Challenged(digest(9)),
        session: Some(SessionEnd { outcome: SettledAs::Rejected, code: Some("late".to_owned()) }),
        round_trip: Some(Duration::from_micros(1234)),
        ..dodged(Peer::Proven(key_of(1)), "")
    };
    let unknown = Meeting { address: None, ..dodged(Peer::Unknown, "stalled") };
    let claimed = dodged(Peer::Claimed(key_of(2)), "busy");
    for meeting in [&challenged, &unknown, &claimed] {
        ledger.meet(meeting).unwrap();
    }
    drop(ledger);
    let ledger = place.open();
    let everybody = MeetingFilter::default();
    assert_eq!(all(&*ledger, everybody), [&claimed, &unknown, &challenged].map(Meeting::clone));
    let of = |key| MeetingFilter { miner: Some(key_of(key)), ..everybody };
    assert_eq!(all(&*ledger, of(1)), std::slice::from_ref(&challenged));
    assert_eq!(all(&*ledger, of(2)), [claimed]);
    let first = ledger.meetings(&MeetingFilter { limit: 2, ..everybody }).unwrap();
    assert_eq!(first.len(), 2);
    let rest = MeetingFilter { before: Some(first[1].number), ..everybody };
    assert_eq!(all(&*ledger, rest), [challenged]);
}

fn a_stranger_cannot_dodge_in_anothers_name(place: &Place) {
    let ledger = place.open();
    let (key, at) = (key_of(1), Some("192.0.2.1"));
    for _ in 0..3 {
        ledger.meet(&dodged(Peer::Claimed(key), "busy")).unwrap();
    }
    ledger.meet(&dodged(Peer::Unknown, "busy")).unwrap();
    ledger.meet(&dodged(Peer::Proven(key), "busy")).unwrap();
    let count = |peer, at| ledger.dodges(peer, at, ISSUED_MS).unwrap();
    assert_eq!(count(Peer::Proven(key), None), Dodges { proven: 1, ..Dodges::default() });
    assert_eq!(count(Peer::Claimed(key), None), Dodges { claimed: 3, ..Dodges::default() });
    let expected = Dodges { claimed: 3, from_address: 4, ..Dodges::default() };
    assert_eq!(count(Peer::Claimed(key), at), expected);
    assert_eq!(count(Peer::Unknown, at), Dodges { from_address: 4, ..Dodges::default() });
    assert_eq!(count(Peer::Proven(key_of(2)), Some("192.0.2.2")), Dodges::default());
}

fn only_the_miners_own_doing_within_the_window_counts(place: &Place) {
    let ledger = place.open();
    let peer = Peer::Proven(key_of(1));
    for code in DODGES {
        ledger.meet(&dodged(peer, code)).unwrap();
    }
    for code in ["unreachable", "unfit-devices", "interrupted"] {
        ledger.meet(&dodged(peer, code)).unwrap();
    }
    ledger.meet(&Meeting { ending: Ending::Challenged(digest(7)), ..dodged(peer, "") }).unwrap();
    ledger.meet(&Meeting { met_unix_ms: ISSUED_MS - 1, ..dodged(peer, "busy") }).unwrap();
    let proven = |since| ledger.dodges(peer, None, since).unwrap().proven;
    assert_eq!(proven(ISSUED_MS), DODGES.len() as u64);
    assert_eq!(proven(ISSUED_MS - 1), DODGES.len() as u64 + 1);
    assert_eq!(proven(ISSUED_MS + 1), 0);
}

fn what_a_stranger_says_of_itself_is_bounded(place: &Place) {
    let ledger = place.open();
    let address = Some("a\0\u{202e}".repeat(1000));
    let hostile = Meeting { address: address.clone(), ..dodged(Peer::Unknown, "stalled") };
    ledger.meet(&hostile).unwrap();
    let [kept] = <[Meeting; 1]>::try_from(all(&*ledger, MeetingFilter::default())).unwrap();
    let kept = kept.address.unwrap();
    assert_eq!(kept.chars().count(), 256);
    assert!(!kept.contains(['\0', '\u{202e}']), "{kept:?}");
    // Asked for by what it said, it is found again.
    let dodges = ledger.dodges(Peer::Unknown, address.as_deref(), 0).unwrap();
    assert_eq!(dodges.from_address, 1);
}

fn old_meetings_are_forgotten(place: &Place) {
    let ledger = place.open();
    for met_unix_ms in [ISSUED_MS, ISSUED_MS + 1] {
        ledger.meet(&Meeting { met_unix_ms, ..dodged(Peer::Unknown, "busy") }).unwrap();
    }
    let prune = |how| ledger.prune(ISSUED_MS + 1, ISSUED_MS + 1, how).unwrap();
    let one = Pruned { challenges: 0, meetings: 1 };
    assert_eq!(prune(Pruning::DryRun), one);
    assert_eq!(prune(Pruning::Forget), one);
    assert_eq!(prune(Pruning::Forget), Pruned::default());
    let left = all(&*ledger, MeetingFilter::default());
    assert_eq!(left.iter().map(|m| m.met_unix_ms).collect::<Vec<_>>(), [ISSUED_MS + 1]);
}
