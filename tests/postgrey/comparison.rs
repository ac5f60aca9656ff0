//! Postgrey and greylet with the same options, asked the same requests, each over one connection.

use std::net::TcpStream;
use std::os::unix::net::UnixStream;

use crate::postgrey::Postgrey;
use crate::sequence::Request;
use crate::support::{Client, Server};

const POSTGREYS_SITE: &str = "http://postgrey.schweikert.ch/help/";
const OUR_SITE: &str = "https://www.rfc-editor.org/rfc/rfc6647";

/// `A` is an upper-case letter, `a` a lower-case one, `0` a digit, all else itself.
const DATE: &str = "Aaa, 00 Aaa 0000 00:00:00 UTC";

/// See the [module](self).
pub(crate) struct Pair {
    postgrey: Client<UnixStream>,
    greylet: Client<TcpStream>,
    // They end with this, after the connections.
    _servers: (Postgrey, Server),
}

/// What both have said to one request, without what must differ.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Answers {
    pub(crate) postgrey: String,
    pub(crate) greylet: String,
}

impl Answers {
    pub(crate) fn differ(&self) -> bool {
        self.postgrey != self.greylet
    }
}

impl Pair {
    pub(crate) fn start(options: &[String]) -> Pair {
        let postgrey = Postgrey::start(options);
        let mut ours: Vec<&str> = options.iter().map(String::as_str).collect();
        // Nothing is kept: what greylet knows must not outlive the test.
        ours.extend(["--lookup-by-subnet", "--trust-test-time", "--dbdir="]);
        let greylet = Server::start(&ours);
        Pair {
            postgrey: Client::unix(&postgrey.socket()),
            greylet: greylet.connect(),
            _servers: (postgrey, greylet),
        }
    }

    pub(crate) fn ask(&mut self, request: &Request) -> Answers {
        self.postgrey.send(request.bytes());
        self.greylet.send(request.bytes());
        Answers {
            postgrey: postgrey_normalised(&self.postgrey.action()),
            greylet: greylet_normalised(&self.greylet.action()),
        }
    }
}

/// The index of the first request that is answered differently, with the answers.
pub(crate) fn first_difference(
    options: &[String],
    requests: &[Request],
    mut each: impl FnMut(&Answers),
) -> Option<(usize, Answers)> {
    let mut pair = Pair::start(options);
    requests.iter().enumerate().find_map(|(index, request)| {
        let answers = pair.ask(request);
        each(&answers);
        answers.differ().then_some((index, answers))
    })
}

/// The fewest requests, in their order, of which the last is answered differently; `requests` is such a sequence.
pub(crate) fn reduced(options: &[String], mut requests: Vec<Request>) -> Vec<Request> {
    let mut chunk = requests.len() / 2;
    while chunk > 0 {
        let mut start = 0;
        while start + chunk < requests.len() {
            let mut fewer = requests.clone();
            fewer.drain(start..start + chunk);
            match first_difference(options, &fewer, |_| {}) {
                Some((index, _)) => {
                    fewer.truncate(index + 1);
                    requests = fewer;
                }
                None => start += chunk,
            }
        }
        chunk /= 2;
    }
    requests
}

fn postgrey_normalised(action: &str) -> String {
    if action.starts_with("PREPEND ") {
        let version = crate::postgrey::version().expect("a version");
        let ours = action.replace("by postgrey-", "by greylet-");
        return without_dates(&ours.replace(version, env!("CARGO_PKG_VERSION")));
    }
    match action.split_once(POSTGREYS_SITE) {
        Some((before, _)) => format!("{before}{OUR_SITE}"),
        None => action.to_owned(),
    }
}

fn greylet_normalised(action: &str) -> String {
    if action.starts_with("PREPEND ") {
        return without_dates(action);
    }
    action.to_owned()
}

/// With the first date as it stands in the header, if there is one, as `<date>`.
fn without_dates(text: &str) -> String {
    let is_date = |start: &usize| {
        let found = text.get(*start..start + DATE.len());
        found.is_some_and(has_form_of_date)
    };
    match (0..text.len()).find(is_date) {
        Some(start) => format!("{}<date>{}", &text[..start], &text[start + DATE.len()..]),
        None => text.to_owned(),
    }
}

fn has_form_of_date(text: &str) -> bool {
    let fits = |(form, byte): (u8, u8)| match form {
        b'0' => byte.is_ascii_digit(),
        b'a' => byte.is_ascii_lowercase(),
        // Of the letters of the zone each stands for itself.
        b'A' => byte.is_ascii_uppercase(),
        _ => form == byte,
    };
    DATE.bytes().zip(text.bytes()).all(fits)
}
