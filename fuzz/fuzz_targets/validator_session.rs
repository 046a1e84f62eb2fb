//! The validator's machine against a miner of arbitrary bytes, with work that ends
//! whenever it likes or fails: one end, no coin before it is on record, and no
//! other result than the run's own verifies.
#![no_main]

use attest::executor::cpu::CpuVerifier;
use attest::ledger::Acceptance;
use attest::protocol::bound::OmittedShare;
use attest::protocol::circumstances::{Circumstances, Issuer, IssuerRecord};
use attest::protocol::verdict::{Outcome, Verdict};
use attest::protocol::verify::verify;
use attest::session::clock::Now;
use attest::session::fault::OwnFault;
use attest::session::limits::Patience;
use attest::session::message::{FromMiner, MinerHello, line_of};
use attest::session::numbered::numbered;
use attest::session::validator::{
    Accepted, Action, Event, Issued, Judged, NotIssued, ValidatorSession,
};
use attest_fuzz::{COIN, Fixture, Script};
use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;
use std::time::Duration;

static FIXTURE: LazyLock<Fixture> = LazyLock::new(Fixture::new);
/// Commitment, a piece, and what may come unasked.
const BUFFERED_MAX: usize = 3 << 20;

struct Driven {
    session: ValidatorSession,
    now: Now,
    under_way: Option<Action>,
    is_coin_recorded: bool,
    ends: usize,
}

impl Driven {
    fn tell(&mut self, event: Event<'_>) {
        for action in self.session.handle(self.now, event) {
            assert_eq!(self.ends, 0, "{action:?} after the end");
            match action {
                Action::Send(line) => {
                    let is_coin = line.starts_with(b"{\"message\":\"coin\"");
                    assert!(!is_coin || self.is_coin_recorded, "a coin before it is on record");
                }
                Action::End(ended) => {
                    self.ends += 1;
                    if ended.verdict.outcome == Outcome::Verified {
                        assert_eq!(*ended.result.expect("judged"), FIXTURE.result);
                    }
                }
                action => self.under_way = Some(action),
            }
        }
        assert!(self.session.buffered_bytes() <= BUFFERED_MAX);
    }

    /// Ends the work under way, well or not.
    fn finish(&mut self, script: &mut Script<'_>) {
        let fails = script.byte() == 1;
        let own = || OwnFault("made to fail".to_owned());
        let event = match self.under_way.take() {
            Some(Action::Issue(_)) if fails => Event::Issued(Err(NotIssued::Unfit("no".into()))),
            Some(Action::Issue(_)) => Event::Issued(Ok(Issued {
                round: 0,
                challenge: Box::new(FIXTURE.challenge.clone()),
                plan: Vec::new().into(),
            })),
            Some(Action::Read(reading)) => Event::Read(reading.round, reading.read()),
            Some(Action::Accept(accept)) if fails => Event::Accepted(accept.round, Err(own())),
            Some(Action::Accept(accept)) => {
                let acceptance = match script.byte() {
                    1 => Acceptance::Spent(accept.commitment),
                    2 => Acceptance::NotIssued,
                    _ => Acceptance::Accepted,
                };
                self.is_coin_recorded = acceptance == Acceptance::Accepted;
                let accepted = Accepted { acceptance, history: Vec::new(), coin: COIN };
                Event::Accepted(accept.round, Ok(accepted))
            }
            Some(Action::Judge(case)) => {
                let session = case.session.clone();
                let nonce_spent_on = Some(session.commitment);
                let record = IssuerRecord { nonce_spent_on, session: Some(session) };
                let issuer = Issuer::Record(record);
                let circumstances = Circumstances { issuer, ..Circumstances::default() };
                let end =
                    verify(&case.challenge, &case.result, &circumstances, &CpuVerifier::new());
                let verdict = Verdict::of(&end, OmittedShare::default());
                let (round, result) = (case.round, case.result);
                Event::Judged(Box::new(Judged {
                    round,
                    facts: None,
                    verdict,
                    receipt: None,
                    result,
                }))
            }
            Some(Action::Settle(settle)) if fails => Event::Settled(settle.round, Err(own())),
            Some(Action::Settle(settle)) => Event::Settled(settle.round, Ok(())),
            Some(Action::Conclude(summary)) => Event::Concluded(Box::new(summary.verdict)),
            Some(Action::Send(_) | Action::End(_)) | None => return,
        };
        self.tell(event);
    }
}

fuzz_target!(|data: &[u8]| {
    let mut script = Script(data);
    let mut own = Driven {
        session: ValidatorSession::new(Patience::default(), None),
        now: Now { since_start: Duration::ZERO, unix_ms: 1_767_225_600_000 },
        under_way: None,
        is_coin_recorded: false,
        ends: 0,
    };
    own.tell(Event::Start);
    while let Some(step) = script.step() {
        // From 128 on a miner of version 2.
        let versions = if step >= 128 { vec![1, 2] } else { vec![1] };
        let hello = || MinerHello { versions: versions.clone(), ..MinerHello::default() };
        let of_round = |line: &[u8]| numbered(line.to_vec(), (step >= 128).then_some(0));
        match step % 12 {
            0..=3 => own.tell(Event::Bytes(script.piece())),
            4 => own.tell(Event::Bytes(&line_of(&FromMiner::Hello(hello())))),
            5 => own.tell(Event::Bytes(&line_of(&FromMiner::Pong {}))),
            6 => own.tell(Event::Bytes(&of_round(&FIXTURE.commitment_line))),
            7 => own.tell(Event::Bytes(&of_round(&FIXTURE.openings_line))),
            8 => own.now.since_start += Duration::from_millis(script.short().into()),
            9 => own.tell(Event::Tick),
            10 => own.tell(Event::Closed),
            _ => own.finish(&mut script),
        }
    }
    // Whatever has happened: work ends, and if there is none a deadline comes.
    for _ in 0..16 {
        own.finish(&mut script);
        own.now.since_start = own.session.deadline().unwrap_or(own.now.since_start);
        own.tell(Event::Tick);
    }
    assert!(own.ends == 1 && own.session.is_over(), "{} ends", own.ends);
});
