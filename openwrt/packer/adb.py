"""The file format of apk-tools 3 ("ADB"), as `apk mkpkg` writes it: a block of all metadata, then one for each file's content.

The metadata block is a heap of items, each written after those it refers to and, but for the identity, only once. A value is a word of 32 bits: what it is in
the upper four, and in the others a small number, or where in the block the item is. Everything is little-endian. See apk-tools, doc/apk-v3.5.scd and
doc/apk-package.5.scd.
"""

import hashlib
import re
import zlib
from dataclasses import dataclass, field

from packer.tree import Tree

# Kinds of value.
_SMALL_NUMBER, _NUMBER_32, _NUMBER_64 = 0x1, 0x2, 0x3
_BYTES_8, _BYTES_16, _BYTES_32 = 0x8, 0x9, 0xA
_OBJECT = 0xE
_NULL = 0

_TEXT_FIELDS = {
    "name": 1,
    "version": 2,
    "description": 4,
    "arch": 5,
    "license": 6,
    "origin": 7,
    "maintainer": 8,
    "url": 9,
}
_IDENTITY, _INSTALLED_SIZE = 3, 12
_NUMBER_FIELDS = {"provider-priority": 14}
_DEPENDENCY_FIELDS = {"depends": 15, "provides": 16}
_TAGS = 21
_SCRIPT_FIELDS = {
    "trigger": 1,
    "pre-install": 2,
    "post-install": 3,
    "pre-deinstall": 4,
    "post-deinstall": 5,
    "pre-upgrade": 6,
    "post-upgrade": 7,
}
_MATCHES = {"=": 1, "<": 2, ">": 4, "~": 9}
_MATCH_ANY, _MATCH_NOT = 7, 16
_LINK_TYPE = (0o120000).to_bytes(2, "little")
_METADATA_BLOCK, _DATA_BLOCK = 0, 2


@dataclass
class Package:
    """What goes into the file: `info` and `scripts` by the names that mkpkg has for them, and `epoch`, the time of all files."""

    info: dict[str, str]
    tree: Tree
    epoch: int
    scripts: dict[str, bytes] = field(default_factory=dict)


def compressed(stream):
    """The stream as it is in an .apk; zlib's bytes are mkpkg's."""
    deflate = zlib.compressobj(9, zlib.DEFLATED, -15, 8, 0)
    return b"ADBd" + deflate.compress(stream) + deflate.flush()


def stream(package):
    """The package's bytes before they are compressed."""
    folders = _folders(package.tree)
    blocks = [_block(_METADATA_BLOCK, _metadata(package, folders))]
    for folder_number, (_, files) in enumerate(folders, start=1):
        for file_number, (_, node) in enumerate(files, start=1):
            if node.content:
                blocks.append(_block(_DATA_BLOCK, _word(folder_number) + _word(file_number) + node.content))
    return b"ADB.pckg" + b"".join(blocks)


def _word(number):
    return number.to_bytes(4, "little")


def _block(kind, body):
    head = _word(kind << 30 | 4 + len(body))
    return head + body + bytes(-(4 + len(body)) % 8)


def _folders(tree):
    """Each folder's path with its files, as names and nodes, in the order of the package."""
    files = {path: [] for path, node in tree.nodes.items() if node.is_folder}
    for path in tree.files():
        folder, _, name = path.rpartition("/")
        files[folder].append((name, tree.nodes[path]))
    return [
        (path, sorted(files[path], key=lambda file: file[0].encode())) for path in sorted(files, key=str.encode)
    ]


class _Heap:
    """The items, and where each is."""

    def __init__(self):
        self.content = bytearray(8)
        self._offsets = {}

    def number(self, number):
        if number < 1 << 28:
            return _SMALL_NUMBER << 28 | number
        kind, size = (_NUMBER_32, 4) if number < 1 << 32 else (_NUMBER_64, 8)
        return self._item(kind, number.to_bytes(size, "little"), 4)

    def bytes(self, value):
        if not value:
            return _NULL
        kind, size = (_BYTES_8, 1) if len(value) < 1 << 8 else (_BYTES_16, 2) if len(value) < 1 << 16 else (_BYTES_32, 4)
        return self._item(kind, len(value).to_bytes(size, "little") + value, size)

    def text(self, value):
        return self.bytes(value.encode())

    def object(self, fields):
        """An object of a dict of values by their numbers; a list is one, too."""
        fields = {number: value for number, value in fields.items() if value != _NULL}
        if not fields:
            return _NULL
        count = max(fields) + 1
        words = [count, *(fields.get(number, _NULL) for number in range(1, count))]
        return self._item(_OBJECT, b"".join(map(_word, words)), 4)

    def list(self, values):
        return self.object(dict(enumerate(values, start=1)))

    def place_for_identity(self):
        """Room for the digest, which no other item may share."""
        offset = len(self.content)
        self.content += bytes([20]) + bytes(20)
        return _BYTES_8 << 28 | offset

    def _item(self, kind, item, alignment):
        offset = self._offsets.get(item)
        if offset is None or offset % alignment:
            self.content += bytes(-len(self.content) % alignment)
            offset = len(self.content)
            self.content += item
            self._offsets[item] = offset
        return kind << 28 | offset


