//! Every bound of the engine in one place, in bytes, entries or seconds.

use crate::engine::time::Seconds;

/// Longest value of a request's attribute, in bytes. Postfix passes senders of over 2,000 bytes on, so
/// these are judged; what is longer than this is not Postfix.
pub const VALUE_BYTES_MAX: usize = 4_096;

/// Longest line of a request, name and `=` included, line end not, in bytes.
pub const LINE_BYTES_MAX: usize = 8_192;

/// Longest request, blank line included, in bytes.
pub const REQUEST_BYTES_MAX: usize = 65_536;

/// What is kept of an attribute that is a word or a number, in bytes; the longest valid `client_address` has 45.
pub const WORD_BYTES_MAX: usize = 64;

/// What is kept of `instance`, in bytes; Postfix's have about 30.
pub const INSTANCE_BYTES_MAX: usize = 128;

/// Longest text after the action word in a reply, in bytes (RFC 5321 allows 512 for the whole line).
pub const TEXT_BYTES_MAX: usize = 400;

/// Longest `--greylist-action`, in bytes.
pub const ACTION_BYTES_MAX: usize = 64;

/// Longest reply: `action=`, the action word, a blank, `4.2.0 `, the text, two line ends.
pub const REPLY_BYTES_MAX: usize = 7 + ACTION_BYTES_MAX + 1 + 6 + TEXT_BYTES_MAX + 2;

/// Longest value in a log line, in bytes. Postgrey's are cut there as well.
pub const LOGGED_VALUE_BYTES_MAX: usize = 512;

/// Fewest entries a table can be made for; below, a class could have no room at all.
pub const ENTRIES_MIN: u32 = 64;

/// Entries of a table when nothing is said.
pub const ENTRIES_DEFAULT: u32 = 65_536;

/// Most entries a table can have; untouched ones cost address space, not memory.
pub const ENTRIES_MAX: u32 = 262_144;

/// Longest delay of a new triplet.
pub const DELAY_MAX: Seconds = Seconds::DAY;

/// Longest line of a list, in bytes. One with a regular expression may have [`PATTERN_BYTES_MAX`].
pub const LIST_LINE_BYTES_MAX: usize = 1_024;

/// What is kept of a line of a list to show it, in bytes.
pub const LIST_LINE_SHOWN_BYTES_MAX: usize = 100;

/// Most remarks on the lines of a list that are kept; the others are counted.
pub const FINDINGS_MAX: usize = 1_000;

/// Smallest size that a compiled regular expression is counted with, in bytes.
pub const PATTERN_BYTES_MIN: usize = 256;

/// Largest a compiled regular expression may be, in bytes.
pub const PATTERN_BYTES_MAX: usize = 65_536;

/// Largest all compiled regular expressions of a list may be together, in bytes.
pub const PATTERNS_BYTES_MAX: usize = 131_072;

/// Most regular expressions of a list that are compiled, most of them in vain: some tenths of a second.
pub const PATTERNS_TRIED_MAX: usize = 2_048;

/// Longest text that regular expressions are tried on, in bytes: an address of a local part of 64 bytes, an `@` and a domain.
pub const PATTERN_TEXT_BYTES_MAX: usize = 64 + 1 + DOMAIN_NAME_BYTES_MAX;

/// Most that a list's regular expressions may cost in one look-up: bytes compiled, times bytes of the text. The worst ones found take 2 ms
/// for it on a server, and a client has the choice of the text.
pub const PATTERN_WORK_MAX: usize = 32_768 * PATTERN_TEXT_BYTES_MAX;

/// Longest domain name, without a dot at its end, in bytes (RFC 1035, 2.3.4). What is longer is no client's.
pub const DOMAIN_NAME_BYTES_MAX: usize = 255;

/// Message transactions whose header has been given; Postgrey remembers 10.
pub const INSTANCES_WITH_HEADER: usize = 16;

/// Answered questions that are remembered, so that a repetition within its message transaction gets the same answer.
/// Postfix asks a question that is in several restriction lists at once; between, at most its other
/// smtpd processes (100 by default) come in.
pub const ANSWERS_REMEMBERED: usize = 128;

/// How long an answered question is remembered.
pub const ANSWER_REMEMBERED: Seconds = Seconds::new(60);

/// A triplet that is used again this long after its first pass is proven.
pub const PROVEN_AFTER: Seconds = Seconds::DAY;

/// An auto-whitelist counts one pass of a client in this time (Postgrey).
pub const AUTO_WHITELIST_INTERVAL: Seconds = Seconds::HOUR;

/// First passes of an organisation's mail for one domain of senders that auto-whitelist the two together. They vouch for one
/// customer of a provider, not for a machine, so fewer are enough than Postgrey wants of an address.
pub const AUTO_WHITELIST_SENDER_DOMAINS: u16 = 2;

/// Postfix that has not asked about DATA for so long is taken not to ask.
pub const DATA_FORGOTTEN_AFTER: Seconds = Seconds::DAY;

