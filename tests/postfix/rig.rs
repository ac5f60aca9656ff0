//! The parts put together: Postfix, with one smtpd for each way to ask greylet, and the greylets behind it; and Postgrey, if it is
//! there. A second Postfix is the backup of the first.
//!
//! | [`Wiring`] | Postfix asks |
//! |---|---|
//! | `Direct` | greylet itself, in the plain way |
//! | `FailOpen` | greylet itself, with a default action |
//! | `Timed` | through the relay that adds the time of the tests |
//! | `Twice` | through the relay, in two of its restriction lists |
//! | `Postgrey` | Postgrey, through a relay of its own |
//! | `Readme` | through the relay, at RCPT and DATA, with README's lines |
//! | `AtRecipientOnly` | so, but not at DATA |
//! | `Submission` | so, with README's line for the submission service |
//! | `Outgoing` | so, of mail of our own machines, which need not log in |
//! | `Backup` | so, with README's lines for a backup, which is a Postfix of its own |
//! | `Suspicious`, `LeftToData` | as `Readme` and `AtRecipientOnly`, a greylet with other options |

use std::cell::{Cell, RefCell, RefMut};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};

use crate::dovecot_auth;
use crate::endpoint::{Endpoint, Transport};
use crate::greylet::{Greylet, Lists};
use crate::postfix::{Postfix, Smtpd, option};
use crate::postgrey::{self, Postgrey};
use crate::readme;
use crate::relay::{Clock, Relay};

/// Which way Postfix takes to which greylet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wiring {
    Direct,
    FailOpen,
    Timed,
    Twice,
    Postgrey,
    Readme,
    AtRecipientOnly,
    Submission,
    Outgoing,
    Suspicious,
    LeftToData,
    Backup,
}

impl Wiring {
    const ALL: [Wiring; 12] = [
        Wiring::Direct,
        Wiring::FailOpen,
        Wiring::Timed,
        Wiring::Twice,
        Wiring::Postgrey,
        Wiring::Readme,
        Wiring::AtRecipientOnly,
        Wiring::Submission,
        Wiring::Outgoing,
        Wiring::Suspicious,
        Wiring::LeftToData,
        Wiring::Backup,
    ];

    /// The greylet at its end, or beside Postgrey.
    fn setup(self) -> Setup {
        match self {
            Wiring::Direct
            | Wiring::FailOpen
            | Wiring::Timed
            | Wiring::Twice
            | Wiring::Postgrey => Setup::BySubnet,
            Wiring::Readme
            | Wiring::AtRecipientOnly
            | Wiring::Submission
            | Wiring::Outgoing
            | Wiring::Backup => Setup::ByName,
            Wiring::Suspicious => Setup::Suspicious,
            Wiring::LeftToData => Setup::LeftToData,
        }
    }
}

/// How a greylet is set up.
#[derive(Clone, Copy, Debug)]
enum Setup {
    BySubnet,
    ByName,
    Suspicious,
    LeftToData,
}

impl Setup {
    const ALL: [Setup; 4] = [
        Setup::BySubnet,
        Setup::ByName,
        Setup::Suspicious,
        Setup::LeftToData,
    ];

    fn options(self) -> &'static [&'static str] {
        match self {
            Setup::BySubnet => &["--lookup-by-subnet"],
            Setup::ByName => &[],
            Setup::Suspicious => &["--greylist=suspicious"],
            Setup::LeftToData => &["--null-sender=data"],
        }
    }
}

/// A greylet, and the relays before it; endpoints and relays by transport.
struct Station {
    greylet: RefCell<Greylet>,
    endpoints: Vec<Endpoint>,
    relays: Vec<Relay>,
}

impl Station {
    fn start(
        setup: Setup,
        ports: &mut Ports,
        postfix: &Postfix,
        lists: &Lists,
        clock: &Clock,
    ) -> Station {
        let mut at = |what| endpoints(ports.take(), postfix, &format!("{what}-{setup:?}"));
        let (relays_at, endpoints) = (at("relay"), at("greylet"));
        let greylet = Greylet::start(&endpoints, lists, setup.options());
        let relays = relays_at
            .iter()
            .zip(&endpoints)
            .map(|(here, greylet)| Relay::start(here, greylet, clock).expect("a relay"));
        Station {
            greylet: RefCell::new(greylet),
            relays: relays.collect(),
            endpoints,
        }
    }
}

