//! What the one thread waits for: descriptors, the end of pauses, and wakes from other threads, all in one epoll set.
//!
//! A descriptor is registered once, edge-triggered, and from then on a request costs one read and one write, and its share of an epoll_wait; nothing is armed
//! again, and no other thread wakes up. It follows that whoever is told that there is something to read is not told again before it has read
//! all of it. So readiness is remembered here until a read finds nothing, or less than it has room for, which means the same. (Urgent data and passed
//! descriptors end a read, too. Postfix sends neither, and who does may have to send something more to be heard.)
//!
//! Readiness is a hint: who is woken for nothing finds nothing, and waits again. That is why a descriptor that is closed, and whose number is another's soon
//! after, needs no care.
//!
//! Nobody starves: what is ready is noted before anybody goes on, up to [`EVENTS_MAX`] descriptors at a time, of which the kernel tells in turn; and who
//! leaves something unread, or has written much, goes on only after the others, among them those of whom the kernel has told meanwhile.
//!
//! A waker is woken or dropped only while nothing here is borrowed, since that may drop a task, and with it what it has of the reactor.

use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::io;
use std::mem;
use std::os::fd::{AsFd, OwnedFd};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::eventfd::{EfdFlags, EventFd};

/// Descriptors that are told to be ready at a time; the others follow.
const EVENTS_MAX: usize = 64;

/// What stands for the bell in an event; the others have the number of their source.
const BELL: u64 = u64::MAX;

/// How long to wait when epoll cannot, which no kernel is known for.
const ERROR_PAUSE: Duration = Duration::from_millis(10);

/// See the [module](self).
pub(super) struct Reactor {
    epoll: Epoll,
    sources: RefCell<Vec<Option<Source>>>,
    alarms: RefCell<Vec<Option<Alarm>>>,
    /// Those who let others go first.
    polite: RefCell<Vec<Waker>>,
    bell: Arc<Bell>,
}

/// What is known of a watched descriptor, for which one task waits at most.
#[derive(Default)]
struct Source {
    is_readable: bool,
    /// Nothing comes any more, so that a short read does not mean that there is nothing left to find out.
    has_ended: bool,
    is_writable: bool,
    waiter: Option<Waker>,
}

/// The end of a pause. Its place is kept until the pause itself is dropped.
struct Alarm {
    at: Instant,
    /// `None` once it has been woken.
    waiter: Option<Waker>,
}

/// How other threads wake this one, and how it tells itself not to sleep.
struct Bell {
    has_rung: AtomicBool,
    /// Whether the thread waits, or is about to, so that only the descriptor can wake it.
    is_waiting: AtomicBool,
    /// Never read: it is edge-triggered, too, and counts for longer than anything lasts.
    event: EventFd,
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let has_rung = self.has_rung.swap(true, Ordering::SeqCst);
        if !has_rung && self.is_waiting.load(Ordering::SeqCst) {
            // Fails only if the count is full, and then there is an event, too.
            let _ = self.event.write(1);
        }
    }
}

