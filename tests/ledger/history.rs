//! What does not fit a device's history.

use crate::places::{self, Place, on_both};
use crate::{
    EXPIRES_MS, ISSUED_MS, accepting, challenge, commitment_of, device, digest, issued,
    issued_round, key_of, rejected, verified,
};
use attest::ledger::HistoryCode::{
    DieChangedUuid, DieUnderTwoIdentities, UuidChangedDie, UuidChangedHost, UuidChangedSerial,
    UuidInTwoSessions, UuidUnderTwoIdentities,
};
use attest::ledger::{
    Acceptance, Accepting, HISTORY_WINDOW, HistoryCode, HistoryFinding, Ledger, LedgerError,
    Options, Settlement, Sighting,
};
use attest::protocol::digest::Digest;
use std::time::Duration;

on_both![
    a_device_that_stays_as_it_is_has_no_findings,
    another_identity_is_a_finding,
    another_serial_number_is_a_finding,
    another_host_is_a_finding_within_the_window,
    what_did_not_verify_says_nothing_of_a_device,
    claims_without_history_do_not_hinder_the_holder,
    sightings_without_a_key_do_not_count_against_one_with_a_key,
    findings_have_a_window,
    who_held_the_name_before_the_window_does_not_hinder,
    two_live_sessions_with_one_device_are_a_finding,
    rounds_of_one_session_do_not_stand_in_each_others_way,
    sessions_that_were_open_at_once_are_a_finding,
    of_sessions_that_claim_at_the_same_moment_one_has_no_finding,
    what_a_miner_says_is_bounded,
    a_die_that_signs_for_two_miners_or_under_two_uuids_is_a_finding,
    dies_count_while_their_session_is_under_way_and_within_the_window,
];

/// Names `device` for a fresh challenge at `now_ms`, whose result is verified.
fn see(ledger: &dyn Ledger, device: &Sighting, now_ms: u64) -> Vec<HistoryFinding> {
    see_and_settle(ledger, device, now_ms, &verified())
}

fn see_and_settle(
    ledger: &dyn Ledger,
    device: &Sighting,
    now_ms: u64,
    settlement: &Settlement,
) -> Vec<HistoryFinding> {
    // Answered at once, so that no other session was at work meanwhile.
    let c = issued_at(ledger, now_ms);
    let found = claim(ledger, &c, std::slice::from_ref(device), (now_ms, now_ms + 1000));
    ledger.settle(&c, settlement).unwrap();
    found
}

fn issued_at(ledger: &dyn Ledger, at_ms: u64) -> Digest {
    let challenge = challenge();
    ledger.issue(&challenge, challenge.token(), at_ms).unwrap();
    challenge.digest()
}

/// What the live session of `c` finds, whose commitment comes at `now_ms`; it claims the
/// devices until `until_ms`.
fn claim(
    ledger: &dyn Ledger,
    c: &Digest,
    devices: &[Sighting],
    (now_ms, until_ms): (u64, u64),
) -> Vec<HistoryFinding> {
    let accepting = Accepting {
        arrived_unix_ms: now_ms,
        until_unix_ms: until_ms,
        ..accepting(commitment_of(1), devices)
    };
    let (answer, found) = ledger.accept_session(c, &accepting).unwrap();
    assert_eq!(answer, Acceptance::Accepted);
    found
}

fn codes(findings: &[HistoryFinding]) -> Vec<HistoryCode> {
    findings.iter().map(|finding| finding.code).collect()
}

fn known() -> Sighting {
    Sighting {
        serial: Some("165".to_owned()),
        pci: Some("0000:01:00.0".to_owned()),
        miner: Some(key_of(0xaa)),
        host: Some("host-a".to_owned()),
        ..device(1)
    }
}

fn a_device_that_stays_as_it_is_has_no_findings(place: &Place) {
    let ledger = place.open();
    assert_eq!(see(&*ledger, &known(), ISSUED_MS), []);
    assert_eq!(see(&*ledger, &known(), ISSUED_MS + 2000), []);
    // What is not reported cannot differ.
    assert_eq!(see(&*ledger, &device(1), ISSUED_MS + 4000), []);
    let offline = issued(&*ledger);
    let settled = ledger.settle_offline(
        &offline,
        &commitment_of(1),
        EXPIRES_MS,
        &[known()],
        HISTORY_WINDOW,
        &verified(),
    );
    assert_eq!(settled.unwrap().1, []);
}

