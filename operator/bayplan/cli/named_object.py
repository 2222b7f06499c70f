"""Finds the object that a user names as `web`, `job/web`, `LongService/web`, `deployment/web`."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from bayplan.api import kinds, names
from bayplan.cli.errors import Negative, Refused
from bayplan.cli.target import Target

if TYPE_CHECKING:
    from bayplan.cli.client import ApiClient

_APPS, _BATCH = "apps", "batch"
_JOB = "Job"
# Kinds of Kubernetes whose pods Bayplan may place -> their group, and words for them.
FOREIGN: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "Deployment": (_APPS, ("deployment", "deployments", "deploy")),
    "StatefulSet": (_APPS, ("statefulset", "statefulsets", "sts")),
    "ReplicaSet": (_APPS, ("replicaset", "replicasets", "rs")),
    _JOB: (_BATCH, ("job", "jobs")),
    "CronJob": (_BATCH, ("cronjob", "cronjobs", "cj")),
}
# A controller of these kinds makes others, which make the pods.
_MADE_BY = {"Deployment": "ReplicaSet", "CronJob": _JOB}

# a word before a slash -> the kind
WORDS: Mapping[str, str] = {
    **{word: kind for kind, (_, words) in FOREIGN.items() for word in words},
    **{f"{word}.{group}": kind for kind, (group, words) in FOREIGN.items() for word in words},
    **{word: kind.name for kind in kinds.KINDS for word in kind.words},
    **{f"{word}.{names.GROUP}": kind.name for kind in kinds.KINDS for word in kind.words},
    **dict.fromkeys(("pod", "pods", "po"), "Pod"),
}


@contextmanager
def connected(target: Target, kind: str, name: str) -> Iterator[tuple["ApiClient", dict[str, Any]]]:
    """The client of the cluster, and the object with this `name` or `kind/name`."""
    from bayplan.cli import client  # --help answers at once

    with client.connected(target) as cluster:
        yield cluster, cluster.get(kind, name.rpartition("/")[2])


def kind_of(cluster: "ApiClient", word: str) -> tuple[str, dict[str, Any]]:
    """The kind and the object that `word` names; `Negative` if there is none.

    `job/NAME` is a Job of Kubernetes if there is no BatchJob with the name.
    """
    named, slash, name = word.rpartition("/")
    namespace = cluster.target.chosen
    if slash:
        kind = WORDS.get(named.lower())
        if kind is None:
            known = f"{', '.join(kind.word for kind in kinds.KINDS)}, pod, pool, node, deployment"
            raise Negative(f"{word!r}: {named!r} is not a known kind; write {known} or statefulset")
        other = _JOB if kind == names.BATCHJOB and named.lower() in FOREIGN[_JOB][1] else ""
        found = cluster.find(kind, name, namespace) or _readable(cluster, other, name)
        return (found["kind"], found) if found is not None else (kind, cluster.get(kind, name))
    for kind in (*kinds.NAMES, "Pod"):
        found = cluster.find(kind, word, namespace)
        if found is not None:
            return kind, found
    for kind in FOREIGN:
        found = _readable(cluster, kind, word)
        if found is not None:
            return kind, found
    raise Negative(f"no {', '.join(kinds.NAMES)} or Pod {word!r} in namespace {namespace}")


def _readable(cluster: "ApiClient", kind: str, name: str) -> dict[str, Any] | None:
    """The object; None also where the user may not read the kind."""
    try:
        return cluster.find(kind, name, cluster.target.chosen) if kind else None
    except Refused:
        return None


def controllers(cluster: "ApiClient", kind: str, body: Mapping[str, Any]) -> frozenset[str]:
    """The uids of what makes the pods of a workload: its own, and of what it makes."""
    uid, made = body["metadata"].get("uid", ""), _MADE_BY.get(kind)
    if made is None:
        return frozenset({uid})
    there = cluster.listed(made, body["metadata"]["namespace"], partial=True)
    return frozenset({uid, *(one["metadata"]["uid"] for one in there if _owned_by(one, uid))})


def _owned_by(body: Mapping[str, Any], uid: str) -> bool:
    owners = body["metadata"].get("ownerReferences") or ()
    return any(owner.get("uid") == uid and owner.get("controller") for owner in owners)
