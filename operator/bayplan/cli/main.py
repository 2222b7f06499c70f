"""`bayplan` and `kubectl bayplan`: the commands; each module is loaded when its command runs."""

import atexit
import gc
import importlib
import os
from typing import Any, ClassVar

import click

from bayplan import __version__, logs
from bayplan.cli.errors import WrongInput
from bayplan.inputs import InputError

_YOUNG_OBJECTS = 50_000  # so many new objects make Python look for garbage; its default is 700


class _Lazy(click.Group):
    """Commands by name and module, so that `--help` does not load numpy.

    A command is in a module of the same name: `mark-success` in `jobs/mark_success.py`.
    """

    modules: ClassVar[dict[str, str]] = {
        "backfill": "bayplan.cli.jobs.backfill",
        "cancel": "bayplan.cli.jobs.cancel",
        "completion": "bayplan.cli.completion",
        "dashboard": "bayplan.cli.packing.dashboard",
        "doctor": "bayplan.cli.ops.doctor",
        "drain": "bayplan.cli.ops.drain",
        "explain": "bayplan.cli.packing.explain",
        "graph": "bayplan.cli.jobs.graph",
        "import": "bayplan.cli.importers.import_:import_",
        "lint": "bayplan.cli.lint.lint",
        "logs": "bayplan.cli.jobs.logs",
        "mark-success": "bayplan.cli.jobs.mark_success",
        "next": "bayplan.cli.jobs.next:next_",
        "pause": "bayplan.cli.jobs.pause",
        "plan": "bayplan.cli.packing.plan",
        "restart": "bayplan.cli.services.restart",
        "resume": "bayplan.cli.jobs.resume",
        "retry": "bayplan.cli.jobs.retry",
        "rollout": "bayplan.cli.services.rollout",
        "run": "bayplan.cli.jobs.run",
        "runs": "bayplan.cli.jobs.runs",
        "scale": "bayplan.cli.services.scale",
        "selftest": "bayplan.cli.ops.selftest",
        "simulate": "bayplan.cli.packing.simulate",
        "support-bundle": "bayplan.cli.ops.support_bundle",
        "top": "bayplan.cli.packing.top",
        "uninstall": "bayplan.cli.ops.uninstall",
    }

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run as a program: the process is ours, and most commands live for half a second."""
        _start_lightly()
        return super().__call__(*args, **kwargs)

    def list_commands(self, ctx: click.Context) -> list[str]:
        del ctx
        return sorted(self.modules)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        del ctx
        if cmd_name not in self.modules:
            return None
        name, _, attribute = self.modules[cmd_name].partition(":")
        attribute = attribute or cmd_name.replace("-", "_")
        command: click.Command = getattr(importlib.import_module(name), attribute)
        return command

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except InputError as error:
            raise WrongInput(str(error)) from error


def _start_lightly() -> None:
    """Spare the CPU that short commands would spend on housekeeping, a third of all they need.

    Loading modules makes many objects and hardly any garbage, and none needs collecting at the end.
    numpy would start a thread for each core, and commands multiply no large matrices.
    """
    gc.set_threshold(_YOUNG_OBJECTS, 10, 10)
    atexit.register(gc.freeze)
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")


@click.group(cls=_Lazy, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="bayplan")
def main() -> None:
    """Pack Kubernetes workloads onto the fewest, cheapest nodes, and say why."""
    logs.to_terminal()


if __name__ == "__main__":
    main()