fn another_identity_is_a_finding(place: &Place) {
    let ledger = place.open();
    see(&*ledger, &known(), ISSUED_MS);
    let other = Sighting { miner: Some(key_of(0xbb)), ..known() };
    let found = see(&*ledger, &other, ISSUED_MS + 2000);
    assert_eq!(codes(&found), [UuidUnderTwoIdentities]);
    let names_both =
        [digest(0xaa), digest(0xbb)].map(|key| found[0].text.contains(&key.to_string()));
    assert_eq!(names_both, [true; 2], "{}", found[0].text);
    let unbound = Sighting { miner: None, ..known() };
    assert_eq!(see(&*ledger, &unbound, ISSUED_MS + 4000), []);
    let offline = issued(&*ledger);
    let other = Sighting { miner: Some(key_of(0xcc)), ..known() };
    let settled = ledger.settle_offline(
        &offline,
        &commitment_of(1),
        EXPIRES_MS,
        &[other],
        HISTORY_WINDOW,
        &verified(),
    );
    assert_eq!(codes(&settled.unwrap().1), [UuidUnderTwoIdentities]);
}

fn another_serial_number_is_a_finding(place: &Place) {
    let ledger = place.open();
    see(&*ledger, &known(), ISSUED_MS);
    let other = Sighting { serial: Some("166".to_owned()), ..known() };
    let found = see(&*ledger, &other, ISSUED_MS + 2000);
    assert_eq!(codes(&found), [UuidChangedSerial]);
    assert!(found[0].text.contains("165") && found[0].text.contains("166"), "{}", found[0].text);
}

fn another_host_is_a_finding_within_the_window(place: &Place) {
    let window = Duration::from_secs(3600);
    let ledger = place.open_with(Options { host_window: window, ..Options::default() });
    see(&*ledger, &known(), ISSUED_MS);
    let moved = Sighting { host: Some("host-b".to_owned()), ..known() };
    let found = see(&*ledger, &moved, ISSUED_MS + 3_600_000);
    assert_eq!(codes(&found), [UuidChangedHost]);
    // Both sightings are too old by now.
    assert_eq!(see(&*ledger, &known(), ISSUED_MS + 2 * 3_600_000 + 1), []);
}

/// A stranger names the device in junk, or is rejected for its name.
fn what_did_not_verify_says_nothing_of_a_device(place: &Place) {
    let ledger = place.open();
    let [owner, stranger] =
        [0xaa, 0xbb].map(|key| Sighting { miner: Some(key_of(key)), ..known() });
    let junk = rejected("leaf-mismatch");
    assert_eq!(see_and_settle(&*ledger, &stranger, ISSUED_MS, &junk), []);
    assert_eq!(see(&*ledger, &owner, ISSUED_MS + 2000), []);
    let by_policy = rejected("rejected-by-policy");
    let found = see_and_settle(&*ledger, &stranger, ISSUED_MS + 4000, &by_policy);
    assert_eq!(codes(&found), [UuidUnderTwoIdentities]);
    assert_eq!(see(&*ledger, &owner, ISSUED_MS + 6000), []);
}

/// Whoever was verified under a name does not lose a session to claims by others who
/// never were.
fn claims_without_history_do_not_hinder_the_holder(place: &Place) {
    let ledger = place.open();
    let [owner, stranger] =
        [0xaa, 0xbb].map(|key| Sighting { miner: Some(key_of(key)), ..known() });
    let nameless = Sighting { miner: None, ..known() };
    let claim = |by: &Sighting| {
        let c = issued(&*ledger);
        codes(&claim(&*ledger, &c, std::slice::from_ref(by), (ISSUED_MS + 1, EXPIRES_MS)))
    };
    assert_eq!(see(&*ledger, &owner, ISSUED_MS), []);
    assert_eq!(claim(&stranger), [UuidUnderTwoIdentities]);
    assert_eq!(claim(&nameless), [UuidInTwoSessions]);
    assert_eq!(claim(&owner), []);
    // Twice at once is once too often for the holder, too.
    assert_eq!(claim(&owner), [UuidInTwoSessions]);
}

