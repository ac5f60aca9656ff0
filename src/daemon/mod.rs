//! `greylet serve`: the shell round the engine. One thread decides, and waits for everything that happens.

mod admission;
mod background;
mod clock;
mod complaints;
mod connection;
mod control;
mod explain;
mod folder;
mod listener;
mod lock;
mod log;
pub mod metrics;
mod notify;
mod pidfile;
mod privileges;
mod reactor;
mod reload;
mod saver;
mod saves;
mod signals;
mod stats;
mod store;
mod syslog;

pub use folder::{Folder, FolderChoice};
pub use listener::Endpoint;
pub use privileges::RunAs;
pub use store::read as read_snapshot;
pub use syslog::Facility;

use std::cell::{Cell, RefCell};
use std::convert::Infallible;
use std::fs::File;
use std::future::{Future, poll_fn};
use std::io::{self, Read};
use std::path::PathBuf;
use std::pin::Pin;
use std::process::ExitCode;
use std::sync::{Mutex, PoisonError};
use std::task::Poll;
use std::time::Duration;

use ::log::LevelFilter;
use heapless::Vec;
use nix::errno::Errno;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::Signal;
use nix::sys::socket::Backlog;
use smol::channel::{Sender, bounded};
use smol::{LocalExecutor, future};

use crate::daemon::admission::Admission;
use crate::daemon::background::{Background, Started};
use crate::daemon::clock::Clock;
use crate::daemon::complaints::{Complaint, Complaints};
use crate::daemon::connection::Stocks;
use crate::daemon::listener::Listener;
use crate::daemon::metrics::Id;
use crate::daemon::pidfile::Pidfile;
use crate::daemon::reactor::{Reactor, Watched};
use crate::daemon::reload::{ListsInForce, load_lists};
use crate::daemon::saver::{save_now, save_when_due};
use crate::daemon::saves::Saves;
use crate::daemon::signals::Signals;
use crate::daemon::store::Store;
use crate::engine::access::Access;
use crate::engine::limits::ENTRIES_MAX;
use crate::engine::reply::Texts;
use crate::engine::request::Request;
use crate::engine::table::{Bucket, Slot, Table};
use crate::engine::time::Timestamp;
use crate::engine::triplet::FingerprintKey;
use crate::engine::{Engine, Policy};
use crate::error::Error;
use crate::lists::Sources;

/// Descriptors that are not connections: streams, epoll and its bell, the signals, a file now and then; and the administrator's socket and
/// its connections.
const OWN_DESCRIPTORS: u64 = 15 + 1 + control::CONNECTIONS_MAX as u64;

/// How long to wait when a connection cannot be taken.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How often tasks go on before signals and new connections have their turn.
const TASKS_A_TURN: u32 = 200;

/// How long the end may wait for the reader of the log.
const LOG_FLUSH: Duration = Duration::from_secs(1);

/// The table's memory. All its bits are zero, so it is neither in the program file nor, before it is used, in RAM.
static MEMORY: Mutex<Memory> = Mutex::new(Memory {
    slots: Vec::new(),
    buckets: [Bucket::EMPTY; ENTRIES_MAX as usize],
});

struct Memory {
    slots: Vec<Slot, { ENTRIES_MAX as usize }>,
    buckets: [Bucket; ENTRIES_MAX as usize],
}

/// What the daemon is to do, checked.
#[derive(Debug)]
pub struct Settings {
    /// Where to listen; at least one.
    pub endpoints: std::vec::Vec<Endpoint>,
    /// Mode of the Unix sockets, permission bits only.
    pub socket_mode: u32,
    /// Connections that the kernel keeps for us until we take them.
    pub listen_queue: Backlog,
    /// Most connections at a time.
    pub connections_max: usize,
    /// Most entries in the table, from [`ENTRIES_MIN`](crate::engine::limits::ENTRIES_MIN) to [`ENTRIES_MAX`].
    pub entries_max: u32,
    /// How the engine decides.
    pub policy: Policy,
    /// Where its lists are.
    pub lists: Sources,
    /// What it says.
    pub texts: Texts,
    /// What is logged: info for no decisions, trace for --verbose.
    pub verbosity: LevelFilter,
    /// Whether of the decisions only deferrals are.
    pub logs_deferrals_only: bool,
    /// Whether Postfix is told to go on, whatever is decided.
    pub is_dry_run: bool,
    /// Whether the request attribute policy_test_time is taken as now.
    pub trust_test_time: bool,
    /// Whether a connection is closed after one answer, as --exim wants it.
    pub one_answer: bool,
    /// The syslog facility to log to, for --daemonize.
    pub background: Option<Facility>,
    /// Where the process id goes; absolute if there is a `background`, as are the paths of `endpoints`.
    pub pidfile: Option<PathBuf>,
    /// Where the snapshot is; none if nothing is to be kept.
    pub folder: Option<FolderChoice>,
    /// How often it is saved; without this only at the end.
    pub save_interval: Option<Duration>,
    /// As whom to go on.
    pub run_as: Option<RunAs>,
    /// What the administrator should know, to be logged at the start.
    pub warnings: std::vec::Vec<String>,
}

