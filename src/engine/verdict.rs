//! What the engine decides, and why.

use std::fmt;

use crate::engine::time::Seconds;

/// A decision on one request. The reply and the log line follow from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// What Postfix is to do.
    pub action: Action,
    /// Why.
    pub reason: Reason,
    /// The same question was answered within its message transaction before; nothing was counted.
    pub repeated: bool,
    /// This pass has auto-whitelisted the client.
    pub auto_whitelisted: bool,
    /// A pending entry had to make room so early that its sender may not have retried yet: the table is too small.
    pub evicted_young: bool,
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
    /// The client is this machine.
    LocalClient,
    /// A list has the client.
    ClientListed,
    /// A list has the recipient.
    RecipientListed,
    /// The client's address has had enough first passes.
    ClientAutoWhitelisted,
    /// The triplet has not been seen before, or too long ago.
    New,
    /// The triplet came back too early.
    EarlyRetry,
    /// The triplet has waited long enough, now or before.
    TripletFound,
}

impl fmt::Display for Reason {
    /// The words of Postgrey's log lines, where it has any.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reason::UnknownRequest => f.write_str("unrecognized request type"),
            Reason::Missing(attribute) => write!(f, "attribute missing: {}", attribute.name()),
            Reason::UnparsableAddress => f.write_str("client_address is not an address"),
            Reason::NotRecipientState => f.write_str("not RCPT"),
            Reason::Authenticated => f.write_str("authenticated"),
            Reason::LocalClient => f.write_str("local client"),
            Reason::ClientListed => f.write_str("client whitelist"),
            Reason::RecipientListed => f.write_str("recipient whitelist"),
            Reason::ClientAutoWhitelisted => f.write_str("client AWL"),
            Reason::New => f.write_str("new"),
            Reason::EarlyRetry => f.write_str("early-retry"),
            Reason::TripletFound => f.write_str("triplet found"),
        }
    }
}
