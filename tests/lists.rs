//! Lists: what their lines mean, what is said of them, and what happens when the files change or cannot be read.

mod support;

use greylet::engine::access::{Addresses, Clients, Fault, Recipients};
use nix::sys::signal::{Signal, kill};
use proptest::prelude::*;
use support::{Scratch, Server, request, run};

/// What is said of a line, in short: the fault, and what to write instead.
type Said = Option<(Fault, Option<String>)>;

fn said_of_client(line: &str) -> Said {
    let (_, mut findings) = Clients::read([line.as_bytes()]);
    findings
        .kept
        .pop()
        .map(|finding| (finding.remark.fault, finding.remark.instead))
}

fn said_of_recipient(line: &str) -> Said {
    let (_, mut findings) = Recipients::read([line.as_bytes()]);
    findings
        .kept
        .pop()
        .map(|finding| (finding.remark.fault, finding.remark.instead))
}

fn with(fault: Fault, instead: &str) -> Said {
    Some((fault, (!instead.is_empty()).then(|| instead.to_owned())))
}

#[test]
fn client_lines() {
    use Fault::{Doubtful, Invalid, NeverMatches};
    for line in [
        "",
        "  ",
        "# comment",
        "example.com",
        " example.com\t# comment\r",
        "EXAMPLE.com",
        "a_b-c.example",
        "com",
        "xn--bcher-kva.example",
        r"/^mail\d+\.example\.com$/",
        "192.0.2.1",
        "192.0.2.0/24",
        "192.0.2.77/24",
        "192.0.2",
        "0.0.0.0/0",
        "2001:db8::1",
        "2001:DB8::/32",
        "[2001:db8::1]",
        "2000::/3",
        "::1",
        "::ffff:192.0.2.1",
        "pool example.com",
        "POOL\t Mail.Example.com  # comment",
        "pool pool.example",
        "nowhite example.com",
        "Nowhite\t com # comment",
        "nowhite unknown",
        "nowhite 192.0.2.0/24",
        "nowhite 2001:db8::/32",
    ] {
        assert_eq!(said_of_client(line), None, "{line}");
    }
    for (line, fault, instead) in [
        (".example.com", NeverMatches, "example.com"),
        ("*.example.com", NeverMatches, "example.com"),
        ("example.com.", NeverMatches, "example.com"),
        ("example.com OK", Invalid, "example.com"),
        ("example.com example.net", Invalid, ""),
        (
            "example.com,example.net",
            NeverMatches,
            "each on a line of its own",
        ),
        ("!example.com", NeverMatches, ""),
        ("mail.example.com:25", NeverMatches, "mail.example.com"),
        ("user@example.com", NeverMatches, ""),
        ("b\u{fc}cher.example", NeverMatches, ""),
        ("a..b", NeverMatches, ""),
        ("192.168.", NeverMatches, "192.168.0.0/16"),
        ("192.168.2.", NeverMatches, "192.168.2.0/24"),
        ("192.168.2/24", NeverMatches, "192.168.2.0/24"),
        ("192.0.2.0/255.255.255.0", NeverMatches, "192.0.2.0/24"),
        ("192", NeverMatches, "192.0.0.0/8"),
        ("192.0.2.0/255.255.255.0", NeverMatches, "192.0.2.0/24"),
        ("192.0.2.0/0.0.0.255", NeverMatches, "192.0.2.0/24"),
        ("192.0.2.0/255.0.255.0", NeverMatches, ""),
        ("192.168", Doubtful, "192.168.0.0/16"),
        ("192.0.2.010", Doubtful, "192.0.2.10"),
        ("192.0.02.0/24", Doubtful, "192.0.2.0/24"),
        ("192.168.*", NeverMatches, "192.168.0.0/16"),
        ("192.168.*.*", NeverMatches, "192.168.0.0/16"),
        ("192.168.1*", NeverMatches, ""),
        ("192.0.2.1/", NeverMatches, "192.0.2.1"),
        ("192.0.2.0/x", NeverMatches, ""),
        ("192.168.2.0-255", NeverMatches, "192.168.2.0/24"),
        (
            "192.0.2.1-192.0.2.9",
            NeverMatches,
            "192.0.2.1 192.0.2.2/31 192.0.2.4/30 192.0.2.8/31, each on a line of its own",
        ),
        ("0.0.0.0-255.255.255.255", NeverMatches, "0.0.0.0/0"),
        ("0.0.0.1-255.255.255.254", NeverMatches, ""),
        ("192.0.2.9-192.0.2.1", NeverMatches, ""),
        ("1.2.3.4.5", NeverMatches, ""),
        ("0x1.2.3.4", NeverMatches, ""),
        ("*", NeverMatches, ""),
        (".", NeverMatches, ""),
        ("*.", NeverMatches, ""),
        (
            "mail*.example.com",
            NeverMatches,
            r"/(^|\.)mail.*\.example\.com$/",
        ),
        ("*example.com", NeverMatches, r"/example\.com$/"),
        ("::/0", Doubtful, ""),
        ("::/8", Doubtful, ""),
        ("::/96", Doubtful, ""),
        ("::1/", Invalid, "::1"),
        ("2001:db8::/x", Invalid, ""),
        ("unknown", Doubtful, ""),
        ("300.1.1.1", Invalid, ""),
        ("192.0.2.0/33", Invalid, ""),
        ("2001:db8::/129", Invalid, ""),
        ("2001:db8:0:1", Invalid, "2001:db8:0:1::/64"),
        ("fe80::1%eth0", Invalid, "fe80::1"),
        ("/re/i", NeverMatches, "/re/"),
        ("/foo#bar/", NeverMatches, ""),
        ("//", NeverMatches, ""),
        ("/(/", Invalid, ""),
        ("/a{1000000}/", Invalid, ""),
        ("/(?=x)/", Invalid, ""),
        ("a\u{1}b", Invalid, ""),
        ("pool", Doubtful, "pool example.com for a pool"),
        ("pool co.uk", Doubtful, ""),
        ("pool com", Invalid, ""),
        ("pool unknown", Invalid, ""),
        ("pool 192", Invalid, ""),
        ("pool .example.com", Invalid, "pool example.com"),
        ("pool *.example.com", Invalid, "pool example.com"),
        ("pool example.com.", Invalid, "pool example.com"),
        ("pool mail.example.com:25", Invalid, "pool mail.example.com"),
        ("pool example.com OK", Invalid, "pool example.com"),
        ("pool example.com example.net", Invalid, ""),
        ("pool example.com,example.net", Invalid, ""),
        ("pool !example.com", Invalid, ""),
        ("pool a..b", Invalid, ""),
        ("pool user@example.com", Invalid, ""),
        ("pool b\u{fc}cher.example", Invalid, ""),
        ("pool 192.0.2.0/24", Invalid, ""),
        ("pool 192.168.", Invalid, ""),
        ("pool 192.0.2.1", Invalid, ""),
        ("pool 2001:db8::/32", Invalid, ""),
        ("pool ::ffff:192.0.2.1", Invalid, ""),
        (r"pool /\.example\.com$/", Invalid, ""),
        ("pool \u{1}.example", Invalid, ""),
        ("pools example.com", Invalid, ""),
        (
            "nowhite",
            Doubtful,
            "nowhite example.com for clients that are never auto-whitelisted",
        ),
        ("nowhite .example.com", Invalid, "nowhite example.com"),
        ("nowhite 192.168.", Invalid, "nowhite 192.168.0.0/16"),
        ("nowhite 192.168", Doubtful, "nowhite 192.168.0.0/16"),
        ("nowhite a@example.com", Invalid, ""),
        ("nowhite example.com OK", Invalid, "nowhite example.com"),
        ("nowhite example.com delay=60", Invalid, ""),
        (r"nowhite /\.example\.com$/", Invalid, ""),
        (
            "example.com delay=60",
            Invalid,
            "user@example.org delay=60 there",
        ),
    ] {
        assert_eq!(said_of_client(line), with(fault, instead), "{line}");
    }
    let long = "x".repeat(2_000);
    assert_eq!(said_of_client(&long), with(Invalid, ""));
    assert!(Clients::read([&b"\xff\xfe\0"[..]]).1.kept[0].remark.fault == Invalid);
}

