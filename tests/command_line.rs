//! The command line as a user meets it: exit codes, and errors that say what to do.

mod support;

use std::ffi::OsStr;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::UnixListener;

use nix::sys::signal::Signal;
use support::{Client, Scratch, Server, greylet, request, run};

/// The exit code and the error of a command that fails.
fn failure(words: &[&str]) -> (i32, String) {
    let output = run(words, b"");
    assert_eq!(output.stdout, b"", "{words:?}");
    let errors = String::from_utf8(output.stderr).expect("UTF-8");
    // Warnings may stand before it.
    let error = errors.lines().last().expect("an error").to_owned();
    assert!(error.starts_with("greylet: "), "{errors:?}");
    (output.status.code().expect("an exit code"), error)
}

#[test]
fn version_and_help() {
    for words in [&["--version"][..], &["serve", "--version"]] {
        let output = run(words, b"");
        let version = format!("greylet {}\n", env!("CARGO_PKG_VERSION"));
        assert_eq!(
            (output.status.code(), output.stdout),
            (Some(0), version.into_bytes())
        );
    }
    for words in [
        &["--help"][..],
        &["-h"],
        &["serve", "--help"],
        &["query", "-h"],
    ] {
        let output = run(words, b"");
        assert_eq!(
            (output.status.code(), output.stderr),
            (Some(0), b"".to_vec())
        );
        assert!(output.stdout.starts_with(b"Usage: greylet"));
    }
}

#[test]
fn wrong_words() {
    for (words, said) in [
        (&[][..], "serve, query, "),
        (&["sevre"], "sevre"),
        (&["serve", "--dleay=1"], "--dleay"),
        (&["serve", "--delay=0"], "--delay=0"),
        (&["serve", "--inet=x:y"], "--inet=x:y"),
        (&["query"], "--client-address"),
        (&["query", "--client-address=192.0.2.1"], "--recipient"),
        (
            &[
                "query",
                "--client-address=192.0.2.1",
                "--recipient=b",
                "--attribute=x",
            ],
            "NAME=VALUE",
        ),
        (
            &["query", "--client-address=192.0.2.1", "--recipient=b\nc"],
            "recipient",
        ),
    ] {
        let (code, error) = failure(words);
        assert_eq!(code, 2, "{error}");
        assert!(error.contains(said), "{error}");
    }
    let output = greylet()
        .arg(OsStr::from_bytes(b"\xff"))
        .output()
        .expect("it ends");
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("not UTF-8"));
}

/// What a script hands over may come from a mail.
#[test]
fn an_error_is_one_line_and_moves_no_cursor() {
    let (status, error) = failure(&["allow", "a\x1b[2J\rx\n@r.example"]);
    assert_eq!(status, 2);
    assert!(
        error.starts_with("greylet: a?[2J?x?@r.example: not a recipient"),
        "{error}"
    );
    assert_eq!(error.trim_end().lines().count(), 1);
}

#[test]
fn a_port_that_is_taken() {
    let holder = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = holder.local_addr().expect("an address").to_string();
    let (code, error) = failure(&["serve", &format!("--inet={address}")]);
    assert_eq!(code, 1);
    assert!(
        error.contains(&address) && error.contains("another port with --inet"),
        "{error}"
    );
}

#[test]
fn an_address_that_is_not_ours() {
    let (code, error) = failure(&["serve", "--inet=192.0.2.1:0"]);
    assert_eq!(code, 1);
    assert!(
        error.contains("192.0.2.1:0") && error.contains("no interface"),
        "{error}"
    );
}

