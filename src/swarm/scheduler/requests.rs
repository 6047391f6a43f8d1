//! What was asked of sources and has not ended.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Instant,
};

use super::{Class, RequestId};
use crate::{content::ranges::GroupSet, id::PeerId};

/// The open requests of a track, and which groups they are out for.
#[derive(Debug, Default)]
pub(super) struct Requests {
    open: BTreeMap<RequestId, OpenRequest>,
    /// Those that were taken back, of which the sources are still to be told.
    cancels: VecDeque<RequestId>,
    next: u64,
    /// What requests are out for, and what of that more than one is out for.
    once: GroupSet,
    twice: GroupSet,
}

#[derive(Debug)]
pub(super) struct OpenRequest {
    pub source: PeerId,
    groups: GroupSet,
    pub class: Class,
    /// As what its source was told.
    pub on_wire: Class,
    pub sent: Instant,
    /// When it was sent, or last brought something.
    pub progress: Instant,
    pub answered: bool,
    /// It is late, and its groups may be asked for a second time.
    pub late: bool,
}

impl OpenRequest {
    pub fn new(
        source: PeerId,
        groups: GroupSet,
        (class, on_wire): (Class, Class),
        now: Instant,
    ) -> Self {
        Self {
            source,
            groups,
            class,
            on_wire,
            sent: now,
            progress: now,
            answered: false,
            late: false,
        }
    }

    pub fn groups(&self) -> &GroupSet {
        &self.groups
    }
}

impl Requests {
    /// What was asked for.
    pub fn once(&self) -> &GroupSet {
        &self.once
    }

    /// What was asked for of more than one source.
    pub fn twice(&self) -> &GroupSet {
        &self.twice
    }

    pub fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    pub fn iter(&self) -> impl Iterator<Item = (RequestId, &OpenRequest)> {
        self.open.iter().map(|(id, request)| (*id, request))
    }

    pub fn values(&self) -> impl Iterator<Item = &OpenRequest> {
        self.open.values()
    }

    /// Those to one source.
    pub fn of(&self, source: PeerId) -> impl Iterator<Item = (RequestId, &OpenRequest)> {
        self.iter().filter(move |(_, r)| r.source == source)
    }

    /// Those to one source, in the order in which that sends: by class, then by age.
    pub fn queue(&self, source: PeerId) -> Vec<(RequestId, &OpenRequest)> {
        let mut queue: Vec<_> = self.of(source).collect();
        queue.sort_unstable_by_key(|(id, request)| (request.on_wire, *id));
        queue
    }

    pub fn get_mut(&mut self, id: RequestId) -> Option<&mut OpenRequest> {
        self.open.get_mut(&id)
    }

    /// A source is heard of again: nothing that it was asked for is late.
    pub fn end_silence(&mut self, source: PeerId) {
        let of_source = self.open.values_mut().filter(|r| r.source == source);
        of_source.for_each(|request| request.late = false);
    }

    pub fn add(&mut self, request: OpenRequest) -> RequestId {
        let id = RequestId(self.next);
        self.next += 1;
        self.count(&request.groups);
        self.open.insert(id, request);
        id
    }

    /// The request has ended; nothing for one that was taken back before.
    pub fn remove(&mut self, id: RequestId) -> Option<OpenRequest> {
        let request = self.open.remove(&id)?;
        self.count_anew();
        Some(request)
    }

    /// Takes a request back, and gives it.
    pub fn take_back(&mut self, id: RequestId) -> Option<OpenRequest> {
        self.cancels.push_back(id);
        self.remove(id)
    }

    /// Takes requests back.
    pub fn cancel(&mut self, requests: &[RequestId]) {
        for id in requests {
            self.open.remove(id);
            self.cancels.push_back(*id);
        }
        if !requests.is_empty() {
            self.count_anew();
        }
    }

    pub fn cancel_where(&mut self, useless: impl Fn(&OpenRequest) -> bool) {
        let found = self.iter().filter(|(_, request)| useless(request));
        let found: Vec<_> = found.map(|(id, _)| id).collect();
        self.cancel(&found);
    }

    /// The next request of which the source is to be told that it was taken back.
    pub fn poll_cancel(&mut self) -> Option<RequestId> {
        self.cancels.pop_front()
    }

    fn count(&mut self, groups: &GroupSet) {
        self.twice = self.twice.union(&self.once.intersection(groups));
        self.once = self.once.union(groups);
    }

    fn count_anew(&mut self) {
        (self.once, self.twice) = (GroupSet::new(), GroupSet::new());
        for request in self.open.values() {
            self.twice = self.twice.union(&self.once.intersection(&request.groups));
            self.once = self.once.union(&request.groups);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::id::Group;

    proptest! {
        #[test]
        fn what_is_out_once_and_twice_is_what_the_open_requests_say(
            steps in proptest::collection::vec((0u8..4, 0u32..40, 1u32..20), 1..60),
        ) {
            let now = Instant::now();
            let mut requests = Requests::default();
            for (what, from, count) in steps {
                let ids: Vec<_> = requests.iter().map(|(id, _)| id).collect();
                let id = ids.get(from as usize % ids.len().max(1)).copied();
                match (what, id) {
                    (0, Some(id)) => _ = requests.remove(id),
                    (1, Some(id)) => requests.cancel(&[id]),
                    _ => {
                        let groups = (from..from + count).into();
                        let class = (Class::Now, Class::Now);
                        requests.add(OpenRequest::new(PeerId([1; 32]), groups, class, now));
                    }
                }
                let mut counts: BTreeMap<u32, usize> = BTreeMap::new();
                for request in requests.values() {
                    request.groups().iter().for_each(|Group(n)| *counts.entry(n).or_default() += 1);
                }
                let at_least = |n: usize| -> GroupSet {
                    counts.iter().filter(|(_, c)| **c >= n).map(|(g, _)| Group(*g)).collect()
                };
                prop_assert_eq!(requests.once(), &at_least(1));
                prop_assert_eq!(requests.twice(), &at_least(2));
            }
        }
    }
}
