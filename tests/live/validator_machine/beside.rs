//! The validator's machine with a round of the host beside one of the devices.

use super::*;

/// Both challenges are out.
fn begun() -> Watched {
    let mut watched = Watched::with(Plan::Beside, vec![1, 2]);
    watched.talk_until(|watched| watched.issued.len() == 2);
    watched
}

/// The codes of the rounds, once all that is left to do and to say is.
fn codes_of(watched: &mut Watched) -> Vec<Option<&'static str>> {
    for _ in 0..20 {
        match watched.awaits.first() {
            Some(&work) => watched.done(work, true),
            None => watched.answer(),
        }
    }
    assert!(watched.ended.is_some(), "{:?}", watched.awaits);
    let session = &watched.end.as_ref().expect("it ended").session;
    session.rounds.iter().map(|round| round.verdict.code).collect()
}

fn end(watched: &Watched) -> &Ended {
    watched.end.as_ref().expect("it ended")
}

#[test]
fn both_challenges_are_on_record_before_one_is_sent_and_sent_at_once() {
    let mut watched = Watched::with(Plan::Beside, vec![1, 2]);
    watched.talk_until(|watched| watched.awaits == [Work::Issue]);
    watched.done(Work::Issue, true);
    assert_eq!((watched.wanted, watched.to_say.len()), (2, 0), "nothing is sent of one alone");
    watched.pass(Duration::from_secs(5));
    watched.done(Work::Issue, true);
    assert_eq!(watched.to_say, [Kind::Commitment(0), Kind::Commitment(1)]);
    // Both clocks run from that moment.
    watched.pass(Duration::from_millis(700));
    for round in [1, 0] {
        watched.line(Kind::Commitment(round));
    }
    watched.to_say.clear();
    watched.talk_until(|watched| watched.complete.len() == 2);
    codes_of(&mut watched);
    let rounds = &end(&watched).earlier;
    assert_eq!(rounds[0].legs.commitment, Some(Duration::from_millis(700)));
    assert_eq!(rounds[1].legs.commitment, rounds[0].legs.commitment);
}

#[test]
fn either_may_be_ahead_and_the_next_turn_waits_for_both() {
    for first in [0, 1] {
        let other = 1 - first;
        let mut watched = begun();
        for round in [first, other] {
            assert!(!watched.asked[2..].contains(&Work::Issue), "one is open");
            watched.line(Kind::Commitment(round));
            watched.done(Work::Read(round), true);
            watched.done(Work::Accept(round), true);
            watched.line(Kind::Openings(round));
            watched.done(Work::Read(round), true);
            assert!(watched.awaits.contains(&Work::Judge(round)), "beside what is under way");
        }
        assert_eq!(watched.asked.iter().filter(|work| **work == Work::Issue).count(), 3);
        watched.to_say.clear();
        watched.talk_until(|watched| watched.complete.len() == 3);
        // Both are judged before a round of the next turn is.
        watched.done(Work::Judge(other), true);
        assert!(!watched.asked.contains(&Work::Judge(2)));
        watched.done(Work::Judge(first), true);
        assert!(watched.awaits.contains(&Work::Judge(2)));
        assert_eq!(codes_of(&mut watched), [None; 3]);
        assert_eq!(watched.ended, Some(Outcome::Verified));
        let session = &end(&watched).session;
        assert_eq!(
            session.rounds.iter().map(|it| it.beside).collect::<Vec<_>>(),
            [Some(1), None, None]
        );
    }
}

#[test]
fn one_of_two_stalls() {
    for silent in [0, 1] {
        let other = 1 - silent;
        // Before its commitment, and before its openings.
        for is_committed in [false, true] {
            let mut watched = begun();
            if is_committed {
                watched.line(Kind::Commitment(silent));
                watched.done(Work::Read(silent), true);
                watched.done(Work::Accept(silent), true);
            }
            let until = watched.session.deadline().expect("it is awaited");
            watched.line(Kind::Commitment(other));
            watched.done(Work::Read(other), true);
            // The ledger is at work for the other when the time is over.
            watched.now.since_start = until;
            watched.feed(Event::Tick);
            assert_eq!((watched.session.deadline(), watched.ended), (None, None));
            watched.done(Work::Accept(other), true);
            assert!(!watched.coins_sent.contains(&other), "no coin for what is given up");
            let codes = codes_of(&mut watched);
            assert_eq!(codes[silent], Some("stalled"), "{codes:?}");
            assert_eq!(codes[other], Some("abandoned"), "{codes:?}");
            let session = &end(&watched).session;
            assert_eq!(session.code, Some("stalled"), "why the session ended");
            assert_eq!(session.not_reached.len(), 1);
            assert_eq!(watched.settled, BTreeSet::from([0, 1]));
        }
    }
}

