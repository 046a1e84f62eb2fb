//! Who is challenged when: groups, and times that nobody can foretell.
//!
//! Guarantees: the same secret, campaign and group give the same times, whichever validator
//! asks; every group has one time or more in each period.
//! Deliberately lacks: clocks, randomness and connections: all of them come in.

use super::schedule::{Schedule, Together};
use crate::protocol::signature::EncodedKey;
use sha2::{Digest as _, Sha256};
use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;

/// Most slots of a group in a period.
const SLOTS_MAX: u32 = 1000;

/// What is known of a miner that is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    /// Its key.
    pub key: EncodedKey,
    /// Its host, as it says.
    pub host: Option<String>,
    /// Its address, as it says.
    pub address: Option<String>,
    /// Devices that it names, as text.
    pub devices: Vec<String>,
    /// When this validator first heard of it, ms since 1970.
    pub first_unix_ms: u64,
}

/// Miners that are challenged at the same moment, in the order of their keys.
pub type Group = Vec<EncodedKey>;

/// What is to be done together.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Job {
    /// The campaign.
    pub campaign: String,
    /// Which of a miner's times in it.
    pub slot: String,
    /// Whom to challenge.
    pub members: Vec<EncodedKey>,
    /// Not before this time, ms since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_before_unix_ms: Option<u64>,
}

/// The groups of `known` by the schedule's rules; `suspects` are keys with a history together.
pub fn groups(
    known: &[Known],
    schedule: &Schedule,
    suspects: &[BTreeSet<EncodedKey>],
) -> Vec<Group> {
    let mut sets = Sets::of(known.len());
    let mut seen: HashMap<(Together, String), usize> = HashMap::new();
    let mut join = |sets: &mut Sets, at: usize, by: Together, mark: String| {
        if schedule.together.contains(&by) {
            let first = *seen.entry((by, mark)).or_insert(at);
            sets.join(first, at);
        }
    };
    // Whose a key is, and with whom it is suspected, without a search for each.
    let mut marks: HashMap<EncodedKey, Vec<(Together, String)>> = HashMap::new();
    let owners = schedule.owners.iter().flat_map(|owner| {
        owner.miners.iter().map(|key| (*key, (Together::Owner, owner.name.clone())))
    });
    let suspects = suspects.iter().enumerate().flat_map(|(number, keys)| {
        keys.iter().map(move |key| (*key, (Together::History, format!("suspects {number}"))))
    });
    for (key, mark) in owners.chain(suspects) {
        marks.entry(key).or_default().push(mark);
    }
    for (at, miner) in known.iter().enumerate() {
        for (by, mark) in marks.get(&miner.key).into_iter().flatten() {
            join(&mut sets, at, *by, mark.clone());
        }
        if let Some(host) = &miner.host {
            join(&mut sets, at, Together::Host, host.clone());
        }
        if let Some(subnet) = miner.address.as_deref().and_then(subnet) {
            join(&mut sets, at, Together::Subnet, subnet);
        }
        for device in &miner.devices {
            join(&mut sets, at, Together::History, device.clone());
        }
    }
    let mut groups: BTreeMap<usize, Group> = BTreeMap::new();
    for (at, miner) in known.iter().enumerate() {
        groups.entry(sets.root(at)).or_default().push(miner.key);
    }
    let mut groups: Vec<Group> = groups.into_values().collect();
    groups.iter_mut().for_each(|group| group.sort());
    groups.sort();
    groups
}

/// /24 of an IPv4 address, /48 of an IPv6 address; none of a machine's own.
fn subnet(address: &str) -> Option<String> {
    match address.parse().ok()? {
        IpAddr::V4(v4) if !v4.is_loopback() => {
            let [a, b, c, _] = v4.octets();
            Some(format!("{a}.{b}.{c}.0/24"))
        }
        IpAddr::V6(v6) if !v6.is_loopback() => {
            let [a, b, c, ..] = v6.segments();
            Some(format!("{a:x}:{b:x}:{c:x}::/48"))
        }
        _ => None,
    }
}

/// Disjoint sets of indices.
struct Sets(Vec<usize>);

impl Sets {
    fn of(count: usize) -> Self {
        Self((0..count).collect())
    }

