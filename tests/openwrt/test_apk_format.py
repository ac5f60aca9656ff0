"""Packages that apk mkpkg of apk-tools 3.0.5 has made (tests/cases/apk) come out of our encoder the same, byte for byte."""

import unittest
import zlib
from pathlib import Path

from support import REPOSITORY

from packer import adb
from packer.tree import Node, Tree

CASES = REPOSITORY / "tests/cases/apk"


def entries(path):
    """The lines of a case's file, as lists of fields."""
    lines = path.read_text(encoding="utf-8").splitlines()
    return [line.split("\t") for line in lines if line and not line.startswith("#")]


def content(pieces):
    """What pieces of text:, hex: and repeat: come to."""
    whole = b""
    for piece in pieces:
        kind, _, value = piece.partition(":")
        if kind == "text":
            escapes = {"\\n": "\n", "\\t": "\t", "\\\\": "\\"}
            text, position = "", 0
            while position < len(value):
                step = 2 if value[position] == "\\" else 1
                text += escapes.get(value[position : position + step], value[position : position + step])
                position += step
            whole += text.encode()
        elif kind == "hex":
            whole += bytes.fromhex(value)
        else:
            count, _, unit = value.partition(":")
            whole += int(count) * bytes.fromhex(unit)
    return whole


def package(case: Path):
    tree = Tree()
    for kind, mode, path, *pieces in entries(case / "tree.txt"):
        mode = int(mode, 8)
        if path == ".":
            tree.nodes[""] = Node(mode)
        elif kind == "dir":
            tree.add(path, Node(mode))
        elif kind == "link":
            tree.add(path, Node(mode, link_target=content(pieces).decode()))
        else:
            tree.add_file(path, content(pieces), mode)
    info, scripts, epoch = {}, {}, None
    for kind, name, *values in entries(case / "meta.txt"):
        if kind == "epoch":
            epoch = int(name)
        elif kind == "info":
            info[name] = values[0] if values else ""
        else:
            scripts[name] = content(values)
    return adb.Package(info, tree, epoch, scripts)


class Recorded(unittest.TestCase):
    def test_cases(self):
        cases = sorted(path for path in CASES.iterdir() if path.is_dir())
        self.assertEqual([case.name for case in cases], ["edge", "greylet", "minimal"])
        for case in cases:
            with self.subTest(case.name):
                recorded = (case / "package.apk").read_bytes()
                self.assertEqual(recorded[:4], b"ADBd")
                stream = adb.stream(package(case))
                self.assertEqual(stream, zlib.decompress(recorded[4:], -15))
                compressed = adb.compressed(stream)
                self.assertEqual(zlib.decompress(compressed[4:], -15), stream)
                # Another zlib may compress in another way, which is as valid.
                if zlib.ZLIB_RUNTIME_VERSION == "1.2.13":
                    self.assertEqual(compressed, recorded)


class Refused(unittest.TestCase):
    def test_what_has_no_field(self):
        for info, scripts, said in [
            ({"name": "a", "colour": "red"}, {}, "colour"),
            ({"name": "a", "depends": "b="}, {}, "b="),
            ({"name": "a", "depends": "b>1 b<2"}, {}, "order"),
            ({"name": "a"}, {"post-instal": b"x"}, "post-instal"),
        ]:
            with self.subTest(said), self.assertRaisesRegex(ValueError, said):
                adb.stream(adb.Package(info, Tree(), 0, scripts))

    def test_paths_that_are_none(self):
        tree = Tree()
        tree.add_file("a/b", b"")
        for path in ["/a", "a//c", "../a", "a/b", "a", ""]:
            with self.subTest(path), self.assertRaises(ValueError):
                tree.add_file(path, b"")


if __name__ == "__main__":
    unittest.main()