/// What all connections share. There is one thread, so nothing is locked.
struct Shared<'a> {
    reactor: Reactor,
    engine: RefCell<Box<Engine<'a>>>,
    lists: RefCell<ListsInForce>,
    texts: Texts,
    clock: Clock,
    trust_test_time: bool,
    one_answer: bool,
    logs_deferrals_only: bool,
    is_dry_run: bool,
    admission: Admission,
    stocks: Stocks,
    complaints: Complaints,
    answers: Cell<u64>,
    /// How often a new connection found no free place.
    limit_reached: Cell<u64>,
    /// None if nothing is kept.
    saves: Cell<Option<Saves>>,
    /// Somebody waits here for being told to save.
    save_wanted: Sender<()>,
}

impl Shared<'_> {
    /// The time that a request wants to be taken as now, if that is to be believed.
    fn test_time(&self, request: &Request<'_>) -> Option<Timestamp> {
        let text = request.policy_test_time.filter(|_| self.trust_test_time)?;
        std::str::from_utf8(text)
            .ok()?
            .parse()
            .ok()
            .map(Timestamp::from_unix)
    }
}

/// Serves until SIGTERM or SIGINT, or has a daemon do so; gives the exit status.
///
/// # Errors
///
/// The start fails: an address is taken, say. Later, nothing ends it.
pub fn serve(settings: Settings) -> Result<ExitCode, Error> {
    // First of all, while there is only this thread.
    let background = match settings.background {
        None => None,
        Some(facility) => match background::start(facility, &settings.warnings)? {
            Started::Daemon(background) => Some(background),
            Started::Starter(status) => return Ok(status),
        },
    };
    let signals = Signals::block()?;
    log::abort_on_panic();
    log::start(
        settings.verbosity,
        background.as_ref().map(Background::syslog),
    );
    for warning in &settings.warnings {
        ::log::warn!("{warning}");
    }
    let outcome = serve_until_signal(settings, background, signals);
    log::flush_for(LOG_FLUSH);
    outcome.map(|()| ExitCode::SUCCESS)
}