#[test]
fn recipient_lines() {
    use Fault::{Doubtful, Invalid, NeverMatches};
    for line in [
        "user@[192.0.2.1]",
        "[192.0.2.1]",
        "[IPv6:2001:db8::1]",
        "o'brien@example.org",
        "postmaster@",
        "user@example.org",
        "user+ext@example.org",
        "example.org",
        "localhost",
        "/^info@/",
        "user@example.org delay=60",
        "user@ DELAY=1 Greylist=Suspicious",
        "example.org\tgreylist=all  delay=86400 # why",
        "/^a=b@/ delay=60",
    ] {
        assert_eq!(said_of_recipient(line), None, "{line}");
    }
    let known = "delay=SECONDS, or greylist=suspicious or all";
    for value in [
        "0",
        "86401",
        "5m",
        "-1",
        "+1",
        "1.5",
        "99999999999",
        "\u{663}",
    ] {
        let line = format!("b@ delay={value}");
        let said = with(Invalid, "delay=300 for five minutes");
        assert_eq!(said_of_recipient(&line), said, "{line}");
    }
    for (line, fault, instead) in [
        ("@example.org", NeverMatches, "example.org"),
        ("*@example.org", NeverMatches, "example.org"),
        (".example.org", NeverMatches, "example.org"),
        (
            "user@.example.org",
            NeverMatches,
            r"/^user@(.*\.)?example\.org$/",
        ),
        ("user@example.org OK", Invalid, "user@example.org"),
        ("/[/", Invalid, ""),
        ("/a@b/i", NeverMatches, "/a@b/"),
        ("*", NeverMatches, ""),
        ("@", NeverMatches, ""),
        ("*@*", NeverMatches, ""),
        ("user@*", NeverMatches, "user@"),
        ("user@example.org,", NeverMatches, "user@example.org"),
        ("user@example.org.", NeverMatches, "user@example.org"),
        (
            "a@example.org,b@example.org",
            NeverMatches,
            "each on a line of its own",
        ),
        ("<a@b>", NeverMatches, "a@b"),
        ("\"a@b\"", NeverMatches, "a@b"),
        ("mailto:a@b", NeverMatches, "a@b"),
        ("!a@b", Doubtful, ""),
        ("!b@", Doubtful, ""),
        ("!example.org", NeverMatches, ""),
        ("user*@example.org", Doubtful, r"/^user[^@]*@example\.org$/"),
        ("*user@", Doubtful, "/^[^@]*user@/"),
        ("post*@", Doubtful, "/^post[^@]*@/"),
        ("example.*", NeverMatches, r"/[@.]example\.[^@]*$/"),
        (".", NeverMatches, ""),
        ("user@192.0.2.0/24", NeverMatches, ""),
        ("user@192.0.2.1", NeverMatches, "user@[192.0.2.1]"),
        ("192.0.2.1", NeverMatches, "[192.0.2.1]"),
        ("2001:db8::1", NeverMatches, "[IPv6:2001:db8::1]"),
        ("2001:db8::/32", NeverMatches, ""),
        ("192.0.2.0/24", NeverMatches, ""),
        ("192.168.", NeverMatches, ""),
        ("b@ deley=60", Invalid, known),
        ("b@ delay=60 OK", Invalid, known),
        ("b@ delay = 60", Invalid, known),
        ("b@ delay= 60", Invalid, known),
        ("b@ =60", Invalid, known),
        ("b@ delay=60 Delay=60", Invalid, "one of them"),
        ("b@ greylist=all greylist=all", Invalid, "one of them"),
        (
            "b@ greylist=none",
            Invalid,
            "greylist=suspicious or greylist=all",
        ),
        ("delay=60", NeverMatches, "user@example.org delay=60"),
        (
            "greylist=all delay=60",
            NeverMatches,
            "user@example.org greylist=all",
        ),
        (
            ".example.org delay=60",
            NeverMatches,
            "example.org delay=60",
        ),
        ("/a b=c/", Invalid, r"\s for a blank"),
        ("/[/ delay=60", Invalid, ""),
        ("nowhite example.org", Invalid, "it there"),
        ("b@\nB@ delay=60", NeverMatches, "one of them"),
        ("b@ delay=60\nb@ delay=61", NeverMatches, "one of them"),
    ] {
        assert_eq!(said_of_recipient(line), with(fault, instead), "{line}");
    }
    for lines in [
        "b@\nb@",
        "b@ delay=60\nB@ delay=60",
        "b@\nb@r.example delay=60",
    ] {
        assert_eq!(said_of_recipient(lines), None, "{lines}");
    }
    // Only recipients have keys.
    let said = |line: &str| {
        Addresses::read([line.as_bytes()])
            .1
            .kept
            .pop()
            .expect("a finding")
    };
    let remark = said("a@s.example delay=60").remark;
    assert_eq!(
        (remark.fault, remark.instead.as_deref()),
        (Invalid, Some("a@s.example"))
    );
    assert!(
        remark.why.contains("whitelist_recipients"),
        "{}",
        remark.why
    );
    let endless = format!("b@ {}=1", "x".repeat(5_000));
    assert_eq!(said_of_recipient(&endless), with(Invalid, ""));
}

