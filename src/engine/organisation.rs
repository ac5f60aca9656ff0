//! Whose machine a client is, by its verified name, where there is evidence that the name is that of a mail server.
//!
//! Postfix gives a name only when reverse and forward DNS agree, so nobody can forge one; but most names say nothing about mail, and a
//! line or a rented host must not share in what another one has earned. So a client belongs to the organisation of its name only if
//!
//! 1. a line `pool NAME` covers the name,
//! 2. the name looks like a mail server's, or
//! 3. it sends for its own organisation, and its name is not made of its address.
//!
//! Whatever is not known to belong to an organisation is known by its network, which costs a pool of servers some delay, and nobody else
//! anything.

use std::net::IpAddr;

use crate::engine::carried_address::carries;
use crate::engine::domain_name::{DomainName, domain_of};
use crate::engine::limits::DOMAIN_NAME_BYTES_MAX;
use crate::engine::text::make_lower_case;

/// Whose machine a client is, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Organisation<'a> {
    /// What it is known by: the end of the client's name, in the case that it was given in, so to be put into lower case before it is
    /// hashed.
    pub domain: DomainName<'a>,
    /// Why.
    pub evidence: Evidence,
}

/// Why a client is taken to belong to an organisation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Evidence {
    /// Its name is that of a mail server.
    MailServerName,
    /// The sender is of the same organisation. Weaker than the others: whoever has a name of his own can choose both.
    SenderDomain,
    /// A line `pool NAME` covers its name.
    PoolLine,
}

/// The organisation of a client, from the name and the address that Postfix gives, the envelope sender, and the pool that
/// [`Clients::find_pool`](crate::engine::access::Clients::find_pool) finds for this name.
///
/// A pool's NAME is the organisation of all clients that it covers, also of those that would have one without it: they are one client. `None` if there is no
/// evidence, and for a name that is not a [`DomainName`].
pub fn of<'a>(
    client_name: &'a [u8],
    address: IpAddr,
    sender: &[u8],
    pool: Option<DomainName<'a>>,
) -> Option<Organisation<'a>> {
    let name = DomainName::parse(client_name)?;
    let belongs_to = |domain, evidence| Some(Organisation { domain, evidence });
    if let Some(pool) = pool {
        return belongs_to(pool, Evidence::PoolLine);
    }
    let domain = name.organisational();
    let mut buffer = [0; DOMAIN_NAME_BYTES_MAX];
    let lower_case = &mut buffer[..name.as_bytes().len()];
    lower_case.copy_from_slice(name.as_bytes());
    make_lower_case(lower_case);
    let (host, organisation) = lower_case.split_at(lower_case.len() - domain.as_bytes().len());
    if names_mail(host, organisation) {
        return belongs_to(domain, Evidence::MailServerName);
    }
    let evidence = if has_mail_token(host) {
        Evidence::MailServerName
    } else if of_sender(sender) == Some(domain) {
        Evidence::SenderDomain
    } else {
        return None;
    };
    if carries(lower_case, address) {
        return None;
    }
    belongs_to(domain, evidence)
}

/// The organisational domain of an envelope sender.
pub fn of_sender(sender: &[u8]) -> Option<DomainName<'_>> {
    Some(domain_of(sender)?.organisational())
}

/// Whether the name is a mail server's even if its address is in it too.
fn names_mail(host: &[u8], organisation: &[u8]) -> bool {
    let has_word = |text: &[u8]| {
        text.starts_with(b"mail")
            || text.starts_with(b"smtp")
            || text.starts_with(b"relay")
            || text.starts_with(b"outbound")
    };
    let mut own_label = organisation.split(|&byte| byte == b'.');
    let own_label = own_label.next().unwrap_or_default();
    (0..host.len()).any(|start| has_word(&host[start..]))
        || (0..own_label.len()).any(|start| own_label[start..].starts_with(b"mail"))
}

/// Whether a token of the host's name is a mail server's: a word that begins so, of letters and digits. `mx0a` and `sender4` do, and so do
/// `outdoor` and `sendai`.
fn has_mail_token(host: &[u8]) -> bool {
    let mut tokens = host.split(|byte| matches!(byte, b'.' | b'-' | b'_'));
    tokens.any(|token| {
        let is_mail = token.starts_with(b"mx")
            || token.starts_with(b"mta")
            || token.starts_with(b"out")
            || token.starts_with(b"msg")
            || token.starts_with(b"mout")
            || token.starts_with(b"send")
            || token.starts_with(b"bounce");
        is_mail && token.iter().all(u8::is_ascii_alphanumeric) || is_mo_with_digits(token)
    })
}

