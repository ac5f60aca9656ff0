//! What the engine decides, and why.

use std::fmt;

use crate::engine::domain_name::DomainName;
use crate::engine::time::Seconds;

/// A decision on one request. The reply and the log line follow from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict<'r> {
    /// What Postfix is to do.
    pub action: Action,
    /// Why.
    pub reason: Reason,
    /// The same question was answered within its message transaction before; nothing was counted.
    pub repeated: bool,
    /// The organisation that the client is known by; `None` if that is its network, or was not asked.
    pub identity: Option<DomainName<'r>>,
    /// Parts of the sender that change with each mail did not count.
    pub is_sender_folded: bool,
    /// A triplet passes for the first time, with or without a header.
    pub is_first_pass: bool,
    /// Whom this pass has auto-whitelisted.
    pub auto_whitelisted: AutoWhitelisted,
    /// A pending entry had to make room so early that its sender may not have retried yet: the table is too small.
    pub evicted_young: bool,
    /// Much mail without a sender was left to DATA, and Postfix has not asked about DATA since.
    pub is_data_missing: bool,
}

impl Verdict<'_> {
    /// What Postfix is told of it in a dry run: nothing.
    pub fn in_dry_run(self) -> Self {
        Verdict {
            action: Action::Dunno,
            ..self
        }
    }

    pub(super) fn passed<'r>(reason: Reason) -> Verdict<'r> {
        Verdict {
            action: Action::Dunno,
            reason,
            repeated: false,
            identity: None,
            is_sender_folded: false,
            is_first_pass: false,
            auto_whitelisted: AutoWhitelisted::default(),
            evicted_young: false,
            is_data_missing: false,
        }
    }

    pub(super) fn deferred<'r>(reason: Reason, remaining: Seconds) -> Verdict<'r> {
        Verdict {
            action: Action::Defer { remaining },
            ..Verdict::passed(reason)
        }
    }
}

/// Who need not wait any more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AutoWhitelisted {
    /// The client's address.
    pub client: bool,
    /// The organisation's mail for the sender's domain.
    pub sender_domain: bool,
}

/// What Postfix is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Nothing: go on with the restrictions that follow.
    Dunno,
    /// Put a header on the message that says how long it has been delayed.
    PrependHeader {
        /// Since it was first seen.
        delayed: Seconds,
    },
    /// Tell the client to try again later.
    Defer {
        /// Until a retry will pass.
        remaining: Seconds,
    },
}

/// An attribute without which nothing can be decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attribute {
    /// `request`
    Request,
    /// `client_address`
    ClientAddress,
    /// `client_name`
    ClientName,
    /// `recipient`
    Recipient,
    /// `sender`
    Sender,
}

impl Attribute {
    /// Its name in the protocol.
    pub const fn name(self) -> &'static str {
        match self {
            Attribute::Request => "request",
            Attribute::ClientAddress => "client_address",
            Attribute::ClientName => "client_name",
            Attribute::Recipient => "recipient",
            Attribute::Sender => "sender",
        }
    }
}

/// Why a request was passed or deferred.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The request is none that a policy server knows.
    UnknownRequest,
    /// The request lacks an attribute.
    Missing(Attribute),
    /// `client_address` is not an address; Postfix writes `unknown` when the client has already gone.
    UnparsableAddress,
    /// The request is about another SMTP command than RCPT.
    NotRecipientState,
    /// The client has logged in.
    Authenticated,
    /// The mail goes out, by the service's `policy_context`.
    Outgoing,
    /// The client is this machine.
    LocalClient,
    /// Mail without a sender, which is judged at DATA.
    LeftToData,
    /// Mail without a sender, which passes.
    NullSender,
    /// A list has the client.
    ClientListed,
    /// A list has the recipient.
    RecipientListed,
    /// A list has the sender, and the client's name is verified.
    SenderListed,
    /// There is a list of the recipients whose mail is greylisted, and it does not have the recipient.
    RecipientNotGreylisted,
    /// The administrator lets the client or the recipient through for some time.
    Allowed,
    /// The client's address has had enough first passes.
    ClientAutoWhitelisted,
    /// The organisation's mail for the sender's domain has had enough first passes.
    SenderDomainAutoWhitelisted,
    /// The client's name is a mail server's.
    MailServer,
    /// The recipient wrote to the sender.
    WrittenTo,
    /// The triplet has not been seen before, or too long ago.
    New,
    /// The triplet came back too early.
    EarlyRetry,
    /// The triplet has waited long enough, now or before.
    TripletFound,
}

