//! Lists of clients and recipients: every line is a rule or a remark at most, what the list itself says is looked up in it without harm, and a
//! list in two files is the list in one.

use std::net::IpAddr;

use greylet::engine::access::{Clients, Findings, Recipients, lines};
use greylet::engine::limits::{FINDINGS_MAX, LIST_LINE_SHOWN_BYTES_MAX};

/// Lines that are looked up; each look-up may cost a millisecond.
const LOOKED_UP_MAX: usize = 8;

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
    let (clients_in_two, _) = Clients::read(halves(bytes));
    let (recipients_in_two, _) = Recipients::read(halves(bytes));
    assert_eq!(clients_in_two.len(), clients.len());
    assert_eq!(recipients_in_two.len(), recipients.len());
    for (_, line) in lines(bytes).take(LOOKED_UP_MAX) {
        let line = line.trim_ascii();
        assert_eq!(
            clients.find_name(line).is_some(),
            clients_in_two.find_name(line).is_some()
        );
        assert_eq!(
            clients.find_pool(line).is_some(),
            clients_in_two.find_pool(line).is_some()
        );
        assert_eq!(
            recipients.find(line).is_some(),
            recipients_in_two.find(line).is_some()
        );
        let text = std::str::from_utf8(line).unwrap_or_default();
        let text = text.split('/').next().unwrap_or_default();
        if let Ok(address) = text.parse::<IpAddr>() {
            assert_eq!(
                clients.find_address(address).is_some(),
                clients_in_two.find_address(address).is_some()
            );
        }
    }
}