def _metadata(package, folders):
    """The metadata block: everything but the contents of files."""
    heap = _Heap()
    info = _info(heap, package.info)
    paths = [_folder(heap, path, files, package) for path, files in folders]
    info[_INSTALLED_SIZE] = heap.number(_installed_size(package, folders))
    info[_IDENTITY] = heap.place_for_identity()
    identity_offset = (info[_IDENTITY] & 0x0FFFFFFF) + 1
    info = heap.object(info)
    paths = heap.list(paths)
    unknown = set(package.scripts) - set(_SCRIPT_FIELDS)
    if unknown:
        raise ValueError(f"there is no script {', '.join(sorted(unknown))}")
    scripts = {number: heap.bytes(package.scripts.get(name, b"")) for name, number in _SCRIPT_FIELDS.items()}
    root = heap.object({1: info, 2: paths, 3: heap.object(scripts)})
    content = heap.content
    content[4:8] = _word(root)
    # The digest of the block in which its own place is still empty.
    content[identity_offset : identity_offset + 20] = hashlib.sha256(content).digest()[:20]
    return bytes(content)


def _info(heap, given):
    unknown = set(given) - {*_TEXT_FIELDS, *_NUMBER_FIELDS, *_DEPENDENCY_FIELDS, "tags"}
    if unknown:
        raise ValueError(f"there is no field {', '.join(sorted(unknown))}")
    fields = {}
    for name, number in _TEXT_FIELDS.items():
        fields[number] = heap.text(given.get(name, ""))
    for name, number in _NUMBER_FIELDS.items():
        if given.get(name):
            fields[number] = heap.number(int(given[name]))
    for name, number in _DEPENDENCY_FIELDS.items():
        fields[number] = _dependencies(heap, given.get(name, ""))
    fields[_TAGS] = heap.list([heap.text(tag) for tag in given.get("tags", "").split(" ") if tag])
    return fields


def _dependencies(heap, text):
    """A list of `[!]NAME[OPERATOR VERSION]`: items in the given order, the list sorted."""
    found = []
    for word in text.split():
        split = re.fullmatch(r"(!?)([A-Za-z0-9+._,:/\[\]-]+)(?:([=<>~]+)(.+))?", word)
        if not split:
            raise ValueError(f"{word}: not [!]NAME[OPERATOR VERSION]")
        is_not, name, operator, version = split.groups()
        match = 0
        for sign in operator or "":
            match |= _MATCHES[sign]
        if is_not:
            match |= _MATCH_NOT | (0 if operator else _MATCH_ANY)
        fields = {1: heap.text(name), 2: heap.text(version or "")}
        if match and match != _MATCHES["="]:
            fields[3] = heap.number(match)
        found.append(((name.encode(), match), version, heap.object(fields)))
    versions = {}
    for (name, _), version, _ in found:
        if version and versions.setdefault(name, version) != version:
            raise ValueError(f"{name.decode()}: the order of two versions is not known here")
    found.sort(key=lambda dependency: dependency[0])
    return heap.list(dict.fromkeys(value for _, _, value in found))


def _acl(heap, mode):
    root = heap.text("root")
    return heap.object({1: heap.number(mode & 0o7777), 2: root, 3: root})


def _folder(heap, path, files, package):
    values = [_file(heap, name, node, package.epoch) for name, node in files]
    name = heap.text(path)
    acl = _acl(heap, package.tree.nodes[path].mode)
    return heap.object({1: name, 2: acl, 3: heap.list(values)})


def _file(heap, name, node, epoch):
    fields = {1: heap.text(name)}
    if node.link_target is None:
        fields[5] = heap.bytes(node.sha256)
        size = len(node.content)
    else:
        fields[6] = heap.bytes(_LINK_TYPE + node.link_target.encode())
        size = len(node.link_target.encode())
    fields[4] = heap.number(epoch)
    fields[3] = heap.number(size)
    fields[2] = _acl(heap, node.mode)
    return heap.object(fields)


def _installed_size(package, folders):
    # A package of folders, or of scripts, has 1: and there always is the root folder.
    return sum(len(node.content or b"") for _, files in folders for _, node in files) or 1
