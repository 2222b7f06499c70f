"""Translates volumes of Marathon's apps: host paths, Secrets, and persistent volumes as claims.

A persistent volume is at a path of Mesos' sandbox. Docker mounted it at another path by a second
volume whose host path is that path of the sandbox (Marathon's docs/docs/persistent-volumes.md). So
a relative host path is looked up among the persistent volumes.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from bayplan.api.volume_claims import MOST_TEMPLATES
from bayplan.cli.importers import marathon_shared, reading
from bayplan.cli.importers.reading import Taking

_SANDBOX = "/mnt/mesos/sandbox"  # where Mesos mounts it in a container that has an image
_SANDBOX_FILE = (
    "the host path is relative, so it is a file of Mesos' sandbox; put the file into the image, or "
    "mount a ConfigMap or Secret there"
)


@dataclass(slots=True)
class Volumes:
    """The mounts of the container, the volumes of its pod, and the claims of each instance."""

    mounts: list[dict[str, Any]] = field(default_factory=list)
    volumes: list[dict[str, Any]] = field(default_factory=list)
    claims: list[dict[str, Any]] = field(default_factory=list)

    def mount(self, name: str, path: str, *, read_only: bool) -> None:
        self.mounts.append(
            {"name": name, "mountPath": path} | ({"readOnly": True} if read_only else {})
        )


def of_app(docker: Taking, secrets: Mapping[str, Any]) -> Volumes:
    """Every volume is mounted or listed with the reason."""
    found = Volumes()
    every = docker.each("volumes")
    claims = _claims(every, found)
    mounted: set[str] = set()  # claims that a relative host path mounts somewhere
    for index, one in enumerate(every):
        path, host, secret = one.text("containerPath"), one.text("hostPath"), one.text("secret")
        read_only = one.text("mode", "RW").upper() == "RO"
        if index in claims:
            continue
        one.end({"external": "make a PersistentVolumeClaim and name it in template.spec.volumes"})
        source = marathon_shared.volume_source(host, secret, secrets)
        claim = next((name for at, name in claims.values() if host and at == host.strip("/")), "")
        if not path.startswith("/"):
            one.note("containerPath", f"{path!r} is not absolute, so nothing is mounted there")
        elif claim:
            mounted.add(claim)
            found.mount(claim, path, read_only=read_only)
        elif source is None:
            one.note("hostPath", _SANDBOX_FILE if host else "there is no volume to mount")
        else:
            name = f"volume-{index}"
            if secret:
                one.note("secret", f"make a Secret {source['secret']['secretName']}")
            found.mount(name, path, read_only=read_only)
            found.volumes.append({"name": name, **source})
    for index, (path, claim) in claims.items():
        if claim not in mounted:
            _in_sandbox(every[index], path, claim, found)
    return found


def outlives(docker: Taking) -> bool:
    """Whether a volume outlives the task: Marathon then had no surplus instances by default."""
    kinds = ("persistent", "external")
    return any(one.body.get(kind) for one in docker.each("volumes") for kind in kinds)


def _claims(every: list[Taking], found: Volumes) -> dict[int, tuple[str, str]]:
    """Index of a persistent volume -> its path in the sandbox and the name of its claim."""
    claims: dict[int, tuple[str, str]] = {}
    for index, one in enumerate(every):
        if not isinstance(one.body.get("persistent"), Mapping):
            continue
        inner = one.inner("persistent")
        inner.take("type")
        size = inner.number("size")
        inner.end(
            {
                "maxSize": "a volume has one size; enlarge it by its claim",
                "profileName": "name a StorageClass in volumeClaimTemplates",
                "constraints": "name a StorageClass in volumeClaimTemplates",
            }
        )
        if len(claims) >= MOST_TEMPLATES:
            one.note("persistent", f"a LongService has at most {MOST_TEMPLATES} claims")
            continue
        name = f"volume-{index}"
        claims[index] = one.text("containerPath").strip("/"), name
        one.note(
            "persistent",
            "each instance gets its own PersistentVolumeClaim, which is empty at first; copy "
            "the data into it",
        )
        found.claims.append(
            {
                "metadata": {"name": name},
                "spec": {
                    "accessModes": ["ReadWriteOnce"],
                    "resources": {"requests": {"storage": reading.mebi(max(size, 1))}},
                },
            }
        )
    return claims


def _in_sandbox(one: Taking, path: str, claim: str, found: Volumes) -> None:
    where = one.text("containerPath")
    read_only = one.text("mode", "RW").upper() == "RO"
    one.end({})
    if not where.startswith("/"):
        where = f"{_SANDBOX}/{path}"
        one.note(
            "containerPath", f"is relative to Mesos' sandbox; the volume is mounted at {where}"
        )
    found.mount(claim, where, read_only=read_only)