/// The advice is good: the line that is proposed has nothing to be said of, and matches what was meant.
#[test]
fn advice_works() {
    for (line, name) in [
        (".example.com", "mail.example.com"),
        ("/mail/i", "MAIL.example.com"),
        ("mail*.example.com", "a.mail7.example.com"),
        ("*example.com", "myexample.com"),
    ] {
        let (_, findings) = Clients::read([line.as_bytes()]);
        let instead = findings.kept[0].remark.instead.clone().expect("advice");
        assert_eq!(said_of_client(&instead), None);
        assert!(
            Clients::read([instead.as_bytes()])
                .0
                .find_name(name.as_bytes())
                .is_some()
        );
    }
    for (line, recipient) in [
        ("user*@example.org", "user7@example.org"),
        ("post*@", "postmaster@example.net"),
        ("example.*", "a@mail.example.net"),
        ("192.0.2.1", "a@[192.0.2.1]"),
        ("2001:db8::1", "a@[IPv6:2001:db8::1]"),
        ("user@*", "user+x@example.org"),
    ] {
        let instead = said_of_recipient(line).and_then(|(_, instead)| instead);
        let instead = instead.expect("advice");
        assert_eq!(said_of_recipient(&instead), None);
        let (recipients, _) = Recipients::read([instead.as_bytes()]);
        assert!(recipients.find(recipient.as_bytes()).is_some(), "{line}");
    }
    let (_, findings) = Recipients::read([&b"user@.example.org"[..]]);
    let instead = findings.kept[0].remark.instead.clone().expect("advice");
    let (recipients, _) = Recipients::read([instead.as_bytes()]);
    for (recipient, is_meant) in [
        ("user@example.org", true),
        ("user@a.example.org", true),
        ("user@bexample.org", false),
    ] {
        assert_eq!(recipients.find(recipient.as_bytes()).is_some(), is_meant);
    }
}

