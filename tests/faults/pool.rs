//! Executors that are ready before a challenge: warmed up, lent, taken back, opened
//! again after a fault.

use crate::faults::challenge;
use crate::faults::initialise::device;
use crate::faults::wrapper::{Alive, Fault, Faulty, patience};
use attest::executor::gpu::{DeviceList, NoGpu};
use attest::executor::lanes::RunOptions;
use attest::executor::{ExecError, Executor};
use attest::mining::devices::DeviceRules;
use attest::mining::executors::{Choice, ChooseError};
use attest::mining::issue::{Request, issue};
use attest::mining::mine::{Expiry, MineError, MineOptions, Mined, commit, mine};
use attest::mining::pool::{LendError, Lending, Pool};
use attest::session::respond::Equipment as _;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;

const LONG: Duration = Duration::from_secs(3600);

/// GPUs of which each has a fault of its own, when it is opened first; opened again it
/// has none.
struct Machine {
    faults: &'static [Fault],
    pool: Pool,
    alive: Alive,
    /// Indices in the order of opening.
    opened: Arc<Mutex<Vec<u32>>>,
}

fn machine(choice: &Choice, faults: &'static [Fault]) -> Result<Machine, ChooseError> {
    let (alive, opened) = (Alive::default(), Arc::new(Mutex::new(Vec::new())));
    let (counted, noted) = (alive.clone(), opened.clone());
    let open = move |index: u32| {
        let mut opened = noted.lock().unwrap();
        let fault = match opened.contains(&index) {
            true => Fault::None,
            false => faults[index as usize],
        };
        opened.push(index);
        let of = if fault == Fault::Sticky(1) { Faulty::new } else { Faulty::later };
        Ok::<_, ExecError>(Box::new(of(index as u8 + 1, fault, &counted)) as Box<dyn Executor>)
    };
    let list: DeviceList = (0..faults.len() as u32).map(device).collect::<Vec<_>>().into();
    let list = move || Ok::<_, NoGpu>(list.clone());
    let pool = Pool::warm_from(choice, &DeviceRules::default(), &list, Arc::new(open))?;
    Ok(Machine { faults, pool, alive, opened })
}

fn ready(faults: &'static [Fault]) -> Machine {
    machine(&Choice::Auto, faults).expect("they warm up")
}

impl Machine {
    fn models(&self) -> Vec<String> {
        self.pool.ready().map_or(Vec::new(), |ready| ready.into_iter().map(|f| f.model).collect())
    }

    /// A run on what is lent for `lanes`.
    fn run(&self, lanes: Option<u64>) -> Result<Mined, MineError> {
        let challenge = challenge(lanes, 7, 3);
        let Lending { chosen, loan } = self.pool.lend(&challenge, LONG).expect("they are ready");
        let run = RunOptions { patience: patience(self.faults), ..RunOptions::default() };
        let options = MineOptions { run, notes: chosen.notes, ..MineOptions::default() };
        let mined = mine(&challenge, chosen.executors, &options, &|_| ());
        drop(loan);
        mined
    }
}

#[test]
fn the_same_executors_serve_one_challenge_after_the_other() {
    let machine = ready(&[Fault::None; 3]);
    assert_eq!(machine.models(), ["device 1", "device 2", "device 3"]);
    assert!(machine.pool.rates().iter().all(|&rate| rate > 1e6), "{:?}", machine.pool.rates());
    for lanes in [Some(2), None, Some(3), Some(1)] {
        let mined = machine.run(lanes).expect("an honest run");
        // The first ones, in their order.
        let count = lanes.unwrap_or(3) as usize;
        let models: Vec<&str> = mined.lanes.iter().map(|lane| lane.model.as_str()).collect();
        assert_eq!(models, ["device 1", "device 2", "device 3"][..count]);
        machine.pool.recover();
        assert_eq!(machine.models().len(), 3);
    }
    assert_eq!(*machine.opened.lock().unwrap(), [0, 1, 2], "each was opened once");
    assert_eq!(machine.alive.load(Ordering::SeqCst), 3);
    let error = machine.pool.lend(&challenge(Some(4), 7, 3), LONG).map(|_| ()).unwrap_err();
    assert!(matches!(error, LendError::Lanes(ChooseError::LaneCount { got: 3, .. })), "{error}");
}

#[test]
fn a_device_that_does_not_compute_is_found_before_the_challenge() {
    let faults = &[Fault::None, Fault::Sticky(1), Fault::None];
    assert_eq!(ready(faults).models(), ["device 1", "device 3"]);
    let mined = ready(faults).run(None).expect("the others carry on");
    let left_out = &mined.result.evidence.value()["devices_left_out"];
    assert_eq!(left_out[0]["index"], 1);
    assert!(left_out[0]["reason"].as_str().unwrap().contains("ILLEGAL_ADDRESS"), "{left_out}");
    // Asked for by name it is an error that names it.
    let error = machine(&Choice::Gpus(vec![0, 1]), faults).map(|_| ()).unwrap_err().to_string();
    assert!(error.contains("device 2") && error.contains("ILLEGAL_ADDRESS"), "{error}");
    let error = machine(&Choice::Auto, &[Fault::Sticky(1)]).map(|_| ()).unwrap_err();
    assert!(matches!(error, ChooseError::Device(_)), "{error}");
}

