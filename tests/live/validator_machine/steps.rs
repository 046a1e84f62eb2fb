//! The validator's machine, step by step.

use super::*;

/// Of a round whose judging waits for nothing.
fn works_of(round: usize) -> [Work; 4] {
    [Work::Issue, Work::Read(round), Work::Accept(round), Work::Read(round)]
}

#[test]
fn the_sequences_reach_the_end() {
    let mut watched = Watched::new();
    for _ in 0..40 {
        watched.onward(0);
    }
    let talk: Vec<Work> = watched.asked.iter().copied().filter(|work| work.is_of_talk()).collect();
    assert_eq!(talk, (0..ROUNDS).flat_map(works_of).collect::<Vec<_>>());
    assert_eq!(watched.asked.last(), Some(&Work::Conclude));
    assert_eq!(watched.ended, Some(Outcome::Verified));
    assert_eq!(watched.issued.len(), ROUNDS);
    // Whoever speaks version 1 only has one round.
    let mut watched = Watched::with(Plan::InTurn, vec![1]);
    for _ in 0..40 {
        watched.onward(0);
    }
    assert!(watched.asked.starts_with(&works_of(0)));
    assert_eq!((watched.ended, watched.issued.len()), (Some(Outcome::Verified), 1));
}

impl Watched {
    /// Goes on with the talk alone, until it waits for this.
    pub fn talk_until(&mut self, is_there: impl Fn(&Self) -> bool) {
        for _ in 0..40 {
            if is_there(self) {
                return;
            }
            match self.awaits.iter().copied().find(|work| work.is_of_talk()) {
                Some(work) => self.done(work, true),
                None => self.answer(),
            }
        }
        panic!("it does not come so far: {:?}", self.awaits);
    }
}

#[test]
fn a_round_is_judged_while_the_next_one_is_under_way_and_no_second_one() {
    let mut watched = Watched::new();
    // Nobody judges round 0: round 1 comes to its end, and waits.
    watched.talk_until(|watched| watched.complete.contains(&1));
    assert_eq!(watched.awaits, [Work::Judge(0)]);
    assert_eq!(watched.session.deadline(), None);
    assert_eq!(watched.coins_sent.len(), 2);
    watched.done(Work::Judge(0), true);
    assert!(watched.awaits.contains(&Work::Judge(1)));
    assert!(watched.awaits.contains(&Work::Issue), "round 2 begins");
}

#[test]
fn after_a_rejected_round_the_one_under_way_is_given_up() {
    for at in ["issuing", "commitment", "accepting", "openings", "waiting"] {
        let mut watched = Watched::new();
        watched.talk_until(|watched| match at {
            "issuing" => watched.wanted == 2 && watched.awaits.contains(&Work::Issue),
            "commitment" => watched.issued.contains(&1),
            "accepting" => watched.awaits.contains(&Work::Accept(1)),
            "openings" => watched.coins_sent.len() == 2,
            _ => watched.complete.contains(&1),
        });
        watched.done(Work::Judge(0), false);
        let coins_sent = watched.coins_sent.clone();
        for _ in 0..10 {
            if let Some(&work) = watched.awaits.first() {
                watched.done(work, true);
            }
        }
        assert_eq!(watched.ended, Some(Outcome::Rejected), "{at}");
        assert_eq!(watched.settled, BTreeSet::from([0, 1]), "{at}");
        assert_eq!(watched.coins_sent, coins_sent, "{at}: no coin for a round that is given up");
        let Some(FromValidator::Verdict(told)) = &watched.sent else { panic!("{at}") };
        assert_eq!(told.code.as_deref(), Some("leaf-mismatch"), "{at}: why the session ended");
    }
}

#[test]
fn a_miner_that_leaves_in_a_later_round_has_its_earlier_ones_judged() {
    let mut watched = Watched::new();
    watched.talk_until(|watched| watched.issued.contains(&1));
    watched.feed(Event::Closed);
    assert_eq!(watched.ended, None);
    assert!(watched.awaits.contains(&Work::Judge(0)));
    for _ in 0..4 {
        watched.onward(0);
    }
    assert_eq!(watched.ended, Some(Outcome::Rejected));
    let Some(FromValidator::Verdict(told)) = &watched.sent else { panic!("no verdict") };
    assert_eq!(told.code.as_deref(), Some("closed-early"));
    assert_eq!(told.earlier.len(), 1);
    assert_eq!(told.earlier[0].outcome, VerdictOutcome::Verified);
}

