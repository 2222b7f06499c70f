"""Write operator/bayplan/cloud/catalogue.json.gz from the type descriptions in `moto`.

Usage: python tools/catalogue.py [--check]. The same input gives the same bytes; `--check` writes
nothing and exits 1 when the file differs.
"""

import gzip
import json
import sys
from importlib import metadata, resources
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "operator"))

from bayplan.cloud import catalogue  # noqa: E402  the path comes first

TARGET = ROOT / "operator" / "bayplan" / "cloud" / "catalogue.json.gz"


def built() -> bytes:
    """The catalogue file: source and rows in the order of names, without a time stamp."""
    source = resources.files("moto").joinpath("ec2/resources/instance_types.json.gz")
    descriptions = json.loads(gzip.decompress(source.read_bytes()))
    rows = [catalogue.row(catalogue.parsed(descriptions[name])) for name in sorted(descriptions)]
    document = {
        "source": f"moto {metadata.version('moto')} (Apache-2.0), EC2 DescribeInstanceTypes",
        "types": rows,
    }
    text = json.dumps(document, separators=(",", ":"))
    return gzip.compress(text.encode(), compresslevel=9, mtime=0)


def main(arguments: list[str]) -> int:
    fresh = built()
    if "--check" in arguments:
        same = TARGET.exists() and gzip.decompress(TARGET.read_bytes()) == gzip.decompress(fresh)
        print(f"{TARGET.relative_to(ROOT)}: {'as built' if same else 'differs; build it again'}")
        return 0 if same else 1
    TARGET.write_bytes(fresh)
    print(f"{TARGET.relative_to(ROOT)}: {len(fresh)} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