impl Reactor {
    /// Takes two descriptors.
    ///
    /// # Errors
    ///
    /// There are none.
    pub(super) fn new() -> io::Result<Reactor> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        let event = EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)?;
        let flags = EpollFlags::EPOLLIN | EpollFlags::EPOLLET;
        epoll.add(&event, EpollEvent::new(flags, BELL))?;
        Ok(Reactor {
            epoll,
            sources: RefCell::new(Vec::new()),
            alarms: RefCell::new(Vec::new()),
            polite: RefCell::new(Vec::new()),
            bell: Arc::new(Bell {
                has_rung: AtomicBool::new(false),
                is_waiting: AtomicBool::new(false),
                event,
            }),
        })
    }

    /// Lets a future go on whenever something has happened, until it ends.
    pub(super) fn block_on<T>(&self, future: impl Future<Output = T>) -> T {
        let waker = Waker::from(self.bell.clone());
        let mut context = Context::from_waker(&waker);
        let mut future = pin!(future);
        let mut events = [EpollEvent::empty(); EVENTS_MAX];
        loop {
            // What has rung so far is taken care of now.
            self.bell.has_rung.store(false, Ordering::SeqCst);
            if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
                return output;
            }
            self.wait(&mut events);
        }
    }

    /// Watches a descriptor, which must not block, from now on: what has come before is found, too.
    ///
    /// # Errors
    ///
    /// The kernel has no room for it.
    pub(super) fn watch<T: AsFd>(&self, watched: T) -> io::Result<Watched<'_, T>> {
        let number = place_in(&mut self.sources.borrow_mut(), Source::default());
        // It gives the place back if it is dropped on the way.
        let watched = Watched {
            reactor: self,
            number,
            watched,
        };
        let event = watched.event(EpollFlags::empty());
        self.epoll.add(&watched.watched, event)?;
        Ok(watched)
    }

    /// A pause.
    pub(super) fn sleep(&self, pause: Duration) -> Sleep<'_> {
        Sleep {
            reactor: self,
            // What cannot be told is longer than anything lasts.
            until: Instant::now().checked_add(pause),
            number: None,
        }
    }

    /// Goes on after the others that are ready, and after those of whom epoll tells next.
    pub(super) async fn after_others(&self) {
        let mut others_went = false;
        poll_fn(|context| {
            if others_went {
                return Poll::Ready(());
            }
            others_went = true;
            self.polite.borrow_mut().push(context.waker().clone());
            Poll::Pending
        })
        .await;
    }

    fn wait(&self, events: &mut [EpollEvent]) {
        let longest = match self.next_alarm() {
            None => EpollTimeout::NONE,
            Some(next) => {
                let now = Instant::now();
                self.sound_alarms(now);
                // Whoever was woken goes on before the next wait, so this one ends at once.
                timeout(next.saturating_duration_since(now))
            }
        };
        self.bell.is_waiting.store(true, Ordering::SeqCst);
        let goes_on = self.bell.has_rung.load(Ordering::SeqCst) || !self.polite.borrow().is_empty();
        let timeout = match goes_on {
            true => EpollTimeout::ZERO,
            false => longest,
        };
        let ready = self.epoll.wait(events, timeout);
        self.bell.is_waiting.store(false, Ordering::SeqCst);
        match ready {
            Ok(ready) => events[..ready].iter().for_each(|event| self.note(event)),
            Err(Errno::EINTR) => {}
            Err(_) => thread::sleep(ERROR_PAUSE),
        }
        self.wake_polite();
    }

    fn wake_polite(&self) {
        let mut polite = self.polite.take();
        polite.drain(..).for_each(Waker::wake);
        // For the next time, so that nothing is allocated.
        self.polite.replace(polite);
    }

    fn note(&self, event: &EpollEvent) {
        let waiter = match self.sources.borrow_mut().get_mut(event.data() as usize) {
            Some(Some(source)) => source.note(event.events()),
            _ => None,
        };
        if let Some(waiter) = waiter {
            waiter.wake();
        }
    }

    /// When the next pause is over.
    fn next_alarm(&self) -> Option<Instant> {
        next_of(&mut self.alarms.borrow_mut()).map(|alarm| alarm.at)
    }

    /// Wakes those whose pause is over, in the order of time.
    fn sound_alarms(&self, now: Instant) {
        while let Some(waiter) = self.take_due(now) {
            waiter.wake();
        }
    }

    fn take_due(&self, now: Instant) -> Option<Waker> {
        let mut alarms = self.alarms.borrow_mut();
        next_of(&mut alarms)
            .filter(|alarm| alarm.at <= now)?
            .waiter
            .take()
    }
}

/// The first alarm of those that have not been woken.
fn next_of(alarms: &mut [Option<Alarm>]) -> Option<&mut Alarm> {
    let waiting = alarms.iter_mut().flatten().filter(|it| it.waiter.is_some());
    waiting.min_by_key(|alarm| alarm.at)
}

/// Milliseconds, and not one too few: it would wait for nothing then, again and again.
fn timeout(left: Duration) -> EpollTimeout {
    let rounded_up = left.saturating_add(Duration::from_nanos(999_999));
    EpollTimeout::try_from(rounded_up).unwrap_or(EpollTimeout::MAX)
}

/// Puts something in the first free place of a list, and gives its number.
fn place_in<T>(list: &mut Vec<Option<T>>, thing: T) -> usize {
    let free = list.iter().position(Option::is_none);
    let number = free.unwrap_or(list.len());
    if number == list.len() {
        list.push(None);
    }
    list[number] = Some(thing);
    number
}

impl Source {
    fn note(&mut self, flags: EpollFlags) -> Option<Waker> {
        let end = EpollFlags::EPOLLRDHUP | EpollFlags::EPOLLHUP | EpollFlags::EPOLLERR;
        self.has_ended |= flags.intersects(end);
        self.is_readable |= flags.intersects(EpollFlags::EPOLLIN) || self.has_ended;
        // The other end may have said its last and still listen.
        let room = EpollFlags::EPOLLOUT | EpollFlags::EPOLLHUP | EpollFlags::EPOLLERR;
        self.is_writable |= flags.intersects(room);
        self.waiter.take()
    }
}