/// Whoever asks chooses the text, so what regular expressions may cost is bounded.
#[test]
fn long_texts_fit_no_regular_expression() {
    let fits = |clients: &Clients, bytes| clients.find_name(&vec![b'a'; bytes]).is_some();
    let (clients, _) = Clients::read([&b"/a/"[..]]);
    assert!(fits(&clients, 320) && !fits(&clients, 321));
    // Each byte of these becomes three.
    assert!(
        clients
            .find_name(&[&b"a"[..], &[0xff; 106]].concat())
            .is_some()
    );
    assert!(
        clients
            .find_name(&[&b"a"[..], &[0xff; 107]].concat())
            .is_none()
    );
    // Five of these and the small one have 120 KiB, so that only texts of 85 bytes can be afforded.
    let text = [&"/[a-z]{0,200}1/\n".repeat(6), "/a/\n"].concat();
    let (clients, findings) = Clients::read([text.as_bytes()]);
    assert_eq!((clients.len(), findings.kept.len()), (6, 1));
    assert!(fits(&clients, 84) && !fits(&clients, 100));
    let (recipients, _) = Recipients::read([&b"/a/\na@"[..]]);
    let recipient = [&b"a@"[..], &[b'a'; 4_000]].concat();
    assert!(recipients.find(&recipient).is_some());
    assert!(recipients.find(&recipient[1..]).is_none());
}

#[test]
fn at_most_128_kib_of_regular_expressions() {
    let text: String = (0..520)
        .map(|number| format!("/^mail{number}$/\n"))
        .collect();
    let (clients, findings) = Clients::read([text.as_bytes()]);
    assert_eq!((clients.len(), findings.kept.len()), (256, 264));
    assert!(clients.find_name(b"mail255").is_some() && clients.find_name(b"mail256").is_none());
}

#[test]
fn a_regular_expression_may_be_longer_than_a_name() {
    let line = format!("/^({})$/", ["1.2.3.example"; 80].join("|"));
    assert!(line.len() > 1_024);
    let (clients, findings) = Clients::read([line.as_bytes()]);
    assert_eq!(findings.kept, []);
    assert!(clients.find_name(b"1.2.3.example").is_some());
    let line = format!("/{}/", "a".repeat(65_536));
    assert_eq!(said_of_client(&line), with(Fault::Invalid, ""));
}

#[test]
fn of_many_findings_the_first_are_kept() {
    let text = ".example.com\n".repeat(1_500);
    let (_, findings) = Clients::read([text.as_bytes()]);
    assert_eq!((findings.kept.len(), findings.more), (1_000, 500));
    assert_eq!(findings.kept[999].origin.line, 1_000);
    let scratch = Scratch::new("many-findings");
    let list = scratch.path("clients");
    std::fs::write(&list, text).expect("a list");
    let (code, printed) = checked(&[&format!("--whitelist-clients={list}")]);
    assert_eq!(code, 1);
    assert!(printed.contains(&format!("{list} line 1000: `.example.com` can never match")));
    assert!(!printed.contains("line 1001:"));
    assert!(printed.contains("500 more lines of the list of clients are in doubt"));
}

#[test]
fn a_byte_order_mark_is_skipped() {
    let (clients, findings) = Clients::read([&b"\xef\xbb\xbfexample.com\n"[..]]);
    assert!(findings.kept.is_empty() && clients.find_name(b"example.com").is_some());
}

#[test]
fn a_match_says_where_it_stands() {
    let files = [
        &b"# one\nexample.com\n\n192.0.2.0/24"[..],
        b"/^mail/\n2001:db8::/32\n",
    ];
    let (clients, _) = Clients::read(files);
    let place =
        |origin: Option<greylet::engine::access::Origin>| origin.map(|it| (it.file, it.line));
    assert_eq!(place(clients.find_name(b"a.example.com")), Some((0, 2)));
    assert_eq!(place(clients.find_name(b"MAIL.example.net")), Some((1, 1)));
    assert_eq!(
        place(clients.find_address("192.0.2.9".parse().unwrap())),
        Some((0, 4))
    );
    assert_eq!(
        place(clients.find_address("2001:db8:1::".parse().unwrap())),
        Some((1, 2))
    );
    assert_eq!(place(clients.find_name(b"mx.example.net")), None);
}