fn serve_until_signal(
    settings: Settings,
    background: Option<Background>,
    signals: Signals,
) -> Result<(), Error> {
    let connections_max = within_descriptor_limit(&settings)?;
    keep_folder_free(&settings)?;
    let cannot_wait =
        |error: io::Error| Error::failure(format!("cannot wait for clients: {error}"));
    let reactor = Reactor::new().map_err(cannot_wait)?;
    let listeners = settings
        .endpoints
        .iter()
        .map(|endpoint| Listener::bind(endpoint, settings.socket_mode, settings.listen_queue))
        .collect::<Result<std::vec::Vec<_>, _>>()?;
    let _pidfile = settings
        .pidfile
        .as_deref()
        .map(Pidfile::write)
        .transpose()?;
    let (mut lists, mut access) = (ListsInForce::default(), Access::default());
    load_lists(&settings.lists, &mut access, &mut lists);
    if let Some(folder) = &settings.folder {
        folder.make(settings.run_as)?;
    }
    if let Some(run_as) = settings.run_as {
        become_user(run_as, &listeners)?;
    }
    let folder = settings
        .folder
        .as_ref()
        .map(FolderChoice::take)
        .transpose()?;
    let mut store = folder.flatten().map(Store::new);
    // Of the user that we are now, and in a folder that no other greylet has, not even while its file is removed.
    let control = store
        .as_ref()
        .and_then(|store| control::open(store.folder()));
    if let Some(background) = background {
        background.detach()?;
    }
    ::log::info!(
        "greylet {} started: room for {} entries and {connections_max} connections",
        env!("CARGO_PKG_VERSION"),
        settings.entries_max
    );
    let mut memory = MEMORY.lock().unwrap_or_else(PoisonError::into_inner);
    let Memory { slots, buckets } = &mut *memory;
    let table = Table::new(slots, buckets, settings.entries_max);
    let (mut engine, clock, saves) = load(store.as_mut(), settings.policy, table)?;
    *engine.access_mut() = access;
    for listener in &listeners {
        ::log::info!("listening on {}", listener.endpoint());
    }
    if let Some(control) = &control {
        ::log::info!("listening on {}, for orders", control.endpoint());
    }
    notify::ready();
    let (save_wanted, save_wanted_out) = bounded(1);
    let shared = Shared {
        reactor,
        engine: RefCell::new(engine),
        lists: RefCell::new(lists),
        texts: settings.texts,
        clock,
        trust_test_time: settings.trust_test_time,
        one_answer: settings.one_answer,
        logs_deferrals_only: settings.logs_deferrals_only,
        is_dry_run: settings.is_dry_run,
        admission: Admission::new(connections_max),
        stocks: Stocks::new(),
        complaints: Complaints::default(),
        answers: Cell::new(0),
        limit_reached: Cell::new(0),
        saves: Cell::new(saves),
        save_wanted,
    };
    let control_admission = Admission::new(control::CONNECTIONS_MAX);
    let end = {
        let executor = LocalExecutor::new();
        let reactor = &shared.reactor;
        let listeners = listeners
            .iter()
            .map(|listener| reactor.watch(listener))
            .collect::<io::Result<std::vec::Vec<_>>>()
            .map_err(cannot_wait)?;
        let control = control.as_ref().map(|it| reactor.watch(it)).transpose();
        let control = control.map_err(cannot_wait)?;
        executor.spawn(log::write_lines(reactor)).detach();
        let serving = async {
            let accepting = listeners
                .iter()
                .map(|listener| Box::pin(accept(&executor, &shared, listener)))
                .collect();
            let on_other = |signal| take_signal(signal, &settings.lists, &shared);
            let saving = async {
                match &mut store {
                    Some(store) => {
                        save_when_due(&shared, store, settings.save_interval, save_wanted_out).await
                    }
                    None => future::pending().await,
                }
            };
            let ordering = async {
                match &control {
                    Some(control) => {
                        control::accept(&executor, &shared, &control_admission, control).await
                    }
                    None => future::pending().await,
                }
            };
            let serving = future::or(all(accepting), future::or(ordering, saving));
            let serving = future::or(serving, run_tasks(&executor));
            future::or(signals.end(reactor, on_other), async {
                match serving.await {}
            })
            .await
        };
        reactor.block_on(serving)
    };
    if let Some(store) = &mut store {
        let moment = shared.clock.moment();
        let outcome = save_now(store, &mut shared.engine.borrow_mut(), moment);
        store.tell(&outcome, true);
    }
    match end {
        Ok(signal) => {
            log_counts(&shared);
            ::log::info!("{signal} received: stopped");
            Ok(())
        }
        Err(error) => Err(Error::failure(format!(
            "cannot take signals any more: {error}"
        ))),
    }
}

/// Sees to it that no other option names a file of --dbdir's own.
fn keep_folder_free(settings: &Settings) -> Result<(), Error> {
    let Some(folder) = &settings.folder else {
        return Ok(());
    };
    for endpoint in &settings.endpoints {
        if let Endpoint::Unix(path) = endpoint {
            folder.keep_free("--unix", path)?;
        }
    }
    match &settings.pidfile {
        Some(path) => folder.keep_free("--pidfile", path),
        None => Ok(()),
    }
}

