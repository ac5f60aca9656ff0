"""Runs functions of the init script under busybox ash, with stand_in.sh in OpenWrt's place."""

import os
import shutil
import subprocess
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from support import REPOSITORY

SCRIPT = REPOSITORY / "openwrt/files/greylet.init"
STAND_IN = REPOSITORY / "tests/openwrt/stand_in.sh"
BUSYBOX = shutil.which("busybox")
USER_ID = 45678
IS_ROOT = os.geteuid() == 0


@dataclass
class Outcome:
    """What the script has done."""

    calls: list[list[str]] = field(default_factory=list)

    def all(self, *prefix):
        """The words after these ones, of all calls that begin with them."""
        return [call[len(prefix) :] for call in self.calls if call[: len(prefix)] == list(prefix)]

    @property
    def argv(self):
        """The command; none if there is no instance."""
        words = [word for call in self.all("set_param", "command") + self.all("append_param", "command") for word in call]
        return words or None

    @property
    def options(self):
        return self.argv[2:]

    @property
    def warnings(self):
        return [call[-1] for call in self.all("logger")]

    def param(self, name):
        values = self.all("set_param", name)
        return values[0] if len(values) == 1 else values


class Router:
    """A scratch root with greylet's folders, and a way to run the script there."""

    def __init__(self):
        self.root = Path(tempfile.mkdtemp(prefix="greylet-openwrt-"))
        self.lists = self.root / "etc/greylet"
        self.state = self.lists / "state"
        self.sockets = self.root / "run/greylet"
        self.lists.mkdir(parents=True)
        (self.root / "run").mkdir()
        self.user_id = USER_ID
        # What takes the place of a folder while it changes hands.
        self.link_instead = ""
        self.root.chmod(0o755)
        (self.root / "addresses").write_text("    inet 192.168.1.1/24 brd 192.168.1.255\n    inet 10.9.0.1 peer 10.9.0.2/32\n    inet 10.9.0.71 peer 10.9.0.2/32\n")
        loopback = "00000000000000000000000000000001 01 80 10 80 lo\n"
        (self.root / "if_inet6").write_text(loopback + "fd000000000000000000000000000001 05 40 00 80 br-lan\n")

    def close(self):
        shutil.rmtree(self.root)

    def run(self, config, *function, process="", process_after=""):
        """Runs a function (start_service), with this in /etc/config/greylet; None is what uci cannot read."""
        (self.root / "config").unlink(missing_ok=True)
        if config is not None:
            (self.root / "config").write_text(config.replace("ROOT", str(self.root)))
        (self.root / "process").write_text(f"{process}\n" if process else "")
        record = self.root / "record"
        record.write_bytes(b"")
        applets = self.root / "bin"
        if not applets.exists():
            applets.mkdir()
            subprocess.run([BUSYBOX, "--install", "-s", applets], check=True)
        environment = {
            "PATH": str(applets),
            "LC_ALL": "C",
            "ROOT": str(self.root),
            "RECORD": str(record),
            "UCI_CONFIG": str(self.root / "config"),
            "PROCESS": str(self.root / "process"),
            "PROCESS_AFTER": process_after,
            "USER_ID": str(self.user_id or ""),
            "LINK_INSTEAD": str(self.link_instead),
        }
        command = [BUSYBOX, "ash", STAND_IN, SCRIPT, *(function or ["start_service"])]
        done = subprocess.run(command, env=environment, cwd=self.root, capture_output=True, text=True, timeout=60)
        if done.stdout or done.stderr:
            raise AssertionError(f"it has said something: {done.stdout}{done.stderr}")
        lines = record.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
        return Outcome([line.replace(str(self.root), "ROOT").split("\037") for line in lines])
