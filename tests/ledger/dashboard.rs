//! What a dashboard needs of a ledger: to see what has changed, and to write nothing.

use crate::places::{Place, on_both};
use crate::site::{Events, Site};
use crate::{
    ISSUED_MS, accept, accepting, challenge, commitment_of, device, digest, issued, rejected,
    verified,
};
use attest::ledger::{Mark, Options, SettledAs, open_read_only};

on_both![
    marks_change_as_challenges_do,
    challenges_are_recalled_with_their_devices,
    what_is_opened_read_only_is_not_written,
    no_ledger_is_made_by_looking,
    a_dashboard_sees_a_session,
];

fn marks_change_as_challenges_do(place: &Place) {
    let ledger = place.open();
    assert_eq!(ledger.marks(10).unwrap(), []);
    let c = issued(&*ledger);
    let mark = || -> Mark {
        let marks = ledger.marks(10).unwrap();
        assert_eq!(marks.len(), 1);
        marks[0]
    };
    let new = mark();
    assert_eq!((new.challenge, new.is_answered, new.outcome), (c, false, None));
    ledger.accept_session(&c, &accepting(commitment_of(1), &[device(7)])).unwrap();
    let answered = mark();
    assert!(answered.is_answered && answered.claimed_until_unix_ms.is_some());
    ledger.settle(&c, &verified()).unwrap();
    let settled = mark();
    assert_eq!((settled.outcome, settled.claimed_until_unix_ms), (Some(SettledAs::Verified), None));
    for _ in 0..3 {
        issued(&*ledger);
    }
    assert_eq!(ledger.marks(2).unwrap().len(), 2, "no more than asked for");
}

fn challenges_are_recalled_with_their_devices(place: &Place) {
    let ledger = place.open();
    let all = [issued(&*ledger), issued(&*ledger), issued(&*ledger)];
    ledger.accept_session(&all[1], &accepting(commitment_of(1), &[device(8), device(7)])).unwrap();
    ledger.settle(&all[1], &rejected("too-slow")).unwrap();
    assert_eq!(ledger.recall(&[]).unwrap(), []);
    let recalled = ledger.recall(&[all[1], digest(9), all[0]]).unwrap();
    assert_eq!(recalled.len(), 2, "what is not on record is not recalled");
    for (entry, devices) in recalled {
        assert_eq!(Some((entry.clone(), devices)), ledger.show(&entry.challenge).unwrap());
    }
}

fn what_is_opened_read_only_is_not_written(place: &Place) {
    let ledger = place.open();
    let c = issued(&*ledger);
    let reader = open_read_only(&place.location(), Options::default()).expect("it opens");
    assert_eq!(reader.marks(9).unwrap().len(), 1);
    let (fresh, token) = (challenge(), "t");
    assert!(reader.issue(&fresh, token, ISSUED_MS).is_err());
    assert!(reader.settle(&c, &rejected("x")).is_err());
    assert!(reader.accept_session(&c, &accepting(commitment_of(1), &[])).is_err());
    accept(&*ledger, &c, commitment_of(1));
    assert!(reader.marks(9).unwrap()[0].is_answered, "a writer beside it is seen");
}

fn no_ledger_is_made_by_looking(place: &Place) {
    let open = || open_read_only(&place.location(), Options::default());
    assert!(open().is_err());
    drop(place.open());
    assert!(open().is_ok());
}

fn a_dashboard_sees_a_session(place: &Place) {
    let ledger = place.open();
    let site = Site::of(&place.location());
    let mut events = Events::of(&site);
    events.until(|said| said.contains("\"verified\":0"));
    let c = issued(&*ledger);
    events.until(|said| said.contains("\"under_way\":1") || said.contains("\"expired\":1"));
    ledger.accept_session(&c, &accepting(commitment_of(1), &[device(7)])).unwrap();
    ledger.settle(&c, &verified()).unwrap();
    events.until(|said| said.contains("\"verified\":1"));
    let page = site.get("/");
    assert_eq!(page.status, 200);
    page.has(&[&c.to_string()]).lacks(&["hunter2"]);
}
