"""Packages of apk, as OpenWrt 25.12's include/package-pack.mk has them made: what an .ipk says in its control file and apk has no field for is
in files of the package."""

from packer import adb
from packer.control import contents, is_file, lines, source, without_interpreter

FOLDER = "lib/apk/packages"
INSTALL = """\
#!/bin/sh
[ "${{IPKG_NO_SCRIPT}}" = "1" ] && exit 0
[ -s ${{IPKG_INSTROOT}}/lib/functions.sh ] || exit 0
. ${{IPKG_INSTROOT}}/lib/functions.sh
export root="${{IPKG_INSTROOT}}"
export pkgname="{name}"
add_group_and_user
default_postinst
"""
DEINSTALL = """\
#!/bin/sh
[ -s ${{IPKG_INSTROOT}}/lib/functions.sh ] || exit 0
. ${{IPKG_INSTROOT}}/lib/functions.sh
export root="${{IPKG_INSTROOT}}"
export pkgname="{name}"
default_prerm
"""
UPGRADE = "#!/bin/sh\nexport PKG_UPGRADE=1\n"


def file_name(recipe, architecture):
    """OpenWrt's own has no architecture in its name: it lies in a folder for each."""
    return f"{recipe.name}-{recipe.full_version}_{architecture}.apk"


def make(recipe, architecture, binary, epoch):
    """The package's bytes."""
    return adb.compressed(adb.stream(package(recipe, architecture, binary, epoch)))


def package(recipe, architecture, binary, epoch):
    """What is in the package."""
    info = {
        "name": recipe.name,
        "version": recipe.full_version,
        "description": " ".join(" ".join(recipe.description or (recipe.title,)).split()),
        "arch": architecture,
        "license": recipe.license,
        "origin": source(recipe),
        "url": recipe.url,
        "maintainer": recipe.maintainer,
        "provides": f"{recipe.name}-any",
        "depends": " ".join(recipe.depends),
    }
    return adb.Package(info, _tree(recipe, binary), epoch, _scripts(recipe))


def _tree(recipe, binary):
    tree = contents(recipe, binary)
    prefix = f"{FOLDER}/{recipe.name}"
    if recipe.user:
        tree.add_file(f"{prefix}.rusers", lines([recipe.user]))
    tree.add_file(f"{prefix}.list", lines(f"/{path}" for path in tree.files()))
    if recipe.conffiles:
        digests = [f"{path} {_sha256(tree, path)}" for path in recipe.conffiles if is_file(tree, path)]
        tree.add_file(f"{prefix}.conffiles", lines(recipe.conffiles))
        tree.add_file(f"{prefix}.conffiles_static", lines(digests))
    return tree


def _sha256(tree, path):
    return tree.nodes[path.removeprefix("/")].sha256.hex()


def _scripts(recipe):
    own = {name: without_interpreter(script) for name, script in recipe.scripts.items()}
    install = INSTALL.format(name=recipe.name) + own.get("postinst", "")
    scripts = {
        "post-install": install,
        "post-upgrade": UPGRADE + without_interpreter(install),
        "pre-deinstall": DEINSTALL.format(name=recipe.name) + own.get("prerm", ""),
    }
    if "preinst" in own:
        scripts["pre-install"] = recipe.scripts["preinst"]
        scripts["pre-upgrade"] = UPGRADE + own["preinst"]
    if "postrm" in own:
        scripts["post-deinstall"] = recipe.scripts["postrm"]
    return {name: script.encode() for name, script in scripts.items()}
