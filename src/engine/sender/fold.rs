//! A sender without what makes it unique to one mail, so that the next mail from the same place is known by it. Timid,
//! because the addresses of two people must stay two.
//!
//! | in the local part | in the folded form |
//! |---|---|
//! | `prvs=TAG=USER` (BATV), `msprvs1=TAG=USER` (SparkPost), `btv1==TAG==USER` (Barracuda), also one round another | `USER` |
//! | `SRS0=HASH=TIME=DOMAIN=USER` | `srs0=*=*=domain=USER` |
//! | `SRS1=HASH=FORWARDER==HASH=TIME=DOMAIN=USER` | `srs1=*=forwarder==*=*=domain=USER` |
//! | at its end `USER=DOMAIN` (VERP), if that is the request's recipient | `*` |
//! | a UUID | `*` |
//! | a token of 16 or more hexadecimal digits, 4 or more of them decimal | `*` |
//! | a token of 12 or more letters and digits that has 4 digits and 4 changes between the two | `*` |
//! | beside one of these three, a token of 8 or more hexadecimal digits, decimal ones and others, or a number | `*` |
//!
//! `USER` is folded in its turn. A token ends at `-`, `_`, `=`, `.` or `/`. All this is done to what Postgrey makes of the
//! sender, so that `fold(postgrey(sender))` is `fold(sender)`, and an entry taken over from Postgrey, whose database has no
//! more than that, stays valid. The price is that what Postgrey cuts off at a `+` cannot stay: of `SRS0+` and all behind it
//! only `srs0` is left, and of one `SRS0=` in 16, whose hash contains a `+`, only `srs0=*`.

use std::iter;

use heapless::VecView;

use crate::engine::sender::postgrey::{append_with_numbers_as_hash_signs, user_of_prvs};
use crate::engine::sender::{Address, append, normalise_sender};

/// What stands for a folded part. Not Postgrey's `#`: a UUID may have that for a group of digits, and a recipient for a
/// number, so what is folded once could fold with its neighbours the next time.
const FOLDED: &[u8] = b"*";

/// Shortest token that is unique if it is hexadecimal, in bytes.
const HEXADECIMAL_BYTES_MIN: usize = 16;

/// Shortest token that is unique if letters and digits take turns in it, in bytes.
const MIXED_BYTES_MIN: usize = 12;

/// Fewest decimal digits of a unique token.
const DIGITS_MIN: usize = 4;

/// Fewest changes between letters and digits in a token that is not hexadecimal.
const CHANGES_MIN: usize = 4;

/// Shortest hexadecimal token that is folded beside a unique one, in bytes: a time in seconds has eight digits.
const HEXADECIMAL_BESIDE_BYTES_MIN: usize = 8;

/// Hexadecimal digits in the groups of a UUID.
const UUID_GROUPS_BYTES: [usize; 5] = [8, 4, 4, 4, 12];

/// Appends a sender as [`normalise_sender`] has it, and folded. The recipient is the request's, for a sender that is made
/// from it. The domain stays, and so does a sender without `@`. Folding twice is folding once; a folded sender is never longer
/// than the sender. What does not fit is cut. True if there was something to fold.
pub fn fold_sender(sender: &[u8], recipient: &[u8], to: &mut VecView<u8>) -> bool {
    let start = to.len();
    let mut normal = Address::new();
    normalise_sender(sender, &mut normal);
    let Some(at) = normal.iter().position(|&byte| byte == b'@') else {
        append(to, &normal);
        return false;
    };
    let (local_part, domain) = normal.split_at(at);
    let mut user = local_part;
    while let Some(inner) = user_of_batv(user).or_else(|| append_srs(user, to)) {
        user = inner;
    }
    if let Some(before) = before_verp(user, recipient) {
        append_folded(to, before);
        append(to, FOLDED);
    } else {
        append_folded(to, user);
    }
    append(to, domain);
    to[start..] != normal[..]
}

