//! The logs as lines: files and standard input, never more than a buffer and one line of them in memory.

use std::fs::File;
use std::io::{self, BufRead, BufReader, ErrorKind, Read};
use std::time::{SystemTime, UNIX_EPOCH};

use super::line::Line;
use super::time::Calendar;

/// Longest line that is read, in bytes.
pub const LINE_BYTES_MAX: usize = 65_536;

/// How much of a file is looked at to find its first time.
const BUFFER_BYTES: usize = 16_384;

/// What standard input is called; `-` on the command line.
pub const STDIN: &str = "/dev/stdin";

/// A log that has been opened.
pub struct Input {
    /// What it is called.
    pub name: String,
    reader: BufReader<Box<dyn Read>>,
    /// Seconds since 1970 until which it has been written.
    end: i64,
}

/// A line, or the lack of one.
#[derive(Debug, PartialEq, Eq)]
pub enum NextLine {
    /// A line is in the buffer.
    Line,
    /// A line was too long to be read.
    TooLong,
    /// There are no more.
    End,
}

impl Input {
    /// Opens a log.
    ///
    /// # Errors
    ///
    /// It is not there, or cannot be read, or is none.
    pub fn open(name: &str) -> io::Result<Input> {
        let (source, end): (Box<dyn Read>, SystemTime) = if name == STDIN {
            (Box::new(io::stdin()), SystemTime::now())
        } else {
            let file = File::open(name)?;
            let metadata = file.metadata()?;
            // What is not a file, as a pipe, is being written.
            let end = match metadata.is_file() {
                true => metadata.modified()?,
                false => SystemTime::now(),
            };
            (Box::new(file), end)
        };
        let since_1970 = end.duration_since(UNIX_EPOCH).unwrap_or_default();
        let end = i64::try_from(since_1970.as_secs()).unwrap_or(i64::MAX);
        let mut input = Input::new(name, source, BUFFER_BYTES, end);
        // Standard input may take its time.
        if name != STDIN {
            refuse_compressed(input.reader.fill_buf()?)?;
        }
        Ok(input)
    }

    /// A log that was written until so many seconds after 1970, read so many bytes at a time.
    pub fn new(name: &str, source: Box<dyn Read>, buffer_bytes: usize, end: i64) -> Input {
        Input {
            name: name.to_owned(),
            reader: BufReader::with_capacity(buffer_bytes, source),
            end,
        }
    }

    /// What gives its times their years.
    pub fn calendar(&self) -> Calendar {
        Calendar::new(self.end.min(i64::from(u32::MAX)))
    }

    /// The first time in it, if there is one near its beginning and it is not standard input; of an empty file, the latest. Does
    /// not read on.
    pub fn first_second(&self) -> Option<i64> {
        if self.name == STDIN {
            return None;
        }
        if self.reader.buffer().is_empty() {
            return Some(i64::MAX);
        }
        let mut lines = self.reader.buffer().split(|&byte| byte == b'\n');
        let stamp = lines.find_map(|line| Line::new(line).stamp)?;
        Some(self.calendar().moment(stamp).seconds)
    }

    /// Reads the next line into the buffer, without its end.
    ///
    /// # Errors
    ///
    /// It cannot be read.
    pub fn next_line(&mut self, line: &mut Vec<u8>) -> io::Result<NextLine> {
        line.clear();
        let (mut bytes, mut has_ended) = (0, false);
        while !has_ended {
            let piece = match self.reader.fill_buf() {
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                piece => piece?,
            };
            if piece.is_empty() {
                if bytes == 0 {
                    return Ok(NextLine::End);
                }
                break;
            }
            let end = piece.iter().position(|&byte| byte == b'\n');
            has_ended = end.is_some();
            let text = &piece[..end.unwrap_or(piece.len())];
            let room = LINE_BYTES_MAX - line.len();
            line.extend_from_slice(&text[..text.len().min(room)]);
            let used = text.len() + usize::from(has_ended);
            bytes += text.len() + usize::from(has_ended);
            self.reader.consume(used);
        }
        if bytes - usize::from(has_ended) > LINE_BYTES_MAX {
            return Ok(NextLine::TooLong);
        }
        if line.last() == Some(&b'\r') {
            line.pop();
        }
        Ok(NextLine::Line)
    }
}

fn refuse_compressed(beginning: &[u8]) -> io::Result<()> {
    let magics: [(&[u8], &str); 4] = [
        (b"\x1f\x8b", "zcat"),
        (b"BZh", "bzcat"),
        (b"\xfd7zXZ", "xzcat"),
        (b"\x28\xb5\x2f\xfd", "zstdcat"),
    ];
    match magics
        .iter()
        .find(|(magic, _)| beginning.starts_with(magic))
    {
        Some((_, program)) => Err(io::Error::other(format!(
            "it is compressed; pipe it: {program} FILE | greylet report"
        ))),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: Vec<u8>) -> Vec<(NextLine, usize)> {
        let mut input = Input::new("", Box::new(io::Cursor::new(text)), 5, 0);
        let (mut line, mut lines) = (Vec::new(), Vec::new());
        loop {
            match input.next_line(&mut line).expect("memory can be read") {
                NextLine::End => return lines,
                next => lines.push((next, line.len())),
            }
        }
    }

    #[test]
    fn long_and_short_lines() {
        assert_eq!(lines(Vec::new()), []);
        let mut text = b"ab\r\n\n".to_vec();
        text.extend(vec![b'x'; LINE_BYTES_MAX]);
        text.push(b'\n');
        text.extend(vec![b'x'; LINE_BYTES_MAX + 1]);
        text.extend(b"\nlast");
        assert_eq!(
            lines(text),
            [
                (NextLine::Line, 2),
                (NextLine::Line, 0),
                (NextLine::Line, LINE_BYTES_MAX),
                (NextLine::TooLong, LINE_BYTES_MAX),
                (NextLine::Line, 4),
            ]
        );
    }
}