#[test]
fn a_round_that_is_complete_is_judged_though_the_one_beside_it_fails() {
    let mut watched = begun();
    watched.line(Kind::Commitment(0));
    watched.done(Work::Read(0), true);
    watched.done(Work::Accept(0), true);
    watched.line(Kind::Openings(0));
    watched.done(Work::Read(0), true);
    watched.feed(Event::Closed);
    assert_eq!(watched.ended, None);
    assert_eq!(codes_of(&mut watched), [None, Some("closed-early")]);
    assert_eq!(end(&watched).session.code, Some("closed-early"));
}

#[test]
fn a_rejected_round_gives_up_the_one_beside_it() {
    for rejected in [0, 1] {
        let other = 1 - rejected;
        let mut watched = begun();
        watched.line(Kind::Commitment(rejected));
        watched.done(Work::Read(rejected), true);
        watched.done(Work::Accept(rejected), true);
        watched.line(Kind::Openings(rejected));
        watched.done(Work::Read(rejected), true);
        watched.done(Work::Judge(rejected), false);
        let codes = codes_of(&mut watched);
        assert_eq!(codes[rejected], Some("leaf-mismatch"));
        assert_eq!(codes[other], Some("abandoned"));
        assert_eq!(end(&watched).session.code, Some("leaf-mismatch"));
    }
}

#[test]
fn a_second_challenge_that_is_not_issued_leaves_the_first_settled_and_unsent() {
    let mut watched = Watched::with(Plan::Beside, vec![1, 2]);
    watched.talk_until(|watched| watched.issued.len() == 1 && watched.wanted == 2);
    watched.done(Work::Issue, false);
    assert_eq!(watched.awaits, [Work::Settle(0)]);
    assert!(watched.to_say.is_empty());
    codes_of(&mut watched);
    assert_eq!(watched.ended, Some(Outcome::CouldNotRun));
}

/// What the other side says out of turn ends both, and each is settled once.
#[test]
fn lines_of_no_round_of_the_wrong_one_or_out_of_turn() {
    for (line, code) in [
        (FIXTURE.commitment.clone(), "malformed-message"),
        (numbered(FIXTURE.commitment.clone(), Some(2)), "unexpected-message"),
        (numbered(FIXTURE.openings.clone(), Some(0)), "unexpected-message"),
        (numbered(FIXTURE.openings.clone(), Some(1)), "unexpected-message"),
        (line_of(&FromMiner::Failed { text: "no".into() }), "miner-failed"),
        (numbered(FIXTURE.commitment.clone(), Some(0)).repeat(2), "answered-twice"),
    ] {
        let mut watched = begun();
        watched.feed(Event::Bytes(&line));
        let codes = codes_of(&mut watched);
        let shown = String::from_utf8_lossy(&line[..line.len().min(40)]).into_owned();
        assert_eq!(end(&watched).session.code, Some(code), "{shown}");
        assert!(codes.iter().all(|of| [Some(code), Some("abandoned")].contains(of)), "{codes:?}");
        assert_eq!(watched.settled, BTreeSet::from([0, 1]), "{shown}");
        assert!(watched.coins_sent.is_empty(), "{shown}");
    }
}

#[test]
fn a_round_beside_is_not_one_of_version_1() {
    let mut watched = Watched::with(Plan::Beside, vec![1]);
    watched.talk_until(|watched| watched.issued.len() == 1);
    codes_of(&mut watched);
    assert_eq!(end(&watched).session.code, Some("version-mismatch"));
}
