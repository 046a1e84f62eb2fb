//! The miner's machine against a validator of arbitrary bytes: one end, a deadline
//! until then, each round worked on once, nothing opened before the coin. Steps from 128 on
//! name a round.
#![no_main]

use attest::session::clock::Now;
use attest::session::fault::OwnFault;
use attest::session::message::{FromValidator, MinerHello, line_of, software};
use attest::session::miner::{Action, Event, MinerSession, Terms};
use attest::session::numbered::numbered;
use attest_fuzz::{COIN, Fixture, Script};
use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;
use std::time::Duration;

static FIXTURE: LazyLock<Fixture> = LazyLock::new(Fixture::new);

#[derive(Default)]
struct Seen {
    commits: usize,
    opens: usize,
    ends: usize,
}

fn tell(session: &mut MinerSession, seen: &mut Seen, now: Now, event: Event<'_>) {
    for action in session.handle(now, event) {
        assert_eq!(seen.ends, 0, "{action:?} after the end");
        match action {
            Action::Send(line) => assert_eq!(line.last(), Some(&b'\n')),
            Action::Commit { round, .. } => {
                assert_eq!(round, seen.commits, "in order");
                seen.commits += 1;
            }
            Action::Open { round, .. } => {
                assert!(round < seen.commits);
                seen.opens += 1;
            }
            Action::End(_) => seen.ends += 1,
        }
    }
    assert!(seen.opens <= seen.commits);
}

fuzz_target!(|data: &[u8]| {
    let (mut script, mut seen, mut now) = (Script(data), Seen::default(), Now::default());
    let mut session = MinerSession::new(Terms::default(), MinerHello::default());
    tell(&mut session, &mut seen, now, Event::Start);
    while let Some(step) = script.step() {
        let token = || FIXTURE.challenge.token().to_owned();
        let of_round = |line, round: usize| numbered(line, (step >= 128).then_some(round));
        let (next, last) = (seen.commits, seen.commits.saturating_sub(1));
        let line = match step % 12 {
            0..=3 => script.piece().to_vec(),
            4 => line_of(&FromValidator::Hello { versions: vec![1], software: software() }),
            5 => line_of(&FromValidator::Ping { version: script.byte().into() }),
            6 if step >= 192 => {
                let beside = step >= 224;
                of_round(line_of(&FromValidator::HostChallenge { beside, token: token() }), next)
            }
            6 => of_round(line_of(&FromValidator::Challenge { token: token() }), next),
            7 => {
                let coin = FromValidator::Coin { coin: COIN, openings_within_ms: 1 };
                of_round(line_of(&coin), last)
            }
            _ => Vec::new(),
        };
        let own = || OwnFault("\u{e4}".repeat(usize::from(step) * 8));
        let event = match step % 12 {
            0..=7 => Event::Bytes(&line),
            8 => Event::Committed(last, Ok(FIXTURE.commitment_line.clone())),
            9 => Event::Opened(last, if step == 9 { Err(own()) } else { Ok(b"{}\n".to_vec()) }),
            10 if step == 10 => Event::Committed(last, Err(own().into())),
            10 => Event::Closed,
            _ => {
                now.since_start += Duration::from_millis(script.short().into());
                Event::Tick
            }
        };
        tell(&mut session, &mut seen, now, event);
        assert_eq!(session.deadline().is_none(), seen.ends == 1);
    }
    tell(&mut session, &mut seen, now, Event::Closed);
    assert_eq!(seen.ends, 1);
});
