"""The files of a package, all of them root's."""

import hashlib
from dataclasses import dataclass


@dataclass(frozen=True)
class Node:
    """A file, a folder (without content) or a symbolic link."""

    mode: int
    content: bytes | None = None
    link_target: str | None = None

    @property
    def is_folder(self):
        return self.content is None and self.link_target is None

    @property
    def sha256(self):
        return hashlib.sha256(self.content).digest()


class Tree:
    """Nodes by their paths, which are relative; the root is ''."""

    def __init__(self):
        self.nodes = {"": Node(0o755)}

    def add(self, path, node):
        """Puts a node into its place, and makes the folders above it."""
        parts = path.split("/")
        if not all(parts) or ".." in parts:
            raise ValueError(f"{path}: not a path below the root")
        if path in self.nodes and not (node.is_folder and self.nodes[path].is_folder):
            raise ValueError(f"{path} is there already")
        for length in range(1, len(parts)):
            self.nodes.setdefault("/".join(parts[:length]), Node(0o755))
        self.nodes[path] = node

    def add_file(self, path, content, mode=0o644):
        self.add(path, Node(mode, content))

    def files(self):
        """Paths of all that is no folder, sorted by their bytes."""
        return sorted((path for path, node in self.nodes.items() if not node.is_folder), key=str.encode)

    def walk(self):
        """Paths and nodes from the root down: each folder before what is in it, names sorted by their bytes."""
        return sorted(self.nodes.items(), key=lambda item: [part.encode() for part in item[0].split("/") if part])

    def copy(self):
        tree = Tree()
        tree.nodes = dict(self.nodes)
        return tree