#[test]
fn unix_sockets() {
    let scratch = Scratch::new("unix");
    let socket = scratch.path("policy");
    let option = format!("--unix={socket}");
    let mut server = Server::start_on(&[&option], &["--socketmode=0660"]);
    assert_eq!(server.listening, [format!("unix:{socket}")]);
    let mode = std::fs::metadata(&socket)
        .expect("the socket")
        .permissions()
        .mode();
    assert_eq!(mode & 0o7777, 0o660);
    assert!(
        Client::unix(&socket)
            .ask(request(&[]))
            .starts_with("DEFER_IF_PERMIT ")
    );

    let (code, error) = failure(&["serve", &option]);
    assert_eq!(code, 1);
    assert!(error.contains("another process listens there"), "{error}");

    assert!(server.stop(Signal::SIGTERM).success());
    assert!(
        std::fs::symlink_metadata(&socket).is_err(),
        "the socket is removed at the end"
    );

    // One that a dead process has left is replaced.
    drop(UnixListener::bind(&socket).expect("a stale socket"));
    let mut server = Server::start_on(&[&option], &[]);
    assert!(
        Client::unix(&socket)
            .ask(request(&[]))
            .starts_with("DEFER_IF_PERMIT ")
    );

    // One that has become somebody else's stays.
    std::fs::remove_file(&socket).expect("it is there");
    let other = UnixListener::bind(&socket).expect("another's socket");
    assert!(server.stop(Signal::SIGINT).success());
    assert!(
        std::fs::metadata(&socket)
            .expect("it is there")
            .file_type()
            .is_socket()
    );
    drop(other);
}

#[test]
fn unix_sockets_that_cannot_be() {
    let scratch = Scratch::new("nounix");
    let file = scratch.path("mbox");
    std::fs::write(&file, "precious").expect("a file");
    let long = scratch.path(&"x".repeat(108));
    let nowhere = scratch.path("nowhere/policy");
    for (path, said) in [
        (&file, "not a socket"),
        (&long, "107 bytes"),
        (&nowhere, "make the folder first"),
    ] {
        let (code, error) = failure(&["serve", &format!("--unix={path}")]);
        assert_eq!(code, 1);
        assert!(
            error.contains(said) && error.contains(path.as_str()),
            "{error}"
        );
    }
    assert_eq!(std::fs::read(&file).expect("the file"), b"precious");
}

#[test]
fn everything_it_listens_on_is_logged() {
    let scratch = Scratch::new("many");
    let unix = format!("--unix={}", scratch.path("policy"));
    let endpoints = [
        "--inet=127.0.0.1:0",
        "--inet=127.0.0.1:0",
        "--inet=[::1]:0",
        &unix,
    ];
    let mut server = Server::start_on(&endpoints, &["--max-entries=1000", "--noaction"]);
    let started = format!(
        "greylet {} started: room for 1000 entries and 256 connections",
        env!("CARGO_PKG_VERSION")
    );
    assert!(server.log.contains(&started), "{:?}", server.log);
    for endpoint in &server.listening[..3] {
        let address: std::net::SocketAddr = endpoint.parse().expect("an address");
        assert_ne!(address.port(), 0);
        std::net::TcpStream::connect(address).expect("it listens");
    }
    assert_eq!(
        server.listening[3],
        format!("unix:{}", scratch.path("policy"))
    );
    // The table is one, however a client comes to it.
    assert!(
        server
            .connect()
            .ask(request(&[]))
            .starts_with("DEFER_IF_PERMIT ")
    );
    assert!(server.stop(Signal::SIGTERM).success());
    let warned = |line: &String| line.contains("--noaction does nothing in this version");
    assert!(server.log.iter().any(warned), "{:?}", server.log);
}

