"""Reads openwrt/Makefile, which says for the feed's build and for ours what the package is. Of make's language it knows what that file
uses, and refuses the rest, so that the two cannot come apart unnoticed."""

import re
from dataclasses import dataclass
from pathlib import Path

MODES = {"INSTALL_BIN": 0o755, "INSTALL_CONF": 0o600, "INSTALL_DATA": 0o644}  # rules.mk
SCRIPTS = ("preinst", "postinst", "prerm", "postrm")


class RecipeError(Exception):
    """Something in the Makefile that is not understood."""


@dataclass(frozen=True)
class Installed:
    """A file of the package. `source` is a path in the repository; none for the binary."""

    path: str
    mode: int
    source: Path | None


@dataclass(frozen=True)
class Recipe:
    """What the Makefile says."""

    name: str
    version: str
    release: str
    license: str
    license_files: str
    maintainer: str
    section: str
    title: str
    url: str
    user: str
    depends: tuple[str, ...]
    description: tuple[str, ...]
    conffiles: tuple[str, ...]
    installed: tuple[Installed, ...]
    scripts: dict[str, str]

    @property
    def full_version(self):
        return f"{self.version}-r{self.release}"


def read(path, repository):
    """The recipe in a Makefile, whose binary and other files are built from `repository`."""
    variables, blocks = _split(path)
    name = _required(variables, "PKG_NAME", path)
    package = f"Package/{name}"
    unknown = set(blocks) - {package, *(f"{package}/{part}" for part in ("description", "conffiles", "install", *SCRIPTS))}
    if unknown:
        raise RecipeError(f"{path}: {', '.join(sorted(unknown))} is not understood")
    fields = _fields(blocks.get(package, []), path)
    files = Path(path).parent / "files"
    return Recipe(
        name=name,
        version=_required(variables, "PKG_VERSION", path),
        release=_required(variables, "PKG_RELEASE", path),
        license=_required(variables, "PKG_LICENSE", path),
        license_files=_required(variables, "PKG_LICENSE_FILES", path),
        maintainer=_required(variables, "PKG_MAINTAINER", path),
        section=_required(fields, "SECTION", path),
        title=_required(fields, "TITLE", path),
        url=fields.get("URL", ""),
        user=fields.get("USERID", ""),
        depends=_depends(fields.get("DEPENDS", ""), path),
        description=tuple(line.strip() for _, line in blocks.get(f"{package}/description", [])),
        conffiles=tuple(line for _, line in blocks.get(f"{package}/conffiles", [])),
        installed=tuple(_installed(blocks.get(f"{package}/install", []), name, files, Path(repository), path)),
        scripts={
            script: "".join(f"{line}\n" for _, line in blocks[f"{package}/{script}"]).replace("$$", "$")
            for script in SCRIPTS
            if f"{package}/{script}" in blocks
        },
    )


def _split(path):
    """Variables, and define blocks as lists of line numbers and lines."""
    variables, blocks, block = {}, {}, None
    for number, line in enumerate(Path(path).read_text().splitlines(), start=1):
        if block is not None:
            if line == "endef":
                block = None
            else:
                block.append((number, line))
        elif match := re.fullmatch(r"define (\S+)", line):
            block = blocks.setdefault(match[1], [])
        elif match := re.fullmatch(r"([A-Z_]+):=(.*)", line):
            variables[match[1]] = re.sub(r"\$\((PKG_\w+)\)", lambda name: variables[name[1]], match[2])
        elif line and not line.startswith(("#", "include ", "$(eval $(call ")):
            raise RecipeError(f"{path} line {number}: `{line}` is not understood")
    return variables, blocks


def _required(values, name, path):
    if not values.get(name):
        raise RecipeError(f"{path}: {name} is missing")
    return values[name]


def _fields(block, path):
    fields = {}
    for number, line in block:
        match = re.fullmatch(r"  ([A-Z]+):=(.*)", line)
        if not match:
            raise RecipeError(f"{path} line {number}: `{line}` is not two blanks and NAME:=VALUE")
        fields[match[1]] = match[2]
    return fields


def _depends(words, path):
    depends = ["libc"]  # PKG_DEFAULT_DEPENDS
    for word in words.split():
        if word.startswith("+"):
            depends.append(word[1:])
        elif word != "$(RUST_ARCH_DEPENDS)":
            raise RecipeError(f"{path}: DEPENDS {word} is not understood")
    return tuple(depends)


def _installed(block, name, files, repository, path):
    folders = set()
    for number, line in block:
        where = f"{path} line {number}"
        if match := re.fullmatch(r"\t\$\(INSTALL_DIR\) \$\(1\)/(\S+)", line):
            folders.add(match[1])
            continue
        match = re.fullmatch(r"\t\$\((INSTALL_\w+)\) (\S+) \$\(1\)/(\S+)", line)
        if not match or match[1] not in MODES:
            raise RecipeError(f"{where}: `{line.strip()}` is not understood")
        macro, source, target = match.groups()
        if target.rpartition("/")[0] not in folders:
            raise RecipeError(f"{where}: the folder of {target} is not made before")
        if source == f"$(PKG_INSTALL_DIR)/bin/{name}":
            source = None
        elif source.startswith("$(PKG_BUILD_DIR)/"):
            source = repository / source.removeprefix("$(PKG_BUILD_DIR)/")
        elif source.startswith("./files/"):
            source = files / source.removeprefix("./files/")
        else:
            raise RecipeError(f"{where}: {source} is neither the binary nor a file of the repository")
        yield Installed(target, MODES[macro], source)