/// Changes a snapshot while nobody serves: loads what there is, has it changed at the logical time, and saves it.
///
/// # Errors
///
/// A greylet runs with this folder, or the snapshot cannot be saved.
pub fn change_snapshot<T>(
    folder: &FolderChoice,
    policy: Policy,
    change: impl FnOnce(&mut Engine<'_>, Timestamp) -> Result<T, Error>,
) -> Result<T, Error> {
    folder.make(None)?;
    let path = folder.path.display();
    let Some(folder) = folder.take()? else {
        return Err(Error::failure(format!("cannot use {path}")));
    };
    let mut store = Store::new(folder);
    let mut memory = MEMORY.lock().unwrap_or_else(PoisonError::into_inner);
    let Memory { slots, buckets } = &mut *memory;
    // Whatever --max-entries is, nothing of what there is may get lost here.
    let table = Table::new(slots, buckets, ENTRIES_MAX);
    let (mut engine, clock, _) = load(Some(&mut store), policy, table)?;
    let changed = change(&mut engine, clock.now())?;
    save_now(&mut store, &mut engine, clock.moment()).map_err(|error| {
        Error::failure(format!(
            "cannot save to {path}: {error}; what was saved before is left as it is"
        ))
    })?;
    Ok(changed)
}

/// The engine and the clock as the snapshot left them, or new ones; and what there is to say of the snapshot, if one is kept.
fn load<'a>(
    mut store: Option<&mut Store>,
    policy: Policy,
    table: Table<'a>,
) -> Result<(Box<Engine<'a>>, Clock, Option<Saves>), Error> {
    let found = store.as_mut().and_then(|store| store.survey());
    let clock = Clock::start(found.as_ref());
    let key = match &found {
        Some(found) => found.key.clone(),
        None => new_key()?,
    };
    // Boxed, so that the stack does not keep a copy of it from each move.
    let mut engine = Box::write(Box::new_uninit(), Engine::new(policy, key, table));
    if let (Some(store), Some(found)) = (&mut store, &found) {
        store.load(found, &mut engine, &clock);
    }
    let saves = store.map(|_| Saves::since(found.as_ref()));
    Ok((engine, clock, saves))
}

/// Becomes another user, who then has what was made before.
fn become_user(run_as: RunAs, listeners: &[Listener]) -> Result<(), Error> {
    if run_as.is_us()? {
        return Ok(());
    }
    listeners
        .iter()
        .try_for_each(|listener| listener.give_to(run_as))?;
    run_as.apply()
}

/// Lets tasks go on, for ever. Unlike `LocalExecutor::run`, without a queue of 8 kB from which other threads could steal.
async fn run_tasks(executor: &LocalExecutor<'_>) -> Infallible {
    loop {
        for _ in 0..TASKS_A_TURN {
            executor.tick().await;
        }
        future::yield_now().await;
    }
}

/// Lets all go on at once, until the first one ends.
async fn all<F: Future>(mut futures: std::vec::Vec<Pin<Box<F>>>) -> F::Output {
    poll_fn(|context| {
        futures
            .iter_mut()
            .map(|future| future.as_mut().poll(context))
            .find(Poll::is_ready)
            .unwrap_or(Poll::Pending)
    })
    .await
}

/// Takes connections from a listener, for ever.
async fn accept<'a>(
    executor: &LocalExecutor<'a>,
    shared: &'a Shared<'_>,
    listener: &Watched<'_, &Listener>,
) -> Infallible {
    loop {
        if let Err(error) = take_connection(executor, shared, listener).await {
            shared.complaints.complain(
                Complaint::Accept,
                shared.clock.now(),
                format_args!(
                    "cannot accept a connection: {error}; it is tried again{}",
                    advice(&error)
                ),
            );
            shared.reactor.sleep(ACCEPT_PAUSE).await;
        }
        // The new connection has its turn before the next one may push it out.
        future::yield_now().await;
    }
}

async fn take_connection<'a>(
    executor: &LocalExecutor<'a>,
    shared: &'a Shared<'_>,
    listener: &Watched<'_, &Listener>,
) -> io::Result<()> {
    listener.readable().await;
    if !shared.admission.has_room() {
        if !listener.has_something() {
            return Ok(());
        }
        shared.limit_reached.set(shared.limit_reached.get() + 1);
        wait_for_room(shared).await;
    }
    let (stream, peer) = match listener.get().accept() {
        Ok(accepted) => accepted,
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
            listener.found_nothing();
            return Ok(());
        }
        // The client has gone again, or the connection has.
        Err(error) if is_about_one_connection(&error) => return Ok(()),
        Err(error) => {
            if is_about_resources(&error) {
                // Somebody gives way here too, so that there is enough for the next try.
                shared.admission.make_room(shared.clock.now());
            }
            return Err(error);
        }
    };
    let stream = shared.reactor.watch(stream)?;
    shared.admission.admit(shared.clock.now(), |admitted| {
        executor.spawn(connection::serve(shared, admitted, stream, peer))
    });
    Ok(())
}

fn is_about_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionReset, Interrupted};
    matches!(
        error.kind(),
        Interrupted | ConnectionAborted | ConnectionReset
    )
}