fn is_mo_with_digits(token: &[u8]) -> bool {
    let digits = token.strip_prefix(b"mo").unwrap_or_default();
    !digits.is_empty() && digits.iter().all(u8::is_ascii_digit)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ADDRESS: &str = "84.112.167.138";

    fn found(name: &str, address: &str, sender: &str) -> Option<(String, Evidence)> {
        let address = address.parse().unwrap();
        let found = of(name.as_bytes(), address, sender.as_bytes(), None)?;
        let domain = String::from_utf8(found.domain.as_bytes().to_vec()).unwrap();
        Some((domain, found.evidence))
    }

    fn evidence(name: &str, sender: &str) -> Option<Evidence> {
        found(name, ADDRESS, sender).map(|(_, evidence)| evidence)
    }

    #[test]
    fn names_of_mail_servers() {
        for name in [
            "mail.example.com",
            "WebMail7.Example.com",
            "a-smtp-b.example.com",
            "a.outbound.example.com",
            "myrelay.example.com",
            "mail-84-112-167-138.example.com",
            "a.mailer.example",
            "x.hotmail.example",
            "freemail.example",
            "a.hotmail.co.uk",
            "84-112-167-138.webmail.example",
            // Tokens.
            "mout.example.com",
            "mx.example.com",
            "MX0a-1.example.com",
            "mta-83.example.com",
            "a-out7.b.example.com",
            "sender4-of-o50.example.com",
            "a_send.example.com",
            "bounce1.example.com",
            "p9.msg.example.com",
            "mo4.example.com",
            "7.mo550.example.com",
            "outdoor.example.com",
        ] {
            assert_eq!(evidence(name, ""), Some(Evidence::MailServerName), "{name}");
        }
    }

    #[test]
    fn names_that_say_nothing_about_mail() {
        for name in [
            "www.example.com",
            "xout.example.com",
            "amx.example.com",
            "mo.example.com",
            "mo4a.example.com",
            "omta01.example.com",
            "mx\u{fc}.example.com",
            // Only the host's part counts, but for the organisation's own label with mail.
            "www.smtp.example",
            "www.mx.example",
            "www.a.mail",
            "mx.example",
            // A token is not enough where the name is made of the address.
            "mx-84-112-167-138.example.com",
            "out084112167138.example.com",
            "mta.54-70-a7-8a.5470a78a.example.com",
        ] {
            assert_eq!(evidence(name, "a@other.example"), None, "{name}");
        }
    }

    #[test]
    fn senders_of_the_same_organisation() {
        for (name, sender) in [
            ("www.example.com", "a@example.com"),
            ("WWW.EXAMPLE.com", "A@Mail.Example.COM."),
            ("example.com", "a@b.example.com"),
            ("a.b.example.co.uk", "a@example.co.uk"),
            ("www.example.com", "\"a@b\"@example.com"),
        ] {
            assert_eq!(
                evidence(name, sender),
                Some(Evidence::SenderDomain),
                "{name} {sender}"
            );
        }
        for (name, sender) in [
            ("www.example.com", ""),
            ("www.example.com", "example.com"),
            ("www.example.com", "@"),
            ("www.example.com", "a@com"),
            ("www.example.com", "a@example.org"),
            ("www.example.com", "a@badexample.com"),
            ("www.example.com", "a@[84.112.167.138]"),
            ("www.example.com", "a@example.com@example.org"),
            ("a.example.co.uk", "a@other.co.uk"),
            ("c84-112-167-138.example.com", "a@example.com"),
        ] {
            assert_eq!(evidence(name, sender), None, "{name} {sender}");
        }
        // A mail server's name is the better evidence.
        assert_eq!(
            evidence("mx.example.com", "a@example.com"),
            Some(Evidence::MailServerName)
        );
    }

    #[test]
    fn the_domain_is_the_end_of_the_name() {
        let domain = |name| found(name, ADDRESS, "").map(|(domain, _)| domain);
        assert_eq!(
            domain("mail.a.Example.com.").as_deref(),
            Some("Example.com")
        );
        assert_eq!(
            domain("mx.a.example.co.jp").as_deref(),
            Some("example.co.jp")
        );
    }

    #[test]
    fn not_names() {
        let long = format!("mail.{}.example", "a".repeat(255));
        for name in [
            "",
            "unknown",
            "UNKNOWN",
            "mail",
            "mail..example.com",
            ".mail.example.com",
            "mail.example.com..",
            ADDRESS,
            "[84.112.167.138]",
            "mail.1",
            &long,
        ] {
            assert_eq!(evidence(name, "a@mail.example.com"), None, "{name}");
        }
        assert_eq!(found("2001:db8::1", "2001:db8::1", ""), None);
    }

    #[test]
    fn pools() {
        let of = |name: &'static str, pool: &'static str| {
            let pool = DomainName::parse(pool.as_bytes());
            of(
                name.as_bytes(),
                ADDRESS.parse().unwrap(),
                b"a@example.com",
                pool,
            )
        };
        for name in [
            "a.example.com",
            "mail.example.com",
            "c84-112-167-138.example.com",
        ] {
            let found = of(name, "example.com").unwrap();
            assert_eq!(found.evidence, Evidence::PoolLine, "{name}");
            assert_eq!(found.domain.as_bytes(), b"example.com");
        }
        assert_eq!(
            of("a.b.example.com", "b.example.com")
                .unwrap()
                .domain
                .as_bytes(),
            b"b.example.com"
        );
        assert_eq!(of("unknown", "example.com"), None);
    }

    #[test]
    fn senders() {
        let of = |sender: &'static str| of_sender(sender.as_bytes()).map(DomainName::as_bytes);
        assert_eq!(of("a@em1.s.example"), Some(&b"s.example"[..]));
        assert_eq!(of("a@b@em1.s.example"), Some(&b"s.example"[..]));
        assert_eq!(of("a@s.co.uk"), Some(&b"s.co.uk"[..]));
        for sender in [
            "",
            "a",
            "a@",
            "@",
            "a@localhost",
            "a@s..example",
            "a@s.example@",
        ] {
            assert_eq!(of(sender), None, "{sender}");
        }
    }
}
