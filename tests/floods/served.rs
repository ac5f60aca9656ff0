//! A running greylet as a gateway. It takes the simulated time for now, and gets what happens in a second at once.

use std::net::TcpStream;

use crate::siege::{Gateway, Mail};
use crate::support::{Client, Server};

/// Requests in one write: neither they nor their answers are more than sockets hold.
const AT_ONCE: usize = 100;

/// See the [module](self).
pub(crate) struct Served {
    _server: Server,
    client: Client<TcpStream>,
}

impl Served {
    /// One that has room for so many entries.
    pub(crate) fn start(capacity: u32) -> Served {
        let capacity = format!("--max-entries={capacity}");
        let server = Server::start(&["--trust-test-time", "--quiet", &capacity]);
        Served {
            client: server.connect(),
            _server: server,
        }
    }
}

impl Gateway for Served {
    fn ask(&mut self, mails: &[Mail], time: u64) -> Vec<bool> {
        let mut passed = Vec::with_capacity(mails.len());
        for mails in mails.chunks(AT_ONCE) {
            let requests = mails.iter().map(|mail| request(mail, time));
            self.client.send(requests.collect::<String>());
            for mail in mails {
                let action = self.client.action();
                let is_passed = action == "DUNNO" || action.starts_with("PREPEND ");
                let is_deferred = action.starts_with("DEFER_IF_PERMIT ");
                assert!(is_passed || is_deferred, "{}: {action}", mail.sender);
                passed.push(is_passed);
            }
        }
        passed
    }
}

fn request(mail: &Mail, time: u64) -> String {
    let Mail {
        client_address,
        client_name,
        sender,
        recipient,
    } = mail;
    format!(
        "request=smtpd_access_policy\nprotocol_state=RCPT\npolicy_test_time={time}\nclient_address={client_address}\n\
         client_name={client_name}\nsender={sender}\nrecipient={recipient}\n\n"
    )
}
