"""Renews the browser's libraries of the dashboard: `make vendor`, or `--check` without a network.

They are the authors' own modules from npm, each with its licence. `VENDOR.json` beside them says
what they are and how they hash, so that nothing else can slip in.
"""

import argparse
import hashlib
import json
import subprocess
import sys
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).parents[1] / "operator/bayplan/dashboard/static/vendor"
LIST = FOLDER / "VENDOR.json"


@dataclass(frozen=True)
class Library:
    package: str
    version: str
    licence: str
    files: dict[str, str]  # file in the package -> file here


# Why these: docs/design/20261201-dashboard.md.
LIBRARIES = (
    Library(
        "preact",
        "11.2.0",
        "MIT",
        {
            "dist/preact.mjs": "preact.js",
            "hooks/dist/hooks.mjs": "hooks.js",
            "LICENSE": "preact.LICENSE",
        },
    ),
    Library(
        "htm",
        "3.1.1",
        "Apache-2.0",
        {"dist/htm.module.js": "htm.js", "LICENSE": "htm.LICENSE"},
    ),
    Library(
        "uplot",
        "1.6.32",
        "MIT",
        {
            "dist/uPlot.esm.js": "uplot.js",
            "dist/uPlot.min.css": "uplot.css",
            "LICENSE": "uplot.LICENSE",
        },
    ),
)
# A browser without an import map knows no package names: the one import names the file beside it.
EDITS = {"hooks.js": (b'from"preact"', b'from"./preact.js"')}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="compare with VENDOR.json only")
    if parser.parse_args().check:
        wrong = differing()
        print("\n".join(wrong) or "The vendored files are as VENDOR.json says.")
        return bool(wrong)
    FOLDER.mkdir(parents=True, exist_ok=True)
    told = []
    for library in LIBRARIES:
        for name, content in _packed(library).items():
            (FOLDER / name).write_bytes(content)
            told.append(
                {
                    "file": name,
                    "package": library.package,
                    "version": library.version,
                    "licence": library.licence,
                    "sha256": hashlib.sha256(content).hexdigest(),
                    **({"edited": EDITS[name][1].decode()} if name in EDITS else {}),
                }
            )
    LIST.write_text(json.dumps(told, indent=1) + "\n")
    return 0


def differing() -> list[str]:
    """A sentence for each file that is not as VENDOR.json says, or that it does not name."""
    known = {one["file"]: one["sha256"] for one in json.loads(LIST.read_text())}
    found = {one.name: one.read_bytes() for one in FOLDER.iterdir() if one != LIST}
    return [
        *(f"{name}: is not in VENDOR.json" for name in found.keys() - known.keys()),
        *(f"{name}: is missing" for name in known.keys() - found.keys()),
        *(
            f"{name}: has another hash than VENDOR.json says"
            for name in found.keys() & known.keys()
            if hashlib.sha256(found[name]).hexdigest() != known[name]
        ),
    ]


def _packed(library: Library) -> dict[str, bytes]:
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(
            ["npm", "pack", "--silent", f"{library.package}@{library.version}"],
            cwd=folder, check=True, stdout=subprocess.DEVNULL,
        )  # fmt: skip
        [archive] = Path(folder).glob("*.tgz")
        found = {}
        with tarfile.open(archive) as packed:
            for source, name in library.files.items():
                member = packed.extractfile(f"package/{source}")
                if member is None:
                    sys.exit(f"{library.package}: {source} is not in the package any more")
                content = member.read()
                if name in EDITS:
                    if content.count(EDITS[name][0]) != 1:
                        sys.exit(f"{name}: the import that has to be edited has changed")
                    content = content.replace(*EDITS[name])
                found[name] = content
        return found


if __name__ == "__main__":
    sys.exit(main())