/// See the [module](self). What comes first ends first.
pub(crate) struct Rig {
    /// By setup.
    stations: Vec<Station>,
    pub(crate) postgrey: Option<Postgrey>,
    pub(crate) postfix: Postfix,
    backup: Postfix,
    pub(crate) lists: Lists,
    pub(crate) clock: Clock,
    /// By transport and wiring.
    smtpd_ports: Vec<u16>,
    networks: Cell<u16>,
    _ports: Ports,
}

impl Rig {
    pub(crate) fn start() -> Rig {
        let (postfix, backup) = (Postfix::prepare("primary"), Postfix::prepare("backup"));
        let smtpds = Transport::ALL.len() * Wiring::ALL.len();
        let mut ports = Ports::claim(smtpds + 2 * Setup::ALL.len());
        let lists = Lists {
            clients: postfix.path("whitelist_clients"),
            recipients: postfix.path("whitelist_recipients"),
        };
        for list in [&lists.clients, &lists.recipients] {
            std::fs::write(list, "").expect("a list");
        }
        let clock = Clock::new();
        let stations =
            Setup::ALL.map(|setup| Station::start(setup, &mut ports, &postfix, &lists, &clock));
        let postgrey = (!postgrey::is_missing()).then(|| Postgrey::start(&[]));
        let postgrey_relay_at = Endpoint::Unix(postfix.path("postgrey"));
        if let Some(postgrey) = &postgrey {
            let postgrey_at = Endpoint::Unix(postgrey.socket().into());
            Relay::start(&postgrey_relay_at, &postgrey_at, &clock).expect("a relay");
        }
        for postfix in [&postfix, &backup] {
            let auth_at = Endpoint::Unix(postfix.path("auth"));
            dovecot_auth::start(&auth_at).expect("an auth server");
        }
        let (mut smtpds, mut backup_smtpds, mut smtpd_ports) = (Vec::new(), Vec::new(), Vec::new());
        for transport in Transport::ALL {
            for wiring in Wiring::ALL {
                let station = &stations[wiring.setup() as usize];
                let relay_at = match wiring {
                    Wiring::Postgrey => &postgrey_relay_at,
                    _ => &station.relays[transport as usize].endpoint,
                };
                let greylet_at = &station.endpoints[transport as usize];
                let whose = match wiring {
                    Wiring::Backup => &mut backup_smtpds,
                    _ => &mut smtpds,
                };
                let port = ports.take();
                smtpd_ports.push(port);
                whose.push(Smtpd {
                    port,
                    name: format!("{transport}-{wiring:?}"),
                    options: restrictions(wiring, greylet_at, relay_at),
                });
            }
        }
        postfix.start(&smtpds);
        backup.start(&backup_smtpds);
        Rig {
            stations: stations.into(),
            postgrey,
            postfix,
            backup,
            lists,
            clock,
            smtpd_ports,
            networks: Cell::new(0),
            _ports: ports,
        }
    }

    /// Both.
    pub(crate) fn postfixes(&self) -> [&Postfix; 2] {
        [&self.postfix, &self.backup]
    }

    /// Who gets mail that goes this way.
    pub(crate) fn postfix(&self, wiring: Wiring) -> &Postfix {
        match wiring {
            Wiring::Backup => &self.backup,
            _ => &self.postfix,
        }
    }

    /// Where to send mail that goes this way.
    pub(crate) fn smtpd(&self, transport: Transport, wiring: Wiring) -> SocketAddr {
        let index = transport as usize * Wiring::ALL.len() + wiring as usize;
        (Ipv4Addr::LOCALHOST, self.smtpd_ports[index]).into()
    }

