//! Fair queueing (J. Nagle, RFC 970): a bounded queue of jobs in flows, such as one flow for each network.
//! The flows take turns. If the queue is full, a flow that holds few places takes one from the flow that
//! holds the most. So a flood in one flow does not block the jobs of the others.
//!
//! A job holds a place from [`FairQueue::push`] until [`FairQueue::finish_job`].

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;

pub(super) struct FairQueue<K, J> {
    places: usize,
    /// The places that waiting and running jobs hold.
    taken: usize,
    /// The flows that hold a place.
    flows: HashMap<K, Flow<J>>,
    /// The flows with waiting jobs, in the order of their turns.
    turns: VecDeque<K>,
}

struct Flow<J> {
    waiting: VecDeque<J>,
    running: usize,
}

/// The queue has no place for a job.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Full;

impl<J> Flow<J> {
    fn places_held(&self) -> usize {
        self.waiting.len() + self.running
    }
}

impl<K: Copy + Eq + Hash, J> FairQueue<K, J> {
    pub(super) fn new(places: usize) -> Self {
        Self { places, taken: 0, flows: HashMap::new(), turns: VecDeque::new() }
    }

    /// How many places are taken.
    pub(super) fn places_taken(&self) -> usize {
        self.taken
    }

    /// Adds a job to a flow that may hold `share` places. If the queue is full, the newest waiting job of
    /// the flow that holds the most places is removed and returned, unless that flow would then hold
    /// fewer places than this one. A flow that `yields` to this one gives up even its last place.
    ///
    /// # Errors
    /// [`Full`] if the flow holds its share already, or no other flow can give up a place.
    pub(super) fn push(
        &mut self,
        key: K,
        share: usize,
        yields: impl Fn(&K) -> bool,
        job: J,
    ) -> Result<Option<J>, Full> {
        let held = self.flows.get(&key).map_or(0, Flow::places_held);
        if held >= share {
            return Err(Full);
        }
        let displaced = match self.taken < self.places {
            true => None,
            false => {
                let may = |other: &K, holds: usize| holds > held + 1 || yields(other);
                Some(self.displace_job(may).ok_or(Full)?)
            }
        };
        let new = || Flow { waiting: VecDeque::new(), running: 0 };
        let flow = self.flows.entry(key).or_insert_with(new);
        if flow.waiting.is_empty() {
            self.turns.push_back(key);
        }
        flow.waiting.push_back(job);
        self.taken += 1;
        Ok(displaced)
    }

    /// Removes the newest waiting job of the flow that holds the most places, among the flows that `may`
    /// lose one.
    fn displace_job(&mut self, may: impl Fn(&K, usize) -> bool) -> Option<J> {
        let held = |key: &K| self.flows.get(key).map_or(0, Flow::places_held);
        let flows = self.turns.iter().copied().enumerate();
        let candidates = flows.filter(|(_, key)| may(key, held(key)));
        let (turn, key) = candidates.max_by_key(|(_, key)| held(key))?;
        let flow = self.flows.get_mut(&key)?;
        let job = flow.waiting.pop_back()?;
        if flow.waiting.is_empty() {
            self.turns.remove(turn);
        }
        self.free_place(key);
        Some(job)
    }

    /// Takes the next job of the flow whose turn it is. The job keeps its place until [`Self::finish_job`].
    /// Unwanted jobs are dropped and don't use up a turn.
    pub(super) fn next(&mut self, is_wanted: impl Fn(&J) -> bool) -> Option<(K, J)> {
        while let Some(key) = self.turns.pop_front() {
            while let Some(flow) = self.flows.get_mut(&key)
                && let Some(job) = flow.waiting.pop_front()
            {
                if !is_wanted(&job) {
                    self.free_place(key);
                    continue;
                }
                flow.running += 1;
                if !flow.waiting.is_empty() {
                    self.turns.push_back(key);
                }
                return Some((key, job));
            }
        }
        None
    }

    /// Frees the place of one job of this flow that [`Self::next`] returned.
    pub(super) fn finish_job(&mut self, key: K) {
        if let Some(flow) = self.flows.get_mut(&key) {
            flow.running -= 1;
            self.free_place(key);
        }
    }

