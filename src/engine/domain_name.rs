//! Names in the DNS, and the part of one by which its organisation is known.

use crate::engine::limits::DOMAIN_NAME_BYTES_MAX;

/// Words that stand for a kind of organisation below a country's domain, where names are given out one label further down. The
/// commonest of the public suffix list, and some that a single large country has; without those that are
/// themselves an organisation somewhere (`web.de`, `in.gr`, `int.pl`, `nic.fr`). Where such a word does name one (`net.hr`) its hosts
/// stay apart, which a `pool` line can mend; the other way round strangers would be one.
const SECOND_LEVEL_WORDS: [&[u8]; 43] = [
    b"ac", b"ad", b"asn", b"asso", b"biz", b"co", b"com", b"coop", b"ed", b"edu", b"firm", b"gen",
    b"go", b"gob", b"gouv", b"gov", b"govt", b"gr", b"gub", b"gv", b"id", b"idv", b"ind", b"inf",
    b"info", b"k12", b"lg", b"ltd", b"me", b"mil", b"muni", b"name", b"ne", b"net", b"nhs", b"nom",
    b"or", b"org", b"plc", b"pro", b"res", b"sch", b"school",
];

/// Those of them that are hardly ever anybody's own domain.
const REGISTRY_WORDS: [&[u8]; 10] = [
    b"ac", b"co", b"com", b"edu", b"go", b"gov", b"ne", b"net", b"or", b"org",
];

/// Countries that also give out names below places or trades, more of them than can be listed here.
const COUNTRIES_WITH_PLACES: [&[u8]; 7] = [b"jp", b"us", b"br", b"pl", b"ua", b"cn", b"kr"];

/// Which bytes a label may have.
const IS_OF_A_LABEL: [bool; 256] = {
    let mut is_of_a_label = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        let character = byte as u8;
        is_of_a_label[byte] = character.is_ascii_alphanumeric()
            || matches!(character, b'-' | b'_')
            || !character.is_ascii();
        byte += 1;
    }
    is_of_a_label
};

/// The domain of a mail address: what follows the last `@`, as RFC 5321 has it, for a quoted local part may have others in it. (Postgrey,
/// and so the triplet, splits at the first.)
pub fn domain_of(address: &[u8]) -> Option<DomainName<'_>> {
    let at = address.iter().rposition(|&byte| byte == b'@')?;
    DomainName::parse(&address[at + 1..])
}

/// A name of two labels or more, without a dot at the end, of at most [`DOMAIN_NAME_BYTES_MAX`] bytes. Two names are equal
/// whatever their case, but a name in Unicode is not its `xn--` form.
#[derive(Clone, Copy, Debug)]
pub struct DomainName<'a>(&'a [u8]);

impl PartialEq for DomainName<'_> {
    fn eq(&self, other: &DomainName<'_>) -> bool {
        self.0.eq_ignore_ascii_case(other.0)
    }
}

impl Eq for DomainName<'_> {}

impl<'a> DomainName<'a> {
    /// Reads a name; one dot at the end is not part of it. `None` for what is too long, has one label (`unknown`, say) or an empty one,
    /// is an address, in brackets or not, or has a character that no name has.
    pub fn parse(text: &'a [u8]) -> Option<DomainName<'a>> {
        let name = text.strip_suffix(b".").unwrap_or(text);
        if name.len() > DOMAIN_NAME_BYTES_MAX {
            return None;
        }
        let mut has_dot = false;
        // Of the label that the loop is in.
        let (mut is_empty, mut is_number) = (true, true);
        for &byte in name {
            if byte == b'.' {
                if is_empty {
                    return None;
                }
                (has_dot, is_empty, is_number) = (true, true, true);
            } else {
                if !IS_OF_A_LABEL[usize::from(byte)] {
                    return None;
                }
                is_empty = false;
                is_number &= byte.is_ascii_digit();
            }
        }
        // IPv4 addresses end with a number, and no name does (RFC 3696, 2). An empty label is one, too.
        (has_dot && !is_number).then_some(DomainName(name))
    }

    /// Its bytes, in the case in which they were given.
    pub const fn as_bytes(self) -> &'a [u8] {
        self.0
    }

