"""The command line of build-packages."""

import argparse
import contextlib
import hashlib
import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path

from packer import apk, ipk
from packer.devices import ARCHITECTURES, is_for
from packer.recipe import RecipeError, read

REPOSITORY = Path(__file__).resolve().parents[2]
MAKEFILE = REPOSITORY / "openwrt/Makefile"


class Failure(Exception):
    """What went wrong, and what to do."""


def main(description):
    """Does what the command line says; its exit status."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dist", type=Path, default=REPOSITORY / "target/dist", metavar="FOLDER")
    names = [architecture.name for architecture in ARCHITECTURES]
    parser.add_argument("architectures", nargs="*", choices=[[], *names], metavar="ARCHITECTURE", help=", ".join(names))
    arguments = parser.parse_args()
    given = arguments.architectures
    wanted = [one for one in ARCHITECTURES if (one.name in given if given else not one.is_rare)]
    try:
        build(arguments.dist, wanted)
    except (Failure, RecipeError, OSError) as error:
        print(f"build-packages: {error}", file=sys.stderr)
        return 1
    return 0


def build(dist, architectures):
    """Makes the packages for these architectures."""
    recipe = read(MAKEFILE, REPOSITORY)
    version = cargo_version()
    if recipe.version != version:
        raise Failure(f"{MAKEFILE}: PKG_VERSION is {recipe.version}, and Cargo.toml has {version}; make them agree")
    epoch = source_date_epoch()
    dist.mkdir(parents=True, exist_ok=True)
    names = []
    for architecture in architectures:
        binary = binary_for(dist, version, architecture.target)
        for kind in (ipk, apk):
            name = kind.file_name(recipe, architecture.name)
            (dist / name).write_bytes(kind.make(recipe, architecture.name, binary, epoch))
            names.append(name)
    (dist / "openwrt-packages.txt").write_text(device_list(recipe, architectures))
    digests = [f"{hashlib.sha256((dist / name).read_bytes()).hexdigest()}  {name}\n" for name in sorted(names)]
    (dist / "openwrt-packages.sha256").write_text("".join(digests))
    print(f"{len(names)} packages; {dist / 'openwrt-packages.txt'} says which is for what")


def binary_for(dist, version, target):
    """A target's binary, made if it is not there."""
    path = dist / f"greylet-{version}-{target}"
    if not path.exists():
        cross = REPOSITORY / "cross/build"
        print(f"{path} is not there: {cross} {target}", flush=True)
        # Which knows no other folder.
        made = REPOSITORY / "target/dist" / path.name
        if not cross.exists() or subprocess.run([cross, target]).returncode != 0 or not made.exists():
            raise Failure(f"there is no {path}, and {cross} {target} has not made {made}")
        path = made
    program = path.read_bytes()
    if not is_for(target, program):
        raise Failure(f"{path} is not a program for {target}; without it, it is made anew")
    return program


def cargo_version():
    """The version in Cargo.toml."""
    return re.search(r'^version = "(.+)"$', (REPOSITORY / "Cargo.toml").read_text(), re.MULTILINE)[1]


def source_date_epoch():
    """The time of all that is in the packages, in seconds since 1970."""
    given = os.environ.get("SOURCE_DATE_EPOCH")
    if given:
        # In eleven digits it fits into each kind of package.
        if not re.fullmatch("[0-9]{1,11}", given):
            raise Failure(f"SOURCE_DATE_EPOCH={given:.40}: not a number of seconds since 1970, of at most 11 digits")
        return int(given)
    if (REPOSITORY / ".git").exists():
        git = ["git", "-C", REPOSITORY, "log", "-1", "--format=%ct"]
        with contextlib.suppress(FileNotFoundError, subprocess.CalledProcessError):
            return int(subprocess.run(git, capture_output=True, check=True).stdout)
    # In a release's tarball files have the date of its commit.
    return int(MAKEFILE.stat().st_mtime)


def device_list(recipe, architectures):
    """Which file is for which device."""
    text = f"""\
        greylet {recipe.version} for OpenWrt. `cat /etc/openwrt_release` on the device has its architecture in DISTRIB_ARCH.
        24.10: opkg install FILE.ipk    25.12: apk add --allow-untrusted FILE.apk
        """
    text = textwrap.dedent(text)
    for architecture in architectures:
        files = "\n".join(f"    {kind.file_name(recipe, architecture.name)}" for kind in (ipk, apk))
        text += f"\n{architecture.name}: {architecture.devices}\n{files}\n"
    return text
