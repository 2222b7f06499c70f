"""The one container image of real nodes, made without a registry: busybox, about 2 MB.

`bayplan.local/busybox:1`, also `busybox:1.36`, is a docker-archive with one layer: the machine's
statically linked busybox and a link for each of its commands (`sh`, `sleep`, `httpd`, `wget` …).
Without a command a container of it waits for SIGTERM; nodes use it as sandbox image too. By its
second name manifests of the documentation run here as they are. Neither is pulled, unless a pod
says `imagePullPolicy: Always`.
"""

import hashlib
import io
import json
import platform
import subprocess
import tarfile
from pathlib import Path
from typing import Any

NAME = "bayplan.local/busybox:1"
OF_DOCUMENTATION = "docker.io/library/busybox:1.36"  # how Kubernetes reads `busybox:1.36`
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
_WAIT = "trap 'exit 0' TERM INT; sleep 2147483647 & wait"
_FILES = {
    "etc/passwd": b"root:x:0:0::/:/bin/sh\nnobody:x:65534:65534::/:/bin/false\n",
    "etc/group": b"root:x:0:\nnobody:x:65534:\n",
}


def write(target: Path, busybox: Path) -> None:
    """The image as a tar file that `ctr images import` reads; the same bytes for the same input."""
    listed = subprocess.run([busybox, "--list"], capture_output=True, text=True, check=True)
    layer = _layer(busybox.read_bytes(), sorted(listed.stdout.split()))
    configuration = json.dumps(_configuration(layer)).encode()
    tags = [NAME, OF_DOCUMENTATION]
    manifest = [{"Config": "config.json", "RepoTags": tags, "Layers": ["layer.tar"]}]
    with tarfile.open(target, "w") as archive:
        _add(archive, "layer.tar", layer)
        _add(archive, "config.json", configuration)
        _add(archive, "manifest.json", json.dumps(manifest).encode())


def _configuration(layer: bytes) -> dict[str, Any]:
    machine = platform.machine()
    return {
        "architecture": _ARCHITECTURES.get(machine, machine),
        "os": "linux",
        "config": {"Env": ["PATH=/bin"], "Cmd": ["/bin/sh", "-c", _WAIT]},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(layer).hexdigest()}"]},
    }


def _layer(busybox: bytes, commands: list[str]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for folder, mode in (("bin", 0o755), ("etc", 0o755), ("tmp", 0o1777), ("www", 0o755)):
            entry = tarfile.TarInfo(folder)
            entry.type, entry.mode = tarfile.DIRTYPE, mode
            archive.addfile(entry)
        _add(archive, "bin/busybox", busybox, mode=0o755)
        for command in commands:
            if command != "busybox":
                link = tarfile.TarInfo(f"bin/{command}")
                link.type, link.linkname, link.mode = tarfile.SYMTYPE, "busybox", 0o777
                archive.addfile(link)
        for name, content in _FILES.items():
            _add(archive, name, content)
    return buffer.getvalue()


def _add(archive: tarfile.TarFile, name: str, content: bytes, *, mode: int = 0o644) -> None:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = len(content), mode
    archive.addfile(entry, io.BytesIO(content))