/// Anyone can name a device without a key: that says nothing against a miner with one,
/// verified or not, but against others without one.
fn sightings_without_a_key_do_not_count_against_one_with_a_key(place: &Place) {
    let ledger = place.open();
    let owner = known();
    let nameless = Sighting {
        miner: None,
        serial: Some("166".to_owned()),
        host: Some("host-b".to_owned()),
        ..known()
    };
    assert_eq!(session_of(&*ledger, &nameless, (1000, 2000), &verified()), []);
    let live = issued(&*ledger);
    claim(&*ledger, &live, std::slice::from_ref(&nameless), (ISSUED_MS, EXPIRES_MS));
    assert_eq!(session_of(&*ledger, &owner, (1500, 2500), &rejected("x")), []);
    let unbound = Sighting { miner: None, ..known() };
    let all = [UuidChangedHost, UuidInTwoSessions, UuidChangedSerial];
    assert_eq!(session_of(&*ledger, &unbound, (1500, 2500), &rejected("x")), all);
    ledger.settle(&live, &rejected("x")).unwrap();
    assert_eq!(session_of(&*ledger, &unbound, (1500, 2500), &rejected("x")), all);
    assert_eq!(session_of(&*ledger, &owner, (3000, 4000), &verified()), []);
    // Its own sessions count, and with the key all the more against those without.
    assert_eq!(session_of(&*ledger, &owner, (3500, 4500), &rejected("x")), [UuidInTwoSessions]);
    assert_eq!(session_of(&*ledger, &nameless, (3500, 4500), &rejected("x")), all);
}

/// What was long ago is no finding; how long the caller's policy says.
fn findings_have_a_window(place: &Place) {
    let ledger = place.open_with(Options { host_window: Duration::MAX, ..Options::default() });
    see(&*ledger, &known(), ISSUED_MS);
    let moved = Sighting {
        serial: Some("166".to_owned()),
        miner: Some(key_of(0xbb)),
        host: Some("host-b".to_owned()),
        ..known()
    };
    let all = [UuidUnderTwoIdentities, UuidChangedHost, UuidChangedSerial];
    let c = issued(&*ledger);
    let window = Duration::from_secs(7 * 86_400);
    let over_ms = ISSUED_MS + 7 * 86_400_000;
    let devices = [moved];
    let look = |at, window| codes(&ledger.history(&c, &devices, at, window).unwrap());
    assert_eq!(look(over_ms, window), all);
    assert_eq!(look(over_ms + 1, window), []);
    assert_eq!(look(over_ms + 1, HISTORY_WINDOW), all);
    let accept = |window| {
        let accepting = Accepting {
            arrived_unix_ms: over_ms + 1,
            until_unix_ms: over_ms + 2,
            window,
            ..accepting(commitment_of(1), &devices)
        };
        let c = issued(&*ledger);
        let (answer, found) = ledger.accept_session(&c, &accepting).unwrap();
        assert_eq!(answer, Acceptance::Accepted);
        ledger.settle(&c, &rejected("x")).unwrap();
        codes(&found)
    };
    assert_eq!(accept(window), []);
    assert_eq!(accept(HISTORY_WINDOW), all);
    let offline = |window| {
        let c = issued(&*ledger);
        ledger
            .settle_offline(&c, &commitment_of(1), over_ms + 1, &devices, window, &verified())
            .map(|(_, found)| codes(&found))
            .unwrap()
    };
    assert_eq!(offline(HISTORY_WINDOW), all);
    let first = &known();
    let back = ledger.history(&c, std::slice::from_ref(first), over_ms + 2, window).unwrap();
    assert_eq!(codes(&back), all);
}

/// Whoever held the name before the window does not hinder its holder of today.
fn who_held_the_name_before_the_window_does_not_hinder(place: &Place) {
    let ledger = place.open();
    let [before, now] = [0xaa, 0xbb].map(|key| Sighting { miner: Some(key_of(key)), ..known() });
    let later_ms = ISSUED_MS + HISTORY_WINDOW.as_millis() as u64 + 1;
    see(&*ledger, &before, ISSUED_MS);
    see(&*ledger, &now, later_ms - 1);
    let live = issued(&*ledger);
    claim(&*ledger, &live, std::slice::from_ref(&before), (later_ms, u64::MAX));
    let look = |window| {
        let devices = std::slice::from_ref(&now);
        codes(&ledger.history(&issued(&*ledger), devices, later_ms + 1, window).unwrap())
    };
    assert_eq!(look(HISTORY_WINDOW), []);
    assert_eq!(look(2 * HISTORY_WINDOW), [UuidUnderTwoIdentities, UuidInTwoSessions]);
}