#[test]
fn pools() {
    let files = [
        &b"a.net\npool Example.com\n"[..],
        b"pool eu.example.com\npool mail.example.org\npool .example.net\n",
    ];
    let (clients, findings) = Clients::read(files);
    assert_eq!((clients.len(), findings.kept.len()), (4, 1));
    let found = |name: &str| {
        let pool = clients.find_pool(name.as_bytes())?;
        let name = String::from_utf8(pool.name.as_bytes().to_vec()).unwrap();
        Some((name, pool.origin.file, pool.origin.line))
    };
    let pool = |name: &str, file, line| Some((name.to_owned(), file, line));
    assert_eq!(found("example.com"), pool("example.com", 0, 2));
    assert_eq!(found("a.EXAMPLE.com."), pool("EXAMPLE.com", 0, 2));
    // All whom the shorter name covers are one client.
    assert_eq!(found("a.eu.example.com"), pool("example.com", 0, 2));
    assert_eq!(found("a.mail.example.org"), pool("mail.example.org", 1, 2));
    for name in [
        "badexample.com",
        "example.org",
        "a.net",
        "a.example.net",
        "com",
        "unknown",
        "",
    ] {
        assert_eq!(found(name), None, "{name}");
    }
    // A pool exempts nobody.
    assert_eq!(clients.find_name(b"a.example.com"), None);
    assert!(clients.find_name(b"b.a.net").is_some());
    for line in [
        "com",
        "192.168.",
        "192.0.2.0/255.255.255.0",
        "2001:db8::/32",
        "/re/i",
    ] {
        let line = format!("pool {line}");
        let why = &Clients::read([line.as_bytes()]).1.kept[0].remark.why;
        assert!(
            why.starts_with("a pool has a name of two labels"),
            "{line}: {why}"
        );
    }
    // Not in the list of recipients.
    assert!(said_of_recipient("pool example.com").is_some());
}

/// Few letters, so that things are often alike.
fn word() -> impl Strategy<Value = String> {
    prop::collection::vec(
        prop::sample::select(vec!["a", "B", "b", ".", "+", "@"]),
        1..7,
    )
    .prop_map(|letters| letters.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    /// Against Postgrey's rule as it stands in its manual: the name or its end after a dot, whatever the case.
    #[test]
    fn names_like_a_search_from_end_to_end(
        words in prop::collection::vec(word(), 0..8),
        name in word(),
    ) {
        let words: Vec<&String> = words.iter().filter(|word| !word.starts_with('/')).collect();
        let text: String = words.iter().map(|word| format!("{word}\n")).collect();
        let (clients, _) = Clients::read([text.as_bytes()]);
        let name = name.to_ascii_lowercase();
        let is_listed = words.iter().any(|word| {
            let word = word.to_ascii_lowercase();
            name == word || name.ends_with(&format!(".{word}"))
        });
        prop_assert_eq!(clients.find_name(name.as_bytes()).is_some(), is_listed);
    }

    /// Against Postgrey's regular expressions, spelled out.
    #[test]
    fn recipients_like_a_search_from_end_to_end(
        words in prop::collection::vec(word(), 0..8),
        recipient in word(),
    ) {
        let text: String = words.iter().map(|word| format!("{word}\n")).collect();
        let (recipients, _) = Recipients::read([text.as_bytes()]);
        let is_listed = words.iter().any(|word| {
            let pattern = match word.split_once('@') {
                Some((user, "")) => format!(r"^{}(\+[^@]+)?@", regex_lite::escape(user)),
                Some((user, domain)) => {
                    format!(r"^{}(\+[^@]+)?@{}$", regex_lite::escape(user), regex_lite::escape(domain))
                }
                None => format!(r"(@|\.){}$", regex_lite::escape(word)),
            };
            let pattern = regex_lite::RegexBuilder::new(&pattern).case_insensitive(true).build();
            pattern.expect("a pattern").is_match(&recipient)
        });
        prop_assert_eq!(recipients.find(recipient.as_bytes()).is_some(), is_listed, "{:?}", text);
    }
}

/// How much a word says of an address, if it matches: of the user more than of the domain, and of both more with each byte.
fn says(word: &str, address: &str) -> Option<(u8, usize, bool)> {
    let escaped = regex_lite::escape;
    let (pattern, says) = match word.split_once('@') {
        _ if word.starts_with('/') => (word.trim_matches('/').to_owned(), (0, 0, false)),
        Some((user, domain)) => {
            let end = match domain {
                "" => String::new(),
                domain => format!("{}$", escaped(domain)),
            };
            let pattern = format!(r"^{}(\+[^@]+)?@{end}", escaped(user));
            (pattern, (2, user.len(), !domain.is_empty()))
        }
        None => (format!(r"(@|\.){}$", escaped(word)), (1, word.len(), false)),
    };
    let pattern = regex_lite::RegexBuilder::new(&pattern)
        .case_insensitive(true)
        .build()
        .expect("a pattern");
    pattern.is_match(address).then_some(says)
}

/// Users with and without extensions at domains and their subdomains.
fn address(domains: &[&'static str]) -> impl Strategy<Value = String> {
    let users = ["a", "b", "B", "a+b", "A+b+a", "a+b+a", "+a"];
    let (users, domains) = (users.to_vec(), domains.to_vec());
    (prop::sample::select(users), prop::sample::select(domains))
        .prop_map(|(user, domain)| format!("{user}@{domain}"))
}

fn word_or_pattern() -> impl Strategy<Value = String> {
    let others = ["a", "b.a", "A.b.a", "/a/", "/^b/", r"/\+/"].map(str::to_owned);
    prop_oneof![
        2 => address(&["", "a", "b.a", "B.A", "a.b.a"]),
        1 => word(),
        2 => prop::sample::select(others.to_vec()),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4_000, failure_persistence: None, ..ProptestConfig::default() })]

    /// Of all lines that match, the one that says most applies, and of two that say the same the first.
    #[test]
    fn the_line_that_applies_like_a_search_from_end_to_end(
        lines in prop::collection::vec((word_or_pattern(), any::<bool>()), 0..10),
        recipient in prop_oneof![3 => address(&["a", "b.a", "a.b.a"]), 1 => word()],
    ) {
        let text: String = lines
            .iter()
            .zip(1..)
            .map(|((word, has_key), number)| match has_key {
                true => format!("{word} delay={number}\n"),
                false => format!("{word}\n"),
            })
            .collect();
        let (recipients, _) = Recipients::read([text.as_bytes()]);
        let matching = lines.iter().zip(1_u32..).filter_map(|((word, has_key), number)| {
            Some((says(word, &recipient)?, std::cmp::Reverse(number), *has_key))
        });
        let expected = matching.max().map(|(_, number, has_key)| (number.0, has_key.then_some(number.0)));
        let found = recipients.find(recipient.as_bytes()).map(|line| {
            let delay = line.policy.and_then(|policy| policy.delay);
            (line.origin.line, delay.map(|delay| delay.get()))
        });
        prop_assert_eq!(found, expected, "{:?}", text);
    }
}

