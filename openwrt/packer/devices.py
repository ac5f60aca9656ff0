"""OpenWrt's architectures that a static binary of cross/build runs on. MIPS devices are not among them."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Architecture:
    """`name` is OpenWrt's, `target` Rust's. Packages for what is rare are only made when they are named."""

    name: str
    target: str
    devices: str
    is_rare: bool = False


# How a program for a target begins, by what the target's name begins with: ELF's class and byte order, and its machine.
_MACHINES = {"aarch64": (2, 183), "arm": (1, 40), "x86_64": (2, 62)}

_AARCH64 = "aarch64-unknown-linux-musl"
_ARMV7 = "armv7-unknown-linux-musleabihf"
_ARMV7_SOFT_FLOAT = "armv7-unknown-linux-musleabi"
_ARMV6 = "arm-unknown-linux-musleabihf"
_ARMV5 = "armv5te-unknown-linux-musleabi"
_X86_64 = "x86_64-unknown-linux-musl"

ARCHITECTURES = (
    Architecture("arm_arm1176jzf-s_vfp", _ARMV6, "Raspberry Pi 1, Zero, Zero W (bcm27xx/bcm2708)"),
    Architecture("arm_cortex-a7_neon-vfpv4", _ARMV7, "Raspberry Pi 2 (bcm27xx/bcm2709); ipq40xx, sunxi/cortexa7, mediatek/mt7623"),
    Architecture("aarch64_cortex-a53", _AARCH64, "Raspberry Pi 3, Zero 2 W (bcm27xx/bcm2710); mediatek/filogic, mediatek/mt7622, mvebu/cortexa53, ipq807x"),
    Architecture("aarch64_cortex-a72", _AARCH64, "Raspberry Pi 4 (bcm27xx/bcm2711); mvebu/cortexa72"),
    Architecture("aarch64_cortex-a76", _AARCH64, "Raspberry Pi 5 (bcm27xx/bcm2712)"),
    Architecture("aarch64_generic", _AARCH64, "armsr/armv8, rockchip/armv8, layerscape/armv8_64b"),
    Architecture("arm_cortex-a9_vfpv3-d16", _ARMV7, "Linksys WRT1900, WRT3200 and others (mvebu/cortexa9)"),
    Architecture("arm_cortex-a9_neon", _ARMV7, "imx/cortexa9"),
    Architecture("arm_cortex-a15_neon-vfpv4", _ARMV7, "ipq806x, armsr/armv7"),
    Architecture("arm_cortex-a5_vfpv4", _ARMV7, "at91/sama5"),
    Architecture("arm_cortex-a8_vfpv3", _ARMV7, "sunxi/cortexa8, omap"),
    Architecture("x86_64", _X86_64, "x86/64"),
    Architecture("arm_cortex-a9", _ARMV7_SOFT_FLOAT, "bcm53xx", is_rare=True),
    Architecture("arm_xscale", _ARMV5, "kirkwood", is_rare=True),
    Architecture("arm_arm926ej-s", _ARMV5, "at91/sam9x, mxs", is_rare=True),
)


def is_for(target, program):
    """Whether these bytes are an ELF file for the target's processor."""
    bits, machine = next(value for name, value in _MACHINES.items() if target.startswith(name))
    return program[:6] == b"\x7fELF" + bytes([bits, 1]) and program[18:20] == machine.to_bytes(2, "little")
