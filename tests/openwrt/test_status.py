"""`ubus call greylet status`, and the hook of sysupgrade, under busybox ash, with stand-ins for the programs that they call."""

import json
import shutil
import subprocess
import tempfile
import unittest
from pathlib import Path

from init_script import BUSYBOX
from support import REPOSITORY

RPCD = REPOSITORY / "openwrt/files/greylet.rpcd"
UPGRADE = REPOSITORY / "openwrt/files/greylet.upgrade"


class Case(unittest.TestCase):
    def setUp(self):
        if BUSYBOX is None:
            self.skipTest("needs busybox")
        self.folder = Path(tempfile.mkdtemp(prefix="greylet-status-"))
        self.addCleanup(shutil.rmtree, self.folder)
        self.bin = self.folder / "bin"
        self.bin.mkdir()
        subprocess.run([BUSYBOX, "--install", "-s", self.bin], check=True)

    def program(self, name, script):
        path = self.bin / name
        path.unlink(missing_ok=True)
        path.write_text(f"#!{BUSYBOX} ash\n{script}\n")
        path.chmod(0o755)

    def ash(self, *words):
        done = subprocess.run([BUSYBOX, "ash", *words], env={"PATH": str(self.bin)}, capture_output=True, text=True, cwd=self.folder)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        return done.stdout


class Status(Case):
    def served(self, *options):
        """procd's answer about a greylet with these options, and a greylet that notes what it is asked."""
        command = "\n".join(["/usr/sbin/greylet", "serve", *options])
        self.program("ubus", """[ "$*" = 'call service list {"name":"greylet"}' ] && echo whole""")
        self.program("jsonfilter", f"read -r line; [ \"$line\" = whole ] && cat <<'EOF'\n{command}\nEOF")
        self.program("greylet", """echo "$*" >asked; echo '{"requests":1}'""")

    def call(self, *words):
        return json.loads(self.ash(RPCD, *words))

    def test_methods(self):
        self.assertEqual(self.call("list"), {"status": {}})
        self.served()
        self.assertEqual(self.call("call", "status"), {"requests": 1})
        self.assertEqual(self.call("call", "stop"), {"error": "there is no method stop"})
        self.assertEqual(self.call(), {"error": "there is no method "})

    def test_whom_it_asks(self):
        for options, server in [
            ((), "127.0.0.1:10023"),
            (("--delay=60", "--inet=20000"), "127.0.0.1:20000"),
            (("--inet=localhost:20000",), "127.0.0.1:20000"),
            (("--inet=*:20000",), "127.0.0.1:20000"),
            (("--inet=0.0.0.0:20000",), "127.0.0.1:20000"),
            (("--inet=127.0.0.2:20000",), "127.0.0.2:20000"),
            (("--inet=[::]:20000",), "[::1]:20000"),
            (("--inet=[::1]:20000",), "[::1]:20000"),
            # From another address of this machine it would not answer.
            (("--inet=10.9.0.1:20000", "--inet=20001"), "127.0.0.1:20001"),
            (("--unix=/var/run/greylet/socket", "--inet=20001"), "unix:/var/run/greylet/socket"),
        ]:
            self.served(*options)
            self.call("call", "status")
            self.assertEqual((self.folder / "asked").read_text(), f"stats --json --server={server}\n", options)

    def test_without_procd(self):
        self.program("greylet", """echo "$*" >asked; echo '{"requests":1}'""")
        self.assertEqual(self.call("call", "status"), {"requests": 1})
        self.assertIn("127.0.0.1:10023", (self.folder / "asked").read_text())

    def test_nobody_answers(self):
        self.served()
        for script, error in [
            ("""printf 'greylet: cannot ask "unix:\\\\a"\\tnow\\nreally ü' >&2; exit 1""", "greylet: cannot ask 'unix:a' now really "),
            ("exit 1", "greylet stats has failed"),
            ("exit 0", "greylet stats has not answered with JSON: "),
            ("echo '[1]'", "greylet stats has not answered with JSON: [1]"),
            ("yes | head -c 10000 >&2; exit 1", ("y " * 200)),
        ]:
            self.program("greylet", script)
            self.assertEqual(self.call("call", "status"), {"error": error})
        (self.bin / "greylet").unlink()
        self.assertIn("not found", self.call("call", "status")["error"])


class Upgrade(Case):
    """The hook runs before the one that lists the files, says nothing, and gives up after a while."""

    def setUp(self):
        super().setUp()
        self.state = self.folder / "state"
        self.state.mkdir()
        self.saver = None

    def served(self, process, folder):
        self.program("ubus", """[ "$*" = 'call service list {"name":"greylet"}' ] && echo whole""")
        self.program(
            "jsonfilter",
            f"""[ "$1 $2" = '-s whole' ] || exit 1
            case "$4" in
            *.pid) echo {process} ;;
            *) printf '%s\\n' /usr/sbin/greylet serve --dbdir={folder} --max-entries=16384 ;;
            esac""",
        )

    def hook(self):
        script = self.folder / "sysupgrade"
        # A second is as long as it wants to be, so that nothing here depends on it.
        script.write_text(
            f"""sysupgrade_init_conffiles=add_conffiles
            sleep() {{ echo "$1" >>slept; while [ -e until ] && [ ! -e state/snapshot ]; do :; done; }}
            . {UPGRADE}
            echo $sysupgrade_init_conffiles
            greylet_save /tmp/sysupgrade.conffiles
            """
        )
        self.assertEqual(self.ash(script), "greylet_save add_conffiles\n")
        slept = self.folder / "slept"
        return len(slept.read_text().splitlines()) if slept.exists() else 0

    def process(self, script):
        process = subprocess.Popen([BUSYBOX, "ash", "-c", script], cwd=self.folder, stdout=subprocess.PIPE)
        self.addCleanup(process.wait)
        self.addCleanup(process.stdout.close)
        self.addCleanup(process.kill)
        self.assertEqual(process.stdout.readline(), b"ready\n")
        return process.pid

    def test_it_waits_for_the_save(self):
        (self.folder / "until").touch()
        process = self.process("trap 'echo saved >state/snapshot' USR1; echo ready; while :; do read -t 1 line; done </dev/zero")
        self.served(process, self.state)
        self.assertEqual(self.hook(), 1)
        self.assertEqual((self.state / "snapshot").read_text(), "saved\n")

    def test_it_does_not_wait_for_ever(self):
        process = self.process("trap '' USR1; echo ready; read -r line")
        self.served(process, self.state)
        self.assertEqual(self.hook(), 5)

    def test_there_is_nothing_to_save(self):
        self.assertEqual(self.hook(), 0)
        self.served("", "")
        self.assertEqual(self.hook(), 0)
        # More than any process has.
        self.served(99999999, self.state)
        self.assertEqual(self.hook(), 0)


if __name__ == "__main__":
    unittest.main()