    /// Its organisational domain: the last two labels; three below a country's second-level word (`example.co.uk`), and of four or
    /// more in a country that also gives out names below places (`city.state.us`). This needs no list that grows old, and is right
    /// for nearly all mail servers.
    pub fn organisational(self) -> DomainName<'a> {
        self.end_of_labels(|second, country, has_fourth| {
            is_second_level(second, country)
                || has_fourth && is_among(&COUNTRIES_WITH_PLACES, country)
        })
    }

    /// What somebody has bought of it: the last two labels, and three below the commonest of a country's second-level words (`example.co.uk`). With the
    /// others, and with places (`city.state.us`), it counts as one, as somebody may have bought `plc.me` and has all names below it.
    pub fn registered(self) -> DomainName<'a> {
        self.end_of_labels(|second, country, _| {
            is_country(country) && is_among(&REGISTRY_WORDS, second)
        })
    }

    /// Whether those below it may be as many organisations: it is a country's second-level word, as `co.uk`.
    pub fn is_second_level(self) -> bool {
        let mut labels = self.0.split(|&byte| byte == b'.');
        let (second, country) = (labels.next(), labels.next());
        labels.next().is_none()
            && is_second_level(second.unwrap_or_default(), country.unwrap_or_default())
    }

    /// Its last two labels, or three, if it has them and that is so of the second last one, the last one, and whether there are four.
    fn end_of_labels(self, are_three: impl Fn(&[u8], &[u8], bool) -> bool) -> DomainName<'a> {
        let mut labels = self.0.rsplit(|&byte| byte == b'.');
        let mut label = || labels.next();
        let [country, second, third, fourth] = [label(), label(), label(), label()];
        let [country, second] = [country, second].map(Option::unwrap_or_default);
        let mut length = second.len() + 1 + country.len();
        if let Some(third) = third
            && are_three(second, country, fourth.is_some())
        {
            length += third.len() + 1;
        }
        self.end(length)
    }

    /// Its last bytes; they must be two labels or more.
    pub(super) fn end(self, length_bytes: usize) -> DomainName<'a> {
        DomainName(&self.0[self.0.len() - length_bytes..])
    }
}

fn is_second_level(second: &[u8], country: &[u8]) -> bool {
    is_country(country) && is_among(&SECOND_LEVEL_WORDS, second)
}

fn is_country(label: &[u8]) -> bool {
    label.len() == 2 && label.iter().all(u8::is_ascii_alphabetic)
}

