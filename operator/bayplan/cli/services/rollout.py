"""`bayplan rollout`: shows and controls the update of a service.

`undo` and `promote` write annotations, which the operator copies to the status.
`pause` and `resume` change the spec, as kubectl does: a GitOps tool may undo that.
"""

import secrets
import sys
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

from bayplan.api import names
from bayplan.cli import name_completion, printing
from bayplan.cli.errors import Negative
from bayplan.cli.named_object import connected
from bayplan.cli.target import Target, targeted
from bayplan.reports.rollout import standing

if TYPE_CHECKING:
    from bayplan.cli.client import ApiClient

_LOOK_SECONDS = 1.0


@click.group(short_help="Show and control a service's update.")
def rollout() -> None:
    """Show and control the update of a LongService."""


@rollout.command(short_help="Show how far an update is.")
@click.argument("service", shell_complete=name_completion.services)
@click.option("-w", "--watch", is_flag=True, help="Watch until the update ends.")
@click.option("--seconds", type=click.FloatRange(1), default=3600.0, show_default=True,
              help="How long to watch.")  # fmt: skip
@targeted()
@printing.formatted
def status(service: str, watch: bool, seconds: float, target: Target, output: str) -> None:
    """Show how far the update of SERVICE is.

    Exit code: 0 every instance has the newest template and is available, 1 the update goes on,
    was given up or was rolled back.
    """
    with connected(target, names.LONGSERVICE, service) as (cluster, body):
        ends = time.monotonic() + seconds
        told = standing(body)
        while watch and told["state"] == "Updating" and time.monotonic() < ends:
            if not printing.is_data(output):
                _progress(told)
            time.sleep(_LOOK_SECONDS)
            told = standing(cluster.get(names.LONGSERVICE, body["metadata"]["name"]))
    if watch and sys.stderr.isatty() and not printing.is_data(output):
        click.echo(err=True)
    printing.said(output, "rollout-status", told, _line(told))
    click.get_current_context().exit(0 if told["state"] == "Done" else 1)


