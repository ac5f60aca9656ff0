"""The packages, taken apart and installed: members, order, owners, modes, fields and scripts are those that OpenWrt's build gives."""

import contextlib
import hashlib
import io
import os
import re
import shutil
import subprocess
import tarfile
import tempfile
import unittest
from pathlib import Path
from unittest import mock

import adb_reader
from adb_reader import field
from support import BINARY, EPOCH, REPOSITORY, recipe

from packer import apk, command, ipk
from packer.control import contents
from packer.devices import ARCHITECTURES

ARCHITECTURE = "aarch64_cortex-a53"

# What is on the device, with modes; folders have 0755. In the order of a walk through the tree.
FILES = {
    "etc/config/greylet": 0o600,
    "etc/greylet/whitelist_clients": 0o644,
    "etc/greylet/whitelist_clients.local": 0o644,
    "etc/greylet/whitelist_recipients": 0o644,
    "etc/greylet/whitelist_recipients.local": 0o644,
    "etc/init.d/greylet": 0o755,
    "lib/upgrade/greylet.sh": 0o644,
    "lib/upgrade/keep.d/greylet": 0o644,
    "usr/libexec/rpcd/greylet": 0o755,
    "usr/sbin/greylet": 0o755,
    "usr/share/rpcd/acl.d/greylet.json": 0o644,
}
FOLDERS = [
    "etc", "etc/config", "etc/greylet", "etc/init.d", "lib", "lib/upgrade", "lib/upgrade/keep.d", "usr", "usr/libexec",
    "usr/libexec/rpcd", "usr/sbin", "usr/share", "usr/share/rpcd", "usr/share/rpcd/acl.d",
]  # fmt: skip

POSTINST = """\
#!/bin/sh
[ "${IPKG_NO_SCRIPT}" = "1" ] && exit 0
[ -s ${IPKG_INSTROOT}/lib/functions.sh ] || exit 0
. ${IPKG_INSTROOT}/lib/functions.sh
default_postinst $0 $@
"""
PRERM = """\
#!/bin/sh
[ -s ${IPKG_INSTROOT}/lib/functions.sh ] || exit 0
. ${IPKG_INSTROOT}/lib/functions.sh
default_prerm $0 $@
"""
OWN_POSTINST = """\
# rpcd looks for objects when it starts.
[ -n "${IPKG_INSTROOT}" ] || /etc/init.d/rpcd reload 2>/dev/null
exit 0
"""
APK_INSTALL = """\
[ "${IPKG_NO_SCRIPT}" = "1" ] && exit 0
[ -s ${IPKG_INSTROOT}/lib/functions.sh ] || exit 0
. ${IPKG_INSTROOT}/lib/functions.sh
export root="${IPKG_INSTROOT}"
export pkgname="greylet"
add_group_and_user
default_postinst
"""
APK_DEINSTALL = """\
#!/bin/sh
[ -s ${IPKG_INSTROOT}/lib/functions.sh ] || exit 0
. ${IPKG_INSTROOT}/lib/functions.sh
export root="${IPKG_INSTROOT}"
export pkgname="greylet"
default_prerm
"""

# What of lib/functions.sh and etc/rc.common the scripts of a package come to, for a root that is not /.
FUNCTIONS = """\
root="$IPKG_INSTROOT"
info="$root/usr/lib/opkg/info/greylet"
list="$root/lib/apk/packages/greylet.list"
[ -f "$list" ] || list="$info.list"

add_group_and_user() {
	users=$(cat "$root/lib/apk/packages/greylet.rusers" 2>/dev/null || sed -n 's/^Require-User: *//p' "$info.control")
	echo "${users%%:*}:x:32768:32768::/var/run/greylet:/bin/false" >>"$root/etc/passwd"
}

default_postinst() {
	[ -e "$root/lib/apk/packages/greylet.list" ] || add_group_and_user
	[ ! -f "$info.postinst-pkg" ] || ( . "$info.postinst-pkg" )
	for script in $(grep '^/etc/init.d/' "$list"); do
		bash "$root/etc/rc.common" "$root$script" enable
	done
}

default_prerm() {
	for script in $(grep '^/etc/init.d/' "$list"); do
		bash "$root/etc/rc.common" "$root$script" disable
	done
}
"""
RC_COMMON = """\
. "$1"
name=${1##*/}
case "$2" in
enable)
	ln -s "../init.d/$name" "$IPKG_INSTROOT/etc/rc.d/S$START$name"
	ln -s "../init.d/$name" "$IPKG_INSTROOT/etc/rc.d/K$STOP$name"
	;;
disable) rm "$IPKG_INSTROOT/etc/rc.d/"[SK]??"$name" ;;
esac
"""


