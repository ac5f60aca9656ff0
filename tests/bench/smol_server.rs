//! An empty server of smol: DUNNO to every blank line, as the limit server, but with tasks on a single-threaded executor and smol's own reactor. What greylet
//! costs beyond this is its own.

use std::io::{self, Read};

use smol::io::{AsyncReadExt, AsyncWriteExt};
use smol::{Async, LocalExecutor};

use crate::address::Listener;
use crate::limit::{ANSWER, BlankLines};

/// The first word that makes the benchmark this server; the second is where it listens.
pub(crate) const ARGUMENT: &str = "smol-server";

/// Serves until standard input ends, that is until the benchmark does.
///
/// # Errors
///
/// The address cannot be used.
pub(crate) fn serve(address: &str) -> Result<(), String> {
    answer_all(address).map_err(|error| format!("smol server on {address}: {error}"))
}

fn answer_all(address: &str) -> io::Result<()> {
    let listener = Listener::bind(&address.parse()?)?;
    println!("listening on {}", listener.address()?);
    std::thread::spawn(|| {
        // Whatever it is, it is the end.
        let _ = io::stdin().read(&mut [0]);
        std::process::exit(0);
    });
    let executor = LocalExecutor::new();
    smol::block_on(executor.run(async {
        match listener {
            Listener::Inet(listener) => {
                let listener = Async::new(listener)?;
                loop {
                    let (stream, _) = listener.accept().await?;
                    stream.get_ref().set_nodelay(true)?;
                    executor.spawn(answer(stream)).detach();
                }
            }
            Listener::Unix(listener) => {
                let listener = Async::new(listener)?;
                loop {
                    let (stream, _) = listener.accept().await?;
                    executor.spawn(answer(stream)).detach();
                }
            }
        }
    }))
}

/// Answers on a connection until it ends.
async fn answer(mut stream: impl AsyncReadExt + AsyncWriteExt + Unpin) -> io::Result<()> {
    let (mut input, mut blank_lines) = ([0; 4_096], BlankLines::default());
    loop {
        let read_bytes = stream.read(&mut input).await?;
        if read_bytes == 0 {
            return Ok(());
        }
        for _ in 0..blank_lines.count(&input[..read_bytes]) {
            stream.write_all(ANSWER).await?;
        }
    }
}