/// The session on its way, with this capability in the miner's hello.
fn greeted(capability: &str) -> Watched {
    let mut watched = Watched::new();
    let capabilities = vec![capability.to_owned()];
    let hello = MinerHello { capabilities, ..hello(None) };
    watched.feed(Event::Bytes(&line_of(&FromMiner::Hello(hello))));
    watched
}

impl Watched {
    pub fn pass(&mut self, time: Duration) {
        self.now.since_start += time;
        self.now.unix_ms += time.as_millis() as u64;
    }
}

#[test]
fn the_least_of_five_round_trips_counts() {
    let mut watched = greeted("pings");
    for (index, ms) in [40, 30, 7, 900, 20].into_iter().enumerate() {
        assert!(matches!(watched.sent, Some(FromValidator::Ping { version: 1 })), "{index}");
        assert!(watched.asked.is_empty(), "no challenge before the fifth pong");
        watched.pass(Duration::from_millis(ms));
        watched.line(Kind::Pong);
    }
    assert_eq!(watched.asked, [Work::Issue]);
    assert_eq!(watched.round_trip, Some(Duration::from_millis(7)));
    // One that does not say that it answers more gets one ping, as ever.
    let mut watched = greeted("other");
    watched.pass(Duration::from_millis(40));
    watched.line(Kind::Pong);
    assert_eq!(watched.asked, [Work::Issue]);
    assert_eq!(watched.round_trip, Some(Duration::from_millis(40)));
}

#[test]
fn five_slow_pongs_have_no_more_time_than_one() {
    let mut watched = greeted("pings");
    let deadline = watched.session.deadline().expect("a pong is awaited");
    for _ in 0..4 {
        watched.pass(Duration::from_millis(1200));
        watched.line(Kind::Pong);
        assert_eq!(watched.session.deadline(), Some(deadline));
    }
    watched.pass(Duration::from_millis(200));
    watched.line(Kind::Pong);
    assert_eq!(watched.ended, Some(Outcome::Rejected), "5 s are over");
}

#[test]
fn no_session_runs_out_of_time_while_its_own_work_is_under_way() {
    let mut watched = Watched::with(Plan::InTurn, vec![1]);
    let mut seen = Vec::new();
    for _ in 0..12 {
        if let Some(&work) = watched.awaits.first() {
            seen.push(work);
            assert_eq!(watched.session.deadline(), None, "{work:?}");
            // A queue before the ledger or the verifier, however long it is.
            watched.now.since_start += Duration::from_secs(86_400);
            watched.feed(Event::Tick);
            assert_eq!(watched.awaits, [work]);
        }
        watched.onward(0);
    }
    assert_eq!(seen[..4], works_of(0));
    assert_eq!(seen[4..], [Work::Judge(0), Work::Settle(0), Work::Conclude]);
    assert_eq!(watched.ended, Some(Outcome::Verified));
}

#[test]
fn what_was_read_before_the_challenge_was_sent_is_no_answer_to_it() {
    let mut watched = Watched::new();
    for _ in 0..2 {
        watched.onward(0);
    }
    // Stamped while the challenge was being recorded, handled after it was sent.
    let early = watched.now;
    watched.pass(Duration::from_millis(50));
    watched.done(Work::Issue, true);
    assert!(matches!(watched.sent, Some(FromValidator::Challenge { .. })));
    let late = std::mem::replace(&mut watched.now, early);
    watched.line(Kind::Commitment(0));
    watched.now = late;
    assert_eq!(watched.awaits, [Work::Settle(0)], "it is over");
    assert!(!watched.asked.contains(&Work::Read(0)));
}

#[test]
fn an_end_while_the_challenge_is_being_recorded_is_settled() {
    let flood = vec![b'\n'; 2 * UNAWAITED_BYTES_MAX];
    let own = || OwnFault("it was interrupted\nTry again.".into());
    for event in [Event::Bytes(&flood), Event::Closed, Event::Interrupted(own())] {
        let mut watched = Watched::new();
        for _ in 0..2 {
            watched.onward(0);
        }
        assert_eq!(watched.awaits, [Work::Issue]);
        watched.feed(event);
        assert_eq!(watched.ended, None, "the ledger is waited for");
        watched.done(Work::Issue, true);
        assert_eq!(watched.awaits, [Work::Settle(0)]);
        assert!(matches!(watched.sent, Some(FromValidator::Ping { .. })), "it is not sent");
        watched.done(Work::Settle(0), true);
        assert!(watched.ended.is_some());
    }
}