fn is_passed(server: &Server, client_name: &str) -> bool {
    let changes = [
        ("client_name", Some(client_name)),
        ("client_address", Some("203.0.113.1")),
    ];
    server.connect().ask(request(&changes)) == "DUNNO"
}

#[test]
fn hup_reloads_the_lists_and_drops_nothing() {
    let scratch = Scratch::new("reload");
    let list = scratch.path("clients");
    std::fs::write(&list, "one.example\n").expect("a list");
    let mut server = Server::start(&[&format!("--whitelist-clients={list}")]);
    let mut client = server.connect();
    assert!(client.ask(request(&[])).starts_with("DEFER_IF_PERMIT "));
    assert!(is_passed(&server, "mail.one.example") && !is_passed(&server, "two.example"));
    std::fs::write(&list, "two.example\n.three.example\n").expect("a list");
    kill(server.pid(), Signal::SIGHUP).expect("it is running");
    server.wait_for("HUP received: reloading whitelists...");
    server.wait_for(&format!("list of clients: 2 rules from {list}"));
    assert!(!is_passed(&server, "mail.one.example") && is_passed(&server, "two.example"));
    // The connection and the triplet are still there.
    let action = client.ask(request(&[]));
    assert!(action.starts_with("DEFER_IF_PERMIT "), "{action}");
    kill(server.pid(), Signal::SIGUSR1).expect("it is running");
    server.wait_for("requests answered");
    assert!(server.stop(Signal::SIGTERM).success());
    let said = format!("{list} line 2: `.three.example` can never match: ");
    assert!(
        server.log.iter().any(|line| line.starts_with(&said)),
        "{:?}",
        server.log
    );
    let retry = |line: &&String| line.contains("reason=early-retry") || line.contains("reason=new");
    assert!(server.log.iter().filter(retry).count() >= 2);
}

#[test]
fn a_list_that_cannot_be_read_keeps_its_last_good_content() {
    let scratch = Scratch::new("unreadable");
    let list = scratch.path("clients");
    std::fs::write(&list, "one.example\n").expect("a list");
    let mut server = Server::start(&[&format!("--whitelist-clients={list}")]);
    let reload = |server: &mut Server| {
        kill(server.pid(), Signal::SIGHUP).expect("it is running");
        server.wait_for("the last good list stays in force");
        assert!(is_passed(server, "one.example"));
    };
    std::fs::remove_file(&list).expect("it is there");
    reload(&mut server);
    std::fs::create_dir(&list).expect("a folder");
    reload(&mut server);
    std::fs::remove_dir(&list).expect("it is there");
    std::fs::write(&list, vec![b'x'; (4 << 20) + 1]).expect("a list");
    reload(&mut server);
    std::fs::remove_file(&list).expect("it is there");
    nix::unistd::mkfifo(list.as_str(), nix::sys::stat::Mode::S_IRWXU).expect("a fifo");
    reload(&mut server);
}