fn two_live_sessions_with_one_device_are_a_finding(place: &Place) {
    let ledger = place.open();
    let [a, b, d] = [0; 3].map(|_| issued(&*ledger));
    let devices = [device(1), device(2)];
    let claim = |c, now_ms| codes(&claim(&*ledger, c, &devices, (now_ms, now_ms + 1000)));
    let look = |c, now_ms| codes(&ledger.history(c, &devices, now_ms, HISTORY_WINDOW).unwrap());
    assert_eq!(claim(&a, ISSUED_MS), []);
    assert_eq!(claim(&b, ISSUED_MS + 1), [UuidInTwoSessions, UuidInTwoSessions]);
    // Whoever looks up the earlier session's devices is told, too.
    assert_eq!(look(&a, ISSUED_MS + 2), [UuidInTwoSessions, UuidInTwoSessions]);
    // Settling releases, and so does time.
    ledger.settle(&b, &rejected("x")).unwrap();
    assert_eq!(look(&a, ISSUED_MS + 3), []);
    assert_eq!(look(&d, ISSUED_MS + 999), [UuidInTwoSessions, UuidInTwoSessions]);
    assert_eq!(claim(&d, ISSUED_MS + 1000), []);
    let too_many = vec![device(1); 65];
    let answer = ledger.history(&a, &too_many, ISSUED_MS, HISTORY_WINDOW);
    assert!(matches!(answer, Err(LedgerError::Invalid { .. })));
}

/// The last round may be judged while the next one is under way.
fn rounds_of_one_session_do_not_stand_in_each_others_way(place: &Place) {
    let ledger = place.open();
    let (first, other) = (issued(&*ledger), issued(&*ledger));
    let rounds = [1, 2].map(|number| issued_round(&*ledger, first, number));
    let devices = [device(1)];
    let claim = |c, now_ms| codes(&claim(&*ledger, c, &devices, (now_ms, now_ms + 1000)));
    assert_eq!(claim(&first, ISSUED_MS + 5), []);
    for (round, at_ms) in rounds.iter().zip(ISSUED_MS + 6..) {
        assert_eq!(claim(round, at_ms), [], "a later round");
    }
    // Another session's rounds do, whichever it is.
    assert_eq!(claim(&other, ISSUED_MS + 9), [UuidInTwoSessions]);
    for round in [&first, &rounds[0]] {
        ledger.settle(round, &verified()).unwrap();
    }
    let look = |c| codes(&ledger.history(c, &devices, ISSUED_MS + 10, HISTORY_WINDOW).unwrap());
    assert_eq!(look(&other), [UuidInTwoSessions], "the last round still claims it");
    let of_other = issued_round(&*ledger, other, 1);
    assert_eq!(claim(&of_other, ISSUED_MS + 11), [UuidInTwoSessions]);
}

/// A live session of device 1, from its issue to its commitment, ms after [`ISSUED_MS`].
fn session(ledger: &dyn Ledger, times: (u64, u64), settlement: &Settlement) -> Vec<HistoryCode> {
    session_of(ledger, &device(1), times, settlement)
}

fn session_of(
    ledger: &dyn Ledger,
    named: &Sighting,
    (from_ms, to_ms): (u64, u64),
    settlement: &Settlement,
) -> Vec<HistoryCode> {
    let devices = std::slice::from_ref(named);
    let (c, at) = (issued_at(ledger, ISSUED_MS + from_ms), ISSUED_MS + to_ms);
    let found = claim(ledger, &c, devices, (at, at + 1000));
    ledger.settle(&c, settlement).unwrap();
    // Looked up later it is the same, but for what came meanwhile.
    assert!(ledger.history(&c, devices, at + 1, HISTORY_WINDOW).unwrap().len() >= found.len());
    codes(&found)
}

