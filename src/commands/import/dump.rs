//! What Berkeley DB's `db_dump` writes, in either of its formats, back to records. Several dumps may follow one another. One
//! line at a time is in memory, and a dump that is not whole is an error, as half a database looks like a whole one.

use std::fmt;
use std::io::{self, BufRead, Read};

use crate::engine::limits::DUMP_LINE_BYTES_MAX;

/// Gives each record's key and value to `take`, in their order, and counts them.
///
/// # Errors
///
/// The dump cannot be read, or is none. What came before has been given.
pub fn read(reader: impl BufRead, mut take: impl FnMut(&[u8], &[u8])) -> Result<u64, Problem> {
    let mut lines = Lines::new(reader);
    lines.refuse_database()?;
    let (mut key, mut value) = (Vec::new(), Vec::new());
    let (mut dumps, mut records) = (0, 0);
    while let Some(format) = lines.header()? {
        while lines.field(format, &mut key)? {
            if !lines.field(format, &mut value)? {
                return Err(lines.fault(Fault::KeyWithoutValue));
            }
            take(&key, &value);
            records += 1;
        }
        dumps += 1;
    }
    match dumps {
        0 => Err(Problem::Empty),
        _ => Ok(records),
    }
}

/// Why a dump cannot be read.
#[derive(Debug)]
pub enum Problem {
    /// The system says so.
    Read(io::Error),
    /// There is nothing.
    Empty,
    /// It is the database itself.
    Database,
    /// It ends before its end is said.
    CutOff {
        /// Lines that there are.
        lines: u64,
    },
    /// It is none, or damaged.
    Line {
        /// Counted from 1.
        number: u64,
        /// What is wrong with it.
        fault: Fault,
    },
}

/// What is wrong with a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// A dump should begin here.
    NotADump,
    /// The header has another version than 3, which has been the only one since 2000.
    Version,
    /// The header has another format than `bytevalue` and `print`, or none.
    Format,
    /// The header has another type than `btree`, or none.
    Type,
    /// It is longer than [`DUMP_LINE_BYTES_MAX`].
    TooLong,
    /// It is not a key or a value.
    NotAField,
    /// Its bytes are not written in the dump's format.
    Encoding,
    /// The value is missing.
    KeyWithoutValue,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Problem::Read(error) => error.fmt(f),
            Problem::Empty => f.write_str("it is empty; db_dump writes a header at least"),
            Problem::Database => {
                f.write_str("this is the database itself; stop Postgrey and run db5.3_dump FILE")
            }
            Problem::CutOff { lines } => write!(
                f,
                "the dump is cut off: it ends after line {lines}, without DATA=END"
            ),
            Problem::Line { number, fault } => write!(f, "line {number}: {fault}"),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Fault::NotADump => "this is not what db_dump writes, which begins with VERSION=3",
            Fault::Version => "a version of db_dump's format that is not known; only 3 is",
            Fault::Format => "no format that is known; db_dump writes format=bytevalue or print",
            Fault::Type => "not Postgrey's database, which has type=btree",
            Fault::TooLong => {
                return write!(
                    f,
                    "longer than {DUMP_LINE_BYTES_MAX} bytes, so not of Postgrey's database"
                );
            }
            Fault::NotAField => "neither a record, which begins with a blank, nor DATA=END",
            Fault::Encoding => "a record with bytes that are not written in the dump's format",
            Fault::KeyWithoutValue => "the last key has no value",
        })
    }
}

/// How bytes are written.
#[derive(Clone, Copy)]
enum Format {
    /// In hexadecimal (`db_dump`).
    Bytevalue,
    /// Printable ones as they are, others as `\xx` (`db_dump -p`).
    Print,
}

struct Lines<R> {
    reader: R,
    line: Vec<u8>,
    number: u64,
}

impl<R: BufRead> Lines<R> {
    fn new(reader: R) -> Lines<R> {
        Lines {
            reader,
            line: Vec::new(),
            number: 0,
        }
    }

    fn fault(&self, fault: Fault) -> Problem {
        Problem::Line {
            number: self.number,
            fault,
        }
    }