#[test]
fn a_start_without_its_list_goes_on() {
    let scratch = Scratch::new("missing");
    let (list, other) = (scratch.path("missing"), scratch.path("there"));
    std::fs::write(&other, b"\x7fELF\0\xff\nexample.net\n").expect("a list");
    let mut server = Server::start(&[
        &format!("--whitelist-clients={list}"),
        &format!("--whitelist-clients={other}"),
    ]);
    assert!(is_passed(&server, "example.net") && !is_passed(&server, "example.com"));
    assert!(server.stop(Signal::SIGTERM).success());
    for said in [
        format!("cannot read the list {list}: No such file or directory"),
        format!("{other} line 1: `?ELF??` is ignored: it is not text"),
    ] {
        assert!(
            server.log.iter().any(|line| line.contains(&said)),
            "{said}: {:?}",
            server.log
        );
    }
}

#[test]
fn the_built_in_lists_are_used_when_there_are_none() {
    let recipient = |recipient| request(&[("recipient", Some(recipient))]);
    let server = Server::start(&[]);
    let mut client = server.connect();
    assert_eq!(client.ask(recipient("Postmaster@r.example")), "DUNNO");
    assert_ne!(client.ask(recipient("b@r.example")), "DUNNO");
    assert!(is_passed(&server, "mx1.southwest.com"));
}

fn checked(words: &[&str]) -> (i32, String) {
    let output = run(&[&["check"], words].concat(), b"");
    assert_eq!(output.stderr, b"");
    let printed = String::from_utf8(output.stdout).expect("UTF-8");
    (output.status.code().expect("an exit code"), printed)
}

#[test]
fn check() {
    let scratch = Scratch::new("check");
    let (clients, recipients) = (scratch.path("clients"), scratch.path("recipients"));
    std::fs::write(&clients, "example.com\n192.0.2.0/24\n192.168\n/^10\\./\n").expect("a list");
    std::fs::write(&recipients, "postmaster@\nuser\nbob@example.org\n").expect("a list");
    let (clients, recipients) = (
        format!("--whitelist-clients={clients}"),
        format!("--whitelist-recipients={recipients}"),
    );
    let check = |words: &[&str]| checked(&[&[&clients[..], &recipients], words].concat());
    // A line that may not mean what it looks like is no fault.
    let (code, printed) = check(&[]);
    assert_eq!(code, 0, "{printed}");
    assert!(printed.contains("clients line 3: `192.168` may not mean what you want"));
    assert!(
        printed.contains("list of clients: 4 rules") && printed.contains("recipients: 3 rules")
    );
    for (word, said) in [
        (
            "--client-name=MX.Example.com",
            "clients line 1: `example.com`",
        ),
        ("--client-name=badexample.com", "no line matches"),
        (
            "--client-name=badexample.com",
            "line 1: `example.com` is its end, but",
        ),
        ("--client-name=unknown", "only if reverse and forward DNS"),
        (
            "--client-address=192.0.2.9",
            "clients line 2: `192.0.2.0/24`",
        ),
        (
            "--client-address=192.168.5.5",
            "line 3: `192.168` would match if it were written 192.168.0.0/16",
        ),
        (
            "--client-address=10.1.1.1",
            r"line 4: `/^10\./` is tried on names only",
        ),
        (
            "--recipient=Postmaster+x@r.example",
            "recipients line 1: `postmaster@`",
        ),
        (
            "--recipient=user@r.example",
            "line 2: `user` is a domain; a user at any domain is user@",
        ),
        (
            "--recipient=Bob+x@mail.example.org",
            "line 3: `bob@example.org` is the user at exactly this domain, not at its subdomains",
        ),
    ] {
        let (code, printed) = check(&[word]);
        assert!(code == 0 && printed.contains(said), "{word}: {printed}");
    }
    for recipient in ["bobby@mail.example.org", "bob@badexample.org"] {
        let (_, printed) = check(&[&format!("--recipient={recipient}")]);
        assert!(!printed.contains("exactly this domain"), "{printed}");
    }
    let pools = scratch.path("pools");
    std::fs::write(
        &pools,
        "mx.example.com\npool Example.com\npool .example.net\n",
    )
    .expect("a list");
    let pools = format!("--whitelist-clients={pools}");
    let covers = "line 2: `pool Example.com` covers it: all clients of that pool are one, but greylisted like any other";
    let (_, printed) = checked(&[&pools, "--client-name=a.example.com"]);
    assert!(
        printed.contains(covers) && printed.contains("a.example.com: no line matches"),
        "{printed}"
    );
    let (_, printed) = checked(&[&pools, "--client-name=mx.example.com"]);
    assert!(
        printed.contains(covers) && printed.contains("matched by"),
        "{printed}"
    );
    let (code, printed) = checked(&[&pools, "--client-name=mx.example.net"]);
    assert!(!printed.contains("covers it:"), "{printed}");
    assert_eq!(code, 1);
    let instead = "`pool .example.net` would match if it were written pool example.net";
    assert!(printed.contains(instead), "{printed}");
    let nowhite = scratch.path("nowhite");
    std::fs::write(&nowhite, "nowhite example.com\nnowhite 192.0.2.0/24\n").expect("a list");
    let nowhite = format!("--whitelist-clients={nowhite}");
    for (word, line) in [
        (
            "--client-name=mx.example.com",
            "line 1: `nowhite example.com`",
        ),
        (
            "--client-address=192.0.2.9",
            "line 2: `nowhite 192.0.2.0/24`",
        ),
    ] {
        let (code, printed) = checked(&[&nowhite, word]);
        let said = format!(
            "{line} covers it: such clients are greylisted like any other, and never auto-whitelisted"
        );
        assert!(
            code == 0 && printed.contains(&said) && printed.contains("no line matches"),
            "{printed}"
        );
    }
    let dead = scratch.path("dead");
    std::fs::write(&dead, ".example.com\nexample.net\n").expect("a list");
    let dead = format!("--whitelist-clients={dead}");
    let (code, printed) = checked(&[&dead, "--client-name=mail.example.com"]);
    assert_eq!(code, 1);
    assert!(
        printed.contains("line 1: `.example.com` can never match: "),
        "{printed}"
    );
    assert!(printed.contains("line 1: `.example.com` would match if it were written example.com"));
    let (code, printed) = checked(&["--whitelist-clients=/nowhere"]);
    assert!(
        code == 1 && printed.contains("cannot read the list /nowhere"),
        "{printed}"
    );
    assert_eq!(
        run(&["check", "--client-address=mail"], b"").status.code(),
        Some(2)
    );
}

