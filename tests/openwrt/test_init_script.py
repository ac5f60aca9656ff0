"""The init script under busybox ash: what it tells procd to do for what stands in /etc/config/greylet, and what it does to folders."""

import itertools
import os
import re
import select
import signal
import socket
import subprocess
import time
import unittest

from init_script import BUSYBOX, IS_ROOT, SCRIPT, USER_ID, Router
from support import GREYLET, REPOSITORY

DEFAULT_OPTIONS = ["--dbdir=ROOT/etc/greylet/state", "--max-entries=16384"]

# Of each option, as lines of a section: values that are passed on, with what becomes of them.
GOOD = {
    "option socketmode '0660'": "--socketmode=0660",
    "option max_connections '64'": "--max-connections=64",
    "option listen_queue_size '1'": "--listen-queue-size=1",
    "option exim '1'": "--exim",
    "option delay '60'": "--delay=60",
    "option retry_window '12h'": "--retry-window=12h",
    "option retry_window '365'": "--retry-window=365",
    "option max_age '3650'": "--max-age=3650",
    "option auto_whitelist_clients '0'": "--auto-whitelist-clients=0",
    "option lookup_by_subnet 'on'": "--lookup-by-subnet",
    "option lookup_by_host 'true'": "--lookup-by-host",
    "option ipv4cidr '32'": "--ipv4cidr=32",
    "option ipv6cidr '128'": "--ipv6cidr=128",
    "option greylist 'suspicious'": "--greylist=suspicious",
    "option null_sender 'pass'": "--null-sender=pass",
    "option dry_run '1'": "--dry-run",
    "option greylist_action '451 4.7.1'": "--greylist-action=451 4.7.1",
    "option greylist_text 'Wait %s seconds; it'\\''s $HOME and *'": "--greylist-text=Wait %s seconds; it's $HOME and *",
    "option x_greylist_header 'X-Grey: %t: %h'": "--x-greylist-header=X-Grey: %t: %h",
    "option hostname 'mx.example.org'": "--hostname=mx.example.org",
    "list whitelist_clients 'ROOT/etc/greylet/mine'": "--whitelist-clients=ROOT/etc/greylet/mine",
    "list whitelist_recipients 'ROOT/etc/greylet/mine'": "--whitelist-recipients=ROOT/etc/greylet/mine",
    "list whitelist_senders 'ROOT/etc/greylet/mine'": "--whitelist-senders=ROOT/etc/greylet/mine",
    "list greylist_recipients 'ROOT/etc/greylet/mine'": "--greylist-recipients=ROOT/etc/greylet/mine",
    "option log 'none'": "--log=none",
    "option verbose '1'": "--verbose",
    "option max_entries '262144'": "--max-entries=262144",
    "option save_interval '0'": "--save-interval=0",
}

# Of what is a number: the least and the most.
BOUNDS = {
    "delay": (1, 86400),
    "max_age": (1, 3650),
    "auto_whitelist_clients": (0, 65535),
    "ipv4cidr": (1, 32),
    "ipv6cidr": (1, 128),
    "max_connections": (1, 65536),
    "listen_queue_size": (1, 4096),
    "max_entries": (64, 262144),
    "save_interval": (0, 604800),
}

