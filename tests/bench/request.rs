//! A request that is written once, and in which then only the digits change that make it another.
//!
//! Triplets have numbers: the sender is different for each, the client's address (in 198.18.0.0/15, for benchmarks) for 10,000.

/// What Postfix 3.7 sends for the first recipient of a message.
const OF_POSTFIX: &str = "\
request=smtpd_access_policy
protocol_state=RCPT
protocol_name=ESMTP
client_address=198.18.100.100
client_name=mail.sender.test
client_port=41434
reverse_client_name=mail.sender.test
server_address=127.0.0.1
server_port=25
helo_name=mail.sender.test
sender=s0000000000@sender.test
recipient=user@recipient.test
recipient_count=0
queue_id=
instance=48ac.6b04a50b.00000.0
size=0
etrn_domain=
stress=
sasl_method=
sasl_username=
sasl_sender=
ccert_subject=
ccert_issuer=
ccert_fingerprint=
ccert_pubkey_fingerprint=
encryption_protocol=
encryption_cipher=
encryption_keysize=0
policy_context=
";

/// The least that is judged.
const SHORT: &str = "\
request=smtpd_access_policy
client_address=198.18.100.100
client_name=unknown
sender=s0000000000@sender.test
recipient=user@recipient.test
";

/// See the [module](self).
pub(crate) struct Request {
    bytes: Vec<u8>,
    third_octet: usize,
    fourth_octet: usize,
    sender: usize,
    /// Not in every request.
    instance: Option<usize>,
}

impl Request {
    /// As Postfix 3.7 asks.
    pub(crate) fn of_postfix() -> Request {
        Request::new(OF_POSTFIX)
    }

    /// The same, to be taken as asked at another time.
    pub(crate) fn at(unix_seconds: u64) -> Request {
        Request::new(&format!("{OF_POSTFIX}policy_test_time={unix_seconds}\n"))
    }

    /// With as few attributes as possible.
    pub(crate) fn short() -> Request {
        Request::new(SHORT)
    }

    fn new(attributes: &str) -> Request {
        let behind = |text: &str| attributes.find(text).map(|start| start + text.len());
        let needed = "both constants have it";
        Request {
            bytes: format!("{attributes}\n").into_bytes(),
            third_octet: behind("\nclient_address=198.18.1").expect(needed),
            fourth_octet: behind("\nclient_address=198.18.100.1").expect(needed),
            sender: behind("\nsender=s").expect(needed),
            instance: behind("\ninstance=48ac.6b04a50b."),
        }
    }

    /// The request about a triplet, in a message transaction of its own.
    pub(crate) fn about(&mut self, triplet: u64, transaction: u64) -> &[u8] {
        write_digits::<10>(&mut self.bytes[self.third_octet..][..2], triplet / 100);
        write_digits::<10>(&mut self.bytes[self.fourth_octet..][..2], triplet);
        write_digits::<10>(&mut self.bytes[self.sender..][..10], triplet);
        if let Some(instance) = self.instance {
            write_digits::<16>(&mut self.bytes[instance..][..5], transaction);
        }
        &self.bytes
    }
}

/// Writes the last digits of a number.
fn write_digits<const BASE: u64>(to: &mut [u8], mut number: u64) {
    for digit in to.iter_mut().rev() {
        *digit = b"0123456789abcdef"[(number % BASE) as usize];
        number /= BASE;
    }
}