#[test]
fn check_of_rules() {
    let scratch = Scratch::new("checkrules");
    let list = |option: &str, name: &str, text: &str| {
        std::fs::write(scratch.path(name), text).expect("a list");
        format!("--{option}={}", scratch.path(name))
    };
    let recipients = list(
        "whitelist-recipients",
        "recipients",
        "boss@example.org delay=7200\nuser delay=60\n",
    );
    let senders = list(
        "whitelist-senders",
        "senders",
        "example.com\n*.example.net\n",
    );
    let greylisted = list("greylist-recipients", "greylisted", "example.org\n");
    let check = |words: &[&str]| {
        let lists = [&recipients[..], &senders, &greylisted];
        checked(&[&lists[..], words].concat())
    };
    let (code, printed) = check(&[]);
    assert_eq!(code, 1);
    assert!(
        printed.contains("senders line 2: `*.example.net` can never match"),
        "{printed}"
    );
    assert!(printed.contains("list of senders: 2 rules"), "{printed}");
    assert!(
        printed.contains("list of greylisted recipients: 1 rules"),
        "{printed}"
    );
    let (_, printed) = checked(&[]);
    assert!(!printed.contains("senders"), "{printed}");
    for (words, said) in [
        (
            &["--recipient=boss+x@example.org"][..],
            "recipients line 1: `boss@example.org delay=7200`\n  so its mail is greylisted, but as this line says\n",
        ),
        (
            &["--recipient=boss@example.org"],
            "greylisted recipient boss@example.org: matched by",
        ),
        (
            &["--recipient=b@example.com"],
            "greylisted recipient b@example.com: no line matches, so its mail is not greylisted",
        ),
        (
            &["--recipient=b+@example.com"],
            "greylisted recipient b+@example.com: no line matches, but its mail is greylisted",
        ),
        (
            &["--recipient=user@r.example"],
            "recipients line 2: `user` is a domain; a user at any domain is user@",
        ),
        (
            &["--sender=a@mail.example.com"],
            "senders line 1: `example.com`\n  it counts only if the client has a verified name",
        ),
        (
            &["--sender=a@example.com", "--client-name=unknown"],
            "  this client has no verified name, so the line does not count",
        ),
        (
            &["--sender=a@example.com", "--client-name=a.b"],
            "  this client has a verified name, so the line counts",
        ),
        (
            &["--sender=a@b.example.net"],
            "`*.example.net` would match if it were written example.net",
        ),
        (&["--sender="], "no line matches mail without a sender"),
        (
            &["--retry-window=2h"],
            "a retry window of 7200 seconds no retry could be in time; write delay=7199 at most",
        ),
    ] {
        let (_, printed) = check(words);
        assert!(printed.contains(said), "{words:?}: {printed}");
    }
    let wrong = run(&["check", "--retry-window=x"], b"");
    assert_eq!(wrong.status.code(), Some(2));
}
