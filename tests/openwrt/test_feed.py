"""openwrt/Makefile and what lies beside it, as those who look after openwrt/packages want it."""

import json
import re
import shutil
import subprocess
import tempfile
import tomllib
import unittest
from pathlib import Path

from support import BINARY, GREYLET, REPOSITORY, recipe

from packer.control import contents
from packer.recipe import RecipeError, read

FOLDER = REPOSITORY / "openwrt"
MAKEFILE = FOLDER / "Makefile"


class Makefile(unittest.TestCase):
    def setUp(self):
        self.text = MAKEFILE.read_text()
        self.cargo = tomllib.loads((REPOSITORY / "Cargo.toml").read_text())["package"]

    def test_it_agrees_with_cargo_toml(self):
        self.assertEqual(recipe().name, self.cargo["name"])
        self.assertEqual(recipe().version, self.cargo["version"])
        self.assertEqual(recipe().license, self.cargo["license"])
        for file in recipe().license_files.split():
            self.assertTrue((REPOSITORY / file).is_file(), file)

    def test_order_and_names(self):
        places = [self.text.index(part) for part in (
            "include $(TOPDIR)/rules.mk\n", "\nPKG_NAME:=", "\nPKG_BUILD_DEPENDS:=rust/host\n", "\ninclude $(INCLUDE_DIR)/package.mk\n",
            "\ninclude ../../lang/rust/rust-package.mk\n", "\ndefine Package/greylet\n", "\n$(eval $(call RustBinPackage,greylet))\n",
            "\n$(eval $(call BuildPackage,greylet))\n",
        )]  # fmt: skip
        self.assertEqual(places, sorted(places))
        # The name stands as it is in define, call and eval.
        for line in self.text.splitlines():
            if line.startswith(("define ", "$(eval ")):
                self.assertNotIn("PKG_NAME", line)
        self.assertIn("\n  DEPENDS:=$(RUST_ARCH_DEPENDS)\n", self.text)
        self.assertRegex(recipe().maintainer, r"^.+ <\S+@\S+>$")
        self.assertRegex(self.text, r"\nPKG_SOURCE_URL:=https://")

    def test_white_space(self):
        self.assertNotIn("\r", self.text)
        self.assertNotRegex(self.text, r"[ \t]\n")
        for path in FOLDER.rglob("*"):
            if path.is_file():
                text = path.read_text()
                self.assertTrue(text.endswith("\n") and "\r" not in text, path)
                self.assertNotRegex(text, r"[ \t]\n", path)

    def test_conffiles(self):
        self.assertEqual(recipe().conffiles, ("/etc/config/greylet", "/etc/greylet/"))

    def test_every_file_is_installed(self):
        installed = {installed.source for installed in recipe().installed if installed.source}
        files = set((FOLDER / "files").iterdir())
        self.assertEqual(files - installed, set())
        self.assertEqual(installed - files, {REPOSITORY / "src/lists" / name for name in ("whitelist_clients", "whitelist_recipients")})
        self.assertEqual([installed.path for installed in recipe().installed if installed.source is None], ["usr/sbin/greylet"])

    def test_cargo_lock_is_in_the_tarball(self):
        tracked = subprocess.run(["git", "-C", REPOSITORY, "ls-files", "Cargo.lock"], capture_output=True, text=True)
        if tracked.returncode == 0:
            self.assertEqual(tracked.stdout, "Cargo.lock\n")

    def test_test_script(self):
        script = FOLDER / "test.sh"
        self.assertNotRegex(script.read_text(), r"grep -\w*q")
        folder = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, folder)
        (folder / "greylet").symlink_to(GREYLET)
        path = {"PATH": f"{folder}:/usr/bin:/bin"}
        for arguments, status in [(["greylet", recipe().version], 0), (["greylet", "9.9"], 1), (["greylet-doc", "9.9"], 0)]:
            done = subprocess.run([script, *arguments], env=path, capture_output=True, timeout=60)
            self.assertEqual(done.returncode, status, arguments)
        # A server that passes everything is not one.
        (folder / "greylet").unlink()
        (folder / "greylet").write_text(f"#!/bin/sh\n[ $1 = query ] || echo greylet {recipe().version}\n")
        (folder / "greylet").chmod(0o755)
        self.assertEqual(subprocess.run([script, "greylet", recipe().version], env=path, capture_output=True).returncode, 1)

    def test_access_control(self):
        (name, rights), = json.loads((FOLDER / "files/greylet.acl.json").read_text()).items()
        self.assertEqual((name, rights["read"], "write" in rights), ("greylet", {"ubus": {"greylet": ["status"]}}, False))


