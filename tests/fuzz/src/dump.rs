//! What `db_dump` writes of Postgrey's databases, or something like it: the same however it is read, every record is counted, and nothing
//! comes out of it that a table could not have.

use std::io::BufReader;

use greylet::commands::import::dump;
use greylet::commands::import::entries::{Imported, Importer};
use greylet::engine::greylist::Rules;
use greylet::engine::identity::Lookup;
use greylet::engine::limits::IMPORTED_ENTRIES_MAX;
use greylet::engine::time::Timestamp;
use greylet::engine::triplet::FingerprintKey;

const KEY: FingerprintKey = FingerprintKey::new([7; 16]);

fn now() -> Timestamp {
    Timestamp::from_unix(1_900_000_000)
}

fn import(bytes: &[u8], buffer_bytes: usize) -> (String, u64, Imported) {
    let mut importer = Importer::new(&KEY, Lookup::default(), Rules::default());
    let mut taken = 0;
    let reader = BufReader::with_capacity(buffer_bytes, bytes);
    let outcome = dump::read(reader, |key, value| {
        importer.take(key, value);
        taken += 1;
    });
    let said = match outcome {
        Ok(records) => {
            assert_eq!(records, taken);
            String::new()
        }
        Err(problem) => problem.to_string(),
    };
    assert!(!said.contains('\n'), "{said}");
    (said, taken, importer.finish(now()))
}

/// See the [module](self).
pub fn check(bytes: &[u8]) {
    let whole = import(bytes, 8_192);
    // A database is known by its first 16 bytes.
    assert_eq!(import(bytes, 16), whole);
    let (_, taken, imported) = whole;
    assert_eq!(imported.tally.records(), taken);
    assert!(imported.entries.len() <= IMPORTED_ENTRIES_MAX);
    for (_, entry) in &imported.entries {
        assert!(entry.since <= entry.last_seen, "{entry:?}");
        assert!(entry.last_seen <= now(), "{entry:?}");
    }
}