/// The user of a sender with a BATV tag. Postgrey's rule comes first: what was `PRVS=` is seen only now, in lower case, and would
/// be seen by Postgrey as well if it were asked twice.
fn user_of_batv(local_part: &[u8]) -> Option<&[u8]> {
    const SHAPES: [(&[u8], &[u8]); 3] = [(b"prvs=", b"="), (b"msprvs1=", b"="), (b"btv1==", b"==")];
    user_of_prvs(local_part).or_else(|| {
        SHAPES.iter().find_map(|(prefix, separator)| {
            let tagged = local_part.strip_prefix(*prefix)?;
            let tag_bytes = tagged
                .windows(separator.len())
                .position(|bytes| bytes == *separator)?;
            let user = &tagged[tag_bytes + separator.len()..];
            (!user.is_empty()).then_some(user)
        })
    })
}

/// Appends what is before the user of a sender that a forwarder has rewritten (SRS), and returns the user. An SRS1 that
/// does not contain an SRS0 stays as it is.
fn append_srs<'a>(local_part: &'a [u8], to: &mut VecView<u8>) -> Option<&'a [u8]> {
    let (scheme, rest) = local_part.split_at_checked(5)?;
    match scheme {
        b"srs0=" | b"srs0-" => {
            append(to, scheme);
            Some(append_srs0(rest, to))
        }
        b"srs1=" | b"srs1-" => {
            append(to, scheme);
            let rest = append_folded_field(rest, to);
            let (forwarder, rest) = split_field(rest);
            append(to, forwarder);
            if let [separator @ (b'=' | b'-'), rest @ ..] = rest {
                append(to, &[*separator]);
                Some(append_srs0(rest, to))
            } else {
                append(to, rest);
                Some(b"")
            }
        }
        _ => None,
    }
}

fn append_srs0<'a>(hash_and_rest: &'a [u8], to: &mut VecView<u8>) -> &'a [u8] {
    let time_and_rest = append_folded_field(hash_and_rest, to);
    let domain_and_user = append_folded_field(time_and_rest, to);
    let (domain, user) = split_field(domain_and_user);
    append(to, domain);
    user
}

fn append_folded_field<'a>(text: &'a [u8], to: &mut VecView<u8>) -> &'a [u8] {
    let (field, rest) = split_field(text);
    match field {
        [] | [b'='] => append(to, field),
        [.., b'='] => {
            append(to, FOLDED);
            append(to, b"=");
        }
        _ => append(to, FOLDED),
    }
    rest
}

/// The text up to its first `=` and with it, and the rest.
fn split_field(text: &[u8]) -> (&[u8], &[u8]) {
    let end = text.iter().position(|&byte| byte == b'=');
    text.split_at(end.map_or(text.len(), |end| end + 1))
}

/// What is before the recipient at the end of a local part, if it is there as `user=domain`. A recipient with a `*` never is, for
/// folding could have put it there.
fn before_verp<'a>(local_part: &'a [u8], recipient: &[u8]) -> Option<&'a [u8]> {
    if !local_part.contains(&b'=') {
        return None;
    }
    let at = recipient.iter().position(|&byte| byte == b'@')?;
    let user = recipient[..at].split(|&byte| byte == b'+').next()?;
    let domain = &recipient[at + 1..];
    if user.is_empty() || domain.is_empty() || recipient.contains(&FOLDED[0]) {
        return None;
    }
    let mut encoded = Address::new();
    append_with_numbers_as_hash_signs(&mut encoded, user);
    append(&mut encoded, b"=");
    append_with_numbers_as_hash_signs(&mut encoded, domain);
    let before = local_part.strip_suffix(encoded.as_slice())?;
    before.last().is_none_or(is_separator).then_some(before)
}

fn append_folded(to: &mut VecView<u8>, text: &[u8]) {
    if !pieces(text).any(|piece| piece.is_unique) {
        append(to, text);
        return;
    }
    for piece in pieces(text) {
        if piece.is_unique || may_be_unique(piece.text) {
            append(to, FOLDED);
        } else {
            append(to, piece.text);
        }
    }
}

/// A separator, a token, or the nine of a UUID at once.
struct Piece<'a> {
    text: &'a [u8],
    is_unique: bool,
}