def _progress(told: Mapping[str, Any]) -> None:
    """A bar on a terminal; without a terminal only the end is printed."""
    if sys.stderr.isatty():
        wanted = max(told["wanted"], 1)
        full = min(20 * told["updated"] // wanted, 20)
        bar = "█" * full + "░" * (20 - full)
        click.echo(f"\r{bar} {told['updated']}/{told['wanted']} updated", nl=False, err=True)


def _line(told: Mapping[str, Any]) -> str:
    counts = (
        f"{told['updated']} of {told['wanted']} updated, {told['available']} available, "
        f"template {told['updateRevision'] or 'unknown'}"
    )
    return f"{told['state']}: {counts}. {told['message']}".strip()


@rollout.command(short_help="List the kept templates, and which of them were given up.")
@click.argument("service", shell_complete=name_completion.services)
@click.option("--revision", metavar="NAME|NUMBER", help="Show the template of this revision.")
@targeted()
@printing.formatted
def history(service: str, revision: str | None, target: Target, output: str) -> None:
    """List the kept templates of SERVICE, the newest first."""
    with connected(target, names.LONGSERVICE, service) as (cluster, body):
        known = revisions(cluster, body)
    if revision is not None:
        chosen = _chosen(known, revision, service)
        if output == "table":
            output = "yaml"
        printing.data(output, "rollout-history", chosen)
        return
    if printing.is_data(output):
        printing.data(output, "rollout-history", {"revisions": known})
        return
    rows = [
        (one["number"], one["name"], _age(one["created"]), ", ".join(one["images"]), one["note"])
        for one in known
    ]  # fmt: skip
    click.echo(printing.table(["number", "revision", "age", "images", "note"], rows), nl=False)


def _age(created: str) -> str:
    return printing.age(printing.now() - (printing.epoch(created) or 0))


def revisions(cluster: "ApiClient", body: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The kept templates of a service, the newest first, with notes from the status."""
    about, status_ = body["metadata"], body.get("status") or {}
    bad = {one["revision"]: one for one in status_.get("badRevisions") or ()}
    found = []
    for one in cluster.listed("ControllerRevision", about["namespace"]):
        owners = one["metadata"].get("ownerReferences") or ()
        if not any(owner.get("uid") == about["uid"] for owner in owners):
            continue
        name, data = one["metadata"]["name"], one.get("data") or {}
        containers = ((data.get("template") or {}).get("spec") or {}).get("containers") or ()
        said = [
            word
            for word, true in (
                ("current", name == status_.get("currentRevision")),
                ("wanted", name == status_.get("updateRevision")),
                ("pinned", name == status_.get("pinnedRevision")),
            )
            if true
        ]
        if name in bad:
            said.append(f"given up: {bad[name].get('reason', '')}")
        found.append(
            {
                "name": name,
                "number": one.get("revision", 0),
                "created": one["metadata"].get("creationTimestamp", ""),
                "restartedAt": data.get("restartedAt", ""),
                "images": [str(each.get("image", "")) for each in containers],
                "note": ", ".join(said),
                "template": data.get("template") or {},
            }
        )
    return sorted(found, key=lambda one: -one["number"])


def _chosen(known: list[dict[str, Any]], wanted: str, service: str) -> dict[str, Any]:
    for revision in known:
        if wanted in {revision["name"], str(revision["number"])}:
            return revision
    kept = ", ".join(f"{each['number']} ({each['name']})" for each in known) or "none"
    raise Negative(f"no template {wanted!r} of {service} is kept; kept are {kept}")


@rollout.command(short_help="Go back to an earlier template.")
@click.argument("service", shell_complete=name_completion.services)
@click.option("--to", "wanted", metavar="NAME|NUMBER", help="By default the previous template.")
@targeted()
@printing.formatted
def undo(service: str, wanted: str | None, target: Target, output: str) -> None:
    """Hold SERVICE at an earlier template until the template in its spec changes.

    Templates that were given up are used only if you name them. Exit code: 0 done, 1 no such
    template is kept.
    """
    with connected(target, names.LONGSERVICE, service) as (cluster, body):
        known = revisions(cluster, body)
        if wanted is not None:
            chosen = _chosen(known, wanted, service)
        else:
            status_ = body.get("status") or {}
            now = status_.get("updateRevision")
            bad = {one["revision"] for one in status_.get("badRevisions") or ()}
            number = next((one["number"] for one in known if one["name"] == now), None)
            before = [
                one
                for one in known
                if number is not None and one["number"] < number and one["name"] not in bad
            ]
            if not before:
                raise Negative(
                    f"no template of {service} before {now or 'the present template'} is kept"
                )
            chosen = before[0]
        cluster.annotate(names.LONGSERVICE, body, {names.ROLLBACK_TO: chosen["name"]})
    values = {"revision": chosen["name"], "number": chosen["number"]}
    line = f"{service} goes back to {chosen['name']} ({', '.join(chosen['images'])})"
    printing.said(output, "rollout-undo", values, line)


@rollout.command("pause", short_help="Stop an update for now.")
@click.argument("service", shell_complete=name_completion.services)
@targeted()
@printing.formatted
def pause(service: str, target: Target, output: str) -> None:
    """Set spec.updateStrategy.paused of SERVICE; scaling and repairs go on."""
    _set_paused(service, target, output, paused=True)


@rollout.command("resume", short_help="Let a paused update go on.")
@click.argument("service", shell_complete=name_completion.services)
@targeted()
@printing.formatted
def resume(service: str, target: Target, output: str) -> None:
    """Unset spec.updateStrategy.paused of SERVICE."""
    _set_paused(service, target, output, paused=False)


def _set_paused(service: str, target: Target, output: str, *, paused: bool) -> None:
    with connected(target, names.LONGSERVICE, service) as (cluster, body):
        value = True if paused else None
        cluster.patch(names.LONGSERVICE, body, {"spec": {"updateStrategy": {"paused": value}}})
    word = "pause" if paused else "resume"
    printing.said(output, f"rollout-{word}", {"paused": paused}, f"{service}: update {word}d")


@rollout.command(short_help="Let an update pass a step that waits for a person.")
@click.argument("service", shell_complete=name_completion.services)
@targeted()
@printing.formatted
def promote(service: str, target: Target, output: str) -> None:
    """Let the update of SERVICE pass the step at which it waits.

    Exit code: 0 done, 1 the update does not wait at a step.
    """
    with connected(target, names.LONGSERVICE, service) as (cluster, body):
        state = standing(body)
        if state["state"] != "Waiting":
            raise Negative(f"{service} does not wait at a step: {_line(state)}")
        token = f"cli-{time.time_ns():x}-{secrets.token_hex(3)}"
        cluster.annotate(names.LONGSERVICE, body, {names.PROMOTE: token})
    printing.said(output, "rollout-promote", {"token": token}, f"{service} passes the step")