/// Postfix's smtpds, by address and port, of which it is known that they ask about DATA.
pub const DATA_ASKERS_MAX: usize = 8;

/// Null senders that may be left to DATA without any question about DATA before something is wrong; a few go before it.
pub const NULL_SENDERS_WITHOUT_DATA_MAX: u32 = 20;

/// New correspondents that are remembered of one user in a day; more is no correspondence.
pub const WRITTEN_TO_A_DAY_MAX: u8 = 200;

/// Users whose new correspondents are remembered in a day.
pub const WRITERS_A_DAY_MAX: usize = 64;

/// How often in the time after which it would expire the last use of an entry is worth a write to flash. After a power cut it
/// seems unused for an eighth of that time at most.
pub const LAST_SEEN_SAVES: u32 = 8;

/// Largest block of a snapshot, in bytes: a page of flash, and what a damage costs.
pub const BLOCK_BYTES_MAX: usize = 4_096;

/// What is appended to a snapshot may weigh as much as the rest of it, and always so much, before it is written anew: the pages of some days.
pub const APPENDED_BYTES_MIN: u64 = 16_384;

/// Slots of the table that are looked at in one step of a save, while requests wait: some ten microseconds.
pub const SLOTS_A_STEP: usize = 512;

/// Pending entries that are saved at the end of the program, 13 bytes each.
pub const SAVED_PENDING_MAX: usize = 8_192;

/// Pending entries older than this are not saved: who has not retried within a day hardly ever will.
pub const SAVED_PENDING_AGE: Seconds = Seconds::DAY;

/// Fingerprints that a batch can say are removed; for more the table is saved as a whole.
pub const FORGOTTEN_MAX: usize = 64;

/// Recipients and clients whose mail is let through at a time.
pub const ALLOWS_MAX: usize = 128;

/// Clients that can be forgotten within the life of an entry.
pub const DISTRUSTS_MAX: usize = 64;

/// Shortest time that mail can be let through.
pub const ALLOWED_FOR_MIN: Seconds = Seconds::new(60);

/// Longest time that mail can be let through; what is to last is a list's.
pub const ALLOWED_FOR_MAX: Seconds = Seconds::new(7 * Seconds::DAY.get());

/// Hours of which it is remembered what was decided: seven days.
pub const HISTORY_HOURS: usize = 168;

/// A pending entry evicted younger than this means that the table is too small.
pub const EVICTED_YOUNG: Seconds = Seconds::HOUR;

/// Into how many shares what the class of named entries keeps of a full table is divided. An organisation may enter one of them at
/// once and another one spread over an hour, so 64 use up all in a quarter of an hour.
pub const SHARE_OF_FLOOR: u32 = 80;

/// Smallest share, in entries, for tables that have room for six: a letter to all of an office.
pub const SHARE_MIN: u32 = 16;

/// The largest part of what the class keeps that is a share, however small the table is.
pub const SHARE_PART_MAX: u32 = 6;

/// In how many steps an hour what an organisation has entered is forgotten again.
pub const SHARE_STEPS: u32 = 16;

/// From one of them to the next.
pub const SHARE_STEP: Seconds = Seconds::new(Seconds::HOUR.get() / SHARE_STEPS);

/// Places for counts of what organisations have entered, in each of two rows.
pub const ORGANISATION_COUNTS: usize = 1_024;

/// Longest line of a database dump that is read, in bytes. Postgrey's keys have up to 1,100 bytes, and `db_dump` writes one of
/// them as up to three characters.
pub const DUMP_LINE_BYTES_MAX: usize = 8_192;

/// Entries that an import collects before it throws away what no table has room for.
pub const IMPORTED_ENTRIES_MAX: usize = 2 * ENTRIES_MAX as usize;

const _: () = {
    assert!(LINE_BYTES_MAX > VALUE_BYTES_MAX);
    assert!(REQUEST_BYTES_MAX > LINE_BYTES_MAX);
    assert!(WORD_BYTES_MAX > 45);
    assert!(DUMP_LINE_BYTES_MAX > 3 * 1_100);
    assert!(7 + ACTION_BYTES_MAX + TEXT_BYTES_MAX < REPLY_BYTES_MAX);
    assert!(ENTRIES_MIN <= ENTRIES_DEFAULT && ENTRIES_DEFAULT <= ENTRIES_MAX);
    // 3/16 of the table's entries, counted in 16 bits.
    assert!(3 * ENTRIES_MAX / 16 / SHARE_OF_FLOOR <= 65_535);
    assert!(ORGANISATION_COUNTS.is_power_of_two());
    assert!(
        PATTERN_WORK_MAX / PATTERNS_BYTES_MAX >= 80,
        "names of mail servers have up to 60 bytes"
    );
    assert!(
        ENTRIES_MIN >= 16,
        "every class needs a floor of at least one entry"
    );
};
