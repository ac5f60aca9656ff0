"""Packages of opkg, as OpenWrt 24.10's scripts/ipkg-build and include/package-pack.mk make them: a compressed tar file of three members, of
which two are compressed tar files again. The same input gives the same bytes."""

import io
import tarfile
import zlib

from packer.control import contents, is_file, lines, source
from packer.tree import Tree

PREAMBLE = """\
#!/bin/sh
{no_script}[ -s ${{IPKG_INSTROOT}}/lib/functions.sh ] || exit 0
. ${{IPKG_INSTROOT}}/lib/functions.sh
"""
NO_SCRIPT = '[ "${IPKG_NO_SCRIPT}" = "1" ] && exit 0\n'


def file_name(recipe, architecture):
    return f"{recipe.name}_{recipe.full_version}_{architecture}.ipk"


def make(recipe, architecture, binary, epoch):
    """The package's bytes."""
    tree = contents(recipe, binary)
    data = tar(tree.walk(), epoch)
    package = [
        ("debian-binary", b"2.0\n"),
        ("data.tar.gz", gzip(data)),
        ("control.tar.gz", gzip(tar(_control(recipe, architecture, tree, len(data), epoch).walk(), epoch))),
    ]
    outer = Tree()
    for name, content in package:
        outer.add_file(name, content)
    # In this order, and without the folder.
    return gzip(tar([(name, outer.nodes[name]) for name, _ in package], epoch))


def _control(recipe, architecture, tree, installed_size, epoch):
    control = Tree()
    fields = {
        "Package": recipe.name,
        "Version": recipe.full_version,
        "Depends": ", ".join(recipe.depends),
        "Source": source(recipe),
        "SourceName": recipe.name,
        "License": recipe.license,
        "LicenseFiles": recipe.license_files,
        "Section": recipe.section,
        "Require-User": recipe.user,
        "SourceDateEpoch": str(epoch),
        "URL": recipe.url,
        "Maintainer": recipe.maintainer,
        "Architecture": architecture,
        "Installed-Size": str(installed_size),
        # The first line has two blanks, and each other one has one.
        "Description": "\n".join(f" {line}" for line in recipe.description or (recipe.title,)),
    }
    control.add_file("control", lines(f"{name}: {value}" for name, value in fields.items() if value))
    conffiles = {path for entry in recipe.conffiles for path in _files_of(tree, entry)}
    if conffiles:
        control.add_file("conffiles", lines(sorted(conffiles, key=str.encode)))
    postinst = PREAMBLE.format(no_script=NO_SCRIPT) + "default_postinst $0 $@\n"
    prerm = PREAMBLE.format(no_script="") + "default_prerm $0 $@\n"
    scripts = {"postinst": postinst, "prerm": prerm}
    for name, script in recipe.scripts.items():
        # What has a script of OpenWrt's keeps its own beside it.
        scripts[f"{name}-pkg" if name in scripts else name] = script
    for name, script in scripts.items():
        control.add_file(name, script.encode(), 0o755)
    return control


def _files_of(tree, path):
    """The files that an entry of the conffiles means: one, or all of a folder."""
    if is_file(tree, path):
        return [path]
    prefix = path.rstrip("/") + "/"
    return [f"/{file}" for file in tree.files() if f"/{file}".startswith(prefix) and is_file(tree, f"/{file}")]


def tar(nodes, epoch):
    """`tar --format=gnu --numeric-owner --sort=name --mtime=@EPOCH` as root."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.GNU_FORMAT) as archive:
        for path, node in nodes:
            member = tarfile.TarInfo(f"./{path}".rstrip("/") if path else ".")
            member.mode, member.mtime = node.mode, epoch
            if node.is_folder:
                member.type = tarfile.DIRTYPE
            elif node.link_target is not None:
                member.type, member.linkname = tarfile.SYMTYPE, node.link_target
            else:
                member.size = len(node.content)
            archive.addfile(member, io.BytesIO(node.content or b""))
    return buffer.getvalue()


def gzip(data):
    """`gzip -n`: RFC 1952 without a name or a time, made on Unix."""
    deflate = zlib.compressobj(9, zlib.DEFLATED, -15)
    compressed = deflate.compress(data) + deflate.flush()
    trailer = zlib.crc32(data).to_bytes(4, "little") + (len(data) & 0xFFFFFFFF).to_bytes(4, "little")
    return bytes.fromhex("1f8b0800000000000003") + compressed + trailer
