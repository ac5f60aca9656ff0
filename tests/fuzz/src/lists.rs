//! Lists of clients, recipients and senders: every line is a rule or a remark at most, what the list itself says is looked up in it without harm, and a
//! list in two files is the list in one.

use std::net::IpAddr;

use greylet::engine::access::{Addresses, Clients, Findings, Recipients, lines};
use greylet::engine::limits::{FINDINGS_MAX, LIST_LINE_SHOWN_BYTES_MAX};

/// Lines of which something is looked up; each look-up may cost a millisecond.
const LOOKED_UP_MAX: usize = 8;

/// Words of a line that are looked up: what stands after `pool` is the second one.
const LOOKED_UP_IN_LINE_MAX: usize = 2;

fn check_findings(findings: &Findings, lines: usize) {
    assert!(findings.kept.len() <= FINDINGS_MAX);
    assert!(findings.kept.len() + findings.more <= lines);
    assert!(findings.more == 0 || findings.kept.len() == FINDINGS_MAX);
    for finding in &findings.kept {
        assert!(finding.content.len() <= LIST_LINE_SHOWN_BYTES_MAX);
        assert!((1..=lines as u32).contains(&finding.origin.line));
        let said = format!("{:?}", finding.remark);
        assert!(!said.contains('\n'), "{said}");
    }
}

/// The bytes up to a line end near the middle, and the rest, which does not begin with what is skipped at the beginning of a file.
fn halves(bytes: &[u8]) -> [&[u8]; 2] {
    let middle = bytes.len() / 2;
    let end = bytes[middle..].iter().position(|&byte| byte == b'\n');
    let (first, second) = bytes.split_at(end.map_or(bytes.len(), |end| middle + end + 1));
    match second.starts_with(b"\xef\xbb\xbf") {
        true => [bytes, &[]],
        false => [first, second],
    }
}

/// See the [module](self).
pub fn check(bytes: &[u8]) {
    // Empty ones and comments, too.
    let lines_count = bytes.split(|&byte| byte == b'\n').count();
    let (clients, findings) = Clients::read([bytes]);
    check_findings(&findings, lines_count);
    assert!(clients.len() <= lines_count);
    let (recipients, findings) = Recipients::read([bytes]);
    check_findings(&findings, lines_count);
    assert!(recipients.len() <= lines_count);
    let (addresses, findings) = Addresses::read([bytes]);
    check_findings(&findings, lines_count);
    assert!(addresses.len() <= lines_count);
    let (clients_in_two, _) = Clients::read(halves(bytes));
    let (recipients_in_two, _) = Recipients::read(halves(bytes));
    let (addresses_in_two, _) = Addresses::read(halves(bytes));
    assert_eq!(clients_in_two.len(), clients.len());
    assert_eq!(recipients_in_two.len(), recipients.len());
    assert_eq!(addresses_in_two.len(), addresses.len());
    for (_, line) in lines(bytes).take(LOOKED_UP_MAX) {
        let words = line
            .split(u8::is_ascii_whitespace)
            .filter(|word| !word.is_empty());
        for word in words.take(LOOKED_UP_IN_LINE_MAX) {
            let address = address_in(word);
            let found = |clients: &Clients, recipients: &Recipients, addresses: &Addresses| {
                [
                    clients.find_name(word).is_some(),
                    clients.find_pool(word).is_some(),
                    clients.find_nowhite(word, address).is_some(),
                    address.is_some_and(|address| clients.find_address(address).is_some()),
                    recipients.find(word).is_some(),
                    addresses.find(word).is_some(),
                ]
            };
            assert_eq!(
                found(&clients, &recipients, &addresses),
                found(&clients_in_two, &recipients_in_two, &addresses_in_two),
                "{}",
                word.escape_ascii()
            );
        }
    }
}

/// The address of a network, or one that stands alone.
fn address_in(word: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(word).ok()?;
    text.split('/').next()?.parse().ok()
}