    fn root(&mut self, mut at: usize) -> usize {
        while self.0[at] != at {
            self.0[at] = self.0[self.0[at]];
            at = self.0[at];
        }
        at
    }

    fn join(&mut self, a: usize, b: usize) {
        let (a, b) = (self.root(a), self.root(b));
        self.0[a.max(b)] = a.min(b);
    }
}

/// A stream of numbers that follow from a secret.
struct Draws {
    seed: [u8; 32],
    count: u64,
}

impl Draws {
    fn new(secret: &[u8; 32], campaign: u64, group: EncodedKey) -> Self {
        let mut hasher = Sha256::new();
        hasher.update(b"attest fleet times\0");
        hasher.update(secret);
        hasher.update(campaign.to_be_bytes());
        hasher.update(group.0);
        Self { seed: hasher.finalize().into(), count: 0 }
    }

    /// Uniform in [0, 1).
    fn next(&mut self) -> f64 {
        let mut hasher = Sha256::new();
        hasher.update(self.seed);
        hasher.update(self.count.to_be_bytes());
        self.count += 1;
        let digest: [u8; 32] = hasher.finalize().into();
        let bits = u64::from_be_bytes(digest[..8].try_into().expect("8 bytes"));
        (bits >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Poisson with this mean.
    fn poisson(&mut self, mean: f64) -> u32 {
        // In parts, as e^-mean must not vanish.
        let mut left = mean;
        let mut count = 0;
        while left > 0.0 {
            let part = left.min(16.0);
            let floor = (-part).exp();
            let mut product = self.next();
            while product > floor && count < SLOTS_MAX {
                count += 1;
                product *= self.next();
            }
            left -= part;
        }
        count
    }
}

/// When a group is challenged in a campaign, ms after its start: one time, and a Poisson
/// number of others, so that `mean` is the mean of all.
pub fn times(
    secret: &[u8; 32],
    campaign: u64,
    group: EncodedKey,
    period_ms: u64,
    mean: f64,
) -> Vec<u64> {
    let mut draws = Draws::new(secret, campaign, group);
    let count = 1 + draws.poisson(mean - 1.0).min(SLOTS_MAX - 1);
    (0..count).map(|_| (draws.next() * period_ms as f64) as u64).collect()
}

/// How much there is to do in a campaign.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Sessions that the miners present have in it.
    pub tasks: u64,
    /// When it began, ms since 1970.
    pub begins_unix_ms: u64,
    /// When it ends, ms since 1970.
    pub ends_unix_ms: u64,
}

/// A slot of a group: when it is due, ms since 1970, and the first key of the group.
type Slot = (u64, EncodedKey, usize);

/// Says which jobs are due, each once. What is asked for all the time is done for what has
/// become due only.
pub struct Planner {
    secret: [u8; 32],
    schedule: Schedule,
    campaign: u64,
    /// Groups of now, by their first key, and when one of them was first heard of.
    groups: HashMap<EncodedKey, (Group, Option<u64>)>,
    /// Groups that have their slots of this campaign, and how many.
    planned: HashMap<EncodedKey, usize>,
    /// Slots that were not told.
    upcoming: BTreeSet<Slot>,
    /// Slots whose group was not there when they were due.
    missed: Vec<Slot>,
}

impl Planner {
    /// A planner that has told of nothing.
    pub fn new(secret: [u8; 32], schedule: Schedule) -> Self {
        Self {
            secret,
            schedule,
            campaign: u64::MAX,
            groups: HashMap::new(),
            planned: HashMap::new(),
            upcoming: BTreeSet::new(),
            missed: Vec::new(),
        }
    }

    /// The name of the campaign at this time, and when it began, ms since 1970.
    pub fn campaign(schedule: &Schedule, now_unix_ms: u64) -> (u64, String, u64) {
        let number = now_unix_ms / schedule.period_ms;
        (number, format!("p{number}"), number * schedule.period_ms)
    }

    /// Takes the groups of now. `first_unix_ms` is when a miner was first heard of.
    pub fn regroup(&mut self, groups: Vec<Group>, first_unix_ms: &HashMap<EncodedKey, u64>) {
        let first = |group: &Group| group.iter().filter_map(|key| first_unix_ms.get(key)).min();
        self.groups = groups
            .into_iter()
            .filter_map(|group| {
                let (id, first) = (*group.first()?, first(&group).copied());
                Some((id, (group, first)))
            })
            .collect();
        self.upcoming.extend(self.missed.drain(..));
        self.draw();
    }

