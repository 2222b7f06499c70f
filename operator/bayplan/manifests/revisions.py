"""Files and folders as they were in another revision of their git repository.

The repository is only read: its index, its files and its branches stay as they are.
"""

import contextlib
import os
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from bayplan.inputs import InputError

_OPTION = "--compare-to"
_OF_A_HOOK = frozenset({"GIT_DIR", "GIT_INDEX_FILE", "GIT_PREFIX", "GIT_WORK_TREE"})


@contextlib.contextmanager
def checked_out(revision: str, paths: Sequence[str]) -> Iterator[dict[str, str]]:
    """For each path where it lies now, as it was then; paths that were not there are left out."""
    with tempfile.TemporaryDirectory(prefix="bayplan-") as folder:
        found = {}
        for number, path in enumerate(paths):
            place = Path(path).resolve()
            top = _top(place)
            commit = _commit(top, revision)
            inside = str(place.relative_to(top))
            into = Path(folder, str(number))
            _write(top, commit, inside, into)
            then = into / inside
            if then.is_file() or (then.is_dir() and any(then.iterdir())):
                found[path] = str(then)
        yield found


def _top(place: Path) -> Path:
    folder = place if place.is_dir() else place.parent
    try:
        return Path(_git(folder, "rev-parse", "--show-toplevel").rstrip("\n"))
    except subprocess.CalledProcessError as error:
        raise InputError(_OPTION, f"{place} is in no git repository: name a folder") from error
    except OSError as error:
        raise InputError(_OPTION, f"git cannot be run: {error.strerror}; name a folder") from error


def _commit(top: Path, revision: str) -> str:
    asked = ("rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}")
    try:
        return _git(top, *asked).strip()
    except subprocess.CalledProcessError as error:
        why = "is neither a folder nor a revision of git (is it fetched? a shallow clone lacks it)"
        raise InputError(_OPTION, f"{revision!r} {why}") from error


def _write(top: Path, commit: str, inside: str, into: Path) -> None:
    """Write a part of a commit into a folder, by an index of its own."""
    into.mkdir()
    index = {"GIT_INDEX_FILE": str(into / ".index")}
    try:
        _git(top, "read-tree", commit, more=index)
        files = _git(top, "ls-files", "-z", "--", f":(literal){inside}", more=index)
        _git(
            top, "checkout-index", "-q", "-z", "--stdin", f"--prefix={into}{os.sep}",
            more=index, text=files,
        )  # fmt: skip
    except subprocess.CalledProcessError as error:
        why = str(error.stderr).strip()
        raise InputError(_OPTION, f"git cannot read {commit[:12]}: {why}") from error


def _git(folder: Path, *words: str, more: Mapping[str, str] | None = None, text: str = "") -> str:
    # A hook of git has variables that would lead away from the folder.
    own = {name: value for name, value in os.environ.items() if name not in _OF_A_HOOK}
    return subprocess.run(  # noqa: S603  words of ours, and paths as arguments
        ["git", "-C", str(folder), *words],  # noqa: S607  the user's own git
        env={**own, **(more or {})},
        input=text,
        capture_output=True,
        check=True,
        text=True,
        errors="surrogateescape",
    ).stdout