def members(compressed):
    """Members of a compressed tar file, with their contents."""
    with tarfile.open(fileobj=io.BytesIO(compressed), mode="r:gz") as archive:
        return [(member, archive.extractfile(member).read() if member.isfile() else None) for member in archive]


class Scratch(unittest.TestCase):
    def scratch(self):
        folder = Path(tempfile.mkdtemp(prefix="greylet-packages-"))
        self.addCleanup(shutil.rmtree, folder)
        return folder

    def root(self):
        """An image's root, before the package."""
        root = self.scratch()
        for folder in ["etc/rc.d", "lib", "usr/lib/opkg/info"]:
            (root / folder).mkdir(parents=True)
        (root / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/ash\n")
        (root / "lib/functions.sh").write_text(FUNCTIONS)
        (root / "etc/rc.common").write_text(RC_COMMON)
        return root

    def run_in(self, root, name, script, *arguments):
        path = root / name
        path.write_bytes(script)
        done = subprocess.run(
            ["busybox", "ash", path, *arguments],
            env={"PATH": os.environ["PATH"], "IPKG_INSTROOT": str(root)},
            capture_output=True,
            text=True,
        )
        self.assertEqual((done.returncode, done.stdout, done.stderr), (0, "", ""), name)

    def assert_installed(self, root):
        for path, mode in FILES.items():
            self.assertEqual((root / path).stat().st_mode & 0o7777, mode, path)
        self.assertEqual((root / "usr/sbin/greylet").read_bytes(), BINARY)
        self.assertEqual((root / "lib/upgrade/keep.d/greylet").read_text(), "/etc/greylet/\n")
        self.assertIn("greylet:x:", (root / "etc/passwd").read_text())
        self.assertEqual(sorted(os.listdir(root / "etc/rc.d")), ["K51greylet", "S71greylet"])


class Ipk(Scratch):
    def setUp(self):
        self.package = ipk.make(recipe(), ARCHITECTURE, BINARY, EPOCH)
        self.outer = members(self.package)
        self.data, self.control = (members(self.outer[index][1]) for index in (1, 2))

    def control_file(self, name):
        return next(content for member, content in self.control if member.name == f"./{name}")

    def test_the_outer_file(self):
        self.assertEqual([member.name for member, _ in self.outer], ["./debian-binary", "./data.tar.gz", "./control.tar.gz"])
        self.assertEqual(self.outer[0][1], b"2.0\n")
        self.assertEqual({member.mode for member, _ in self.outer}, {0o644})
        for compressed in [self.package, self.outer[1][1], self.outer[2][1]]:
            self.assertEqual(compressed[:10].hex(), "1f8b0800000000000003")
            with tarfile.open(fileobj=io.BytesIO(compressed), mode="r:gz") as archive:
                plain = archive.fileobj
                plain.seek(257)
                self.assertEqual(plain.read(8), b"ustar  \0")
                plain.seek(0)
                self.assertEqual(len(plain.read()) % 10240, 0)

    def test_everything_is_roots_and_of_one_time(self):
        for member, _ in self.outer + self.data + self.control:
            self.assertEqual((member.uid, member.gid, member.uname, member.gname), (0, 0, "", ""))
            self.assertEqual(member.mtime, EPOCH)

    def test_data(self):
        self.assertEqual({member.name[2:]: member.mode for member, _ in self.data if member.isfile()}, FILES)
        folders = [(member.name, member.mode) for member, _ in self.data if member.isdir()]
        self.assertEqual(folders, [(".", 0o755), *((f"./{folder}", 0o755) for folder in FOLDERS)])
        self.assertEqual(dict(self.data_files())["etc/greylet/whitelist_clients"], (REPOSITORY / "src/lists/whitelist_clients").read_bytes())

    def data_files(self):
        return [(member.name[2:], content) for member, content in self.data if member.isfile()]

    def test_tar_gives_the_same_bytes(self):
        folder, tree = self.scratch(), contents(recipe(), BINARY)
        folder.chmod(0o755)
        # Names that a sort of whole paths would put elsewhere.
        for path in ["etc/greylet-x", "etc/greylet.d/y", "etc/Upper", "usr.txt"]:
            tree.add_file(path, path.encode())
        for path, node in tree.walk():
            if node.is_folder:
                (folder / path).mkdir(exist_ok=True)
            else:
                (folder / path).write_bytes(node.content)
            (folder / path).chmod(node.mode)
        tar = ["tar", "--format=gnu", "--numeric-owner", "--owner=0", "--group=0", "--sort=name", f"--mtime=@{EPOCH}", "-cf", "-", "."]
        made = subprocess.run(tar, cwd=folder, capture_output=True, check=True).stdout
        self.assertEqual(ipk.tar(tree.walk(), EPOCH), made)

    def test_control(self):
        names = [(member.name, member.mode) for member, _ in self.control]
        scripts = [(f"./{name}", 0o755) for name in ("postinst", "postinst-pkg", "prerm")]
        self.assertEqual(names, [(".", 0o755), ("./conffiles", 0o644), ("./control", 0o644), *scripts])
        self.assertEqual(self.control_file("postinst").decode(), POSTINST)
        self.assertEqual(self.control_file("postinst-pkg").decode(), "#!/bin/sh\n" + OWN_POSTINST)
        self.assertEqual(self.control_file("prerm").decode(), PRERM)
        conffiles = self.control_file("conffiles").decode().splitlines()
        self.assertEqual(conffiles, [f"/{path}" for path in FILES if path.startswith(("etc/config/", "etc/greylet/"))])

    def test_fields(self):
        lines = self.control_file("control").decode().splitlines()
        package = recipe()
        with tarfile.open(fileobj=io.BytesIO(self.outer[1][1]), mode="r:gz") as archive:
            archive.fileobj.seek(0)
            size = len(archive.fileobj.read())
        self.assertEqual(
            lines[:14],
            [
                "Package: greylet",
                f"Version: {package.version}-r{package.release}",
                "Depends: libc",
                "Source: feeds/packages/mail/greylet",
                "SourceName: greylet",
                "License: MIT OR Apache-2.0",
                "LicenseFiles: LICENSE",
                "Section: mail",
                "Require-User: greylet:greylet",
                f"SourceDateEpoch: {EPOCH}",
                f"Maintainer: {package.maintainer}",
                f"Architecture: {ARCHITECTURE}",
                f"Installed-Size: {size}",
                f"Description:  {package.description[0]}",
            ],
        )
        self.assertEqual(lines[14:], [f" {line}" for line in package.description[1:]])
        self.assertNotIn("", [line.partition(":")[2].strip() for line in lines[:14]])

    def test_installed(self):
        root = self.root()
        with tarfile.open(fileobj=io.BytesIO(self.outer[1][1]), mode="r:gz") as archive:
            # Without it later Pythons would change modes.
            archive.extraction_filter = lambda member, _: member
            archive.extractall(root)
        info = root / "usr/lib/opkg/info"
        (info / "greylet.list").write_text("".join(f"/{path}\n" for path, _ in self.data_files()))
        for name in ("control", "postinst-pkg"):
            (info / f"greylet.{name}").write_bytes(self.control_file(name))
        self.run_in(root, "usr/lib/opkg/info/greylet.postinst", self.control_file("postinst"), "configure")
        self.assert_installed(root)
        self.run_in(root, "usr/lib/opkg/info/greylet.prerm", self.control_file("prerm"), "remove")
        self.assertEqual(os.listdir(root / "etc/rc.d"), [])


class Apk(Scratch):
    def setUp(self):
        self.package, self.data = adb_reader.read(apk.make(recipe(), ARCHITECTURE, BINARY, EPOCH))
        contents_left = dict(self.data)
        self.files, self.modes, self.order = {}, {}, []
        for folder_number, folder in enumerate(field(self.package, 2)[1:], start=1):
            path = (field(folder, 1) or b"").decode()
            self.order.append(path)
            self.modes[path] = self.mode(field(folder, 2))
            for file_number, file in enumerate((field(folder, 3) or [None])[1:], start=1):
                name = f"{path}/{field(file, 1).decode()}".lstrip("/")
                content = contents_left.pop((folder_number, file_number), b"")
                self.assertEqual(field(file, 3), len(content))
                self.assertEqual(field(file, 4), EPOCH)
                self.assertEqual(field(file, 5), hashlib.sha256(content).digest())
                self.files[name], self.modes[name] = content, self.mode(field(file, 2))
        self.assertEqual(contents_left, {})

    def mode(self, acl):
        self.assertEqual(acl[2:], [b"root", b"root"])
        return acl[1]

    def text(self, name):
        return self.files[f"lib/apk/packages/greylet.{name}"].decode()

    def test_fields(self):
        info, package = field(self.package, 1), recipe()
        self.assertEqual(
            {number: value for number, value in enumerate(info) if value is not None and number != 3},
            {
                1: b"greylet",
                2: f"{package.version}-r{package.release}".encode(),
                4: " ".join(package.description).encode(),
                5: ARCHITECTURE.encode(),
                6: b"MIT OR Apache-2.0",
                7: b"feeds/packages/mail/greylet",
                8: package.maintainer.encode(),
                12: sum(map(len, self.files.values())),
                15: [None, [None, b"libc"]],
                16: [None, [None, b"greylet-any"]],
            },
        )

    def test_files(self):
        own = {f"lib/apk/packages/greylet.{name}": 0o644 for name in ("list", "rusers", "conffiles", "conffiles_static")}
        self.assertEqual({path: self.modes[path] for path in self.files}, FILES | own)
        folders = sorted(["", *FOLDERS, "lib/apk", "lib/apk/packages"], key=str.encode)
        self.assertEqual(self.order, folders)
        self.assertEqual({self.modes[folder] for folder in folders}, {0o755})
        places = [place for place, _ in self.data]
        self.assertEqual(places, sorted(places))

    def test_what_apk_has_no_field_for(self):
        listed = sorted([*FILES, "lib/apk/packages/greylet.rusers"])
        self.assertEqual(self.text("list"), "".join(f"/{path}\n" for path in listed))
        self.assertEqual(self.text("rusers"), "greylet:greylet\n")
        self.assertEqual(self.text("conffiles"), "/etc/config/greylet\n/etc/greylet/\n")
        digest = hashlib.sha256(self.files["etc/config/greylet"]).hexdigest()
        self.assertEqual(self.text("conffiles_static"), f"/etc/config/greylet {digest}\n")

    def test_scripts(self):
        scripts = {number: text.decode() for number, text in enumerate(field(self.package, 3)) if text is not None}
        self.assertEqual(
            scripts,
            {
                3: "#!/bin/sh\n" + APK_INSTALL + OWN_POSTINST,
                4: APK_DEINSTALL,
                7: "#!/bin/sh\nexport PKG_UPGRADE=1\n" + APK_INSTALL + OWN_POSTINST,
            },
        )

    def test_installed(self):
        root = self.root()
        for path, content in self.files.items():
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_bytes(content)
            (root / path).chmod(self.modes[path])
        scripts = field(self.package, 3)
        self.run_in(root, "post-install", scripts[3], "0.1.0-r1")
        self.assert_installed(root)
        self.run_in(root, "pre-deinstall", scripts[4], "0.1.0-r1")
        self.assertEqual(os.listdir(root / "etc/rc.d"), [])


def program(target):
    """What begins as a program for the target does, and ends with its name."""
    bits, machine = {"aarch64": (2, 183), "x86_64": (2, 62)}.get(target.partition("-")[0], (1, 40))
    return b"\x7fELF" + bytes([bits, 1, 1]) + bytes(11) + machine.to_bytes(2, "little") + target.encode()


class BuildPackages(Scratch):
    """The command, with stand-ins for the binaries."""

    def build(self, *architectures, epoch=str(EPOCH), others=()):
        dist = self.scratch()
        for target in {architecture.target for architecture in ARCHITECTURES}:
            (dist / f"greylet-{recipe().version}-{target}").write_bytes(program(target))
        for target, content in others:
            (dist / f"greylet-{recipe().version}-{target}").write_bytes(content)
        done = subprocess.run(
            [REPOSITORY / "openwrt/build-packages", "--dist", dist, *architectures],
            env={**os.environ, "SOURCE_DATE_EPOCH": epoch},
            capture_output=True,
            text=True,
        )
        return done, dist, {path.name: path.read_bytes() for path in dist.iterdir() if "-unknown-" not in path.name}

    def test_all(self):
        done, dist, made = self.build()
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        packages = {name for name in made if name.endswith((".ipk", ".apk"))}
        usual = [architecture for architecture in ARCHITECTURES if not architecture.is_rare]
        self.assertEqual(len(packages), 2 * len(usual))
        listed = made["openwrt-packages.txt"].decode()
        self.assertEqual(set(re.findall(r"^    (\S+)$", listed, re.MULTILINE)), packages)
        for architecture in usual:
            self.assertIn(f"{architecture.name}: {architecture.devices}", listed)
        subprocess.run(["sha256sum", "--quiet", "-c", "openwrt-packages.sha256"], cwd=dist, check=True)
        # The same input gives the same bytes.
        self.assertEqual(self.build()[2], made)
        self.assertNotEqual(self.build(epoch="1")[2], made)

    def test_each_has_the_binary_of_its_target(self):
        _, _, made = self.build(*(architecture.name for architecture in ARCHITECTURES))
        package = recipe()
        for architecture in ARCHITECTURES:
            ipk_data = members(members(made[ipk.file_name(package, architecture.name)])[1][1])
            binary = next(content for member, content in ipk_data if member.name == "./usr/sbin/greylet")
            self.assertEqual(binary, program(architecture.target))
            root, data = adb_reader.read(made[apk.file_name(package, architecture.name)])
            self.assertEqual(field(field(root, 1), 5).decode(), architecture.name)
            self.assertIn(binary, [content for _, content in data])

    def test_one(self):
        _, _, made = self.build("x86_64")
        self.assertEqual(len([name for name in made if name.endswith((".ipk", ".apk"))]), 2)

    def test_wrong_command_lines(self):
        done, _, made = self.build("mips_24kc")
        self.assertEqual((done.returncode, made), (2, {}))
        self.assertIn("mips_24kc", done.stderr)
        for epoch in ("yesterday", "-1", "1" * 20, "9" * 5000, "\u0663"):
            done, _, made = self.build("x86_64", epoch=epoch)
            self.assertEqual((done.returncode, made), (1, {}))
            self.assertRegex(done.stderr, f"^build-packages: SOURCE_DATE_EPOCH={epoch[:40]}: not a number")
        self.assertEqual(self.build("x86_64", epoch="9" * 11)[0].returncode, 0)

    def test_what_is_not_a_program_for_the_device(self):
        for content in (b"", b"\x7fELF", b"#!/bin/sh\n", program("x86_64"), program("armv7")):
            done, _, made = self.build("aarch64_generic", others=[("aarch64-unknown-linux-musl", content)])
            self.assertEqual((done.returncode, made), (1, {}))
            self.assertIn("greylet-0.1.0-aarch64-unknown-linux-musl is not a program for".replace("0.1.0", recipe().version), done.stderr)

    def test_a_binary_is_missing(self):
        repository, dist = self.scratch(), self.scratch()
        with mock.patch.object(command, "REPOSITORY", repository), contextlib.redirect_stdout(io.StringIO()):
            with self.assertRaisesRegex(command.Failure, "there is no .*greylet-1-x86_64"):
                command.binary_for(dist, "1", "x86_64")
            (repository / "cross").mkdir()
            cross = repository / "cross/build"
            (repository / "target/dist").mkdir(parents=True)
            cross.write_text(f"#!/bin/sh\ncp {repository}/built {repository}/target/dist/greylet-1-$1\n")
            (repository / "built").write_bytes(program("x86_64"))
            cross.chmod(0o755)
            self.assertEqual(command.binary_for(dist, "1", "x86_64"), program("x86_64"))

    def test_the_date_of_a_tarball(self):
        repository = self.scratch()
        makefile = repository / "Makefile"
        makefile.touch()
        os.utime(makefile, (EPOCH, EPOCH))
        with mock.patch.multiple(command, REPOSITORY=repository, MAKEFILE=makefile), mock.patch.dict(os.environ):
            os.environ.pop("SOURCE_DATE_EPOCH", None)
            self.assertEqual(command.source_date_epoch(), EPOCH)
            # A clone without git.
            (repository / ".git").mkdir()
            os.environ["PATH"] = str(repository)
            self.assertEqual(command.source_date_epoch(), EPOCH)


if __name__ == "__main__":
    unittest.main()
