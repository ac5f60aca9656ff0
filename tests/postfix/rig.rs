//! The parts put together: Postfix, with one smtpd for each way to ask greylet, and greylet behind it; and Postgrey, if it is
//! there.
//!
//! | [`Wiring`] | Postfix asks |
//! |---|---|
//! | `Direct` | greylet itself, in the plain way |
//! | `FailOpen` | greylet itself, as README recommends |
//! | `Timed` | through the relay that adds the time of the tests |
//! | `Twice` | through the relay, in two of its restriction lists |
//! | `Postgrey` | Postgrey, through a relay of its own |

use std::cell::{Cell, RefCell};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};

use crate::dovecot_auth;
use crate::endpoint::{Endpoint, Transport};
use crate::greylet::{Greylet, Lists};
use crate::postfix::{Postfix, Smtpd};
use crate::postgrey::{self, Postgrey};
use crate::relay::{Clock, Relay};

/// Which way Postfix takes to greylet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wiring {
    Direct,
    FailOpen,
    Timed,
    Twice,
    Postgrey,
}

impl Wiring {
    const ALL: [Wiring; 5] = [
        Wiring::Direct,
        Wiring::FailOpen,
        Wiring::Timed,
        Wiring::Twice,
        Wiring::Postgrey,
    ];
}

/// See the [module](self). What comes first ends first.
pub(crate) struct Rig {
    pub(crate) greylet: RefCell<Greylet>,
    pub(crate) postgrey: Option<Postgrey>,
    pub(crate) postfix: Postfix,
    pub(crate) lists: Lists,
    pub(crate) clock: Clock,
    relays: Vec<Relay>,
    /// By transport and wiring.
    smtpd_ports: Vec<u16>,
    networks: Cell<u16>,
}

impl Rig {
    pub(crate) fn start() -> Rig {
        let postfix = Postfix::prepare();
        let smtpds = Transport::ALL.len() * Wiring::ALL.len();
        let mut ports = free_ports(smtpds + 2);
        let relays_at = endpoints(ports.remove(0), &postfix, "relay");
        let greylet_at = endpoints(ports.remove(0), &postfix, "greylet");
        let lists = Lists {
            clients: postfix.path("whitelist_clients"),
            recipients: postfix.path("whitelist_recipients"),
        };
        for list in [&lists.clients, &lists.recipients] {
            std::fs::write(list, "").expect("a list");
        }
        let greylet = Greylet::start(&greylet_at, &lists);
        let clock = Clock::new();
        let relays = relays_at
            .iter()
            .zip(&greylet_at)
            .map(|(here, greylet)| Relay::start(here, greylet, &clock).expect("a relay"));
        let relays = relays.collect();
        let postgrey = (!postgrey::is_missing()).then(|| Postgrey::start(&[]));
        let postgrey_relay_at = Endpoint::Unix(postfix.path("postgrey"));
        if let Some(postgrey) = &postgrey {
            let postgrey_at = Endpoint::Unix(postgrey.socket().into());
            Relay::start(&postgrey_relay_at, &postgrey_at, &clock).expect("a relay");
        }
        dovecot_auth::start(&Endpoint::Unix(postfix.path("auth"))).expect("an auth server");
        let mut smtpds = Vec::new();
        for transport in Transport::ALL {
            for wiring in Wiring::ALL {
                let relay_at = match wiring {
                    Wiring::Postgrey => &postgrey_relay_at,
                    _ => &relays_at[transport as usize],
                };
                smtpds.push(Smtpd {
                    port: ports[smtpds.len()],
                    name: format!("{transport}-{wiring:?}"),
                    parameters: restrictions(wiring, &greylet_at[transport as usize], relay_at),
                });
            }
        }
        postfix.start(&smtpds);
        Rig {
            greylet: RefCell::new(greylet),
            postgrey,
            postfix,
            lists,
            clock,
            relays,
            smtpd_ports: ports,
            networks: Cell::new(0),
        }
    }

    /// Where to send mail that goes this way.
    pub(crate) fn smtpd(&self, transport: Transport, wiring: Wiring) -> SocketAddr {
        let index = transport as usize * Wiring::ALL.len() + wiring as usize;
        (Ipv4Addr::LOCALHOST, self.smtpd_ports[index]).into()
    }

    pub(crate) fn relay(&self, transport: Transport) -> &Relay {
        &self.relays[transport as usize]
    }

    /// A number that no other story has, to make addresses of.
    pub(crate) fn fresh_network(&self) -> u16 {
        self.networks.set(self.networks.get() + 1);
        self.networks.get()
    }
}

fn restrictions(
    wiring: Wiring,
    greylet: &Endpoint,
    relay: &Endpoint,
) -> Vec<(&'static str, String)> {
    let recipient = |policy: String| {
        let value = format!("reject_unauth_destination, check_policy_service {policy}");
        ("smtpd_recipient_restrictions", value)
    };
    match wiring {
        Wiring::Direct => vec![recipient(greylet.to_string())],
        Wiring::FailOpen => vec![recipient(format!(
            "{{ {greylet}, timeout=10s, default_action=DUNNO }}"
        ))],
        Wiring::Timed | Wiring::Postgrey => vec![recipient(relay.to_string())],
        Wiring::Twice => vec![
            (
                "smtpd_sender_restrictions",
                format!("check_policy_service {relay}"),
            ),
            recipient(relay.to_string()),
        ],
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

/// Ports that nobody listens on, and that the kernel will not give to somebody's outgoing connection before we
/// listen there. Another run of these tests begins its search elsewhere.
fn free_ports(count: usize) -> Vec<u16> {
    const FIRST: u16 = 10_240;
    let range = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range");
    let ephemeral = range
        .ok()
        .and_then(|range| range.split_whitespace().next()?.parse().ok())
        .unwrap_or(32_768);
    let ports = FIRST..ephemeral.max(2 * FIRST);
    let begin = std::process::id() as usize * 64 % ports.len();
    let is_free = |port: &u16| {
        TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok()
            && TcpListener::bind((Ipv6Addr::LOCALHOST, *port)).is_ok()
    };
    let candidates = ports.clone().cycle().skip(begin).take(ports.len());
    let found: Vec<u16> = candidates.filter(is_free).take(count).collect();
    assert_eq!(found.len(), count, "free ports in {ports:?}");
    found
}