fn sessions_that_were_open_at_once_are_a_finding(place: &Place) {
    let ledger = place.open();
    assert_eq!(session(&*ledger, (1000, 2000), &verified()), []);
    // Issued before the first was answered, and answered when that was settled.
    assert_eq!(session(&*ledger, (1999, 3000), &rejected("x")), [UuidInTwoSessions]);
    assert_eq!(session(&*ledger, (500, 3000), &rejected("x")), [UuidInTwoSessions]);
    // Before it and after it.
    assert_eq!(session(&*ledger, (2000, 3000), &verified()), []);
    assert_eq!(session(&*ledger, (500, 1000), &verified()), []);
    // What did not verify, or had no session, says nothing.
    assert_eq!(session(&*ledger, (5000, 6000), &rejected("leaf-mismatch")), []);
    assert_eq!(session(&*ledger, (5000, 6000), &verified()), []);
    let offline = issued(&*ledger);
    let settled = ledger.settle_offline(
        &offline,
        &commitment_of(1),
        ISSUED_MS + 5500,
        &[device(1)],
        HISTORY_WINDOW,
        &verified(),
    );
    assert_eq!(settled.unwrap().1, []);
    assert_eq!(session(&*ledger, (6000, 7000), &verified()), []);
}

fn of_sessions_that_claim_at_the_same_moment_one_has_no_finding(place: &Place) {
    let ledger = place.open();
    // Known devices: whoever names one first has nothing to make.
    let known = [device(1), device(2), device(3)];
    claim(&*ledger, &issued(&*ledger), &known, (ISSUED_MS - 2, ISSUED_MS - 1));
    let challenges: Vec<_> = (0..16).map(|_| issued(&*ledger)).collect();
    let other = place.open();
    let alone: usize = std::thread::scope(|scope| {
        let claiming = |(at, c): (usize, _)| {
            let ledger = if at % 2 == 0 { &ledger } else { &other };
            // Named in both orders, for those who wait for each other.
            let mut devices = known.clone();
            devices.rotate_left(at % 3);
            scope.spawn(move || claim(&**ledger, c, &devices, (ISSUED_MS, EXPIRES_MS)))
        };
        let claims: Vec<_> = challenges.iter().enumerate().map(claiming).collect();
        claims.into_iter().map(|claim| usize::from(claim.join().unwrap().is_empty())).sum()
    });
    assert_eq!(alone, 1);
}

fn what_a_miner_says_is_bounded(place: &Place) {
    let ledger = place.open();
    let c = issued(&*ledger);
    let hostile = Sighting {
        serial: Some("0\0\x1b[2J".to_owned()),
        host: Some("x".repeat(1 << 20)),
        pci: Some("\u{202e}'; DROP TABLE nonces; --".to_owned()),
        ..device(1)
    };
    claim(&*ledger, &c, std::slice::from_ref(&hostile), (ISSUED_MS, EXPIRES_MS));
    let device = ledger.show(&c).unwrap().unwrap().1.remove(0).device;
    assert_eq!(device.serial.as_deref(), Some("0\u{fffd}\u{fffd}[2J"));
    assert_eq!(device.host.map(|host| host.len()), Some(256));
    assert_eq!(device.pci.as_deref(), Some("\u{fffd}'; DROP TABLE nonces; --"));
    // What was cut is the same when it comes again.
    assert_eq!(codes(&see(&*ledger, &hostile, EXPIRES_MS)), []);
}

/// A session in which `die` signs for the device of `byte`, named by the key `key`: its
/// challenge, and the findings about dies.
fn signs(
    ledger: &dyn Ledger,
    (byte, key, die): (u8, u8, u8),
    at_ms: u64,
) -> (Digest, Vec<HistoryCode>) {
    let named = Sighting { miner: Some(key_of(key)), ..device(byte) };
    let c = issued_at(ledger, at_ms);
    claim(ledger, &c, std::slice::from_ref(&named), (at_ms, at_ms + 1000));
    let signed = Sighting { die: Some(digest(die)), die_serial: Some("07".to_owned()), ..named };
    let found = ledger.sign(&c, std::slice::from_ref(&signed), at_ms, HISTORY_WINDOW).unwrap();
    assert_eq!(ledger.show(&c).unwrap().unwrap().1[0].device, signed);
    (c, codes(&found))
}