impl Reason {
    /// The words of Postgrey's log lines, where it has any; of what is missing, without its name.
    pub const fn words(self) -> &'static str {
        match self {
            Reason::UnknownRequest => "unrecognized request type",
            Reason::Missing(_) => "attribute missing",
            Reason::UnparsableAddress => "client_address is not an address",
            Reason::NotRecipientState => "not RCPT",
            Reason::Authenticated => "authenticated",
            Reason::Outgoing => "outgoing",
            Reason::LocalClient => "local client",
            Reason::LeftToData => "null sender before DATA",
            Reason::NullSender => "null sender",
            Reason::MailServer => "mail server",
            Reason::WrittenTo => "wrote to",
            Reason::ClientListed => "client whitelist",
            Reason::RecipientListed => "recipient whitelist",
            Reason::SenderListed => "sender whitelist",
            Reason::RecipientNotGreylisted => "recipient not greylisted",
            Reason::Allowed => "allowed",
            Reason::ClientAutoWhitelisted => "client AWL",
            Reason::SenderDomainAutoWhitelisted => "sender domain AWL",
            Reason::New => "new",
            Reason::EarlyRetry => "early-retry",
            Reason::TripletFound => "triplet found",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.words())?;
        match self {
            Reason::Missing(attribute) => write!(f, ": {}", attribute.name()),
            _ => Ok(()),
        }
    }
}

/// Numbers the reasons, so that they can be counted without a search. A reason that has no line here does not compile.
macro_rules! number_reasons {
    ($($reason:ident => $name:literal, $meaning:literal;)*) => {
        /// The reasons without what they carry.
        enum Number {
            $($reason,)*
        }

        impl Reason {
            /// A name of each reason, at its [`number`](Reason::number), of small letters and underscores, and in a few words what it means.
            pub const NAMES: &[(&str, &str)] = &[$(($name, $meaning),)*];

            /// Where in [`NAMES`](Reason::NAMES) it is.
            pub const fn number(self) -> usize {
                match self {
                    $(Reason::$reason { .. } => Number::$reason as usize,)*
                }
            }
        }
    };
}

number_reasons! {
    New => "new", "not seen before, or too long ago";
    EarlyRetry => "early_retry", "came back too early";
    TripletFound => "triplet_found", "has passed before";
    ClientAutoWhitelisted => "client_awl", "the client's address is auto-whitelisted";
    SenderDomainAutoWhitelisted => "sender_domain_awl", "so is its organisation, for that domain";
    WrittenTo => "wrote_to", "the recipient wrote to the sender";
    MailServer => "mail_server", "a mail server by its name";
    ClientListed => "client_whitelist", "a list has the client";
    RecipientListed => "recipient_whitelist", "a list has the recipient";
    SenderListed => "sender_whitelist", "a list has the sender";
    RecipientNotGreylisted => "recipient_not_greylisted", "no list opts the recipient in";
    Allowed => "allowed", "let through for some time";
    Authenticated => "authenticated", "the client has logged in";
    Outgoing => "outgoing", "mail that goes out";
    LocalClient => "local_client", "mail of this machine";
    NullSender => "null_sender", "no sender";
    LeftToData => "left_to_data", "no sender: judged at DATA";
    NotRecipientState => "not_rcpt", "another SMTP command than RCPT";
    UnparsableAddress => "no_address", "the client's address is not known";
    Missing => "attribute_missing", "the request lacks an attribute";
    UnknownRequest => "unknown_request", "another kind of request";
}