    /// Refuses a btree's metadata page, which has its magic number at byte 12, in the order of its machine.
    fn refuse_database(&mut self) -> Result<(), Problem> {
        const MAGIC: u32 = 0x0005_3162;
        let beginning = self.reader.fill_buf().map_err(Problem::Read)?;
        match beginning.get(12..16) {
            Some(bytes) if bytes == MAGIC.to_le_bytes() || bytes == MAGIC.to_be_bytes() => {
                Err(Problem::Database)
            }
            _ => Ok(()),
        }
    }

    /// Goes to the next line, without its end; false if there is none.
    fn advance(&mut self) -> Result<bool, Problem> {
        const LINE_END_BYTES_MAX: usize = b"\r\n".len();
        self.line.clear();
        let bytes_max = (DUMP_LINE_BYTES_MAX + LINE_END_BYTES_MAX) as u64;
        let mut reader = self.reader.by_ref().take(bytes_max);
        let read = reader.read_until(b'\n', &mut self.line);
        if read.map_err(Problem::Read)? == 0 {
            return Ok(false);
        }
        self.number += 1;
        for end in [b'\n', b'\r'] {
            self.line.pop_if(|byte| *byte == end);
        }
        if self.line.len() > DUMP_LINE_BYTES_MAX {
            return Err(self.fault(Fault::TooLong));
        }
        Ok(true)
    }

    /// Goes to the next line, which must be there.
    fn advance_within(&mut self) -> Result<(), Problem> {
        match self.advance()? {
            true => Ok(()),
            false => Err(Problem::CutOff { lines: self.number }),
        }
    }

    /// Reads the header of the next dump, if there is one.
    fn header(&mut self) -> Result<Option<Format>, Problem> {
        loop {
            match self.advance()? {
                false => return Ok(None),
                true if self.line.is_empty() => {}
                true => break,
            }
        }
        if !self.line.starts_with(b"VERSION=") {
            return Err(self.fault(Fault::NotADump));
        }
        let (mut format, mut is_btree) = (None, false);
        while self.line != b"HEADER=END" {
            match self.line.as_slice() {
                b"VERSION=3" => {}
                b"format=bytevalue" => format = Some(Format::Bytevalue),
                b"format=print" => format = Some(Format::Print),
                b"type=btree" => is_btree = true,
                line if line.starts_with(b"VERSION=") => return Err(self.fault(Fault::Version)),
                line if line.starts_with(b"format=") => return Err(self.fault(Fault::Format)),
                line if line.starts_with(b"type=") => return Err(self.fault(Fault::Type)),
                // Others say how the file is laid out.
                line if line.contains(&b'=') => {}
                _ => return Err(self.fault(Fault::NotADump)),
            }
            self.advance_within()?;
        }
        match (format, is_btree) {
            (None, _) => Err(self.fault(Fault::Format)),
            (_, false) => Err(self.fault(Fault::Type)),
            (format, true) => Ok(format),
        }
    }

    /// Reads a key or a value; false if the dump has ended.
    fn field(&mut self, format: Format, field: &mut Vec<u8>) -> Result<bool, Problem> {
        self.advance_within()?;
        if self.line == b"DATA=END" {
            return Ok(false);
        }
        let Some(text) = self.line.strip_prefix(b" ") else {
            return Err(self.fault(Fault::NotAField));
        };
        field.clear();
        let decoded = match format {
            Format::Bytevalue => decode_bytevalue(text, field),
            Format::Print => decode_print(text, field),
        };
        decoded.ok_or_else(|| self.fault(Fault::Encoding))?;
        Ok(true)
    }
}

fn decode_bytevalue(text: &[u8], to: &mut Vec<u8>) -> Option<()> {
    let pairs = text.chunks(2);
    for pair in pairs {
        to.push(byte_of(pair)?);
    }
    Some(())
}

fn decode_print(text: &[u8], to: &mut Vec<u8>) -> Option<()> {
    let mut rest = text;
    while let [byte, after @ ..] = rest {
        rest = after;
        if *byte != b'\\' {
            to.push(*byte);
        } else if let Some(after) = rest.strip_prefix(b"\\") {
            to.push(b'\\');
            rest = after;
        } else {
            to.push(byte_of(rest.get(..2)?)?);
            rest = &rest[2..];
        }
    }
    Some(())
}