fn a_die_that_signs_for_two_miners_or_under_two_uuids_is_a_finding(place: &Place) {
    let ledger = place.open();
    let settled = |who, at_ms, settlement: &Settlement| {
        let (c, found) = signs(&*ledger, who, at_ms);
        ledger.settle(&c, settlement).unwrap();
        found
    };
    assert_eq!(settled((1, 0xaa, 5), ISSUED_MS, &verified()), []);
    assert_eq!(settled((1, 0xaa, 5), ISSUED_MS + 2000, &verified()), []);
    let lent = settled((2, 0xbb, 5), ISSUED_MS + 4000, &rejected("rejected-by-policy"));
    assert_eq!(lent, [DieUnderTwoIdentities, DieChangedUuid]);
    // What was rejected does not count, and another die is nobody's.
    assert_eq!(settled((1, 0xaa, 5), ISSUED_MS + 6000, &verified()), []);
    assert_eq!(settled((3, 0xbb, 6), ISSUED_MS + 8000, &verified()), []);
    assert_eq!(settled((1, 0xaa, 7), ISSUED_MS + 10_000, &rejected("x")), [UuidChangedDie]);
    // Without a session, in one step with the settlement; and looked up.
    let c = issued(&*ledger);
    let named = Sighting { miner: Some(key_of(0xcc)), die: Some(digest(5)), ..device(1) };
    let found = [UuidUnderTwoIdentities, DieUnderTwoIdentities];
    let (at_ms, devices) = (ISSUED_MS + 12_000, &[named]);
    let looked = ledger.history(&c, devices, at_ms, HISTORY_WINDOW).unwrap();
    assert_eq!(codes(&looked), found);
    let settled =
        ledger.settle_offline(&c, &commitment_of(1), at_ms, devices, HISTORY_WINDOW, &verified());
    assert_eq!(codes(&settled.unwrap().1), found);
    assert_eq!(ledger.show(&c).unwrap().unwrap().1[0].device, devices[0]);
    // A challenge that nobody has answered has no devices that could sign.
    let open = issued(&*ledger);
    let error = ledger.sign(&open, devices, at_ms, HISTORY_WINDOW).unwrap_err();
    assert!(matches!(error, LedgerError::Order { .. }), "{error}");
}

fn dies_count_while_their_session_is_under_way_and_within_the_window(place: &Place) {
    let ledger = place.open();
    let (first, found) = signs(&*ledger, (1, 0xaa, 5), ISSUED_MS);
    assert_eq!(found, []);
    assert_eq!(
        signs(&*ledger, (2, 0xbb, 5), ISSUED_MS + 1).1,
        [DieUnderTwoIdentities, DieChangedUuid]
    );
    // Nobody settled these: their time is over.
    assert_eq!(signs(&*ledger, (2, 0xbb, 5), ISSUED_MS + 5000).1, []);
    ledger.settle(&first, &verified()).unwrap();
    let later_ms = ISSUED_MS + u64::try_from(HISTORY_WINDOW.as_millis()).unwrap();
    assert_eq!(signs(&*ledger, (2, 0xbb, 5), later_ms).1.len(), 2);
    assert_eq!(signs(&*ledger, (2, 0xcc, 5), later_ms + 6000).1, [DieUnderTwoIdentities; 0]);
}

/// The same on PostgreSQL with the moment made certain: all of them have begun, and
/// wait, before the first one can go on.
#[test]
fn of_sessions_that_wait_for_a_device_one_has_no_finding() {
    let Some(place) = places::on_server() else { return };
    let ledger = place.open();
    claim(&*ledger, &issued(&*ledger), &[device(1)], (ISSUED_MS - 2, ISSUED_MS - 1));
    let challenges = [0; 4].map(|_| issued(&*ledger));
    let (mut holder, mut watcher) = (place.client(), place.client());
    holder.batch_execute("BEGIN; SELECT * FROM attest.devices FOR UPDATE").unwrap();
    let alone: usize = std::thread::scope(|scope| {
        let claiming = |c| {
            let ledger = &ledger;
            scope.spawn(move || claim(&**ledger, c, &[device(1)], (ISSUED_MS, EXPIRES_MS)))
        };
        let claims: Vec<_> = challenges.iter().map(claiming).collect();
        let waiting = "SELECT COUNT(*) FROM pg_stat_activity \
                       WHERE datname = current_database() AND wait_event_type = 'Lock'";
        while watcher.query_one(waiting, &[]).unwrap().get::<_, i64>(0) < 4 {
            std::thread::sleep(Duration::from_millis(5));
        }
        holder.batch_execute("COMMIT").unwrap();
        claims.into_iter().map(|claim| usize::from(claim.join().unwrap().is_empty())).sum()
    });
    assert_eq!(alone, 1);
}
