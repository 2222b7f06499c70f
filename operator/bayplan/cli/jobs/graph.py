"""`bayplan graph`: draws jobs and the jobs that they wait for, as Chronos did."""

from collections.abc import Iterable, Mapping
from typing import Any

import click

from bayplan.cli import name_completion
from bayplan.cli.errors import Negative
from bayplan.cli.printing import data, is_data, plain
from bayplan.cli.target import Target, targeted

_FORMATS = ("ascii", "dot", "csv", "json", "yaml")


@click.command(short_help="Draw jobs and their parents: ascii, dot or csv.")
@click.argument("job", required=False, shell_complete=name_completion.jobs)
@click.option("-o", "--output", type=click.Choice(_FORMATS), default="ascii", show_default=True)
@targeted(everywhere=True)
def graph(job: str | None, output: str, target: Target) -> None:
    """Draw the jobs of a namespace that have parents or children.

    With JOB, draw only the jobs that it depends on and the jobs that depend on it. With -A, draw
    the jobs of all namespaces as NAMESPACE/NAME; write JOB in the same way.

    csv has Chronos' lines: `node,NAME,success|failure|fresh,idle|queued|N running` and
    `link,PARENT,CHILD`.
    """
    from bayplan.cli import client  # --help answers at once

    with client.connected(target) as cluster:
        bodies = cluster.listed("BatchJob", target.chosen)
    jobs = {_name(one, one["metadata"]["name"], target): one for one in bodies}
    if job is not None and job not in jobs:
        where = f"namespace {target.chosen}" if target.chosen else "any namespace"
        raise Negative(f"no BatchJob {job!r} in {where}")
    links = [
        (_name(body, parent["name"], target), name)
        for name, body in sorted(jobs.items())
        for parent in body["spec"].get("parents") or ()
    ]
    shown = _tied(job, links) if job is not None else {one for link in links for one in link}
    nodes = {name: _node(jobs.get(name)) for name in sorted(shown)}
    links = [link for link in links if link[0] in shown and link[1] in shown]
    if is_data(output):
        rows = [{"name": name, **node} for name, node in nodes.items()]
        pairs = [{"parent": parent, "child": child} for parent, child in links]
        data(output, "graph", {"nodes": rows, "links": pairs})
        return
    draw = {"ascii": _ascii, "dot": _dot, "csv": _csv}[output]
    lines = list(draw(nodes, links))
    click.echo("\n".join(map(plain, lines)) if lines else "No job has a parent.")


def _name(body: Mapping[str, Any], name: str, target: Target) -> str:
    """The shown name of a job, or of its parent in the same namespace."""
    return name if target.chosen else f"{body['metadata']['namespace']}/{name}"


def _tied(job: str, links: list[tuple[str, str]]) -> set[str]:
    """The job, all jobs that it depends on, and all jobs that depend on it."""
    found = {job}
    for here, there in ((0, 1), (1, 0)):
        todo = [job]
        while todo:
            at = todo.pop()
            new = [link[there] for link in links if link[here] == at and link[there] not in found]
            found.update(new)
            todo += new
    return found


def _node(body: Mapping[str, Any] | None) -> dict[str, str]:
    """The two states that Chronos showed of a job: how it last ended, and what it does now."""
    if body is None:
        return {"last": "absent", "state": "absent"}
    status = body.get("status") or {}
    results = [one["outcome"] for one in status.get("history") or () if one["outcome"] != "Missed"]
    last = {"Succeeded": "success"}.get(results[0], "failure") if results else "fresh"
    active = status.get("active") or ()
    running = sum(1 for one in active if one.get("startTime"))
    state = f"{running} running" if running else "queued" if active else "idle"
    return {"last": last, "state": state}


Nodes = Mapping[str, Mapping[str, str]]
Links = list[tuple[str, str]]


def _ascii(nodes: Nodes, links: Links) -> Iterable[str]:
    """A tree from each job without parents; a job that was drawn already is only named again."""
    children: dict[str, list[str]] = {}
    for parent, child in links:
        children.setdefault(parent, []).append(child)
    drawn: set[str] = set()
    roots = [name for name in nodes if name not in {child for _, child in links}]
    for root in [*roots, *nodes]:  # nodes: circles have no root
        if root in drawn:
            continue
        # the name, the text before it, the text before its children
        todo = [(root, "", "")]
        while todo:
            name, before, below = todo.pop()
            node = nodes[name]
            again = name in drawn
            drawn.add(name)
            tail = "  (see above)" if again else f"  {node['last']}, {node['state']}"
            yield f"{before}{name}{tail}"
            mine = [] if again else children.get(name, [])
            for index, child in reversed(list(enumerate(mine))):
                final = index == len(mine) - 1
                branch, space = ("└─ ", "   ") if final else ("├─ ", "│  ")
                todo.append((child, below + branch, below + space))


def _dot(nodes: Nodes, links: Links) -> Iterable[str]:
    colours = {"success": "green", "failure": "red", "absent": "gray"}
    yield "digraph jobs {"
    for name, node in nodes.items():
        colour = colours.get(node["last"], "black")
        yield f'  "{name}" [label="{name}\\n{node["last"]}, {node["state"]}", color={colour}];'
    for parent, child in links:
        yield f'  "{parent}" -> "{child}";'
    yield "}"


def _csv(nodes: Nodes, links: Links) -> Iterable[str]:
    for name, node in nodes.items():
        yield f"node,{name},{node['last']},{node['state']}"
    for parent, child in links:
        yield f"link,{parent},{child}"