fn pieces<'a>(mut rest: &'a [u8]) -> impl Iterator<Item = Piece<'a>> {
    iter::from_fn(move || {
        let uuid_bytes = uuid_bytes(rest);
        let bytes = uuid_bytes.unwrap_or_else(|| token_bytes(rest).max(1));
        let (text, after) = rest.split_at_checked(bytes)?;
        rest = after;
        Some(Piece {
            text,
            is_unique: uuid_bytes.is_some() || is_unique_token(text),
        })
    })
}

fn is_separator(byte: &u8) -> bool {
    matches!(byte, b'-' | b'_' | b'=' | b'.' | b'/')
}

fn token_bytes(text: &[u8]) -> usize {
    text.iter().position(is_separator).unwrap_or(text.len())
}

/// The length of the UUID that a text begins with. Postgrey makes `#` of a group without letters. That is not taken for the
/// last group, which has none in one UUID of 280, so that no phone number is a UUID.
fn uuid_bytes(text: &[u8]) -> Option<usize> {
    let mut end = 0;
    for (index, group_bytes) in UUID_GROUPS_BYTES.into_iter().enumerate() {
        if index > 0 {
            (text.get(end) == Some(&b'-')).then_some(())?;
            end += 1;
        }
        let group = &text[end..][..token_bytes(&text[end..])];
        let is_last = index == UUID_GROUPS_BYTES.len() - 1;
        let is_group = group.len() == group_bytes && is_hexadecimal(group);
        (is_group || group == b"#" && !is_last).then_some(())?;
        end += group.len();
    }
    Some(end)
}

fn is_hexadecimal(token: &[u8]) -> bool {
    token.iter().all(u8::is_ascii_hexdigit)
}

fn is_unique_token(token: &[u8]) -> bool {
    if token.len() < MIXED_BYTES_MIN || !token.iter().all(u8::is_ascii_alphanumeric) {
        return false;
    }
    let digits = token.iter().filter(|byte| byte.is_ascii_digit()).count();
    let changes = token
        .windows(2)
        .filter(|pair| pair[0].is_ascii_digit() != pair[1].is_ascii_digit())
        .count();
    let is_mixed = changes >= CHANGES_MIN;
    digits >= DIGITS_MIN
        && (is_mixed || token.len() >= HEXADECIMAL_BYTES_MIN && is_hexadecimal(token))
}

