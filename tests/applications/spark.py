"""Spark applications as examples/spark submits them, on nodes that see the machine's programs."""

import json
import os
import subprocess
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from localcluster import image
from localcluster.bundles import BUNDLES
from tests.applications.machine import on_machine
from tests.cluster import read
from tests.cluster.kube import Objects
from tests.cluster.under_test import ROOT, Site

EXAMPLE = ROOT / "examples" / "spark"
_FIRST_PORT = 27_000  # all nodes are one machine, so each application has ports of its own
_JVM = "-XX:+UseSerialGC -XX:TieredStopAtLevel=1"  # a short life on few CPUs


def home() -> Path:
    """PyPI's pyspark, which is all of Spark."""
    return BUNDLES["spark"].folder / "python" / "pyspark"


@dataclass
class Spark:
    """Submits applications to a namespace, and waits for them."""

    site: Site
    namespace: str
    folder: Path
    _submitted: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        for name in ("driver", "executor"):
            (self.folder / f"{name}.yaml").write_text(json.dumps(self._template(name)))
        kubectl = self.site.kube.kubectl
        kubectl("apply", "-n", self.namespace, "-f", str(EXAMPLE / "account.yaml"))
        made = kubectl("create", "token", "spark", "-n", self.namespace, "--duration=2h")
        (self.folder / "token").write_text(made.stdout.strip())

    def submit(self, name: str, program: str, *arguments: str, **settings: str) -> None:
        """Submit in cluster mode, as the example does; settings as `spark__driver__memory`."""
        local = self.site.local
        assert local is not None
        given = {key.replace("__", "."): value for key, value in settings.items()}
        words = [str(home() / "bin" / "spark-submit"), f"--master=k8s://{local.server}"]
        words += ["--deploy-mode=cluster", f"--name={name}"]
        words += [f"--properties-file={EXAMPLE / 'spark.conf'}"]
        words += [f"--conf={key}={value}" for key, value in {**self._here(name), **given}.items()]
        done = subprocess.run(
            [*words, *program.split(), *arguments],
            cwd=self.folder,
            env={"PATH": os.environ["PATH"], "SPARK_HOME": str(home()), "HOME": str(self.folder)},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert not done.returncode, f"{done.stdout}\n{done.stderr}"[-4000:]
        self._submitted.append(name)

    def job(self, name: str, *arguments: str) -> dict[str, Any]:
        """The example's BatchJob, to run once and now."""
        made: dict[str, Any] = yaml.safe_load((EXAMPLE / "nightly.yaml").read_text())
        made["metadata"] |= {"name": name, "namespace": self.namespace}
        for word in ("schedule", "timeZone"):
            del made["spec"][word]
        made["spec"]["retryPolicy"] = {"limit": 0}
        spec = made["spec"]["template"]["spec"]
        [container] = spec["containers"]
        settings = self._here(name)
        self._submitted.append(name)
        for key in ("driver.podTemplateFile", "driver.pod.name", "driver.master"):
            del settings[f"spark.kubernetes.{key}"]
        local = self.site.local
        assert local is not None
        at = next(at for at, word in enumerate(container["args"]) if word.endswith(".py"))
        words = [one for one in container["args"][:at] if not one.startswith("--master=")]
        words += [f"--conf={key}={value}" for key, value in settings.items()]
        words += [f"--master=k8s://{local.server}", str(EXAMPLE / "jobs" / "wordcount.py")]
        container["image"] = image.NAME
        container["command"] = ["bash", str(EXAMPLE / "entrypoint.sh")]
        container["args"] = [*words, *arguments]
        container["env"] += environment()
        mine = [BUNDLES["spark"].folder, EXAMPLE, self.folder]
        made["spec"]["template"]["spec"] = on_machine(spec, read_only=mine)
        return made

    def ended(self, name: str, within: float = 240) -> str:
        """Wait for an application's end; its driver's log. It must have succeeded."""

        def over(found: Objects) -> Any:
            phase = found.get(name, {}).get("status", {}).get("phase")
            return phase if phase in {"Succeeded", "Failed"} else None

        try:
            phase = self.site.kube.until(read.pods(self.namespace), over, within=within)
        except AssertionError as error:
            error.add_note(self.log(name)[-6000:])
            raise
        log = self.log(name)
        assert "Succeeded" == phase, log[-6000:]
        return log

    def log(self, name: str) -> str:
        return self.site.kube.kubectl("logs", name, "-n", self.namespace, check=False).stdout

    def executors(self, found: Objects, name: str) -> Mapping[str, Any]:
        """The live executors of an application that have a node: pod -> node."""
        return {
            pod: one["spec"]["nodeName"]
            for pod, one in found.items()
            if pod.startswith(f"{name}-exec-")
            and one["spec"].get("nodeName")
            and one["status"].get("phase") in {"Pending", "Running"}
            and "deletionTimestamp" not in one["metadata"]
        }

    def _here(self, name: str) -> dict[str, str]:
        """What differs here: no image but one, no DNS, and ports that all nodes share."""
        port = _FIRST_PORT + 10 * len(self._submitted)
        local = self.site.local
        assert local is not None
        return {
            "spark.kubernetes.namespace": self.namespace,
            "spark.kubernetes.container.image": image.NAME,
            "spark.kubernetes.driver.podTemplateFile": str(self.folder / "driver.yaml"),
            "spark.kubernetes.executor.podTemplateFile": str(self.folder / "executor.yaml"),
            "spark.kubernetes.driver.pod.name": name,
            "spark.kubernetes.executor.podNamePrefix": name,
            "spark.kubernetes.driver.master": local.server,
            "spark.kubernetes.submission.waitAppCompletion": "false",
            "spark.kubernetes.authenticate.submission.caCertFile": str(local.ca),
            "spark.kubernetes.authenticate.submission.oauthTokenFile": str(self.folder / "token"),
            "spark.kubernetes.executor.useDriverPodIP": "true",
            "spark.kubernetes.decommission.script": str(EXAMPLE / "decommission.sh"),
            "spark.driver.port": str(port),
            "spark.driver.blockManager.port": str(port + 1),
            "spark.ui.port": str(port + 2),
            "spark.connect.grpc.binding.port": str(port + 3),
            "spark.blockManager.port": "0",
            # Executors on a node have its address in common here, but not each other's files.
            "spark.shuffle.readHostLocalDisk": "false",
            "spark.driver.extraJavaOptions": _JVM,
            "spark.executor.extraJavaOptions": _JVM,
        }

    def _template(self, name: str) -> dict[str, Any]:
        """The example's pod template with the machine's programs in it."""
        made: dict[str, Any] = yaml.safe_load((EXAMPLE / f"{name}.yaml").read_text())
        spec = made["spec"]
        [container] = spec["containers"]
        container["command"] = ["bash", str(EXAMPLE / "entrypoint.sh")]
        container["env"] = environment()
        made["spec"] = on_machine(spec, read_only=[BUNDLES["spark"].folder, EXAMPLE])
        return made


def environment() -> list[dict[str, str]]:
    """What the example's image sets."""
    return [
        {"name": "SPARK_HOME", "value": str(home())},
        {"name": "PYTHONPATH", "value": str(home().parent)},
    ]


def counted(log: str) -> dict[str, int]:
    """What the word count has printed."""
    [line] = [line for line in log.splitlines() if line.startswith("WORDS ")]
    found: dict[str, int] = json.loads(line.removeprefix("WORDS "))
    return found


def expected(lines: int, words: Sequence[str]) -> dict[str, int]:
    """The right result, counted here."""
    found: Counter[str] = Counter()
    for number in range(lines):
        found.update([words[number % len(words)], words[number * number % len(words)]])
        found[f"line{number % 100}"] += 1
    return dict(found)
