//! When the table is saved: after each interval in which something worth a write has changed, when SIGUSR1 asks for it, and at the end.
//!
//! The table is encoded here, a little at a time between requests; a thread that lives as long as the save takes every block to the disk, and waits for it.
//! When that fails, greylet serves on and tries again, ever less often.

use std::convert::Infallible;
use std::io;
use std::thread;
use std::time::Duration;

use smol::channel::{Receiver, Sender, bounded};
use smol::future;

use crate::daemon::Shared;
use crate::daemon::reactor::Reactor;
use crate::daemon::store::{Block, Piece, Store, Written};
use crate::engine::Engine;
use crate::engine::snapshot::{Encoder, Extent, Moment, Save, Step};

/// Blocks on their way to the thread.
const BLOCKS_WAITING_MAX: usize = 4;

/// Enough for a thread that only writes.
const STACK_BYTES: usize = 128 << 10;

/// Until the first try after one that has failed; each time twice as long.
const RETRY_PAUSE: Duration = Duration::from_secs(60);
const RETRY_PAUSE_MAX: Duration = Duration::from_secs(3_600);

/// Saves whenever it is time, for ever. Without an `interval` only when it is `wanted`.
pub(super) async fn save_when_due(
    shared: &Shared<'_>,
    store: &mut Store,
    interval: Option<Duration>,
    wanted: Receiver<()>,
) -> Infallible {
    let mut retry_pause = None;
    // What was asked for, and has failed, is still to be done.
    let mut with_pending = false;
    loop {
        let is_wanted = wait(&shared.reactor, retry_pause.or(interval), &wanted).await;
        with_pending |= is_wanted;
        let has_changed = shared.engine.borrow().has_changed();
        if !is_wanted && !has_changed && !store.is_behind() {
            continue;
        }
        let begun = shared.clock.now();
        let outcome = save(shared, store, with_pending).await;
        let saves = shared.saves.get().unwrap_or_default();
        shared.saves.set(Some(saves.after(&outcome, begun)));
        with_pending &= outcome.is_err();
        retry_pause = match &outcome {
            Ok(_) => None,
            Err(_) => Some(retry_pause.map_or(RETRY_PAUSE, |pause: Duration| {
                (2 * pause).min(RETRY_PAUSE_MAX)
            })),
        };
        store.tell(&outcome, is_wanted);
    }
}

/// True if a save is wanted before the pause is over.
async fn wait(reactor: &Reactor, pause: Option<Duration>, wanted: &Receiver<()>) -> bool {
    let is_wanted = async {
        // The sender lives as long as we do.
        let _ = wanted.recv().await;
        true
    };
    let is_over = async {
        match pause {
            Some(pause) => reactor.sleep(pause).await,
            None => future::pending().await,
        };
        false
    };
    future::or(is_wanted, is_over).await
}

async fn save(shared: &Shared<'_>, store: &mut Store, with_pending: bool) -> io::Result<Written> {
    let (extent, writer) = store.begin(shared.engine.borrow().is_full_save_due());
    let with_pending = with_pending || extent == Extent::Full && store.has_pending_of_before();
    let (pieces_in, pieces) = bounded(BLOCKS_WAITING_MAX);
    let (outcome_in, outcome) = bounded(1);
    let thread = thread::Builder::new()
        .name("save".into())
        .stack_size(STACK_BYTES);
    let spawned = thread.spawn(move || {
        // Nobody may wait for it any more.
        let _ = outcome_in.try_send(writer.write(&pieces));
    });
    let outcome = match spawned {
        Ok(thread) => {
            store.set_thread(thread);
            hand_over(
                shared,
                Save {
                    extent,
                    with_pending,
                },
                &pieces_in,
            )
            .await;
            drop(pieces_in);
            let lost = |_| Err(io::Error::other("the thread that writes has ended"));
            outcome.recv().await.unwrap_or_else(lost)
        }
        Err(error) => Err(error),
    };
    store.end(extent, &outcome);
    outcome
}

async fn hand_over(shared: &Shared<'_>, save: Save, pieces: &Sender<Piece>) {
    let mut encoding = Encoding::new(save, shared.clock.moment(), &mut shared.engine.borrow_mut());
    loop {
        let step = encoding.step(&mut shared.engine.borrow_mut());
        if let Some(piece) = step {
            let is_end = matches!(piece, Piece::End);
            // It fails if the thread has given up.
            if pieces.send(piece).await.is_err() || is_end {
                return;
            }
        }
        future::yield_now().await;
    }
}

/// Saves now, pending entries too, while nobody asks anything. Where a batch cannot be written, a new file may be.
pub(super) fn save_now(
    store: &mut Store,
    engine: &mut Engine<'_>,
    moment: Moment,
) -> io::Result<Written> {
    loop {
        let (extent, writer) = store.begin(engine.is_full_save_due());
        let with_pending = true;
        let save = Save {
            extent,
            with_pending,
        };
        let mut encoding = Encoding::new(save, moment, engine);
        let outcome = writer.write_pieces(|| {
            loop {
                if let Some(piece) = encoding.step(engine) {
                    return Ok(piece);
                }
            }
        });
        store.end(extent, &outcome);
        if outcome.is_ok() || extent == Extent::Full {
            return outcome;
        }
    }
}

/// The table on its way to blocks.
struct Encoding {
    encoder: Encoder,
    block: Box<Block>,
}

impl Encoding {
    fn new(save: Save, moment: Moment, engine: &mut Engine<'_>) -> Encoding {
        let removed = engine.take_removed();
        Encoding {
            encoder: Encoder::new(
                save,
                Moment {
                    data_asked: engine.data_asked(),
                    ..moment
                },
                removed,
                engine.table(),
            ),
            block: Box::default(),
        }
    }

    fn step(&mut self, engine: &mut Engine<'_>) -> Option<Piece> {
        match engine.save(&mut self.encoder, self.block.as_mut_view()) {
            Step::Unfinished => None,
            Step::Block => Some(Piece::Block(std::mem::take(&mut self.block))),
            Step::Done => Some(Piece::End),
        }
    }
}
