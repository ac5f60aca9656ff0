"""What both kinds of package have in common: the tree that the recipe describes, and its conffiles (OpenWrt's include/package-pack.mk)."""

from packer.tree import Tree

FEED_FOLDER = "feeds/packages/mail"


def contents(recipe, binary):
    """The files of the package, with the binary in its place, and what sysupgrade is to keep besides conffiles that are files."""
    tree = Tree()
    for installed in recipe.installed:
        content = binary if installed.source is None else installed.source.read_bytes()
        tree.add_file(installed.path, content, installed.mode)
    kept = [path for path in recipe.conffiles if not is_file(tree, path)]
    if kept:
        tree.add_file(f"lib/upgrade/keep.d/{recipe.name}", lines(kept))
    return tree


def is_file(tree, path):
    """Whether an absolute path is that of a regular file."""
    node = tree.nodes.get(path.removeprefix("/"))
    return node is not None and node.content is not None


def lines(texts):
    """Texts as lines."""
    return "".join(f"{text}\n" for text in texts).encode()


def without_interpreter(script):
    """A script's lines but for the `#!`, so that it can follow another one's."""
    return "".join(line for line in script.splitlines(keepends=True) if not line.lstrip().startswith("#!"))


def source(recipe):
    """The folder that the package comes from."""
    return f"{FEED_FOLDER}/{recipe.name}"
