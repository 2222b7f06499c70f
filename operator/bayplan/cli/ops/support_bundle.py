"""`bayplan support-bundle`: collects what helpers elsewhere need, without secrets."""

import datetime as dt
import io
import json
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bayplan import __version__
from bayplan.api import names
from bayplan.api.kinds import NAMES
from bayplan.cli.errors import NoCluster, NotThere, Refused
from bayplan.cli.printing import data, formatted, is_data, now, table, working
from bayplan.cli.target import Target, installed, targeted
from bayplan.inputs import InputError

if TYPE_CHECKING:
    from bayplan.cli.client import ApiClient

_OF_THE_CLUSTER = ("Node", "Pool", "NodePool", "NodeClaim")
_KINDS = (*NAMES, *_OF_THE_CLUSTER, "Pod", "Event", "PodDisruptionBudget")
_LOG_BYTES = 2_000_000  # of one container


@click.command("support-bundle", short_help="Collect what others need to help you, redacted.")
@click.option(
    "--file",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="By default bayplan-support-TIME.tar.gz; existing files are never overwritten.",
)
@installed()
@formatted
@targeted(everywhere=True)
def support_bundle(
    file: Path | None, operator: tuple[str, str], output: str, target: Target
) -> None:
    """Write an archive: what `doctor` finds, jobs, services, pools, pods, nodes, events, own logs.

    It leaves out Secrets and ConfigMaps, the values of variables, commands, arguments and headers
    of containers, and all annotations but Bayplan's and autoscalers'. Read it before you give it
    away: it has names and logs. Exit code: 0 written, 2 wrong usage, 3 no answer.
    """
    from bayplan.cli import client  # --help answers at once

    namespace, name = operator
    made = dt.datetime.now(dt.UTC)
    path = file or Path(f"bayplan-support-{made:%Y%m%dT%H%M%SZ}.tar.gz")
    if path.exists():
        raise InputError(str(path), "exists already; give another --file")
    with working("Collecting") as shown, client.connected(target) as cluster:
        parts = dict(_parts(cluster, namespace, name, shown))
    try:
        _write(path, parts, made)
    except OSError as error:
        raise InputError(str(path), error.strerror or str(error)) from error
    counts = {part: len(body) if isinstance(body, list) else 1 for part, body in parts.items()}
    if is_data(output):
        data(output, "support-bundle", {"file": str(path), "parts": counts})
    else:
        click.echo(table(("part", "objects"), counts.items()), nl=False)
        click.echo(f"Written to {path}. Read it before you give it away.")


def _parts(
    cluster: "ApiClient", namespace: str, name: str, shown: Callable[[str], None]
) -> Iterator[tuple[str, Any]]:
    """Each file of the archive: its name, and its content as JSON or as the text of a log."""
    from bayplan.cli.ops import doctor_checks, finding
    from bayplan.cli.ops.redact import redacted

    refused: list[str] = []
    shown("Examining the installation")
    where = finding.Installation(namespace, name, now())
    yield "doctor.json", [one.told() for one in doctor_checks.examined(cluster, where)]
    pods = f"/api/v1/namespaces/{namespace}/pods"
    for kind in _KINDS:
        shown(f"Reading {kind}s")
        everywhere = "" if kind in _OF_THE_CLUSTER else None
        try:
            found = cluster.listed(kind, everywhere)
        except NotThere:
            continue  # the cluster has no such kind
        except Refused as error:
            refused.append(f"{kind}: {error}")
            continue
        yield f"{kind.lower()}s.json", [redacted(one) for one in found if _is_ours(one)]
    try:
        for pod in cluster.collection(pods):
            if _is_operator(pod):
                about = pod["metadata"]["name"]
                shown(f"Reading the log of {about}")
                yield f"operator/{about}.json", redacted(pod)
                query = (("limitBytes", str(_LOG_BYTES)), ("tailLines", "20000"))
                yield f"operator/{about}.log", cluster.text(f"{pods}/{about}/log", query)
    except NoCluster as error:
        refused.append(f"operator's pods: {error}")
    yield "about.json", {"version": __version__, "refused": refused}


def _is_ours(one: dict[str, Any]) -> bool:
    """Whether the bundle takes an object: of Events only Bayplan's, of other kinds every object."""
    return one["kind"] != "Event" or one.get("reportingController") == names.GROUP


def _is_operator(pod: dict[str, Any]) -> bool:
    labels = pod["metadata"].get("labels") or {}
    return bool(labels.get("app.kubernetes.io/component") == "operator")


def _write(path: Path, parts: dict[str, Any], made: dt.datetime) -> None:
    """The archive appears whole or not at all."""
    folder = path.name.removesuffix(".tar.gz")
    half = path.with_name(f".{path.name}.part")
    try:
        with tarfile.open(half, "w:gz") as archive:
            for name, body in parts.items():
                text = body if isinstance(body, str) else json.dumps(body, indent=1)
                content = text.encode()
                entry = tarfile.TarInfo(f"{folder}/{name}")
                entry.size, entry.mtime, entry.mode = len(content), int(made.timestamp()), 0o600
                archive.addfile(entry, io.BytesIO(content))
        half.chmod(0o600)
        half.rename(path)
    finally:
        half.unlink(missing_ok=True)
