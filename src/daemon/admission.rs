//! Who may stay connected. While a slot is free nobody is sent away, since Postfix pays a second for every connection that is closed
//! under it; when there is none, the connection that needs its own least gives way.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::task::{Poll, Waker};

use smol::Task;

use crate::engine::time::{Seconds, Timestamp};

/// Postfix closes a connection that it has not used for this long (smtpd_policy_service_max_idle), so one
/// that we have not heard from since is not Postfix's any more.
const IDLE: Seconds = Seconds::new(300);

/// One that has only just begun may have its first request under way.
const YOUNG: Seconds = Seconds::new(2);

/// The connections there are, of bounded number.
pub(super) struct Admission {
    /// Those that have ever been taken; there is memory for all.
    slots: RefCell<Vec<Option<Connection>>>,
    connections_max: usize,
    /// Connections that had to give way.
    given_way: Cell<u64>,
    /// Connections that there have been; tells which of two is older.
    admitted: Cell<u64>,
    /// Who waits for a place: the one task that takes connections.
    waiter: Cell<Option<Waker>>,
}

struct Connection {
    number: u64,
    begun: Timestamp,
    answered: Option<Timestamp>,
    /// Dropping it closes the connection.
    task: Option<Task<()>>,
}

/// A connection's place, which it holds until this is dropped.
pub(super) struct Admitted<'a> {
    admission: &'a Admission,
    slot: usize,
    number: u64,
}

impl Admission {
    /// Room for so many.
    pub(super) fn new(connections_max: usize) -> Admission {
        Admission {
            slots: RefCell::new(Vec::with_capacity(connections_max)),
            connections_max,
            given_way: Cell::new(0),
            admitted: Cell::new(0),
            waiter: Cell::new(None),
        }
    }

    /// Connections that had to give way so far.
    pub(super) fn given_way(&self) -> u64 {
        self.given_way.get()
    }

    /// Connections that there have been so far.
    pub(super) fn admitted(&self) -> u64 {
        self.admitted.get()
    }

    /// Connections that there are.
    pub(super) fn open(&self) -> usize {
        self.slots.borrow().iter().flatten().count()
    }

    /// Connections that there can be.
    pub(super) fn connections_max(&self) -> usize {
        self.connections_max
    }

    /// Whether there is room for one more.
    pub(super) fn has_room(&self) -> bool {
        self.free_slot().is_some()
    }

    fn free_slot(&self) -> Option<usize> {
        let slots = self.slots.borrow();
        let given_back = slots.iter().position(Option::is_none);
        given_back.or((slots.len() < self.connections_max).then_some(slots.len()))
    }

    /// Waits until a place is given back.
    pub(super) async fn room(&self) {
        poll_fn(|context| match self.has_room() {
            true => Poll::Ready(()),
            false => {
                self.waiter.set(Some(context.waker().clone()));
                Poll::Pending
            }
        })
        .await;
    }

    /// Closes the connection that needs its place least: the oldest of those that have never been answered, if it is not young;
    /// otherwise the one whose last answer is longest ago, if that is long enough. False if there is none.
    pub(super) fn make_room(&self, now: Timestamp) -> bool {
        let mut slots = self.slots.borrow_mut();
        let candidate = slots
            .iter_mut()
            .filter(|slot| {
                slot.as_ref()
                    .is_some_and(|connection| match connection.answered {
                        None => now.since(connection.begun) >= YOUNG,
                        Some(answered) => now.since(answered) >= IDLE,
                    })
            })
            .min_by_key(|slot| slot.as_ref().map(|it| (it.answered, it.number)));
        let gives_way = candidate.and_then(Option::take);
        drop(slots);
        let has_given_way = gives_way.is_some();
        self.given_way
            .set(self.given_way.get() + u64::from(has_given_way));
        has_given_way
    }

    /// Gives a free place to the connection that `start` starts; false if there is none.
    pub(super) fn admit<'a>(
        &'a self,
        now: Timestamp,
        start: impl FnOnce(Admitted<'a>) -> Task<()>,
    ) -> bool {
        let Some(slot) = self.free_slot() else {
            return false;
        };
        let number = self.admitted.get();
        self.admitted.set(number + 1);
        let mut slots = self.slots.borrow_mut();
        if slot == slots.len() {
            slots.push(None);
        }
        drop(slots);
        let task = start(Admitted {
            admission: self,
            slot,
            number,
        });
        self.slots.borrow_mut()[slot] = Some(Connection {
            number,
            begun: now,
            answered: None,
            task: Some(task),
        });
        true
    }
}