/// What helps, if it does not pass by itself.
fn advice(error: &io::Error) -> &'static str {
    match is_about_resources(error) {
        true => " (raise ulimit -n, or lower --max-connections)",
        false => "",
    }
}

fn is_about_resources(error: &io::Error) -> bool {
    let errno = Errno::from_raw(error.raw_os_error().unwrap_or_default());
    matches!(
        errno,
        Errno::EMFILE | Errno::ENFILE | Errno::ENOBUFS | Errno::ENOMEM
    )
}

/// Has a connection give way, or waits until one ends or may be made to.
async fn wait_for_room(shared: &Shared<'_>) {
    loop {
        let now = shared.clock.now();
        if shared.admission.has_room() || shared.admission.make_room(now) {
            return;
        }
        shared.complaints.complain(
            Complaint::ConnectionLimit,
            now,
            format_args!(
                "all connections are in use, and new ones have to wait: raise --max-connections"
            ),
        );
        // One may become old enough to give way.
        future::or(shared.admission.room(), shared.reactor.sleep(ACCEPT_PAUSE)).await;
    }
}

/// What a signal asks for that does not ask for the end.
fn take_signal(signal: Signal, lists: &Sources, shared: &Shared<'_>) {
    match signal {
        Signal::SIGHUP => {
            ::log::info!("HUP received: reloading whitelists...");
            let (mut engine, mut in_force) =
                (shared.engine.borrow_mut(), shared.lists.borrow_mut());
            load_lists(lists, engine.access_mut(), &mut in_force);
        }
        _ => {
            log_counts(shared);
            // If there is one waiting already, that is enough.
            let _ = shared.save_wanted.try_send(());
        }
    }
}

fn log_counts(shared: &Shared<'_>) {
    let now = shared.clock.now();
    let entries = shared.engine.borrow().table().len();
    let count = |id| stats::value(shared, id, 0, now).unwrap_or_default();
    ::log::info!(
        "{} requests answered, {entries} entries; {} connections, limit reached {} times, {} closed to make room; \
         {} clients without the protocol, {} requests not judged, {} entries evicted young",
        count(Id::Requests),
        count(Id::ConnectionsAccepted),
        count(Id::ConnectionLimitReached),
        count(Id::ConnectionsClosedForRoom),
        count(Id::Malformed),
        count(Id::Unjudged),
        count(Id::EvictedYoung),
    );
}

/// A key for this run.
fn new_key() -> Result<FingerprintKey, Error> {
    let mut bytes = [0; 16];
    File::open("/dev/urandom")
        .and_then(|mut random| random.read_exact(&mut bytes))
        .map_err(|error| {
            Error::failure(format!(
                "cannot read /dev/urandom, from which the key of what is remembered comes: {error}"
            ))
        })?;
    Ok(FingerprintKey::new(bytes))
}

/// As many connections as are wanted, or as this process may have descriptors for.
///
/// # Errors
///
/// It may not have enough for one.
fn within_descriptor_limit(settings: &Settings) -> Result<usize, Error> {
    let wanted = settings.connections_max;
    let own = OWN_DESCRIPTORS + settings.endpoints.len() as u64;
    let needed = own + wanted as u64;
    let limit = raise_descriptor_limit(needed).unwrap_or(needed);
    let possible = usize::try_from(limit.saturating_sub(own)).map_or(wanted, |it| it.min(wanted));
    if possible == 0 {
        return Err(Error::failure(format!(
            "this process may have only {limit} descriptors, and {own} are not enough for one connection: raise ulimit -n"
        )));
    }
    if possible < wanted {
        ::log::warn!(
            "only {possible} connections instead of {wanted}: this process may have {limit} descriptors (ulimit -n)"
        );
    }
    Ok(possible)
}

/// Raises the limit to what is needed, as far as that is allowed; gives what it then is.
#[allow(
    clippy::useless_conversion,
    reason = "rlim_t has 32 bits on some targets"
)]
fn raise_descriptor_limit(needed: u64) -> Option<u64> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).ok()?;
    let (soft_now, most) = (u64::from(soft), u64::from(hard));
    if soft_now >= needed {
        return Some(soft_now);
    }
    let raised = needed.min(most);
    let is_raised = setrlimit(Resource::RLIMIT_NOFILE, raised.try_into().ok()?, hard).is_ok();
    Some(if is_raised { raised } else { soft_now })
}