LONG = "x" * 401
# Values that greylet would not start with, or that could do harm: each is told of, and the default is in its place.
BAD = [
    *(f"option {option} 'x'" for option in BOUNDS),
    *(f"option delay '{value}'" for value in ("-1", "1.5", "08", "1 2", "99999999", "9" * 20, "1h", "0x10", "+1", "*")),
    *(f"option retry_window '{value}'" for value in ("0", "366", "8761h", "h", "2d", "1 2", "-1", "99999999999", "08h")),
    "option socketmode '888'",
    "option socketmode '1777'",
    "option socketmode 'rw'",
    "option socketmode '07777'",
    *(f"option {option} 'maybe'" for option in ("exim", "lookup_by_subnet", "lookup_by_host", "dry_run", "verbose", "enabled")),
    *(f"option {option} 'x y'" for option in ("greylist", "null_sender", "log")),
    *(
        f"option {option} '{value}'"
        for option in ("greylist_action", "greylist_text", "x_greylist_header", "hostname")
        for value in ("   ", LONG, "a\tb", "a\nb", "Grüße")
    ),
    f"option greylist_action '{'4' * 65}'",
    "option x_greylist_header 'no colon'",
    "option x_greylist_header ': no name'",
    "option x_greylist_header 'X Y: a blank in the name'",
    "list delay '60'\n\tlist delay '61'",
    *(
        f"list {option} '{value}'"
        for option in ("whitelist_clients", "whitelist_recipients", "whitelist_senders", "greylist_recipients")
        for value in ("ROOT/etc/greylet/my list", "relative", "ROOT/nowhere/list", "/list", "ROOT/etc/greylet/../x", "/etc/*/x",
                      "ROOT/etc/greylet/")
    ),
    *(
        f"list unix '{value}'"
        for value in ("/tmp/socket", "ROOT/run/greylet/", "ROOT/run/greylet/a b", "ROOT/run/greylet/../x", "socket",
                      "ROOT/run/greylet/" + "s" * 100, "ROOT/run/greylet/.hidden")
    ),
    "option dealy '60'",
    "list pidfile '/tmp/pid'",
    "option user 'root'",
    "option trust_test_time '1'",
]
BAD_INETS = [
    "x", "0", "25", "1023", "65536", "010023", "99999999999", ":", ":10023", "127.0.0.1:", "127.0.0.1", "1.2.3:10023", "1.2.3.4.5:10023",
    "256.0.0.1:10023", "01.2.3.4:10023", "mail.example.org:10023", "::1:10023", "[::1]", "[::1:10023", "[1::2::3]:10023",
    "[1:2:3:4:5:6:7]:10023", "[1:2:3:4:5:6:7:8:9]:10023", "[1:2:3:4:5:6:7:8::]:10023", "[:1:2:3:4:5:6:7:8]:10023", "[12345::]:10023",
    "[g::]:10023", "[]:10023", "[:::]:10023", "[fe80::1%eth0]:10023", "localhost :10023", "127.0.0.1:10023 127.0.0.2:10023", "-1",
]  # fmt: skip


def section(*lines):
    return "config greylet 'main'\n" + "".join(f"\t{line}\n" for line in lines)


def free_port():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