/// The byte that two hexadecimal digits stand for.
fn byte_of(digits: &[u8]) -> Option<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let &[high, low] = digits else {
        return None;
    };
    u8::try_from(digit(high)? << 4 | digit(low)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::io::{BufReader, Cursor};

    /// A dump's records, or what is wrong with it.
    fn records(dump: impl AsRef<[u8]>) -> Result<Vec<(String, String)>, String> {
        let mut records = Vec::new();
        let take = |key: &[u8], value: &[u8]| {
            let text = |bytes: &[u8]| bytes.escape_ascii().to_string();
            records.push((text(key), text(value)));
        };
        match read(dump.as_ref(), take) {
            Ok(count) => {
                assert_eq!(count, records.len() as u64);
                Ok(records)
            }
            Err(problem) => Err(problem.to_string()),
        }
    }

    fn pair(key: &str, value: &str) -> (String, String) {
        (key.to_owned(), value.to_owned())
    }

    const PRINT: &str = "VERSION=3\nformat=print\ntype=btree\ndb_pagesize=4096\nHEADER=END\n";
    const HEXADECIMAL: &str = "VERSION=3\nformat=bytevalue\ntype=btree\nHEADER=END\n";

    #[test]
    fn formats() {
        let print = format!("{PRINT} a\\\\b\\00\\fF/ c \n 1,2\n \n  \nDATA=END\n");
        let read = [pair("a\\\\b\\x00\\xff/ c ", "1,2"), pair("", " ")];
        assert_eq!(records(&print), Ok(read.to_vec()));
        let hexadecimal = format!("{HEXADECIMAL} 615c6200fF2F206320\n 312c32\n \n 20\nDATA=END\n");
        assert_eq!(records(hexadecimal), Ok(read.to_vec()));
        assert_eq!(records(print.replace('\n', "\r\n")), Ok(read.to_vec()));
        assert_eq!(
            records(print.strip_suffix('\n').unwrap()),
            Ok(read.to_vec())
        );
    }

    #[test]
    fn several_dumps() {
        let one = format!("{PRINT} a\n 1\nDATA=END\n");
        let other = format!("{HEXADECIMAL} 62\n 32\nDATA=END\n");
        let empty = format!("{PRINT}DATA=END\n");
        assert_eq!(
            records(format!("{one}{empty}\n{other}")),
            Ok(vec![pair("a", "1"), pair("b", "2")])
        );
        assert_eq!(records(&empty), Ok(vec![]));
    }

    #[test]
    fn not_dumps() {
        for (dump, problem) in [
            ("", "it is empty; db_dump writes a header at least"),
            ("\n\r\n", "it is empty; db_dump writes a header at least"),
            (
                "192.0.2.0/a@s.example/b@r.example\n",
                "line 1: this is not what db_dump writes, which begins with VERSION=3",
            ),
            (
                "VERSION=3\n\0\0\n",
                "line 2: this is not what db_dump writes, which begins with VERSION=3",
            ),
            (
                "VERSION=4\n",
                "line 1: a version of db_dump's format that is not known; only 3 is",
            ),
            (
                "VERSION=3\nformat=json\n",
                "line 2: no format that is known; db_dump writes format=bytevalue or print",
            ),
            (
                "VERSION=3\ntype=btree\nHEADER=END\n",
                "line 3: no format that is known; db_dump writes format=bytevalue or print",
            ),
            (
                "VERSION=3\nformat=print\ntype=recno\n",
                "line 3: not Postgrey's database, which has type=btree",
            ),
            (
                "VERSION=3\nformat=print\nHEADER=END\n",
                "line 3: not Postgrey's database, which has type=btree",
            ),
        ] {
            assert_eq!(records(dump), Err(problem.to_owned()), "{dump:?}");
        }
    }

    #[test]
    fn damaged_records() {
        for (lines, problem) in [
            (
                "\n",
                "line 6: neither a record, which begins with a blank, nor DATA=END",
            ),
            (
                "a\n",
                "line 6: neither a record, which begins with a blank, nor DATA=END",
            ),
            (" a\nDATA=END\n", "line 7: the last key has no value"),
            (
                " a\n \\\n",
                "line 7: a record with bytes that are not written in the dump's format",
            ),
            (
                " a\\g0\n",
                "line 6: a record with bytes that are not written in the dump's format",
            ),
            (
                " a\\0",
                "line 6: a record with bytes that are not written in the dump's format",
            ),
            (
                " a\n 1\nDATA=END\nDATA=END\n",
                "line 9: this is not what db_dump writes, which begins with VERSION=3",
            ),
        ] {
            let dump = format!("{PRINT}{lines}");
            assert_eq!(records(&dump), Err(problem.to_owned()), "{lines:?}");
        }
        for line in ["6", "616", "6g", "61 62", "\u{e9}"] {
            let problem = "line 5: a record with bytes that are not written in the dump's format";
            let dump = format!("{HEXADECIMAL} {line}\n");
            assert_eq!(records(&dump), Err(problem.to_owned()), "{line:?}");
        }
    }

    /// Whatever is missing at the end is missed.
    #[test]
    fn cut_off() {
        let dump = format!("{PRINT} a\n 1\n b\n 2\nDATA=END");
        for end in 1..dump.len() {
            let problem = records(&dump[..end]).unwrap_err();
            let lines = dump[..end].lines().count();
            let is_of_the_last_line = problem.starts_with(&format!("line {lines}: "));
            let cut = format!("the dump is cut off: it ends after line {lines}, without DATA=END");
            assert!(problem == cut || is_of_the_last_line, "{end}: {problem}");
        }
    }

    #[test]
    fn the_database_itself() {
        for magic in [*b"b1\x05\0", *b"\0\x051b"] {
            let page = [&b"\0\0\0\0\n\xff\0\0\0\0\0\0"[..], &magic, &[0; 4_080]].concat();
            assert_eq!(
                records(page),
                Err(
                    "this is the database itself; stop Postgrey and run db5.3_dump FILE".to_owned()
                )
            );
        }
    }

    /// A line too long is read no further, however long it is.
    #[test]
    fn long_lines() {
        let of = |bytes: usize| format!("{PRINT} a\n {}\nDATA=END\n", "x".repeat(bytes - 1));
        assert_eq!(records(of(DUMP_LINE_BYTES_MAX)).unwrap().len(), 1);
        let crlf = of(DUMP_LINE_BYTES_MAX).replace('\n', "\r\n");
        assert_eq!(records(crlf).unwrap().len(), 1);
        let problem = "line 7: longer than 8192 bytes, so not of Postgrey's database";
        assert_eq!(
            records(of(DUMP_LINE_BYTES_MAX + 1)),
            Err(problem.to_owned())
        );
        let endless = Cursor::new(PRINT)
            .chain(Cursor::new(" a\n "))
            .chain(io::repeat(b'x'));
        let problem_of_endless = read(BufReader::new(endless), |_, _| {}).unwrap_err();
        assert_eq!(problem_of_endless.to_string(), problem);
        let problem = read(BufReader::new(io::repeat(0)), |_, _| {}).unwrap_err();
        assert_eq!(
            problem.to_string(),
            "line 1: longer than 8192 bytes, so not of Postgrey's database"
        );
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn anything_is_read_to_an_end(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            let _ = read(&bytes[..], |_, _| {});
            let _ = read(&[HEXADECIMAL.as_bytes(), &bytes[..]].concat()[..], |_, _| {});
            let _ = read(&[PRINT.as_bytes(), &bytes[..]].concat()[..], |_, _| {});
        }

        #[test]
        fn any_bytes_come_back(key: Vec<u8>, value: Vec<u8>) {
            let hexadecimal = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
            let print = |bytes: &[u8]| bytes.iter().map(|&byte| match byte {
                b'\\' => "\\\\".to_owned(),
                b' '..=b'~' => char::from(byte).to_string(),
                _ => format!("\\{byte:02x}"),
            }).collect::<String>();
            let read = vec![pair(&key.escape_ascii().to_string(), &value.escape_ascii().to_string())];
            let dump = format!("{HEXADECIMAL} {}\n {}\nDATA=END\n", hexadecimal(&key), hexadecimal(&value));
            prop_assert_eq!(records(dump), Ok(read.clone()));
            let dump = format!("{PRINT} {}\n {}\nDATA=END\n", print(&key), print(&value));
            prop_assert_eq!(records(dump), Ok(read));
        }
    }
}