#[test]
fn what_is_lent_is_nobody_elses() {
    let machine = ready(&[Fault::None; 2]);
    let lending = machine.pool.lend(&challenge(Some(1), 7, 3), LONG).expect("ready");
    let again = machine.pool.lend(&challenge(Some(1), 7, 3), LONG).map(|_| ());
    assert!(matches!(again, Err(LendError::AtWork)));
    assert!(machine.pool.devices().unwrap_err().contains("still at work"));
    // Making ready meanwhile leaves it alone.
    machine.pool.recover();
    assert!(matches!(machine.pool.ready(), Err(LendError::AtWork)));
    let Lending { chosen, loan } = lending;
    drop(chosen);
    drop(loan);
    assert_eq!(machine.models(), ["device 1", "device 2"]);
}

#[test]
fn a_device_that_failed_or_panicked_is_opened_again_before_it_serves() {
    for fault in [&[Fault::None, Fault::Sticky(5)], &[Fault::None, Fault::Panics(4)]] {
        let machine = ready(fault);
        machine.run(None).map(|_| ()).expect_err("the run fails");
        assert_eq!(machine.models(), ["device 1"], "until it is opened again");
        machine.pool.recover();
        assert_eq!(machine.models(), ["device 1", "device 2"]);
        assert_eq!(*machine.opened.lock().unwrap(), [0, 1, 1]);
        machine.run(Some(2)).expect("it is whole again");
        assert_eq!(machine.alive.load(Ordering::SeqCst), 2);
    }
}

#[test]
fn a_device_that_hangs_is_given_up_and_the_others_serve() {
    let machine = ready(&[Fault::Hangs(2), Fault::None, Fault::None]);
    machine.run(None).map(|_| ()).expect_err("the run fails");
    machine.pool.recover();
    assert_eq!(machine.models(), ["device 2", "device 3"]);
    assert_eq!(machine.opened.lock().unwrap().len(), 3, "not opened again beside itself");
    let mined = machine.run(Some(2)).expect("the others serve");
    assert_eq!(mined.lanes[0].model, "device 2");
    // None is left.
    let machine = ready(&[Fault::Hangs(2)]);
    machine.run(None).map(|_| ()).expect_err("the run fails");
    machine.pool.recover();
    assert!(machine.pool.devices().unwrap_err().contains("no device works any more"));
}

#[test]
fn a_device_without_the_memory_for_one_challenge_serves_the_next() {
    let machine = ready(&[Fault::NoMemory]);
    let error = machine.run(None).map(|_| ()).expect_err("it does not fit").to_string();
    assert!(error.contains("268.4 MB are needed"), "{error}");
    assert_eq!(machine.models(), ["device 1"]);
    assert_eq!(machine.opened.lock().unwrap().len(), 1);
}

#[test]
fn what_cannot_be_done_in_time_is_refused_at_once() {
    let machine = ready(&[Fault::None]);
    let rate = machine.pool.rates()[0];
    let work = |iterations| Request {
        matrix_dim: Some(4096),
        num_matrices: Some(1),
        num_iterations: Some(iterations),
        ..Request::default()
    };
    let challenge = issue(&work(1000)).unwrap();
    let needed_s = 1000.0 * challenge.work().cost().amount as f64 / rate;
    let lend = |share: f64| {
        let lent = machine.pool.lend(&challenge, Duration::from_secs_f64(needed_s * share));
        lent.map(|_| ())
    };
    // Tight is tried: speed depends on the shape.
    lend(1.0).expect("as long as it takes");
    lend(0.4).expect("within the tolerance");
    let error = lend(0.3).expect_err("hopeless");
    assert!(matches!(error, LendError::TooSlow { .. }), "{error}");
    assert_eq!(error.to_string().lines().count(), 2);
    assert_eq!(machine.models(), ["device 1"], "nothing was lent");
}

/// A run that is slower, of another shape say, does not make the next one be refused.
#[test]
fn the_best_speed_is_remembered() {
    static SLOW: [Fault; 1] = [Fault::Slow(Duration::from_millis(30))];
    let machine = ready(&SLOW);
    let before = machine.pool.rates()[0];
    machine.run(None).expect("slow is no fault");
    assert!(machine.pool.rates()[0] >= before, "{before}");
}

#[test]
fn by_the_validators_clock_a_challenge_does_not_expire_here() {
    let past = Request {
        issued_at: Some("2020-01-01T00:00:00Z".to_owned()),
        expires_at: Some("2020-01-01T00:01:00Z".to_owned()),
        matrix_dim: Some(128),
        num_matrices: Some(1),
        num_iterations: Some(1),
        samples_per_iteration: Some(2),
        ..Request::default()
    };
    let challenge = issue(&past).unwrap();
    let run = |expiry| {
        let machine = ready(&[Fault::None]);
        let lending = machine.pool.lend(&challenge, LONG).expect("ready");
        let options = MineOptions { expiry, ..MineOptions::default() };
        commit(&challenge, lending.chosen.executors, &options, &|_| ()).map(|_| ())
    };
    run(Expiry::ValidatorsClock).expect("the validator's clock is not this one");
    let error = run(Expiry::OwnClock).unwrap_err().to_string();
    assert!(error.contains("this machine's clock says"), "{error}");
}