/// What a strange server answers reaches the terminal as harmless text, or as an error.
#[test]
fn query_of_a_strange_server() {
    for (answer, code, printed, said) in [
        ("action=DUNNO \x1b[31m\x07\n\n", 0, "DUNNO ?[31m?\n", ""),
        (
            "x=y\naction=550 no\naction=DUNNO\n\n",
            4,
            "550 no\n",
            "ignore 2 lines",
        ),
        ("x=y\n\n", 1, "", "it has no action"),
        ("action=DUNNO\n", 1, "", "the connection was closed"),
        ("", 1, "", "the connection was closed"),
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let server = format!("--server={}", listener.local_addr().expect("an address"));
        let answering = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("a client");
            let mut request = Vec::new();
            while !request.ends_with(b"\n\n") {
                let mut piece = [0; 4_096];
                let bytes = stream.read(&mut piece).expect("a request");
                request.extend_from_slice(&piece[..bytes]);
            }
            stream.write_all(answer.as_bytes()).expect("it is taken");
        });
        let output = run(
            &[
                "query",
                &server,
                "--client-address=192.0.2.1",
                "--recipient=b",
            ],
            b"",
        );
        answering.join().expect("no panic");
        assert_eq!(output.status.code(), Some(code), "{answer:?}");
        assert_eq!(output.stdout, printed.as_bytes(), "{answer:?}");
        let error = String::from_utf8(output.stderr).expect("UTF-8");
        assert!(error.contains(said) && !error.contains('\x1b'), "{error}");
    }
}

#[test]
fn an_error_that_nobody_can_read_is_still_an_exit_code() {
    let full = std::fs::OpenOptions::new()
        .write(true)
        .open("/dev/full")
        .expect("it is there");
    let status = greylet()
        .args(["serve", "--bogus"])
        .stderr(full)
        .status()
        .expect("it ends");
    assert_eq!(status.code(), Some(2));
}

#[test]
fn query() {
    let server = Server::start(&["--greylist-action=451", "--greylist-text=%r waits"]);
    let asked = |words: &[&str], input: &str| {
        let server = format!("--server={}", server.listening[0]);
        let words = [&["query", &server], words].concat();
        let output = run(&words, input.as_bytes());
        let printed = String::from_utf8(output.stdout).expect("UTF-8");
        (output.status.code().expect("an exit code"), printed)
    };
    let words = [
        "--client-address=192.0.2.1",
        "--recipient=b@r.example",
        "--sender",
        "a@s.example",
    ];
    assert_eq!(asked(&words, ""), (3, "451 4.2.0 r.example waits\n".into()));
    let words = [&words[..], &["--sasl-username=joe"]].concat();
    assert_eq!(asked(&words, ""), (0, "DUNNO\n".into()));
    let words = [
        "--client-address=unknown",
        "--recipient=",
        "--attribute=protocol_state=DATA",
    ];
    assert_eq!(asked(&words, ""), (0, "DUNNO\n".into()));
    let by_name = server.listening[0].replace("127.0.0.1", "--server=localhost");
    let output = run(&["query", &by_name, "--stdin"], b"request=x\n\n");
    assert_eq!(output.status.code(), Some(0));
    let two = request(&[("protocol_state", Some("DATA"))]) + request(&[]).trim_end();
    assert_eq!(
        asked(&["--stdin"], &two),
        (3, "DUNNO\n451 r.example waits\n".into())
    );

    let nobody = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = nobody.local_addr().expect("an address").to_string();
    drop(nobody);
    let (code, error) = failure(&[
        "query",
        &format!("--server={address}"),
        "--client-address=192.0.2.1",
        "--recipient=b@r.example",
    ]);
    assert_eq!(code, 1);
    assert!(
        error.contains(&address) && error.contains("is the server running?"),
        "{error}"
    );
    for server in ["mx.example:10023", "localhost", "10023", "::1:10023"] {
        let server = format!("--server={server}");
        let output = run(&["query", &server, "--stdin"], b"request=x\n\n");
        let error = String::from_utf8(output.stderr).expect("UTF-8");
        assert_eq!(output.status.code(), Some(1));
        assert!(error.contains("write ADDRESS:PORT, "), "{error}");
    }
    let output = run(
        &["query", "--server=unix:/nowhere", "--stdin"],
        b"request=x\n\n",
    );
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(run(&["query", "--stdin"], b"\n\n").status.code(), Some(1));
}
