"""Which kubeconfig files count, and what they say together, as kubectl reads them.

Of several files in $KUBECONFIG the first that has a name counts, and files that are not there are
passed over. Relative paths in a file belong to its folder.
"""

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from bayplan.inputs import no_yaml

Named = Mapping[str, tuple[Any, Path]]  # name -> what a file says of it, and the folder of the file


class UnreadableKubeconfig(ValueError):  # noqa: N818  a fact about a file, told to its user
    """A file is there and is no kubeconfig; the message names it."""


@dataclass(frozen=True, slots=True)
class Kubeconfig:
    """What all files say; `found` is False if there is no file."""

    current: str
    contexts: Named
    clusters: Named
    users: Named
    found: bool


def paths(chosen: str | os.PathLike[str] | None) -> list[Path]:
    """The chosen file, else those of $KUBECONFIG, else ~/.kube/config."""
    if chosen:
        return [Path(chosen).expanduser()]
    named = os.environ.get("KUBECONFIG", "")
    if named:
        return [Path(part).expanduser() for part in named.split(os.pathsep) if part]
    return [Path.home() / ".kube" / "config"]


def read(files: Iterable[Path]) -> Kubeconfig:
    """What these files say together."""
    known: dict[str, dict[str, tuple[Any, Path]]] = {"contexts": {}, "clusters": {}, "users": {}}
    current, found = "", False
    for path in files:
        if not path.exists():
            continue
        found = True
        body = _mapping(path)
        current = current or str(body.get("current-context") or "")
        for kind, named in known.items():
            for entry in body.get(kind) or ():
                if isinstance(entry, dict):
                    inner = entry.get(kind.removesuffix("s"))
                    named.setdefault(str(entry.get("name")), (inner, path.absolute().parent))
    return Kubeconfig(current, known["contexts"], known["clusters"], known["users"], found=found)


def _mapping(path: Path) -> dict[str, Any]:
    try:
        body = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise UnreadableKubeconfig(f"{path} cannot be read: {error}") from error
    except yaml.YAMLError as error:
        raise UnreadableKubeconfig(f"{path} {no_yaml(error)}") from None
    if body is None:
        return {}
    if not isinstance(body, dict):
        raise UnreadableKubeconfig(f"{path} is no kubeconfig")
    return body
