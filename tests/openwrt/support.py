"""What the tests of openwrt/ share."""

import os
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
sys.dont_write_bytecode = True
sys.path.insert(0, str(REPOSITORY / "openwrt"))

from packer.recipe import read  # noqa: E402

# The program itself, as cargo test has built it.
GREYLET = os.environ.get("GREYLET") or str(REPOSITORY / "target/debug/greylet")
EPOCH = 1_700_000_000
BINARY = b"#!/bin/sh\necho a stand-in for the binary\n"


def recipe():
    """What openwrt/Makefile says."""
    return read(REPOSITORY / "openwrt/Makefile", REPOSITORY)