/// Whether a token is unique too, given that there is a unique one beside it. Mandrill writes the time there in hexadecimal; when
/// that has no letter, it is a number to Postgrey. Its customer's number, after a `_`, is not, and stays.
fn may_be_unique(token: &[u8]) -> bool {
    token == b"#"
        || token.len() >= HEXADECIMAL_BESIDE_BYTES_MIN
            && is_hexadecimal(token)
            && token.iter().any(u8::is_ascii_digit)
            && token.iter().any(u8::is_ascii_alphabetic)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::limits::VALUE_BYTES_MAX;
    use proptest::prelude::*;
    use proptest::sample::select;
    use proptest::string::string_regex;

    fn folded(sender: &[u8], recipient: &[u8]) -> Vec<u8> {
        let mut address = Address::new();
        fold_sender(sender, recipient, &mut address);
        address.to_vec()
    }

    fn normal(sender: &[u8]) -> Vec<u8> {
        let mut address = Address::new();
        normalise_sender(sender, &mut address);
        address.to_vec()
    }

    fn shown(sender: &str) -> String {
        String::from_utf8(folded(sender.as_bytes(), b"user@r.example")).unwrap()
    }

    /// Senders of two mails to user@r.example, as the services write them, and what both become.
    #[test]
    fn shapes_that_fold() {
        for (service, first, second, form) in [
            (
                "Amazon SES",
                "010001725bf247e4-26c3b8bb-3ca1-415d-8c70-5df72ba44c66-000000@amazonses.com",
                "0100017299c0ccaf-f055cb04-4142-4150-9123-df27f0b90534-000000@amazonses.com",
                "*-*-*@amazonses.com",
            ),
            (
                "Amazon SES, own domain",
                "0102018f2c11a0b3-0f4e5f8c-0a1b-4c5d-8e9f-1a2b3c4d5e6f-000000@mail.s.example",
                "0102018f2c11a0b4-12345678-1234-4123-8123-1a2b3c4d5e60-000000@mail.s.example",
                "*-*-*@mail.s.example",
            ),
            (
                "Amazon",
                "2017062818244549a62a320d354447818b28158020p0na-C19WUOQGH538F3@bounces.amazon.com",
                "202503241354076f0c20a445c047ccb39cd7b48310p0na-C39ZAK9DXFBM50@bounces.amazon.com",
                "*-*@bounces.amazon.com",
            ),
            (
                "Amazon, no order",
                "20190224101108c7052c9bcc7f4abb90251e862cd0p0na@bounces.amazon.com",
                "20181112091512a1b2c3d4e5f60718293a4b5c6d7e0p0fe@bounces.amazon.com",
                "*@bounces.amazon.com",
            ),
            (
                "Mandrill",
                "bounce-md_31050260.5b3c67ff.v1-e1824fccfcec43ccb1262cb199269b92@mandrillapp.com",
                "bounce-md_31050260.65123456.v1-bc7aa93f62fd47d3810f37c6d0491484@mandrillapp.com",
                "bounce-md_31050260.*.v1-*@mandrillapp.com",
            ),
            (
                "Mailchimp",
                "bounce-mc.us12_4711.1234567-user=r.example@mail1.atl1.mcsv.net",
                "bounce-mc.us12_4711.7654321-user=r.example@mail1.atl1.mcsv.net",
                "bounce-mc.us12_4711.#-*@mail1.atl1.mcsv.net",
            ),
            (
                "SendGrid",
                "bounces+848413-634f-user=r.example@sgmail.github.com",
                "bounces+848413-7c2e-user=r.example@sgmail.github.com",
                "bounces@sgmail.github.com",
            ),
            (
                "Mailgun",
                "bounce+585af8.1a95e6-user=r.example@mg.s.example",
                "bounce+585af8.77bc01-user=r.example@mg.s.example",
                "bounce@mg.s.example",
            ),
            (
                "Brevo",
                "bounces-133768474-user=r.example@gt.d.sender-sib.com",
                "bounces-133768999-User=R.Example@gt.d.sender-sib.com",
                "bounces-#-*@gt.d.sender-sib.com",
            ),
            (
                "ActiveCampaign",
                "bounce-123456-789-1011-user=r.example@s.activehosted.example",
                "bounce-123457-790-1011-user=r.example@s.activehosted.example",
                "bounce-#-#-#-*@s.activehosted.example",
            ),
            (
                "SparkPost",
                "msprvs1=20192PA_4BrJs=bounces-56831-18@bounces.meetup.com",
                "msprvs1=20676xgzi92p-=bounces-56831-18@bounces.meetup.com",
                "bounces-#-#@bounces.meetup.com",
            ),
            (
                "LinkedIn",
                "m-j7q2rwb8aca3ozj7n0uy4hluj7tlsdydo5j1tw9dvhagtr25o3b@bounce.linkedin.com",
                "m-0k8x2mn5b7qq1wz9dly3uhtc6vra4pe0gsf8j2k5n7m1x3z9b4c@bounce.linkedin.com",
                "m-*@bounce.linkedin.com",
            ),
            (
                "LinkedIn, formerly",
                "mbr+vUHCrR4wQftTwqSzKtzLw35In-C5WzEIiCw1e0fHZPiazB@bounce.linkedin.com",
                "mbr+aGTCrR4wQftTwqSzKtzLw35In-C5WzEIiCw1e0fHZPaaaa@bounce.linkedin.com",
                "mbr@bounce.linkedin.com",
            ),
            (
                "Facebook",
                "notification+zj4oacs2zq2f@facebookmail.com",
                "notification+kr4ymmn2aa9x@facebookmail.com",
                "notification@facebookmail.com",
            ),
            (
                "Groups.io",
                "bounce+64575+163154+4520527+8129362@lists.cip-project.org",
                "bounce+64575+255389+4520527+8129362@lists.cip-project.org",
                "bounce@lists.cip-project.org",
            ),
            (
                "ExactTarget",
                "bounce-2317_HTML-330458969-1234-7654-0@bounce.s.example",
                "bounce-2317_HTML-330459012-1240-7654-0@bounce.s.example",
                "bounce-2317_html-#-#-#-#@bounce.s.example",
            ),
            (
                "Barracuda",
                "btv1==34826e458e2==Ryan.Carmichael@s.example",
                "btv1==474900d718c==Ryan.Carmichael@s.example",
                "ryan.carmichael@s.example",
            ),
            (
                "Cisco",
                "prvs=81176a5d5=david@s.example",
                "prvs=09697c964=David@s.example",
                "david@s.example",
            ),
            (
                "BATV in upper case",
                "PRVS=1234abcdef=joe@s.example",
                "Prvs=#=joe@s.example",
                "joe@s.example",
            ),
            (
                "BATV round VERP",
                "prvs=1234abcdef=list-bounces-user=r.example@s.example",
                "prvs=0612345678=list-bounces-user=r.example@s.example",
                "list-bounces-*@s.example",
            ),
            (
                "BATV round BATV",
                "btv1==474900d718c==prvs=1234abcdef=joe@s.example",
                "btv1==34826e458e2==prvs=0612345678=joe@s.example",
                "joe@s.example",
            ),
            (
                "SRS",
                "SRS0=gTW6=P2=vger.kernel.org=linux-mips-owner@kernel.org",
                "SRS0=43/C=46=vger.kernel.org=linux-mips-owner@kernel.org",
                "srs0=*=*=vger.kernel.org=linux-mips-owner@kernel.org",
            ),
            (
                "SRS, second separator",
                "SRS0-gTW6=P2=s.example=joe@f.example",
                "SRS0-43/C=46=s.example=joe@f.example",
                "srs0-*=*=s.example=joe@f.example",
            ),
            (
                "SRS, third separator",
                "SRS0+gTW6=P2=s.example=joe@f.example",
                "SRS0+43/C=46=s.example=joe@f.example",
                "srs0@f.example",
            ),
            (
                "SRS, + in the hash",
                "SRS0=r+5q=VJ=vger.kernel.org=linux-mips-owner@kernel.org",
                "SRS0=Z3+U=Q2=kvack.org=owner-linux-mm@kernel.org",
                "srs0=*@kernel.org",
            ),
            (
                "SRS, + at the hash's begin",
                "SRS0=+CYm=HS=s.example=joe@f.example",
                "SRS0=+xyz=HT=s.example=joe@f.example",
                "srs0=@f.example",
            ),
            (
                "SRS of BATV",
                "SRS0=gTW6=P2=s.example=prvs=1234abcdef=joe@f.example",
                "SRS0=xzkl=TA=s.example=prvs=0612345678=joe@f.example",
                "srs0=*=*=s.example=joe@f.example",
            ),
            (
                "SRS of a unique sender",
                "SRS0=gTW6=P2=a1b2c3d4e5f6.example=010001725bf247e4@f.example",
                "SRS0=xzkl=TA=a1b2c3d4e5f6.example=0100017299c0ccaf@f.example",
                "srs0=*=*=a1b2c3d4e5f6.example=*@f.example",
            ),
            (
                "SRS1",
                "SRS1=chaI=f.example==gTW6=P2=s.example=joe@g.example",
                "SRS1=JIBX=f.example==xzkl=TA=s.example=joe@g.example",
                "srs1=*=f.example==*=*=s.example=joe@g.example",
            ),
            (
                "SRS1, other separators",
                "SRS1-chaI=f.example=-gTW6=P2=s.example=joe@g.example",
                "SRS1-JIBX=f.example=-xzkl=TA=s.example=joe@g.example",
                "srs1-*=f.example=-*=*=s.example=joe@g.example",
            ),
            (
                "Exchange Online",
                "bounces+SRS=44ldt=IX=s.example=alice@f.example",
                "bounces+SRS=GGxpF=IY=s.example=alice@f.example",
                "bounces@f.example",
            ),
            (
                "Mailman",
                "list-bounces+user=r.example@lists.s.example",
                "list-bounces+User=r.example@lists.s.example",
                "list-bounces@lists.s.example",
            ),
            (
                "ezmlm",
                "list-return-4711-user=r.example@s.example",
                "list-return-4712-user=r.example@s.example",
                "list-return-#-*@s.example",
            ),
            (
                "UUID",
                "bounces_0f4e5f8c-0a1b-4c5d-8e9f-1a2b3c4d5e6f@s.example",
                "bounces_0F4E5F8C-1234-4123-8123-1A2B3C4D5E60@S.example",
                "bounces_*@s.example",
            ),
            (
                "UUID that begins with a number",
                "12345678-0a1b-4c5d-8e9f-1a2b3c4d5e6f@s.example",
                "0f4e5f8c-1234-4123-8123-1a2b3c4d5e60@s.example",
                "*@s.example",
            ),
            (
                "hash",
                "news/d41d8cd98f00b204e9800998ecf8427e.9=x@s.example",
                "news/0cc175b9c0f1b6a831c399e269772661.8=x@s.example",
                "news/*.*=x@s.example",
            ),
            (
                "sixteen hexadecimal digits",
                "deadbeef=abcdef12345abcde@s.example",
                "deadbeef=abcdefabcdef1234@s.example",
                "deadbeef=*@s.example",
            ),
            (
                "twelve letters and digits",
                "re.a1b22zzzzz9x@s.example",
                "re.1abcdefg2h34@s.example",
                "re.*@s.example",
            ),
        ] {
            assert_eq!(shown(first), form, "{service}");
            assert_eq!(shown(second), form, "{service}");
        }
    }

    /// Of these the next mail is from a new sender, for nothing tells them from people, or a name of letters.
    #[test]
    fn shapes_that_do_not_fold() {
        for (service, first, second) in [
            (
                "Google Groups",
                "3eFWXSwAAB7AcioiWYjWeeWbUWhekfi.Sec@groups.bounces.google.com",
                "34phRSwMIBxg7UH81z4.CF4AGMG46H4CC4924FCIDG.0CA@groups.bounces.google.com",
            ),
            (
                "Google Calendar",
                "3nNcYXwMKCq0fPjTbbTYR.PbZdRZh-QRiRYabaTah.beT@calendar-server.bounces.google.com",
                "3sijrZgUKCu0iPkXeVddVaT.RdbfTbj-STkTacdcVcj.dgV@calendar-server.bounces.google.com",
            ),
            (
                "Salesforce",
                "info=s.example__0-1r12zvjmnf8rqu.l9azxrxo3x5g2pzm@xqfk2ane5qjq38ec.um8.bnc.salesforce.com",
                "info=s.example__0-4faoc4mc7i68gc.l9azxrxo3x5g2pzm@5hnj2mufr87e4htv.um8.bnc.salesforce.com",
            ),
            (
                "Constant Contact",
                "AigXeKlyIRLG+DvWkRMsGUA==_1133104752381_sUQcUKVBEeynm/oWPlvDBA==@in.constantcontact.com",
                "A1vdek4eqtvi/ni3ked62sg==_1103304917473_t+iblfa0ee+fkpowpmt8pw==@in.constantcontact.com",
            ),
            (
                "short hexadecimal",
                "bounce-7f3a9c-123@s.example",
                "bounce-9e12ab-123@s.example",
            ),
            (
                "few digits",
                "re-kqzvbnmprtwxy@s.example",
                "re-zqkvbnmprtwxy1@s.example",
            ),
            (
                "VERP of another recipient",
                "list-return-4711-other=r.example@s.example",
                "list-return-4711-third=r.example@s.example",
            ),
            (
                "VERP of a longer recipient",
                "list-return-4711-aluser=r.example@s.example",
                "list-return-4711-beuser=r.example@s.example",
            ),
            (
                "VERP with something behind",
                "user=r.example-71a@s.example",
                "user=r.example-72a@s.example",
            ),
            (
                "SRS of other users",
                "SRS0=gTW6=P2=s.example=joe@f.example",
                "SRS0=gTW6=P2=s.example=ann@f.example",
            ),
            (
                "SRS of other domains",
                "SRS0=gTW6=P2=s.example=joe@f.example",
                "SRS0=gTW6=P2=t.example=joe@f.example",
            ),
            (
                "SRS by other forwarders",
                "SRS1=chaI=f.example==gTW6=P2=s.example=joe@g.example",
                "SRS1=chaI=e.example==gTW6=P2=s.example=joe@g.example",
            ),
            (
                "SRS1 of no SRS0",
                "SRS1=chaI=f.example=d41d8cd98f00b204=a@g.example",
                "SRS1=chaI=f.example=0cc175b9c0f1b6a8=a@g.example",
            ),
            (
                "domain",
                "news@d41d8cd98f00b204e9800998ecf8427e.s.example",
                "news@0cc175b9c0f1b6a831c399e269772661.s.example",
            ),
        ] {
            assert_ne!(shown(first), shown(second), "{service}");
        }
    }

    /// People and roles: all that happens to them is what Postgrey does.
    #[test]
    fn names_stay() {
        for user in [
            "",
            "newsletter",
            "christopher",
            "customerservice",
            "firstname.lastname",
            "marie-louise1984",
            "thomas2345",
            "deadbeef",
            "deadbeefdeadbeef",
            "fa123456",
            "5ada1985",
            "abba1974-deadbeef",
            "0xdeadbeefcafe",
            "0xdeadbeefcafe0123",
            "x86-64-abuse",
            "mp3-2-wav-4-all",
            "k9unit4rescue2go",
            "mike1984anna2001",
            "anna.1984.02.29",
            "tel4915112345678",
            "tel_4915112345678",
            "4915112345678",
            "49-151-1234-5678-901234567890",
            "12345678-1234-1234-1234-123456789012",
            "1a2b3c4d5e6",
            "a1b23cdefghijk",
            "a12bc34567890",
            "abcdefabcdef123",
            "abcdefabcdefa123",
            "abcdefabcde1234",
            "abcdefabcdefg1234",
            "d41d8cd98f00b204\u{e9}",
            "d41d8cd9~8f00b204",
            "srs0",
            "srs0joe=x=y=z",
            "prvs",
            "prvs-1234abcdef-joe",
            "btv1=1234abcdef=joe",
            "msprvs=1234abcdef=joe",
            "msprvs1=1234abcdef=",
            "btv1==1234abcdef==",
            "joe=s.example",
            "usr=r.example",
            "xuser=r.example",
        ] {
            let sender = format!("{user}@s.example");
            assert_eq!(
                shown(&sender).into_bytes(),
                normal(sender.as_bytes()),
                "{user}"
            );
        }
        for sender in [
            "",
            "d41d8cd98f00b204e9800998ecf8427e",
            "PRVS=1234abcdef=joe",
        ] {
            assert_eq!(shown(sender), sender.to_lowercase(), "no domain");
        }
    }

    #[test]
    fn recipients() {
        for (sender, recipient, form) in [
            (
                "l-user=r.example@s.example",
                "USER@R.Example",
                "l-*@s.example",
            ),
            (
                "l-user=r.example@s.example",
                "user+ext@r.example",
                "l-*@s.example",
            ),
            (
                "l-user+ext=r.example@s.example",
                "user+ext@r.example",
                "l-user@s.example",
            ),
            (
                "l-u.12=r34.5.example@s.example",
                "u.12@r34.5.example",
                "l-*@s.example",
            ),
            (
                "l-u.12=r34.5.example@s.example",
                "u.99@r34.5.example",
                "l-*@s.example",
            ),
            ("user=r.example@s.example", "user@r.example", "*@s.example"),
            (
                "prvs=user=r.example@s.example",
                "user@r.example",
                "r.example@s.example",
            ),
            (
                "l-user=r.example@s.example",
                "er@r.example",
                "l-user=r.example@s.example",
            ),
            (
                "l-user=r.example@s.example",
                "user",
                "l-user=r.example@s.example",
            ),
            ("l-user=@s.example", "user@", "l-user=@s.example"),
            (
                "l-=r.example@s.example",
                "@r.example",
                "l-=r.example@s.example",
            ),
            ("l-=r.example@s.example", "", "l-=r.example@s.example"),
            (
                "l-d41d8cd98f00b204=r.example@s.example",
                "d41d8cd98f00b204@r.example",
                "l-*@s.example",
            ),
            (
                "l-*=r.example@s.example",
                "*@r.example",
                "l-*=r.example@s.example",
            ),
        ] {
            let form_seen = folded(sender.as_bytes(), recipient.as_bytes());
            assert_eq!(form_seen, form.as_bytes(), "{sender} {recipient}");
        }
    }

    #[test]
    fn longest_sender_fits() {
        let recipient = [&[b'u'; VALUE_BYTES_MAX / 2][..], b"@r.example"].concat();
        for start in ["", "SRS0=", "SRS1=", "prvs=", "btv1==a=="] {
            let mut sender = [b'='; VALUE_BYTES_MAX];
            sender[..start.len()].copy_from_slice(start.as_bytes());
            sender[VALUE_BYTES_MAX - 2] = b'@';
            assert!(folded(&sender, &recipient).ends_with(b"@="));
        }
    }

    /// A local part of the pieces that senders are made of.
    fn local_parts() -> impl Strategy<Value = String> {
        let piece = prop_oneof![
            select(vec![
                "",
                "=",
                "==",
                "prvs=",
                "PRVS=",
                "btv1==",
                "msprvs1=",
                "SRS0=",
                "srs0-",
                "SRS0+",
                "SRS1=",
                "srs1-",
                "SRS1+",
                "bounce",
                "v1",
                "user",
                "User",
                "r.example",
                "user=r.example",
                "12=34",
                "1=r.example",
                "#",
                "*",
                "@",
                "\u{f8}",
                "~",
                " ",
                "1234567890",
                "1234abcdef",
            ]),
            Just("1234"),
        ]
        .prop_map(str::to_owned);
        let random = string_regex(
            "[0-9]{1,14}|[0-9a-f]{4}|[0-9a-fA-F]{8,20}|[0-9a-zA-Z]{10,18}|[0-9]{8}-[0-9a-f]{4}-[0-9]{4}-[0-9a-f]{4}-[0-9a-f]{12}",
        )
        .unwrap();
        let separator = select(vec!["-", "_", "=", "=", ".", "/", "+", ""]);
        let part = (prop_oneof![2 => piece, 1 => random], separator)
            .prop_map(|(piece, separator)| piece + separator);
        prop::collection::vec(part, 0..9).prop_map(|parts| parts.concat())
    }

    fn addresses() -> impl Strategy<Value = Vec<u8>> {
        prop_oneof![
            6 => (local_parts(), select(vec!["@s.example", "@A1b2C3d4e5f6.12.example", "@", ""]))
                .prop_map(|(local_part, domain)| (local_part + domain).into_bytes()),
            1 => prop::collection::vec(any::<u8>(), 0..60),
        ]
    }

    fn recipients_of_all_kinds() -> impl Strategy<Value = Vec<u8>> {
        prop_oneof![
            select(vec![
                "user@r.example",
                "User+x@r.example",
                "12@34",
                "1@r.example",
                "prvs@12",
                "*@*",
                "#@#"
            ])
            .prop_map(|recipient| recipient.as_bytes().to_vec()),
            addresses(),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 4_000, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn an_entry_taken_over_from_postgrey_stays_valid(sender in addresses(), recipient in recipients_of_all_kinds()) {
            prop_assert_eq!(folded(&normal(&sender), &recipient), folded(&sender, &recipient));
        }

        #[test]
        fn folding_twice_is_folding_once(sender in addresses(), recipient in recipients_of_all_kinds()) {
            let once = folded(&sender, &recipient);
            prop_assert_eq!(folded(&once, &recipient), once);
        }

        #[test]
        fn only_the_local_part_folds(sender in addresses(), recipient in recipients_of_all_kinds()) {
            let form = folded(&sender, &recipient);
            prop_assert!(form.len() <= sender.len());
            let domain = |address: &[u8]| {
                let at = address.iter().position(|&byte| byte == b'@');
                at.map(|at| address[at..].to_ascii_lowercase())
            };
            prop_assert_eq!(domain(&form), domain(&sender));
        }
    }
}