class Made(unittest.TestCase):
    """What make gets out of the Makefile is what our reader of it does."""

    RULES = """\
INCLUDE_DIR:=$(TOPDIR)/include
INSTALL_DIR:=install -d -m0755
INSTALL_BIN:=install -m0755
INSTALL_CONF:=install -m0600
INSTALL_DATA:=install -m0644
RUST_ARCH_DEPENDS:=@(arm||aarch64)
"""
    PACKAGE = """\
PKG_BUILD_DIR:=$(REPOSITORY)
PKG_INSTALL_DIR:=$(TOPDIR)/built
define BuildPackage
$(eval $(Package/$(1)))
$(file >$(TOPDIR)/fields,$(1)|$(PKG_VERSION)|$(PKG_RELEASE)|$(PKG_LICENSE)|$(PKG_MAINTAINER)|$(SECTION)|$(TITLE)|$(USERID)|$(DEPENDS))
$(file >$(TOPDIR)/description,$(Package/$(1)/description))
$(file >$(TOPDIR)/conffiles,$(Package/$(1)/conffiles))
$(file >$(TOPDIR)/postinst,$(Package/$(1)/postinst))
.PHONY: install
install: ; $$(call Package/$(1)/install,$(TOPDIR)/root)
endef
"""

    def test_with_stand_ins_for_openwrts_rules(self):
        if shutil.which("make") is None:
            self.skipTest("needs make")
        top = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, top)
        for path, content in [
            ("rules.mk", self.RULES),
            ("include/package.mk", self.PACKAGE),
            ("feed/lang/rust/rust-package.mk", "RustBinPackage=\n"),
            ("built/bin/greylet", BINARY.decode()),
        ]:
            (top / path).parent.mkdir(parents=True, exist_ok=True)
            (top / path).write_text(content)
        shutil.copytree(FOLDER, top / "feed/mail/greylet")
        make = ["make", "-s", "-C", top / "feed/mail/greylet", f"TOPDIR={top}", f"REPOSITORY={REPOSITORY}", "install"]
        done = subprocess.run(make, capture_output=True, text=True)
        self.assertEqual((done.returncode, done.stderr), (0, ""))

        ours = recipe()
        fields = [ours.name, ours.version, ours.release, ours.license, ours.maintainer, ours.section, ours.title, ours.user]
        self.assertEqual((top / "fields").read_text(), "|".join([*fields, "@(arm||aarch64)"]) + "\n")
        description = tuple(line.strip() for line in (top / "description").read_text().splitlines())
        self.assertEqual(description, ours.description)
        self.assertEqual(tuple((top / "conffiles").read_text().split()), ours.conffiles)
        self.assertEqual((top / "postinst").read_text(), ours.scripts["postinst"])
        self.assertEqual(list(ours.scripts), ["postinst"])
        # package-pack.mk writes the last one.
        nodes = {path: node for path, node in contents(ours, BINARY).nodes.items() if "keep.d" not in path}
        made = {str(path.relative_to(top / "root")) for path in (top / "root").rglob("*")}
        self.assertEqual(made, set(nodes) - {""})
        for path, node in nodes.items():
            file = top / "root" / path
            self.assertEqual(file.stat().st_mode & 0o7777, node.mode, path)
            self.assertEqual(file.read_bytes() if file.is_file() else None, node.content, path)


class Refused(unittest.TestCase):
    """What the reader of the Makefile does not know must not get lost."""

    def test_lines(self):
        folder = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, folder)
        text = MAKEFILE.read_text()
        for old, new, said in [
            ("PKG_RELEASE:=1", "PKG_RELEASE+=1", "PKG_RELEASE"),
            ("PKG_RELEASE:=1\n", "", "PKG_RELEASE is missing"),
            ("  SECTION:=mail", "    SECTION:=mail", "SECTION"),
            ("DEPENDS:=$(RUST_ARCH_DEPENDS)", "DEPENDS:=$(RUST_ARCH_DEPENDS) @ARM", "@ARM"),
            ("$(INSTALL_CONF) ./files/greylet.config", "$(CP) ./files/greylet.config", "CP"),
            ("./files/greylet.config", "/tmp/greylet.config", "/tmp/greylet.config"),
            ("\t$(INSTALL_DIR) $(1)/etc/config\n", "", "etc/config/greylet"),
            ("define Package/greylet/postinst", "define Package/greylet/prepare", "prepare"),
        ]:
            with self.subTest(new):
                self.assertIn(old, text)
                path = folder / "Makefile"
                path.write_text(text.replace(old, new))
                with self.assertRaisesRegex(RecipeError, re.escape(said)):
                    read(path, REPOSITORY)


if __name__ == "__main__":
    unittest.main()
