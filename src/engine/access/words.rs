//! Words that are looked up by a hash: the parts of names and addresses in a list. However many there are, a look-up costs the same.

/// Words, each with the number of the rule that it belongs to, found by a hash that the caller makes of them.
#[derive(Default)]
pub(super) struct Words {
    /// All words, one behind the other.
    text: Vec<u8>,
    words: Vec<Word>,
    /// For each value of a hash's lowest bits the last word with it, plus one.
    heads: Vec<u32>,
}

struct Word {
    hash: u64,
    start: u32,
    length: u16,
    rule: u32,
    /// The next word with the same lowest bits, plus one.
    next: u32,
}

impl Words {
    /// Takes in a word; of two that differ in case alone the first counts. It must have at most 65,535 bytes.
    pub(super) fn insert(&mut self, hash: u64, word: &[u8], rule: u32) {
        if self
            .find(hash, |found| found.eq_ignore_ascii_case(word))
            .is_some()
        {
            return;
        }
        if self.words.len() >= self.heads.len() {
            self.make_heads((self.words.len() + 1).next_power_of_two());
        }
        let start = self.text.len() as u32;
        self.text.extend_from_slice(word);
        let head = self.head(hash);
        let next = self.heads[head];
        self.words.push(Word {
            hash,
            start,
            length: word.len() as u16,
            rule,
            next,
        });
        self.heads[head] = self.words.len() as u32;
    }

    /// Gives back what no word needs, when all are in.
    pub(super) fn shrink_to_fit(&mut self) {
        self.text.shrink_to_fit();
        self.words.shrink_to_fit();
    }

    /// Whether there are none.
    pub(super) fn is_empty(&self) -> bool {
        self.words.is_empty()
    }

    /// The rule of the word with this hash that is the one looked for.
    pub(super) fn find(&self, hash: u64, is_it: impl Fn(&[u8]) -> bool) -> Option<u32> {
        if self.heads.is_empty() {
            return None;
        }
        let mut index = self.heads[self.head(hash)] as usize;
        while index > 0 {
            let word = &self.words[index - 1];
            if word.hash == hash && is_it(self.text_of(word)) {
                return Some(word.rule);
            }
            index = word.next as usize;
        }
        None
    }

    fn text_of(&self, word: &Word) -> &[u8] {
        &self.text[word.start as usize..][..usize::from(word.length)]
    }

    fn head(&self, hash: u64) -> usize {
        hash as usize & (self.heads.len() - 1)
    }

    fn make_heads(&mut self, count: usize) {
        self.heads.clear();
        self.heads.resize(count, 0);
        for index in 0..self.words.len() {
            let head = self.head(self.words[index].hash);
            self.words[index].next = std::mem::replace(&mut self.heads[head], index as u32 + 1);
        }
    }
}