impl Admitted<'_> {
    /// Notes that the connection has been of use.
    pub(super) fn answered(&self, now: Timestamp) {
        if let Some(connection) = &mut self.admission.slots.borrow_mut()[self.slot]
            && connection.number == self.number
        {
            connection.answered = Some(now);
        }
    }
}

impl Drop for Admitted<'_> {
    fn drop(&mut self) {
        // A connection that gave way is dropped a little later, when its place may be another's.
        let mut slots = self.admission.slots.borrow_mut();
        let ended = slots[self.slot].take_if(|connection| connection.number == self.number);
        drop(slots);
        if let Some(task) = ended.and_then(|connection| connection.task) {
            task.detach();
        }
        if let Some(waiter) = self.admission.waiter.take() {
            waiter.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use smol::LocalExecutor;
    use std::future::pending;

    fn at(second: u64) -> Timestamp {
        Timestamp::from_unix(second)
    }

    /// Starts connections that stay for ever, answered when `answered` says; tells in which order they give way at `now`.
    fn order_of_giving_way(answered: &[Option<u64>], now: u64) -> Vec<usize> {
        let admission = Admission::new(answered.len());
        let gone = RefCell::new(Vec::new());
        let executor = LocalExecutor::new();
        struct Gone<'a>(usize, &'a RefCell<Vec<usize>>);
        impl Drop for Gone<'_> {
            fn drop(&mut self) {
                self.1.borrow_mut().push(self.0);
            }
        }
        for (index, answered) in answered.iter().enumerate() {
            let gone = Gone(index, &gone);
            let was_admitted = admission.admit(at(500), |admitted| {
                if let Some(second) = answered {
                    assert_eq!(admission.slots.borrow().iter().flatten().count(), index);
                    let second = *second;
                    executor.spawn(async move {
                        let (admitted, _gone) = (admitted, gone);
                        admitted.answered(at(second));
                        pending().await
                    })
                } else {
                    executor.spawn(async move {
                        let (_admitted, _gone) = (admitted, gone);
                        pending().await
                    })
                }
            });
            assert!(was_admitted);
        }
        assert!(!admission.has_room());
        while executor.try_tick() {}
        while admission.make_room(at(now)) {
            assert!(admission.has_room());
            while executor.try_tick() {}
        }
        let order = gone.borrow().clone();
        drop(executor);
        order
    }

    #[test]
    fn the_least_useful_gives_way() {
        assert_eq!(
            order_of_giving_way(&[Some(100), None, Some(50), None], 1_000),
            [1, 3, 2, 0]
        );
        assert_eq!(order_of_giving_way(&[Some(701), Some(700)], 1_000), [1]);
        assert_eq!(
            order_of_giving_way(&[Some(900), Some(800)], 1_000),
            [] as [usize; 0]
        );
    }

    /// Its first request may be under way.
    #[test]
    fn a_young_connection_stays() {
        assert_eq!(order_of_giving_way(&[None, None], 501), [] as [usize; 0]);
        assert_eq!(order_of_giving_way(&[None, None], 502), [0, 1]);
    }

    /// Nobody can tell who has asked once from a Postfix that will ask again, until Postfix itself would have closed the connection.
    #[test]
    fn who_has_asked_once_keeps_newcomers_out_for_five_minutes() {
        let asked = [Some(600); 256];
        assert_eq!(order_of_giving_way(&asked, 899), [0; 0]);
        assert_eq!(order_of_giving_way(&asked, 900), Vec::from_iter(0..256));
    }

    #[test]
    fn a_place_is_given_back() {
        let admission = Admission::new(1);
        let executor = LocalExecutor::new();
        for _ in 0..3 {
            assert!(admission.admit(at(500), |admitted| {
                executor.spawn(async move { drop(admitted) })
            }));
            assert!(!admission.has_room());
            while executor.try_tick() {}
            assert!(admission.has_room());
        }
        assert_eq!((admission.admitted(), admission.given_way()), (3, 0));
    }

    /// Nobody else would tell it.
    #[test]
    fn who_waits_for_a_place_hears_of_it() {
        let admission = Admission::new(1);
        let executor = LocalExecutor::new();
        let waiting = executor.spawn(admission.room());
        while executor.try_tick() {}
        assert!(waiting.is_finished());
        let (leave, left) = smol::channel::bounded::<()>(1);
        assert!(admission.admit(at(500), |admitted| {
            executor.spawn(async move {
                let _ = left.recv().await;
                drop(admitted);
            })
        }));
        let waiting = executor.spawn(admission.room());
        while executor.try_tick() {}
        assert!(!waiting.is_finished());
        drop(leave);
        while executor.try_tick() {}
        assert!(waiting.is_finished());
    }
}
