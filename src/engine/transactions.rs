//! What has been said within the latest message transactions. Postfix asks the same question once for each
//! restriction list that has us, and about each recipient; the message must get one header, and one verdict for each recipient.

use std::hash::Hasher;

use fnv::FnvHasher;

use crate::engine::limits::{ANSWER_REMEMBERED, ANSWERS_REMEMBERED, INSTANCES_WITH_HEADER};
use crate::engine::text::position;
use crate::engine::time::Timestamp;
use crate::engine::triplet::Fingerprint;
use crate::engine::verdict::Verdict;

/// The last values of something, in memory that never grows and is not touched before it is needed; the oldest makes room.
pub(super) struct Latest<T, const N: usize> {
    values: Vec<T>,
    next: usize,
}

impl<T: Copy, const N: usize> Latest<T, N> {
    pub(super) fn new() -> Latest<T, N> {
        Latest {
            values: Vec::with_capacity(N),
            next: 0,
        }
    }

    /// Gives the place where the value is now.
    pub(super) fn push(&mut self, value: T) -> usize {
        let place = self.next;
        match self.values.get_mut(place) {
            Some(oldest) => *oldest = value,
            None => self.values.push(value),
        }
        self.next = (place + 1) % N;
        place
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &T> {
        self.values.iter()
    }

    /// Puts a value in the place of the one that is the same, or, if there is none, of the oldest.
    pub(super) fn put(&mut self, value: T, is_same: impl Fn(&T) -> bool) {
        let same = self.values.iter_mut().find(|other| is_same(other));
        match same {
            Some(other) => *other = value,
            None => {
                self.push(value);
            }
        }
    }
}

#[derive(Clone, Copy)]
struct Answer {
    question: Fingerprint,
    at: Timestamp,
    verdict: Verdict<'static>,
}

/// See the [module](self).
pub(super) struct Transactions {
    /// FNV is enough for what Postfix makes up itself.
    with_header: Latest<u64, INSTANCES_WITH_HEADER>,
    answers: Latest<Answer, ANSWERS_REMEMBERED>,
    /// A byte of the question that each answers. All are looked through for each question, and so they stand close together.
    tags: [u8; ANSWERS_REMEMBERED],
}

impl Transactions {
    pub(super) fn new() -> Transactions {
        Transactions {
            with_header: Latest::new(),
            answers: Latest::new(),
            tags: [0; ANSWERS_REMEMBERED],
        }
    }

    /// Whether a message may get a header, which it then has had.
    pub(super) fn claim_header(&mut self, instance: &[u8]) -> bool {
        let mut hash = FnvHasher::default();
        hash.write(instance);
        let instance = hash.finish();
        let is_first = self.with_header.iter().all(|&other| other != instance);
        if is_first {
            self.with_header.push(instance);
        }
        is_first
    }

    /// The verdict that a question has been given lately.
    pub(super) fn answer_to(
        &self,
        question: Fingerprint,
        now: Timestamp,
    ) -> Option<Verdict<'static>> {
        let is_it = |answer: &Answer| {
            let is_recent = answer.at <= now && now.since(answer.at) <= ANSWER_REMEMBERED;
            is_recent && answer.question == question
        };
        let mut start = 0;
        while let Some(ahead) = position(&self.tags[start..], tag(question)) {
            let place = start + ahead;
            // Tags of places without an answer are zero, as that of a question may be.
            if let Some(answer) = self.answers.values.get(place).filter(|it| is_it(it)) {
                return Some(answer.verdict);
            }
            start = place + 1;
        }
        None
    }

    /// Remembers the verdict on a question.
    pub(super) fn remember(
        &mut self,
        question: Fingerprint,
        at: Timestamp,
        verdict: Verdict<'static>,
    ) {
        let place = self.answers.push(Answer {
            question,
            at,
            verdict,
        });
        self.tags[place] = tag(question);
    }
}

fn tag(question: Fingerprint) -> u8 {
    question.bits() as u8
}
