"""The earlier of the two simulations of --compare-to."""

import contextlib
import io
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from bayplan.cli.packing.simulated import Options, simulated
from bayplan.inputs import InputError, Skipped
from bayplan.manifests.documents import Document, in_namespace
from bayplan.manifests.documents import documents as read_documents
from bayplan.manifests.revisions import checked_out
from bayplan.provisioning.result import Result


def simulated_before(
    name: str, given: Sequence[str], namespace: str, present: Sequence[Document], options: Options
) -> Result:
    """The same paths in the revision `name`, or the files of the folder `name` instead of them.

    Objects of the cluster are the same; a path that the revision does not have counts as empty.
    """
    skipped: list[Skipped] = []
    lenient = skipped if options.lenient else None
    with _paths(name, given) as paths:
        found: list[Document] = []
        for path, shown in paths:
            try:
                read = read_documents((path,), io.BytesIO(), lenient)
            except InputError as error:
                told = str(error).replace(path, shown)
                raise InputError("--compare-to", told) from error
            found += [replace(one, where=one.where.replace(path, shown)) for one in read]
    placed = list(in_namespace(found, namespace))
    try:
        return simulated([*placed, *present], replace(options, rivals=()), skipped)
    except InputError as error:
        raise InputError(f"in {name}", str(error)) from error


@contextlib.contextmanager
def _paths(name: str, given: Sequence[str]) -> Iterator[list[tuple[str, str]]]:
    """Where the earlier files are, and what they are called in messages."""
    if Path(name).exists():
        yield [(name, name)]
        return
    if not given or "-" in given:
        why = "standard input has no revisions; name a folder or file to compare with"
        raise InputError("--compare-to", why if given else "name the files that have revisions")
    with checked_out(name, given) as found:
        yield [(then, f"{name}:{path}") for path, then in found.items()]
