"""Pods that run programs of this machine: nodes have one small image and no registry to pull from.

A container of the busybox image sees the machine's /usr and what belongs to it, read-only, under
the same paths. So `java`, `python3` or `mariadbd` run in it as they run here. Its own /bin/sh is
busybox's. A pod with `host_network` has its node's address and reaches the API server and the pods
of other nodes; without it, it reaches the pods of its own node alone. All nodes are one machine:
pods with `host_network` share its ports, whatever their nodes.
"""

import os
from collections.abc import Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from localcluster import image, kubelets
from localcluster.bundles import BUNDLES

PATH = "/usr/local/bin:/usr/bin:/usr/sbin:/bin"
# What programs below /usr look for outside of it. /bin and /etc/passwd are the image's own.
_SYSTEM = (
    *("/usr", "/lib", "/lib64", "/sbin"),
    *("/etc/alternatives", "/etc/java-17-openjdk", "/etc/ssl", "/etc/mysql"),
)


def marks(*needed: str) -> list[pytest.MarkDecorator]:
    """The `pytestmark` of a test file that needs these bundles of localcluster."""
    lacking = [*kubelets.missing(), *(one for name in needed for one in BUNDLES[name].missing())]
    if os.geteuid() != 0:
        lacking.append("root")
    reason = f"needs {', '.join(lacking)}"
    return [
        pytest.mark.applications,
        pytest.mark.kubelet,
        pytest.mark.skipif(bool(lacking), reason=reason),
        pytest.mark.timeout(900),
    ]


def on_machine(
    spec: Mapping[str, Any],
    *,
    read_only: Sequence[Path] = (),
    writable: Sequence[Path] = (),
    host_network: bool = True,
) -> dict[str, Any]:
    """A PodSpec whose containers run programs of this machine: the given spec, and what they need.

    Folders of the machine are seen at their own paths: `read_only` ones, such as a bundle's
    (`BUNDLES[name].folder`), and `writable` ones. What the spec says itself counts.
    """
    system = [Path(path) for path in _SYSTEM if Path(path).exists()]
    seen = [(path, True) for path in (*system, *read_only)]
    seen += [(path, False) for path in writable]
    volumes = [
        {"name": f"machine-{at}", "hostPath": {"path": str(path)}}
        for at, (path, _) in enumerate(seen)
    ]
    mounts = [
        {"name": f"machine-{at}", "mountPath": str(path), "readOnly": only}
        for at, (path, only) in enumerate(seen)
    ]
    made: dict[str, Any] = {"hostNetwork": True} if host_network else {}
    made |= deepcopy(dict(spec))
    made["volumes"] = [*made.get("volumes", ()), *volumes]
    for kind in ("initContainers", "containers"):
        for container in made.get(kind, ()):
            container.setdefault("image", image.NAME)
            names = {one["name"] for one in container.get("env", ())}
            if "PATH" not in names:
                container["env"] = [*container.get("env", ()), {"name": "PATH", "value": PATH}]
            container["volumeMounts"] = [*container.get("volumeMounts", ()), *mounts]
    return made
