//! Postgrey's normal form of a sender, to the letter.

use heapless::VecView;

use crate::engine::sender::append_lower_case;

/// Appends a sender as Postgrey's key has it: a BATV tag (`prvs=`), then everything from the first `+`, is taken off the
/// local part, its whole-word numbers become `#`, and all is in lower case. Bytes from 0x80 are left alone, and so is a sender
/// without `@`, but for its case. What does not fit is cut; a sender of up to
/// [`VALUE_BYTES_MAX`](crate::engine::limits::VALUE_BYTES_MAX) always fits.
pub fn normalise_sender(sender: &[u8], to: &mut VecView<u8>) {
    let Some(at) = sender.iter().position(|&byte| byte == b'@') else {
        append_lower_case(to, sender);
        return;
    };
    let (local_part, domain) = sender.split_at(at);
    let user = user_of_prvs(local_part).unwrap_or(local_part);
    let user = user.split(|&byte| byte == b'+').next().unwrap_or(user);
    append_with_numbers_as_hash_signs(to, user);
    append_lower_case(to, domain);
}

/// The user of `prvs=tag=user` or `prvs=user=tag`, where a tag begins with ten digits or lower-case letters. Like
/// Perl's split, this overlooks `=` at the end.
pub(super) fn user_of_prvs(local_part: &[u8]) -> Option<&[u8]> {
    let tagged = local_part.strip_prefix(b"prvs=")?;
    let end = tagged
        .iter()
        .rposition(|&byte| byte != b'=')
        .map_or(0, |last| last + 1);
    let mut parts = tagged[..end].split(|&byte| byte == b'=');
    let (Some(first), Some(second), None) = (parts.next(), parts.next(), parts.next()) else {
        return None;
    };
    let is_tag = |part: &[u8]| {
        part.len() >= 10
            && part[..10]
                .iter()
                .all(|byte| byte.is_ascii_digit() || byte.is_ascii_lowercase())
    };
    if is_tag(second) && !is_tag(first) {
        Some(first)
    } else {
        Some(second)
    }
}

pub(super) fn append_with_numbers_as_hash_signs(to: &mut VecView<u8>, user: &[u8]) {
    let is_word = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
    for run in user.chunk_by(|left, right| is_word(left) == is_word(right)) {
        if run.iter().all(u8::is_ascii_digit) {
            append_lower_case(to, b"#");
        } else {
            append_lower_case(to, run);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::limits::VALUE_BYTES_MAX;
    use crate::engine::sender::Address;

    fn normal(sender: &str) -> String {
        let mut address = Address::new();
        normalise_sender(sender.as_bytes(), &mut address);
        String::from_utf8(address.to_vec()).unwrap()
    }

    /// What Postgrey 1.37 makes of these, read from its database.
    #[test]
    fn senders() {
        for (sender, key) in [
            ("", ""),
            ("joe", "joe"),
            ("Joe+Tag", "joe+tag"),
            ("@", "@"),
            ("joe@s.example", "joe@s.example"),
            ("JOE@S.Example", "joe@s.example"),
            ("joe+tag@s.example", "joe@s.example"),
            ("+tag@s.example", "@s.example"),
            ("a.123.b@s.example", "a.#.b@s.example"),
            ("a123b@s.example", "a123b@s.example"),
            ("a_123_b@s.example", "a_123_b@s.example"),
            ("123@s.example", "#@s.example"),
            ("x=12=34@s.example", "x=#=#@s.example"),
            ("prvs=1234abcdef=joe@s.example", "joe@s.example"),
            ("prvs=joe=1234abcdef@s.example", "joe@s.example"),
            ("prvs=short=joe@s.example", "joe@s.example"),
            (
                "prvs=1234abcdef=1234abcdee@s.example",
                "1234abcdee@s.example",
            ),
            ("prvs=1234abcdef=joe=@s.example", "joe@s.example"),
            ("prvs==joe@s.example", "joe@s.example"),
            ("prvs=joe==@s.example", "prvs=joe==@s.example"),
            ("prvs=@s.example", "prvs=@s.example"),
            (
                "PRVS=1234abcdef=joe@s.example",
                "prvs=1234abcdef=joe@s.example",
            ),
            (
                "prvs=1234abcdef=j=oe@s.example",
                "prvs=1234abcdef=j=oe@s.example",
            ),
            ("prvs=1234abcdef=joe+tag-12@s.example", "joe@s.example"),
            (
                "btv1==1234abcdef==joe@s.example",
                "btv1==1234abcdef==joe@s.example",
            ),
            (
                "msprvs1=18abc=bounces-123@s.example",
                "msprvs1=18abc=bounces-#@s.example",
            ),
            (
                "SRS0=HHH=TT=orig=user@fwd.example",
                "srs0=hhh=tt=orig=user@fwd.example",
            ),
            (
                "bounces+123-abcd-u=r@em123.s.example",
                "bounces@em123.s.example",
            ),
            (
                "0102018f1111-4e5f-8c9d-0000-000000@ses.example",
                "0102018f1111-4e5f-8c9d-#-#@ses.example",
            ),
            (
                "bounce-7f3a9c-123=user=host@s.example",
                "bounce-7f3a9c-#=user=host@s.example",
            ),
            ("A@B@s.example", "a@b@s.example"),
            ("u-12345678901234567890@s.example", "u-#@s.example"),
            ("q 1 2@s.example", "q # #@s.example"),
            ("joe@1.2.s.example", "joe@1.2.s.example"),
            ("JØRN-12@Bücher.Example", "jØrn-#@bücher.example"),
        ] {
            assert_eq!(normal(sender), key, "{sender}");
        }
        // A byte from 0x80 is no part of a word, so these digits are a word of their own.
        assert_eq!(normal("ø12@s.example"), "ø#@s.example");
    }

    #[test]
    fn longest_sender_fits() {
        let mut sender = [b'A'; VALUE_BYTES_MAX];
        sender[VALUE_BYTES_MAX - 2] = b'@';
        let mut address = Address::new();
        normalise_sender(&sender, &mut address);
        assert_eq!(address.len(), VALUE_BYTES_MAX);
        assert!(address.iter().all(|byte| b"a@".contains(byte)));
    }
}