/// A descriptor that is watched until this is dropped.
pub(super) struct Watched<'r, T: AsFd> {
    reactor: &'r Reactor,
    number: usize,
    watched: T,
}

impl<T: AsFd> Watched<'_, T> {
    /// Whose descriptor it is.
    pub(super) fn get(&self) -> &T {
        &self.watched
    }

    /// Waits until there may be something to read. If that is still so from before, the others go first.
    pub(super) async fn readable(&self) {
        if self.with_source(|source| source.is_readable) {
            self.reactor.after_others().await;
        }
        poll_fn(
            |context| match self.waits_for(|source| source.is_readable, context) {
                true => Poll::Ready(()),
                false => Poll::Pending,
            },
        )
        .await;
    }

    /// Whether there is something to read, as far as the kernel knows, for those who do something about it before they read.
    pub(super) fn has_something(&self) -> bool {
        let mut fds = [PollFd::new(self.watched.as_fd(), PollFlags::POLLIN)];
        let has_something = poll(&mut fds, PollTimeout::ZERO) != Ok(0);
        if !has_something {
            self.found_nothing();
        }
        has_something
    }

    /// Notes that there was nothing to read, so that it is not readable before something has come.
    pub(super) fn found_nothing(&self) {
        self.with_source(|source| {
            source.is_readable = false;
            source.has_ended = false;
        });
    }

    /// Whether it is so; otherwise the task will be woken.
    fn waits_for(&self, is_so: fn(&mut Source) -> bool, context: &Context<'_>) -> bool {
        let is_so = self.with_source(is_so);
        if !is_so {
            let waiter = Some(context.waker().clone());
            let before = self.with_source(|source| mem::replace(&mut source.waiter, waiter));
            drop(before);
        }
        is_so
    }

    fn with_source<R>(&self, change: impl FnOnce(&mut Source) -> R) -> R {
        change(self.reactor.sources.borrow_mut()[self.number].get_or_insert_default())
    }

    fn event(&self, more: EpollFlags) -> EpollEvent {
        let flags = EpollFlags::EPOLLIN | EpollFlags::EPOLLRDHUP | EpollFlags::EPOLLET | more;
        EpollEvent::new(flags, self.number as u64)
    }
}

/// A connection.
impl Watched<'_, OwnedFd> {
    /// Reads what there is; `None` if that is nothing, 0 if nothing will ever come.
    ///
    /// # Errors
    ///
    /// The connection is broken.
    pub(super) fn read(&self, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        match nix::unistd::read(&self.watched, buffer) {
            Ok(bytes) => {
                if bytes < buffer.len() {
                    self.with_source(|source| source.is_readable = source.has_ended);
                }
                Ok(Some(bytes))
            }
            Err(Errno::EAGAIN) => {
                self.found_nothing();
                Ok(None)
            }
            Err(Errno::EINTR) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Writes all, however long the other end takes.
    ///
    /// # Errors
    ///
    /// The connection is broken.
    pub(super) async fn write(&self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            match nix::unistd::write(&self.watched, bytes) {
                Ok(written_bytes) => bytes = &bytes[written_bytes..],
                Err(Errno::EAGAIN) => self.writable().await?,
                Err(Errno::EINTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Waits until there may be room to write. It is not asked for all the time, since a Unix socket tells of room whenever the other end reads.
    async fn writable(&self) -> io::Result<()> {
        self.with_source(|source| source.is_writable = false);
        let epoll = &self.reactor.epoll;
        epoll.modify(&self.watched, &mut self.event(EpollFlags::EPOLLOUT))?;
        poll_fn(
            |context| match self.waits_for(|source| source.is_writable, context) {
                true => Poll::Ready(()),
                false => Poll::Pending,
            },
        )
        .await;
        epoll.modify(&self.watched, &mut self.event(EpollFlags::empty()))?;
        Ok(())
    }
}

impl<T: AsFd> Drop for Watched<'_, T> {
    fn drop(&mut self) {
        // The kernel forgets a descriptor when it is closed.
        let source = self.reactor.sources.borrow_mut()[self.number].take();
        drop(source);
    }
}

/// A pause, which begins when it is made.
pub(super) struct Sleep<'r> {
    reactor: &'r Reactor,
    /// `None` for ever.
    until: Option<Instant>,
    number: Option<usize>,
}

impl Future for Sleep<'_> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let Some(at) = self.until else {
            return Poll::Pending;
        };
        if at <= Instant::now() {
            return Poll::Ready(());
        }
        let waiter = Some(context.waker().clone());
        let alarm = Alarm { at, waiter };
        let mut alarms = self.reactor.alarms.borrow_mut();
        let (number, before) = match self.number {
            Some(number) => (number, alarms[number].replace(alarm)),
            None => (place_in(&mut alarms, alarm), None),
        };
        drop(alarms);
        drop(before);
        self.number = Some(number);
        Poll::Pending
    }
}

