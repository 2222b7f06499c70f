"""Calls to EC2 Auto Scaling in a thread of their own, so that nothing waits for AWS."""

import asyncio
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from bayplan.cloud.auto_scaling import AutoScaling
from bayplan.model.groups import Group, Launched

_T = TypeVar("_T")


class AwsGroups:
    """A `GroupCloud`. Calls go one after the other; boto3 is imported with the first one."""

    def __init__(self, calls: AutoScaling | None = None) -> None:
        self._calls = AutoScaling() if calls is None else calls
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="aws")

    async def describe(self, tags: Collection[str], /) -> Sequence[Group]:
        return await self._run(lambda: self._calls.describe(tags))

    async def launch(self, group: str, count: int, token: str, /) -> Launched:
        return await self._run(lambda: self._calls.launch(group, count, token))

    async def set_desired(self, group: str, size: int, /) -> None:
        await self._run(lambda: self._calls.set_desired(group, size))

    async def terminate(self, instance: str, /) -> None:
        await self._run(lambda: self._calls.terminate(instance))

    async def _run(self, call: Callable[[], _T]) -> _T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, call)
