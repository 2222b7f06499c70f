"""How runs are protected from the Karpenter that is there."""

import asyncio
import json
from typing import Any

import pytest

from bayplan.api import names
from bayplan.cluster import errors
from bayplan.cluster.transport import Request
from bayplan.runtime import karpenter_watch
from tests.unit.cli.test_cli_doctor import KARPENTERS
from tests.unit.scheduler.test_loop import Scene


class Server:
    """Answers with one definition, or refuses it; says which versions are served."""

    def __init__(self, answer: Any, *served: str) -> None:
        self._answer, self._served = answer, served

    async def send(self, request: Request) -> bytes:
        if request.path == "/apis/karpenter.sh" and self._served:
            versions = [{"groupVersion": f"karpenter.sh/{one}", "version": one}
                        for one in self._served]  # fmt: skip
            return json.dumps({"kind": "APIGroup", "versions": versions}).encode()
        if isinstance(self._answer, int):
            raise errors.of(self._answer, b"{}")
        return json.dumps(self._answer).encode()

    def stream(self, request: Request) -> Any:
        raise NotImplementedError


@pytest.mark.parametrize(
    ("answer", "timed"),
    [*KARPENTERS, (404, True), (403, None), (500, None)],
)
def test_what_is_there(answer: Any, *, timed: bool | None) -> None:
    """Without one a duration harms nobody; without an answer all stays as it was."""
    assert timed is asyncio.run(karpenter_watch.look(Server(answer)))


@pytest.mark.parametrize(
    ("served", "timed"), [(["v1beta1"], False), (["v1", "v1beta1"], False), (["v1"], None)]
)
def test_what_is_served_where_the_definition_may_not_be_read(
    served: list[str], *, timed: bool | None
) -> None:
    """An old one is known without rights; of a newer one nothing is."""
    assert timed is asyncio.run(karpenter_watch.look(Server(403, *served)))


def test_runs_are_protected_as_it_understands() -> None:
    """What was compiled before is compiled anew, each time that it is told."""
    scene = Scene()
    scene.node(cpu=100_000)
    job = scene.job("j", expectedDurationSeconds=3600)
    values = []
    for timed in (True, False, True):
        karpenter_watch.tell(scene.loop, timed=timed)
        blueprint, _ = scene.loop.pod_templates.of(job, None, job.template_hash)
        values.append(blueprint.annotations[names.DO_NOT_DISRUPT])

    assert ["3600s", "true", "3600s"] == values