    /// What the groups of now have to do in the campaign that was asked about last.
    pub fn plan(&self) -> Plan {
        let slots = |id| self.planned.get(id).copied().unwrap_or(0);
        let tasks = self.groups.iter().map(|(id, (members, _))| members.len() * slots(id));
        let begins_unix_ms = self.campaign.saturating_mul(self.schedule.period_ms);
        Plan {
            tasks: tasks.sum::<usize>() as u64,
            begins_unix_ms,
            ends_unix_ms: begins_unix_ms.saturating_add(self.schedule.period_ms),
        }
    }

    /// Draws the times of groups that have none in this campaign yet.
    fn draw(&mut self) {
        if self.campaign == u64::MAX {
            return;
        }
        let (schedule, number) = (&self.schedule, self.campaign);
        let begins = number * schedule.period_ms;
        for id in self.groups.keys().copied() {
            let Entry::Vacant(unplanned) = self.planned.entry(id) else { continue };
            let times = times(&self.secret, number, id, schedule.period_ms, schedule.sessions);
            let slots = times.iter().enumerate().map(|(slot, time)| (begins + time, id, slot));
            self.upcoming.extend(slots);
            unplanned.insert(times.len());
        }
    }

    /// What has become due by `now_unix_ms`. Times before a group was first heard of are
    /// passed over, but for its first one.
    pub fn due(&mut self, now_unix_ms: u64) -> Vec<Job> {
        let (number, name, _) = Self::campaign(&self.schedule, now_unix_ms);
        if number != self.campaign {
            self.campaign = number;
            self.planned.clear();
            self.upcoming.clear();
            self.missed.clear();
            self.draw();
        }
        let mut jobs = Vec::new();
        while let Some((at, id, slot)) = self.upcoming.pop_first() {
            if at > now_unix_ms {
                self.upcoming.insert((at, id, slot));
                break;
            }
            match self.groups.get(&id) {
                None => self.missed.push((at, id, slot)),
                Some((members, first)) if slot == 0 || first.is_none_or(|first| at >= first) => {
                    let (campaign, slot) = (name.clone(), slot.to_string());
                    let members = members.clone();
                    jobs.push(Job { campaign, slot, members, not_before_unix_ms: None });
                }
                Some(_) => {}
            }
        }
        jobs
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fleet::schedule::Owner;

    fn key(byte: u8) -> EncodedKey {
        EncodedKey([byte; 32])
    }

    fn known(byte: u8) -> Known {
        Known { key: key(byte), host: None, address: None, devices: Vec::new(), first_unix_ms: 0 }
    }

    #[test]
    fn what_belongs_together_is_one_group() {
        let mut miners: Vec<Known> = (1..=8).map(known).collect();
        let owner = Owner { name: "a".into(), miners: vec![key(1), key(2), key(9)] };
        let mut schedule = Schedule { owners: vec![owner], ..Schedule::default() };
        (miners[1].host, miners[2].host) = (Some("h".into()), Some("h".into()));
        miners[3].address = Some("10.1.2.3".into());
        miners[4].address = Some("10.1.2.200".into());
        miners[5].address = Some("127.0.0.1".into());
        miners[6].address = Some("127.0.0.1".into());
        let suspects = [BTreeSet::from([key(6), key(8)])];
        let expected = [vec![1, 2, 3], vec![4, 5], vec![6, 8], vec![7]];
        let expected = expected.map(|group| group.into_iter().map(key).collect::<Vec<_>>());
        assert_eq!(groups(&miners, &schedule, &suspects), expected);
        schedule.together = vec![Together::Subnet];
        assert_eq!(groups(&miners, &schedule, &suspects).len(), 7);
    }

    #[test]
    fn times_are_spread_over_the_period_and_follow_from_the_secret() {
        let period_ms = 1_000_000;
        let all: Vec<Vec<u64>> =
            (0..2000).map(|c| times(&[7; 32], c, key(1), period_ms, 3.0)).collect();
        assert_eq!(all[5], times(&[7; 32], 5, key(1), period_ms, 3.0));
        assert_ne!(all[5], times(&[8; 32], 5, key(1), period_ms, 3.0));
        assert_ne!(all[5], times(&[7; 32], 5, key(2), period_ms, 3.0));
        assert!(all.iter().all(|times| !times.is_empty()));
        let flat: Vec<u64> = all.iter().flatten().copied().collect();
        let mean = flat.len() as f64 / all.len() as f64;
        assert!((2.9..3.1).contains(&mean), "{mean}");
        // Of a Poisson number of more ones the variance is its mean, 2.
        let spread = |count: usize| (count as f64 - mean).powi(2);
        let variance = all.iter().map(|times| spread(times.len())).sum::<f64>() / 2000.0;
        assert!((1.7..2.3).contains(&variance), "{variance}");
        for tenth in 0..10 {
            let range = tenth * period_ms / 10..(tenth + 1) * period_ms / 10;
            let share = flat.iter().filter(|time| range.contains(time)).count() as f64;
            let share = share / flat.len() as f64;
            assert!((0.08..0.12).contains(&share), "{share}");
        }
        assert!(times(&[7; 32], 0, key(1), period_ms, 1e6).len() <= SLOTS_MAX as usize);
    }

    #[test]
    fn each_slot_is_told_once_and_two_planners_tell_the_same() {
        let schedule = Schedule { period_ms: 1000, sessions: 4.0, ..Schedule::default() };
        let groups = [vec![key(1), key(2)], vec![key(3)]];
        let seen = HashMap::from([(key(1), 0), (key(2), 0), (key(3), 0)]);
        let run = |step: usize| {
            let mut planner = Planner::new([1; 32], schedule.clone());
            let mut jobs = Vec::new();
            for now in (0..4000).step_by(step) {
                planner.regroup(groups.to_vec(), &seen);
                jobs.extend(planner.due(now));
            }
            jobs.sort_by(|a, b| {
                (&a.campaign, &a.slot, &a.members).cmp(&(&b.campaign, &b.slot, &b.members))
            });
            jobs
        };
        let jobs = run(1);
        assert!(jobs.windows(2).all(|two| two[0] != two[1]));
        assert_eq!(jobs, run(1));
        for campaign in ["p0", "p1", "p2", "p3"] {
            for members in &groups {
                let is = |job: &&Job| job.campaign == campaign && &job.members == members;
                assert!(jobs.iter().any(|job| is(&job)), "{campaign} {members:?}");
            }
        }
    }

    #[test]
    fn who_comes_late_is_challenged_once_for_what_has_passed() {
        let schedule = Schedule { period_ms: 1000, sessions: 50.0, ..Schedule::default() };
        let mut planner = Planner::new([1; 32], schedule);
        planner.regroup(vec![vec![key(1)]], &HashMap::from([(key(1), 999)]));
        let jobs = planner.due(999);
        assert_eq!(jobs.len(), 1, "{jobs:?}");
        assert_eq!(jobs[0].slot, "0");
        // All of its times count as planned, and as often as it has members.
        let all = times(&[1; 32], 0, key(1), 1000, 50.0).len() as u64;
        let plan = planner.plan();
        assert_eq!((plan.tasks, plan.begins_unix_ms, plan.ends_unix_ms), (all, 0, 1000));
        planner.regroup(vec![vec![key(1), key(2)]], &HashMap::new());
        assert_eq!(planner.plan().tasks, 2 * all);
    }

    #[test]
    fn a_slot_whose_group_is_away_is_told_when_it_is_back() {
        let schedule = Schedule { period_ms: 1000, sessions: 1.0, ..Schedule::default() };
        let mut planner = Planner::new([1; 32], schedule);
        let seen = HashMap::from([(key(1), 0)]);
        planner.regroup(vec![vec![key(1)]], &seen);
        assert!(planner.due(0).is_empty());
        planner.regroup(Vec::new(), &seen);
        assert!(planner.due(998).is_empty());
        planner.regroup(vec![vec![key(1)]], &seen);
        assert_eq!(planner.due(999).len(), 1);
        assert!(planner.due(999).is_empty());
    }
}
