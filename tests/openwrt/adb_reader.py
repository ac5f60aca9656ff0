"""Reads an .apk, by the format's description and not by our encoder's code."""

import hashlib
import struct
import zlib


def read(package):
    """The root object as nested lists (index 0 is null) with bytes and numbers in them, and the contents of files by their two numbers."""
    if package[:4] != b"ADBd":
        raise ValueError("not deflated")
    inflate = zlib.decompressobj(-15)
    stream = inflate.decompress(package[4:])
    if not inflate.eof or inflate.unused_data or stream[:8] != b"ADB.pckg":
        raise ValueError("not one whole stream of a package")
    blocks, position = [], 8
    while position < len(stream):
        (head,) = struct.unpack_from("<I", stream, position)
        length = head & 0x3FFFFFFF
        blocks.append((head >> 30, stream[position + 4 : position + length]))
        end = position + length
        position = end + -end % 8
        if any(stream[end:position]):
            raise ValueError("padding that is not zero")
    (kind, metadata), *data = blocks
    if kind != 0 or any(kind != 2 for kind, _ in data):
        raise ValueError("blocks of other kinds, or in another order")
    root = _value(metadata, struct.unpack_from("<I", metadata, 4)[0])
    identity = root[1][3]
    place = metadata.index(b"\x14" + identity) + 1
    blank = metadata[:place] + bytes(20) + metadata[place + 20 :]
    if hashlib.sha256(blank).digest()[:20] != identity:
        raise ValueError("the identity is wrong")
    contents = [(struct.unpack_from("<II", body), body[8:]) for _, body in data]
    return root, contents


def _value(body, word):
    kind, number = word >> 28, word & 0x0FFFFFFF
    if word == 0:
        return None
    if kind == 1:
        return number
    if kind in (2, 3):
        return int.from_bytes(body[number : number + 4 * (kind - 1)], "little")
    if kind in (8, 9, 10):
        size = {8: 1, 9: 2, 10: 4}[kind]
        start = number + size
        return body[start : start + int.from_bytes(body[number:start], "little")]
    if kind == 14:
        (count,) = struct.unpack_from("<I", body, number)
        return [None, *(_value(body, field) for field in struct.unpack_from(f"<{count - 1}I", body, number + 4))]
    raise ValueError(f"a value of the kind {kind}")


def field(values, number):
    """A field of an object; what is cut off at the end is null."""
    return values[number] if values is not None and number < len(values) else None