class Case(unittest.TestCase):
    def setUp(self):
        if BUSYBOX is None:
            self.skipTest("needs busybox")
        if not IS_ROOT:
            self.skipTest("needs root: it gives folders to greylet's user")
        self.router = Router()
        self.addCleanup(self.router.close)

    def run_script(self, config, *function, **processes):
        return self.router.run(config, *function, **processes)

    def assert_starts(self, options):
        """The real greylet takes the options, and listens."""
        options = [option.replace("ROOT", str(self.router.root)) for option in options]
        server = subprocess.Popen([GREYLET, "serve", *options], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        try:
            said = b""
            deadline = time.monotonic() + 60
            while b"listening on" not in said and time.monotonic() < deadline:
                if select.select([server.stdout], [], [], 1)[0]:
                    more = os.read(server.stdout.fileno(), 65536)
                    if not more:
                        break
                    said += more
            self.assertIn(b"listening on", said, options)
        finally:
            server.send_signal(signal.SIGTERM)
            server.communicate()


class Service(Case):
    def test_defaults(self):
        for config in [section(), section("option enabled '1'"), (REPOSITORY / "openwrt/files/greylet.config").read_text()]:
            outcome = self.run_script(config)
            self.assertEqual(outcome.argv[:2], ["/usr/sbin/greylet", "serve"])
            self.assertEqual(outcome.options, DEFAULT_OPTIONS)
            self.assertEqual(outcome.warnings, [])
        self.assertEqual(outcome.param("file"), ["/usr/sbin/greylet"])
        self.assertEqual(outcome.param("user"), ["greylet"])
        self.assertEqual(outcome.param("group"), ["greylet"])
        self.assertEqual(outcome.param("respawn"), ["3600", "5", "0"])
        self.assertEqual(outcome.param("no_new_privs"), ["1"])
        self.assertEqual((outcome.param("stdout"), outcome.param("stderr")), (["1"], ["1"]))
        self.assertGreater(int(outcome.param("term_timeout")[0]), 5)
        self.assertEqual(outcome.param("pidfile") + outcome.param("reload_signal"), [])
        self.assertEqual(outcome.all("add_jail"), [["greylet", "procfs", "ronly"]])
        self.assertEqual(outcome.all("add_jail_mount"), [["ROOT/etc/greylet"]])
        self.assertEqual(outcome.all("add_jail_mount_rw"), [["ROOT/etc/greylet/state"]])
        names = [call[0] for call in outcome.calls]
        self.assertEqual((names.index("open_instance"), names[-1]), (0, "close_instance"))

    def test_the_order_of_services(self):
        said = subprocess.run(["bash", "-c", f". {SCRIPT}; echo $START $STOP $USE_PROCD"], capture_output=True, text=True)
        self.assertEqual((said.stdout, said.stderr), ("71 51 1\n", ""))
        self.assertEqual(SCRIPT.read_text().splitlines()[0], "#!/bin/sh /etc/rc.common")

    def test_disabled(self):
        for value in ("0", "off", "no", "false", "disabled"):
            self.assertEqual(self.run_script(section(f"option enabled '{value}'")).calls, [])
        self.assertFalse(self.router.state.exists())

    def test_no_section(self):
        for config in [None, "", "config other 'main'\n\toption enabled '0'\n"]:
            outcome = self.run_script(config)
            self.assertEqual(outcome.options, DEFAULT_OPTIONS)
            self.assertIn("no section", outcome.warnings[0])

    def test_two_sections(self):
        outcome = self.run_script("config greylet\n\toption delay '60'\n" + section("option delay '61'"))
        self.assertEqual(outcome.options, [DEFAULT_OPTIONS[0], "--delay=60", DEFAULT_OPTIONS[1]])
        self.assertIn("section 'main' is ignored", outcome.warnings[0])
        self.assertEqual(len(outcome.all("open_instance")), 1)

    def test_triggers(self):
        self.assertEqual(self.run_script(section(), "service_triggers").calls, [["add_reload_trigger", "greylet"]])


class Reload(Case):
    def test_lists_alone(self):
        outcome = self.run_script(section(), "reload_service", process="4711", process_after="4711")
        self.assertEqual(outcome.calls[-1], ["kill", "-HUP", "4711"])
        self.assertEqual(outcome.calls[-2], ["add_reload_trigger", "greylet"])
        self.assertEqual(outcome.options, DEFAULT_OPTIONS)

    def test_another_process(self):
        for before, after in [("4711", "4712"), ("", "4712"), ("", "")]:
            outcome = self.run_script(section(), "reload_service", process=before, process_after=after)
            self.assertEqual(outcome.all("kill"), [], (before, after))


class Options(Case):
    def test_names_are_greylets_own(self):
        """The options of the script, of the config file, and of greylet are the same, but for what is not for here."""
        script = re.search(r"^OPTIONS='([^']+)'", SCRIPT.read_text(), re.MULTILINE)[1].split()
        config = (REPOSITORY / "openwrt/files/greylet.config").read_text()
        shown = re.findall(r"^#?\t(?:option|list) (\w+) ", config, re.MULTILINE)
        self.assertEqual(sorted(set(script)), sorted(set(shown)))
        usage = subprocess.run([GREYLET, "serve", "--help"], capture_output=True, text=True).stdout
        greylets = {name.replace("-", "_") for name in re.findall(r"^  (?:-\w, )?--([a-z0-9-]+)", usage, re.MULTILINE)}
        not_for_here = {
            *("daemonize", "pidfile", "user", "group", "syslog_facility", "trust_test_time", "version", "help", "man"),
            # What does nothing, is the default, or has another name here.
            *("privacy", "noaction", "lookup_by_name", "quiet"),
        }  # fmt: skip
        self.assertEqual(set(script) - {"enabled"} - greylets, set())
        self.assertEqual(greylets - not_for_here - set(script), set())

    def test_good_values(self):
        for line, option in GOOD.items():
            with self.subTest(line):
                outcome = self.run_script(section(line))
                self.assertEqual(outcome.warnings, [])
                others = [other for other in outcome.options if other != option]
                self.assertIn(option, outcome.options)
                self.assertIn(others, [DEFAULT_OPTIONS, DEFAULT_OPTIONS[:1]])
                self.assert_starts([*outcome.options, "--inet=127.0.0.1:0"])

    def test_bad_values(self):
        for line in BAD:
            with self.subTest(line):
                outcome = self.run_script(section(line))
                self.assertEqual(outcome.options, DEFAULT_OPTIONS)
                self.assertEqual(len(outcome.warnings), 1, outcome.warnings)
                option = line.split()[1]
                self.assertIn(option, outcome.warnings[0])
        self.assert_starts([*DEFAULT_OPTIONS, "--inet=127.0.0.1:0"])

    def test_bounds_are_greylets(self):
        for option, (least, most) in BOUNDS.items():
            name = option.replace("_", "-")
            for value in (least, most):
                outcome = self.run_script(section(f"option {option} '{value}'"))
                self.assertIn(f"--{name}={value}", outcome.options)
                self.assert_starts([*outcome.options, "--inet=127.0.0.1:0"])
            for value in (least - 1, most + 1):
                outcome = self.run_script(section(f"option {option} '{value}'"))
                self.assertEqual((outcome.options, len(outcome.warnings)), (DEFAULT_OPTIONS, 1))
                refused = subprocess.run([GREYLET, "serve", f"--{name}={value}", "--dbdir="], capture_output=True, timeout=60)
                self.assertEqual(refused.returncode, 2, f"{option} {value}")

    def test_all_that_is_bad_at_once(self):
        outcome = self.run_script(section(*BAD, *(f"list inet '{inet}'" for inet in BAD_INETS)))
        self.assertEqual(outcome.options, [DEFAULT_OPTIONS[0], "--inet=127.0.0.1:10023", DEFAULT_OPTIONS[1]])

    def test_a_window_that_is_not_longer_than_the_delay(self):
        for lines, passed in [
            (("option delay '3600'", "option retry_window '1h'"), ["--delay=3600"]),
            (("option delay '3600'", "option retry_window '2h'"), ["--delay=3600", "--retry-window=2h"]),
            (("option delay 'x'", "option retry_window '1h'"), ["--retry-window=1h"]),
            (("option delay '86400'", "option retry_window '1'"), ["--delay=86400"]),
        ]:
            outcome = self.run_script(section(*lines))
            self.assertEqual(outcome.options[1:-1], passed)
            self.assert_starts([*outcome.options, "--inet=127.0.0.1:0"])

    def test_list_files_elsewhere(self):
        (self.router.root / "mnt").mkdir()
        lines = [f"list whitelist_clients 'ROOT/mnt/{name}'" for name in "ab"]
        outcome = self.run_script(section(*lines))
        self.assertEqual(outcome.options[1:-1], ["--whitelist-clients=ROOT/mnt/a", "--whitelist-clients=ROOT/mnt/b"])
        self.assertEqual(outcome.all("add_jail_mount"), [["ROOT/etc/greylet"], ["ROOT/mnt"]])


class Listeners(Case):
    def test_bad_addresses(self):
        for inet in BAD_INETS:
            with self.subTest(inet):
                outcome = self.run_script(section(f"list inet '{inet}'"))
                self.assertEqual(outcome.options, [DEFAULT_OPTIONS[0], "--inet=127.0.0.1:10023", DEFAULT_OPTIONS[1]])
                self.assertEqual(len(outcome.warnings), 2)
                self.assertIn(f"inet '{inet}' is ignored: not [HOST:]PORT", outcome.warnings[0])

    def test_some_are_bad(self):
        outcome = self.run_script(section("list inet 'x'", "list inet '20000'", "list inet '10.9.0.1:20000'"))
        self.assertEqual(outcome.options[1:-1], ["--inet=20000", "--inet=10.9.0.1:20000"])
        self.assertEqual(len(outcome.warnings), 1)

    def test_an_address_that_is_not_there_yet(self):
        for inet in ("10.9.0.11:20000", "10.9.0:20000", "2.168.1.1:20000", "10.9.0.7:20000", "[fd00::11]:20000"):
            outcome = self.run_script(section("list inet '20000'", f"list inet '{inet}'"), "rc_procd", "start_service")
            self.assertEqual(outcome.options[1:-1], ["--inet=20000"], inet)
            self.assertEqual(len(outcome.warnings), 1)
        trigger = ["interface.*.up", "3000", "/etc/init.d/greylet", "reload"]
        self.assertEqual(outcome.all("add_raw_trigger"), [trigger])
        inets = ["10.9.0.1:20000", "192.168.1.1:20000", "[fd00::1]:20000", "[FD00:0::0001]:20001", "127.9.9.9:20000", "[::1]:20000"]
        outcome = self.run_script(section(*(f"list inet '{inet}'" for inet in inets)), "rc_procd", "start_service")
        self.assertEqual(outcome.options[1:-1], [f"--inet={inet}" for inet in inets])
        self.assertEqual((outcome.warnings, outcome.all("add_raw_trigger")), ([], []))

    def test_without_ipv6(self):
        (self.router.root / "if_inet6").unlink()
        for inet in ("[::1]:20000", "[::]:20000", "[fd00::1]:20000"):
            outcome = self.run_script(section("list inet '20000'", f"list inet '{inet}'"))
            self.assertEqual(outcome.options[1:-1], ["--inet=20000"], inet)
        self.assertEqual(self.run_script(section("list inet '*:20000'")).options[1:-1], ["--inet=*:20000"])

    def test_an_option_is_a_list_of_one(self):
        self.assertEqual(self.run_script(section("option inet '20000'")).options[1:-1], ["--inet=20000"])

    def test_no_two_take_the_same_port_away_from_each_other(self):
        """Whatever two of these are given, greylet starts."""
        port = free_port()
        hosts = ["", "127.0.0.1:", "0.0.0.0:", "*:", "[0:0::0]:", "[::1]:", "[0:0:0:0:0:0:0:1]:"]
        for first, second in itertools.product(hosts, repeat=2):
            with self.subTest(first + second):
                outcome = self.run_script(section(f"list inet '{first}{port}'", f"list inet '{second}{port}'"))
                inets = [option for option in outcome.options if option.startswith("--inet=")]
                self.assertEqual(inets[0], f"--inet={first}{port}")
                self.assertEqual(len(inets) + len(outcome.warnings), 2)
                self.assert_starts(outcome.options)

    def test_unix_sockets(self):
        path = "ROOT/run/greylet/socket"
        outcome = self.run_script(section(f"list unix '{path}'", f"list unix '{path}'", f"list unix '{path}2'"))
        self.assertEqual(outcome.options[1:-1], [f"--unix={path}", f"--unix={path}2"])
        self.assertEqual(outcome.warnings, [f"/etc/config/greylet: unix '{path}' is ignored: it is there twice"])
        self.assertEqual(outcome.all("add_jail_mount_rw"), [["ROOT/etc/greylet/state"], ["ROOT/run/greylet"]])
        status = self.router.sockets.stat()
        self.assertEqual((status.st_uid, status.st_mode & 0o7777), (USER_ID, 0o755))
        self.assert_starts(outcome.options)

    def test_the_folder_for_sockets_is_a_link(self):
        self.router.sockets.symlink_to("/tmp")
        outcome = self.run_script(section("list unix 'ROOT/run/greylet/socket'"))
        self.assertEqual(outcome.options, DEFAULT_OPTIONS)
        self.assertIn("is a link", outcome.warnings[0])


class State(Case):
    """The folder for the snapshot: made, found, restored, or of no use."""

    def folder(self, name, mode=0o755, owner=0):
        path = self.router.root / name
        path.mkdir(parents=True)
        path.chmod(mode)
        os.chown(path, owner, owner)
        return path

    def file(self, path, owner, mode=0o600):
        path.write_text("content")
        path.chmod(mode)
        os.chown(path, owner, owner)
        return path

    def assert_taken(self, folder):
        status = folder.lstat()
        self.assertEqual((status.st_uid, status.st_gid, status.st_mode & 0o7777), (USER_ID, USER_ID, 0o700))

    def assert_default(self, config, *said):
        outcome = self.run_script(config)
        self.assertEqual(outcome.options, DEFAULT_OPTIONS)
        for words in said:
            self.assertIn(words, " ".join(outcome.warnings))
        self.assert_taken(self.router.state)
        self.assert_starts([*outcome.options, "--inet=127.0.0.1:0"])
        return outcome

    def assert_nothing_kept(self, config, *said):
        outcome = self.run_script(config)
        self.assertEqual(outcome.options, ["--dbdir=", DEFAULT_OPTIONS[1]])
        self.assertEqual(outcome.all("add_jail_mount_rw"), [])
        for words in said:
            self.assertIn(words, " ".join(outcome.warnings))
        self.assert_starts([*outcome.options, "--inet=127.0.0.1:0"])

    def test_it_is_made(self):
        self.assert_default(section())
        # And then nothing is touched.
        self.assertEqual(self.run_script(section()).all("chown"), [])

    def test_elsewhere(self):
        self.folder("mnt/usb")
        outcome = self.run_script(section("option dbdir 'ROOT/mnt/usb/greylet/'"))
        self.assertEqual(outcome.options[0], "--dbdir=ROOT/mnt/usb/greylet")
        self.assertEqual(outcome.all("add_jail_mount_rw"), [["ROOT/mnt/usb/greylet"]])
        self.assertEqual(outcome.warnings, [])
        self.assert_taken(self.router.root / "mnt/usb/greylet")

    def test_commands_find_it(self):
        link = self.router.root / "var/lib/greylet"
        self.run_script(section())
        self.assertEqual(link.readlink(), self.router.state)
        self.run_script(section("option dbdir 'ROOT/run/greylet'"))
        self.assertEqual(link.readlink(), self.router.root / "run/greylet")
        self.router.user_id = None
        self.run_script(section())
        self.assertFalse(link.is_symlink())
        # What somebody else has put there stays.
        link.mkdir()
        self.router.user_id = USER_ID
        self.run_script(section())
        self.assertEqual((link.is_symlink(), list(link.iterdir())), (False, []))

    def test_of_another_user_after_a_restore(self):
        for owner in (0, 54321):
            state = self.folder(f"etc/greylet/state{owner}", 0o755, owner)
            names = ["snapshot", "lock", "snapshot.damaged.1"]
            files = [self.file(state / name, owner) for name in names]
            outcome = self.run_script(section(f"option dbdir 'ROOT/etc/greylet/state{owner}'"))
            # Nobody but root can change what is in it while it changes hands.
            changes = [(call[1], call[2].rpartition("/")[2]) for call in outcome.all("chown")]
            self.assertEqual((changes[0], changes[-1]), (("root:root", state.name), ("greylet:greylet", state.name)))
            self.assertEqual({call[0] for call in outcome.all("chown")}, {"-h"})
            self.assertEqual(outcome.options[0], f"--dbdir=ROOT/etc/greylet/state{owner}")
            self.assert_taken(state)
            for file in files:
                self.assertEqual((file.stat().st_uid, file.read_text()), (USER_ID, "content"))

    def test_files_of_another_user_in_it(self):
        state = self.folder("etc/greylet/state", 0o700, USER_ID)
        file = self.file(state / "snapshot", 0)
        self.assert_default(section())
        self.assertEqual(file.stat().st_uid, USER_ID)

    def test_links_are_not_followed(self):
        target = self.file(self.router.root / "passwd", 0)
        state = self.folder("etc/greylet/state", 0o777, 54321)
        (state / "snapshot").symlink_to(target)
        os.link(target, state / "snapshot.new")
        self.run_script(section())
        self.assertEqual(target.stat().st_uid, 0)

    def test_a_link_that_comes_in_between(self):
        self.folder("tmp", 0o1777)
        self.folder("tmp/greylet", 0o755, USER_ID)
        target = self.folder("target")
        file = self.file(target / "passwd", 0, 0o644)
        self.router.link_instead = target
        outcome = self.run_script(section("option dbdir 'ROOT/tmp/greylet'"))
        # The default has been replaced as well.
        self.assertEqual(outcome.options[0], "--dbdir=")
        for warning in outcome.warnings:
            self.assertIn("is a link", warning)
        for path, mode in [(target, 0o755), (file, 0o644)]:
            self.assertEqual((path.stat().st_uid, path.stat().st_mode & 0o7777), (0, mode))

    def test_a_link(self):
        self.folder("elsewhere")
        (self.router.root / "link").symlink_to("elsewhere")
        self.assert_default(section("option dbdir 'ROOT/link'"), "is a link")
        self.assertEqual((self.router.root / "elsewhere").stat().st_uid, 0)

    def test_the_default_is_a_link(self):
        self.folder("elsewhere")
        self.router.state.symlink_to("../../elsewhere")
        self.assert_nothing_kept(section(), "is a link", "is lost when it stops")
        self.assertEqual((self.router.root / "elsewhere").stat().st_uid, 0)

    def test_paths_that_are_none(self):
        of_root = ["", "/../x", "/a b", "/a//b", "/./a", "/$(x)", "/*", "/nowhere/greylet", "/" + "x" * 90]
        for path in ["relative", "/", "//", ".", "/mnt", *(f"ROOT{path}" for path in of_root)]:
            with self.subTest(path):
                self.assert_default(section(f"option dbdir '{path}'"), f"option dbdir '{path}'")

    def test_folders_of_others(self):
        """A folder with something else in it is not given away."""
        folder = self.folder("etc/config")
        self.file(folder / "network", 0)
        self.assert_default(section("option dbdir 'ROOT/etc/config'"), "holds files of others")
        self.assertEqual(folder.stat().st_uid, 0)
        for name in (".ssh", "..hidden"):
            hidden = self.folder(f"of{name}")
            self.file(hidden / name, 0)
            self.assert_default(section(f"option dbdir 'ROOT/of{name}'"), "holds files of others")
            self.assertEqual(hidden.stat().st_uid, 0)

    def test_a_folder_that_somebody_else_could_replace(self):
        self.folder("theirs", 0o755, 54321)
        self.assert_default(section("option dbdir 'ROOT/theirs/greylet'"), "could be replaced")
        self.folder("open", 0o777)
        self.assert_default(section("option dbdir 'ROOT/open/greylet'"), "could be replaced")
        self.folder("sticky", 0o1777)
        outcome = self.run_script(section("option dbdir 'ROOT/sticky/greylet'"))
        self.assertEqual(outcome.options[0], "--dbdir=ROOT/sticky/greylet")

    def test_a_lock_that_cannot_be_taken(self):
        folder = self.folder("usb", 0o700, USER_ID)
        lock = folder / "lock"
        other = self.file(self.router.root / "other", 0)
        for make in (lock.mkdir, lambda: os.mkfifo(lock), lambda: lock.symlink_to("x"), lambda: os.link(other, lock)):
            make()
            self.assert_default(section("option dbdir 'ROOT/usb'"), "has a lock that is not a file of its own")
            if lock.is_dir():
                lock.rmdir()
            else:
                lock.unlink()
        self.assertEqual(other.stat().st_uid, 0)

    def test_a_file(self):
        self.file(self.router.root / "file", 0)
        self.assert_default(section("option dbdir 'ROOT/file'"), "is not a folder")

    def test_no_user(self):
        self.router.user_id = None
        self.assert_nothing_kept(section(), "no user greylet")

    def mount_read_only(self, folder):
        if subprocess.run(["mount", "-t", "tmpfs", "-o", "ro,mode=755", "none", folder], stderr=subprocess.DEVNULL).returncode != 0:
            self.skipTest("cannot mount here")
        self.addCleanup(subprocess.run, ["umount", folder], check=True)

    def test_read_only(self):
        self.mount_read_only(self.folder("rom"))
        self.assert_default(section("option dbdir 'ROOT/rom/greylet'"), "cannot be made")

    def test_all_is_read_only(self):
        self.mount_read_only(self.router.lists)
        self.assert_nothing_kept(section(), "cannot be made", "is lost when it stops")


if __name__ == "__main__":
    unittest.main()