fn is_among(words: &[&[u8]], label: &[u8]) -> bool {
    words.iter().any(|word| word.eq_ignore_ascii_case(label))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &[u8]) -> Option<DomainName<'_>> {
        DomainName::parse(text)
    }

    #[test]
    fn names() {
        for text in [
            "a.b",
            "mail.example.com",
            "MAIL.Example.COM",
            "a_b.-c-.example",
            "1.2.3.example",
            "xn--bcher-kva.example",
            "b\u{fc}cher.example",
            "example.\u{440}\u{444}",
        ] {
            assert_eq!(
                parsed(text.as_bytes()).map(DomainName::as_bytes),
                Some(text.as_bytes())
            );
            let dotted = format!("{text}.");
            assert_eq!(parsed(dotted.as_bytes()), parsed(text.as_bytes()), "{text}");
        }
        assert!(parsed(b"\xff\x80.example").is_some());
        assert_eq!(parsed(b"A.example"), parsed(b"a.EXAMPLE"));
        assert_ne!(parsed(b"A.example"), parsed(b"a.examples"));
    }

    #[test]
    fn not_names() {
        for text in [
            "",
            ".",
            "..",
            "unknown",
            "localhost",
            "com.",
            ".com",
            "a..b",
            "a.b..",
            ".a.b",
            "192.0.2.1",
            "192.0.2.1.",
            "example.1",
            "[192.0.2.1]",
            "[mail.example.com]",
            "2001:db8::1",
            "::ffff:192.0.2.1",
            "mail example.com",
            "mail.example.com\0",
            "a@example.com",
            "*.example.com",
        ] {
            assert_eq!(parsed(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn longest() {
        let of_length = |bytes: usize| format!("{}.example", "a".repeat(bytes - 8));
        let longest = of_length(DOMAIN_NAME_BYTES_MAX);
        assert!(parsed(longest.as_bytes()).is_some());
        assert!(parsed(format!("{longest}.").as_bytes()).is_some());
        assert_eq!(
            parsed(of_length(DOMAIN_NAME_BYTES_MAX + 1).as_bytes()),
            None
        );
        assert_eq!(parsed(of_length(4_096).as_bytes()), None);
    }

    #[test]
    fn organisational() {
        for (name, domain) in [
            ("example.com", "example.com"),
            ("mail.example.com", "example.com"),
            ("a.b.c.d.Example.COM", "Example.COM"),
            ("mail.example.co.uk", "example.co.uk"),
            ("mail.example.CO.UK", "example.CO.UK"),
            ("example.co.uk", "example.co.uk"),
            ("co.uk", "co.uk"),
            ("relay.foo.com.au", "foo.com.au"),
            ("mail.foo.gv.at", "foo.gv.at"),
            ("mail.foo.school.nz", "foo.school.nz"),
            // Second-level words count below countries only.
            ("mail.co.com", "co.com"),
            ("mail.co.example", "co.example"),
            ("mail.co.4u", "co.4u"),
            // Organisations that look like second-level words.
            ("mout.web.de", "web.de"),
            ("mx.in.gr", "in.gr"),
            ("mx.int.pl", "int.pl"),
            ("mx.nic.fr", "nic.fr"),
            // Places and trades.
            ("mail.city.state.us", "city.state.us"),
            ("a.b.city.state.us", "city.state.us"),
            ("mail.example.us", "example.us"),
            ("p1.ipoe.ocn.ne.jp", "ocn.ne.jp"),
            ("ocn.ne.jp", "ocn.ne.jp"),
            ("mx.example.jp", "example.jp"),
            ("a77.neoplus.adsl.tpnet.pl", "adsl.tpnet.pl"),
            ("mx.uol.com.br", "uol.com.br"),
            ("smtp.out.example.kr", "out.example.kr"),
            ("a.b.example.CN", "b.example.CN"),
            ("a.b.example.ua", "b.example.ua"),
            ("a.b.example.de", "example.de"),
        ] {
            let found = parsed(name.as_bytes()).unwrap().organisational();
            assert_eq!(found.as_bytes(), domain.as_bytes(), "{name}");
        }
    }

    #[test]
    fn registered() {
        for (name, registered) in [
            ("mail.Example.com", "Example.com"),
            ("mail.example.co.uk", "example.co.uk"),
            ("co.uk", "co.uk"),
            ("a.example.us", "example.us"),
            ("a.b.state.us", "state.us"),
            ("a.b.plc.me", "plc.me"),
            ("mx.uol.com.br", "uol.com.br"),
        ] {
            let found = parsed(name.as_bytes()).unwrap().registered();
            assert_eq!(found.as_bytes(), registered.as_bytes(), "{name}");
        }
    }

    #[test]
    fn second_levels() {
        let is_second_level = |name: &str| parsed(name.as_bytes()).unwrap().is_second_level();
        assert!(is_second_level("co.uk") && is_second_level("Ne.JP"));
        assert!(!is_second_level("example.co.uk") && !is_second_level("example.uk"));
        assert!(!is_second_level("co.com") && !is_second_level("web.de"));
    }
}