impl Drop for Sleep<'_> {
    fn drop(&mut self) {
        if let Some(number) = self.number {
            let alarm = self.reactor.alarms.borrow_mut()[number].take();
            drop(alarm);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;
    use std::io::{Read, Write};
    use std::os::fd::AsRawFd;
    use std::os::unix::net::UnixStream;
    use std::sync::mpsc::{Sender, channel};

    use smol::{LocalExecutor, future};

    fn pair() -> (OwnedFd, UnixStream) {
        let (ours, theirs) = UnixStream::pair().expect("a pair of sockets");
        ours.set_nonblocking(true).expect("a new socket");
        (ours.into(), theirs)
    }

    /// Reads once there is something, into a buffer of `room` bytes.
    async fn read_some(stream: &Watched<'_, OwnedFd>, room: usize) -> Vec<u8> {
        let mut buffer = vec![0; room];
        loop {
            stream.readable().await;
            if let Some(bytes) = stream.read(&mut buffer).expect("it is open") {
                buffer.truncate(bytes);
                return buffer;
            }
        }
    }

    /// Leaves the others their turns.
    async fn others_go(turns: usize) {
        for _ in 0..turns {
            future::yield_now().await;
        }
    }

    #[test]
    fn what_came_before_is_found() {
        let reactor = Reactor::new().expect("a reactor");
        let (ours, mut theirs) = pair();
        theirs.write_all(b"early").expect("room");
        let stream = reactor.watch(ours).expect("room");
        assert_eq!(reactor.block_on(read_some(&stream, 9)), b"early");
    }

    #[test]
    fn a_read_of_all_room_is_followed_by_another_one() {
        let reactor = Reactor::new().expect("a reactor");
        let (ours, mut theirs) = pair();
        let stream = reactor.watch(ours).expect("room");
        theirs.write_all(b"12345678").expect("room");
        reactor.block_on(async {
            assert_eq!(read_some(&stream, 4).await, b"1234");
            assert_eq!(read_some(&stream, 4).await, b"5678");
            // Nothing has told that this was all.
            let mut buffer = [0; 4];
            stream.readable().await;
            assert_eq!(stream.read(&mut buffer).expect("it is open"), None);
            theirs.write_all(b"9").expect("room");
            assert_eq!(read_some(&stream, 4).await, b"9");
        });
    }

    /// The end makes no event of its own when it comes together with the last bytes.
    #[test]
    fn an_end_behind_unread_bytes_is_found() {
        let reactor = Reactor::new().expect("a reactor");
        let (ours, mut theirs) = pair();
        let stream = reactor.watch(ours).expect("room");
        theirs.write_all(b"last").expect("room");
        drop(theirs);
        reactor.block_on(async {
            assert_eq!(read_some(&stream, 9).await, b"last");
            assert_eq!(read_some(&stream, 9).await, b"");
        });
    }

    #[test]
    fn a_slow_reader_gets_all() {
        const BYTES: usize = 4 << 20;
        let reactor = Reactor::new().expect("a reactor");
        let (ours, mut theirs) = pair();
        let stream = reactor.watch(ours).expect("room");
        let reader = thread::spawn(move || {
            let mut all = Vec::new();
            theirs.read_to_end(&mut all).map(|_| all)
        });
        let sent: Vec<u8> = (0..BYTES).map(|byte| byte as u8).collect();
        reactor.block_on(stream.write(&sent)).expect("it is open");
        drop(stream);
        let got = reader.join().expect("no panic").expect("it is open");
        assert!(got == sent);
    }

    /// It has said its last, so that there is always something to read, and room to write is another matter.
    #[test]
    fn who_has_said_its_last_is_waited_for() {
        let reactor = Reactor::new().expect("a reactor");
        let (ours, theirs) = pair();
        let stream = reactor.watch(ours).expect("room");
        theirs
            .shutdown(std::net::Shutdown::Write)
            .expect("it is open");
        let polls = Cell::new(0);
        let executor = LocalExecutor::new();
        let writing = executor.spawn(async {
            let mut write = pin!(async {
                stream.readable().await;
                stream.write(&vec![0; 4 << 20]).await
            });
            poll_fn(|context| {
                polls.set(polls.get() + 1);
                write.as_mut().poll(context)
            })
            .await
        });
        // However slow the machine, it comes to rest; if it did not wait, it never would.
        let is_at_rest = (0..1_000).any(|_| {
            let before = polls.get();
            reactor.block_on(executor.run(reactor.sleep(Duration::from_millis(1))));
            before > 0 && polls.get() == before
        });
        assert!(is_at_rest);
        drop(theirs);
        assert!(reactor.block_on(executor.run(writing)).is_err());
    }

    /// A busy one leaves the others their turn.
    #[test]
    fn nobody_starves() {
        let reactor = Reactor::new().expect("a reactor");
        let (busy, mut theirs) = pair();
        theirs.write_all(&[b'x'; 20_000]).expect("room");
        let (quiet, mut other) = pair();
        let busy = reactor.watch(busy).expect("room");
        let quiet = reactor.watch(quiet).expect("room");
        let read = Cell::new(0);
        let executor = LocalExecutor::new();
        let reading = executor.spawn(async {
            loop {
                read.set(read.get() + read_some(&busy, 1).await.len());
            }
        });
        reactor.block_on(executor.run(async {
            others_go(5).await;
            other.write_all(b"me too").expect("room");
            assert_eq!(read_some(&quiet, 9).await, b"me too");
        }));
        // Its turns while the others had theirs, and not all of what there is to read.
        assert!((1..20).contains(&read.get()), "{}", read.get());
        drop(reading);
        while executor.try_tick() {}
    }

    /// The kernel gives the number of a closed descriptor to the next one.
    #[test]
    fn a_descriptor_may_become_anothers() {
        let reactor = Reactor::new().expect("a reactor");
        let executor = LocalExecutor::new();
        let (ours, mut theirs) = pair();
        let number = ours.as_raw_fd();
        let waiting = reactor.watch(ours).expect("room");
        let waiting = executor.spawn(async move { read_some(&waiting, 9).await });
        reactor.block_on(executor.run(others_go(2)));
        theirs.write_all(b"for the first").expect("room");
        drop(waiting);
        while executor.try_tick() {}
        let (ours, mut theirs) = pair();
        assert!(ours.as_raw_fd() <= number || theirs.as_raw_fd() <= number);
        let stream = reactor.watch(ours).expect("room");
        assert_eq!(reactor.sources.borrow().len(), 1);
        theirs.write_all(b"second").expect("room");
        assert_eq!(reactor.block_on(read_some(&stream, 99)), b"second");
    }

    const HOUR: Duration = Duration::from_secs(3_600);

    /// A pause that is waited for, by somebody who says its number when he is woken.
    fn pause<'r>(
        reactor: &'r Reactor,
        hours: u32,
        number: u32,
        woken: &Sender<u32>,
    ) -> Pin<Box<Sleep<'r>>> {
        let mut pause = Box::pin(reactor.sleep(hours * HOUR));
        let waker = Waker::from(Arc::new(Says(number, woken.clone())));
        let mut context = Context::from_waker(&waker);
        assert!(pause.as_mut().poll(&mut context).is_pending());
        pause
    }

    struct Says(u32, Sender<u32>);

    impl Wake for Says {
        fn wake(self: Arc<Self>) {
            self.1.send(self.0).expect("the test is waiting");
        }
    }

    #[test]
    fn pauses_end_in_their_order_and_places_are_used_again() {
        let reactor = Reactor::new().expect("a reactor");
        let (sender, woken) = channel();
        let woken = || woken.try_iter().collect::<Vec<u32>>();
        let start = Instant::now();
        let long = pause(&reactor, 30, 30, &sender);
        let short = pause(&reactor, 1, 1, &sender);
        assert!(reactor.next_alarm().is_some_and(|at| at >= start + HOUR));
        reactor.sound_alarms(start);
        assert_eq!(woken(), [0; 0]);
        reactor.sound_alarms(start + 2 * HOUR);
        assert_eq!(woken(), [1]);
        reactor.sound_alarms(start + 2 * HOUR);
        assert_eq!(woken(), [0; 0]);
        assert!(reactor.next_alarm() >= Some(start + 30 * HOUR));
        drop(short);
        let between = [
            pause(&reactor, 9, 9, &sender),
            pause(&reactor, 8, 8, &sender),
        ];
        let mut never = pin!(reactor.sleep(Duration::MAX));
        let mut context = Context::from_waker(Waker::noop());
        assert!(never.as_mut().poll(&mut context).is_pending());
        assert_eq!(reactor.alarms.borrow().len(), 3);
        reactor.sound_alarms(start + 31 * HOUR);
        assert_eq!(woken(), [8, 9, 30]);
        assert_eq!(reactor.next_alarm(), None);
        drop((long, between));
        assert!(reactor.alarms.borrow().iter().all(Option::is_none));
    }

    /// It waits for the next pause, not for a moment less.
    #[test]
    fn a_pause_is_over_when_it_is() {
        let reactor = Reactor::new().expect("a reactor");
        let start = Instant::now();
        let executor = LocalExecutor::new();
        let _longer = executor.spawn(reactor.sleep(HOUR));
        reactor.block_on(executor.run(reactor.sleep(Duration::from_millis(3))));
        assert!(start.elapsed() >= Duration::from_millis(3));
        for (nanoseconds, milliseconds) in [(0, 0), (1, 1), (1_000_000, 1), (1_000_001, 2)] {
            let expected = EpollTimeout::from(milliseconds as u16);
            assert_eq!(timeout(Duration::from_nanos(nanoseconds)), expected);
        }
        assert_eq!(timeout(Duration::MAX), EpollTimeout::MAX);
    }

    thread_local! {
        static REACTOR: Reactor = Reactor::new().expect("a reactor");
    }

    /// What wakes it or drops it may do what it wants with the reactor.
    struct UsesReactor(Sender<&'static str>);

    impl UsesReactor {
        fn new_waker(said: &Sender<&'static str>) -> Waker {
            Waker::from(Arc::new(UsesReactor(said.clone())))
        }

        fn say(&self, what: &'static str) {
            REACTOR.with(|reactor| {
                let is_free = reactor.alarms.try_borrow_mut().is_ok()
                    && reactor.sources.try_borrow_mut().is_ok();
                // A panic in a drop would end the process.
                let said = if is_free { what } else { "borrowed" };
                let _ = self.0.send(said);
            });
        }
    }

    impl Wake for UsesReactor {
        fn wake(self: Arc<Self>) {
            self.say("woken");
        }
    }

    impl Drop for UsesReactor {
        fn drop(&mut self) {
            self.say("dropped");
        }
    }

    #[test]
    fn wakers_may_use_the_reactor() {
        let (sender, said) = channel();
        let said = || said.try_iter().collect::<Vec<_>>();
        REACTOR.with(|reactor| {
            let poll_anew = |future: Pin<&mut dyn Future<Output = ()>>| {
                let waker = UsesReactor::new_waker(&sender);
                assert!(future.poll(&mut Context::from_waker(&waker)).is_pending());
            };
            let mut sleep = Box::pin(reactor.sleep(HOUR));
            poll_anew(sleep.as_mut());
            assert_eq!(said(), [""; 0]);
            poll_anew(sleep.as_mut());
            assert_eq!(said(), ["dropped"]);
            reactor.sound_alarms(Instant::now() + 2 * HOUR);
            assert_eq!(said(), ["woken", "dropped"]);
            poll_anew(sleep.as_mut());
            drop(sleep);
            assert_eq!(said(), ["dropped"]);
            let (ours, mut theirs) = pair();
            let stream = reactor.watch(ours).expect("room");
            let mut readable = Box::pin(stream.readable());
            poll_anew(readable.as_mut());
            poll_anew(readable.as_mut());
            assert_eq!(said(), ["dropped"]);
            theirs.write_all(b"x").expect("room");
            reactor.wait(&mut [EpollEvent::empty()]);
            assert_eq!(said(), ["woken", "dropped"]);
            stream.found_nothing();
            poll_anew(readable.as_mut());
            drop(readable);
            assert_eq!(said(), [""; 0]);
            drop(stream);
            assert_eq!(said(), ["dropped"]);
        });
    }

    #[test]
    fn another_thread_wakes_it() {
        let reactor = Reactor::new().expect("a reactor");
        let (sender, receiver) = smol::channel::bounded(1);
        for number in 0..1_000 {
            let sender = sender.clone();
            let thread = thread::spawn(move || sender.try_send(number));
            assert_eq!(reactor.block_on(receiver.recv()), Ok(number));
            thread.join().expect("no panic").expect("there is room");
        }
    }
}