    /// Who is asked about mail that goes this way.
    pub(crate) fn greylet(&self, wiring: Wiring) -> RefMut<'_, Greylet> {
        self.stations[wiring.setup() as usize].greylet.borrow_mut()
    }

    /// The relay before it.
    pub(crate) fn relay(&self, transport: Transport, wiring: Wiring) -> &Relay {
        &self.stations[wiring.setup() as usize].relays[transport as usize]
    }

    /// A number that no other story has, to make addresses of.
    pub(crate) fn fresh_network(&self) -> u16 {
        self.networks.set(self.networks.get() + 1);
        self.networks.get()
    }
}

/// The options of an smtpd that goes this way.
fn restrictions(wiring: Wiring, greylet: &Endpoint, relay: &Endpoint) -> String {
    let recipient = |policy: String| {
        option(&format!(
            "smtpd_recipient_restrictions = reject_unauth_destination, check_policy_service {policy}"
        ))
    };
    let options =
        |lines: Vec<String>| -> String { lines.iter().map(|line| option(line)).collect() };
    let readme = |begin: &str| -> String {
        let lines = readme::main_cf(relay).into_iter();
        options(lines.filter(|line| line.starts_with(begin)).collect())
    };
    match wiring {
        Wiring::Direct => recipient(greylet.to_string()),
        Wiring::FailOpen => recipient(format!(
            "{{ {greylet}, timeout=10s, default_action=DUNNO }}"
        )),
        Wiring::Timed | Wiring::Postgrey => recipient(relay.to_string()),
        Wiring::Twice => {
            let sender = format!("smtpd_sender_restrictions = check_policy_service {relay}");
            option(&sender) + &recipient(relay.to_string())
        }
        Wiring::Readme | Wiring::Suspicious => readme(""),
        Wiring::AtRecipientOnly | Wiring::LeftToData => readme("smtpd_recipient_restrictions "),
        Wiring::Backup => options(readme::backup(relay)),
        // The last of two counts.
        Wiring::Submission => readme("") + &readme::submission(relay),
        Wiring::Outgoing => {
            let policy = format!(
                "{{ {relay}, timeout=10s, default_action=DUNNO, policy_context=outgoing }}"
            );
            option("smtpd_client_restrictions = permit_mynetworks, reject")
                + &option(&format!(
                    "smtpd_recipient_restrictions = check_policy_service {policy}, permit_mynetworks, reject"
                ))
        }
    }
}

/// One endpoint for each transport, in their order.
fn endpoints(port: u16, postfix: &Postfix, socket: &str) -> Vec<Endpoint> {
    let at = |transport| match transport {
        Transport::Inet4 => Endpoint::Inet((Ipv4Addr::LOCALHOST, port).into()),
        Transport::Inet6 => Endpoint::Inet((Ipv6Addr::LOCALHOST, port).into()),
        Transport::Unix => Endpoint::Unix(postfix.path(socket)),
    };
    Transport::ALL.map(at).to_vec()
}

/// Ports that nobody listens on, and that the kernel will not give to somebody's outgoing connection before we listen there.
struct Ports {
    numbers: Vec<u16>,
    /// Keeps other runs of these tests from the block of ports that these are of: it listens on the first.
    _claim: TcpListener,
}

impl Ports {
    fn take(&mut self) -> u16 {
        self.numbers.remove(0)
    }

    fn claim(count: usize) -> Ports {
        const FIRST: u16 = 10_240;
        const BLOCK: u16 = 64;
        let range = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range");
        let ephemeral = range
            .ok()
            .and_then(|range| range.split_whitespace().next()?.parse().ok())
            .unwrap_or(32_768);
        let is_free = |port: &u16| {
            TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok()
                && TcpListener::bind((Ipv6Addr::LOCALHOST, *port)).is_ok()
        };
        let claim_block = |first: u16| {
            let claim = TcpListener::bind((Ipv4Addr::LOCALHOST, first)).ok()?;
            let free = (first + 1..first + BLOCK).filter(is_free).take(count);
            let numbers: Vec<u16> = free.collect();
            (numbers.len() == count).then_some(Ports {
                numbers,
                _claim: claim,
            })
        };
        let last = ephemeral.max(2 * FIRST) - BLOCK;
        let mut blocks = (FIRST..=last).step_by(BLOCK.into());
        let found = blocks.find_map(claim_block);
        found.unwrap_or_else(|| panic!("no {count} free ports in a block from {FIRST} to {last}"))
    }
}