    /// Counts one place as free, and removes the flow if it holds no other.
    fn free_place(&mut self, key: K) {
        self.taken -= 1;
        if self.flows.get(&key).is_some_and(|flow| flow.places_held() == 0) {
            self.flows.remove(&key);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    /// Adds a job to a flow that no other yields to.
    fn push<K: Copy + Eq + Hash, J>(
        queue: &mut FairQueue<K, J>,
        key: K,
        share: usize,
        job: J,
    ) -> Result<Option<J>, Full> {
        queue.push(key, share, |_| false, job)
    }

    fn take(queue: &mut FairQueue<char, u32>) -> Option<(char, u32)> {
        let taken = queue.next(|_| true);
        taken.inspect(|&(key, _)| queue.finish_job(key))
    }

    #[test]
    fn flows_take_turns_and_keep_their_own_order() {
        let mut queue = FairQueue::new(9);
        for (key, job) in [('a', 0), ('a', 1), ('a', 2), ('b', 0), ('b', 1), ('c', 0)] {
            assert_eq!(push(&mut queue, key, 9, job), Ok(None));
        }
        let order: Vec<_> = std::iter::from_fn(|| take(&mut queue)).collect();
        assert_eq!(order, [('a', 0), ('b', 0), ('c', 0), ('a', 1), ('b', 1), ('a', 2)]);
        assert_eq!((queue.places_taken(), queue.flows.len()), (0, 0));
    }

    #[test]
    fn a_flow_holds_no_more_than_its_share_until_a_job_is_done() {
        let mut queue = FairQueue::new(9);
        assert_eq!(
            [push(&mut queue, 'a', 2, 0), push(&mut queue, 'a', 2, 1)],
            [Ok(None), Ok(None)]
        );
        assert_eq!(push(&mut queue, 'a', 2, 2), Err(Full));
        assert_eq!(queue.next(|_| true), Some(('a', 0)));
        assert_eq!(push(&mut queue, 'a', 2, 2), Err(Full), "the first runs");
        queue.finish_job('a');
        assert_eq!(push(&mut queue, 'a', 2, 2), Ok(None));
    }

    #[test]
    fn in_a_full_queue_the_flow_that_holds_the_most_makes_room() {
        let mut queue = FairQueue::new(4);
        for (key, job) in [('a', 0), ('b', 0), ('b', 1), ('b', 2)] {
            push(&mut queue, key, 9, job).unwrap();
        }
        assert_eq!(push(&mut queue, 'c', 9, 0), Ok(Some(2)), "the newest of b");
        assert_eq!(push(&mut queue, 'c', 9, 1), Err(Full), "it would hold as many as b");
        assert_eq!(push(&mut queue, 'd', 9, 0), Ok(Some(1)));
        assert_eq!(push(&mut queue, 'e', 9, 0), Err(Full), "each holds one");
        let order: Vec<_> = std::iter::from_fn(|| take(&mut queue)).collect();
        assert_eq!(order, [('a', 0), ('b', 0), ('c', 0), ('d', 0)]);
    }

    #[test]
    fn a_flow_that_yields_makes_room_for_another_though_it_holds_one_place() {
        let mut queue = FairQueue::new(3);
        for (key, job) in [('a', 0), ('b', 0), ('c', 0)] {
            push(&mut queue, key, 9, job).unwrap();
        }
        assert_eq!(queue.next(|_| true), Some(('a', 0)));
        let yields = |key: &char| ['a', 'b'].contains(key);
        assert_eq!(queue.push('d', 9, yields, 0), Ok(Some(0)));
        assert_eq!(queue.push('e', 9, yields, 0), Err(Full), "what runs is not displaced");
        let order: Vec<_> = std::iter::from_fn(|| take(&mut queue)).collect();
        assert_eq!(order, [('c', 0), ('d', 0)]);
    }

    #[test]
    fn a_running_job_is_not_displaced() {
        let mut queue = FairQueue::new(2);
        for job in 0..2 {
            push(&mut queue, 'a', 9, job).unwrap();
            queue.next(|_| true).unwrap();
        }
        assert_eq!(push(&mut queue, 'b', 9, 0), Err(Full));
        queue.finish_job('a');
        assert_eq!(push(&mut queue, 'b', 9, 0), Ok(None));
    }

    #[test]
    fn a_job_that_nobody_wants_uses_up_no_turn() {
        let mut queue = FairQueue::new(9);
        for (key, job) in [('a', 0), ('a', 1), ('b', 0), ('c', 0), ('a', 2)] {
            push(&mut queue, key, 9, job).unwrap();
        }
        let next = |queue: &mut FairQueue<_, _>, unwanted: &[(char, u32)]| {
            let jobs: Vec<_> = unwanted.iter().map(|&(_, job)| job).collect();
            queue.next(|job| !jobs.contains(job))
        };
        assert_eq!(next(&mut queue, &[('a', 0)]), Some(('a', 1)));
        assert_eq!(next(&mut queue, &[('b', 0), ('c', 0)]), Some(('a', 2)));
        assert_eq!((queue.places_taken(), queue.flows.len()), (2, 1));
    }

    proptest! {
        #[test]
        fn a_flow_waits_for_one_turn_of_each_other_flow_at_most(
            steps in prop::collection::vec((0_u8..6, 0_u8..12), 1..200),
        ) {
            let (places, share) = (12, 4);
            let mut queue = FairQueue::new(places);
            let mut running = Vec::new();
            // The flows that had a turn since a waiting flow began to wait for its own.
            let mut others = HashMap::<u8, HashSet<u8>>::new();
            for (job, (action, key)) in steps.into_iter().enumerate() {
                match action {
                    0 => if let Some(key) = running.pop() {
                        queue.finish_job(key);
                    },
                    1 => if let Some((key, _)) = queue.next(|_| true) {
                        running.push(key);
                        others.remove(&key);
                        for (waiting, seen) in &mut others {
                            prop_assert!(seen.insert(key), "{key} twice before {waiting}");
                        }
                        if queue.turns.contains(&key) {
                            others.insert(key, HashSet::new());
                        }
                    },
                    _ => {
                        let was_waiting = queue.turns.contains(&key);
                        if push(&mut queue, key, share, job).is_ok() && !was_waiting {
                            others.insert(key, HashSet::new());
                        }
                    },
                }
                others.retain(|key, _| queue.turns.contains(key));
                let held: usize = queue.flows.values().map(Flow::places_held).sum();
                prop_assert_eq!(queue.places_taken(), held);
                prop_assert!(held <= places);
                for (key, flow) in &queue.flows {
                    prop_assert!((1..=share).contains(&flow.places_held()));
                    let turns = queue.turns.iter().filter(|&other| other == key).count();
                    prop_assert_eq!(turns, usize::from(!flow.waiting.is_empty()));
                }
            }
        }
    }
}
