"""`bayplan` and `kubectl bayplan`: the commands; each is loaded when it is asked for."""

import importlib
import logging
from typing import Any, ClassVar

import click

from bayplan import __version__, logs
from bayplan.cli.errors import WrongInput
from bayplan.inputs import InputError


class _Lazy(click.Group):
    """Commands by name and module, so that `--help` costs no numpy."""

    modules: ClassVar[dict[str, str]] = {
        "backfill": "bayplan.cli.jobs.make_up",
        "cancel": "bayplan.cli.jobs.verbs",
        "completion": "bayplan.cli.completion",
        "doctor": "bayplan.cli.ops.doctor",
        "drain": "bayplan.cli.ops.drain",
        "explain": "bayplan.cli.packing.explain",
        "graph": "bayplan.cli.jobs.graph",
        "import": "bayplan.cli.importers.import_command:import_",
        "lint": "bayplan.cli.lint.lint",
        "logs": "bayplan.cli.jobs.verbs",
        "mark-success": "bayplan.cli.jobs.verbs:mark_success",
        "next": "bayplan.cli.jobs.next:next_",
        "pause": "bayplan.cli.jobs.verbs",
        "plan": "bayplan.cli.packing.plan",
        "restart": "bayplan.cli.services.rollout",
        "resume": "bayplan.cli.jobs.verbs",
        "retry": "bayplan.cli.jobs.make_up",
        "rollout": "bayplan.cli.services.rollout",
        "run": "bayplan.cli.jobs.verbs",
        "runs": "bayplan.cli.jobs.verbs",
        "scale": "bayplan.cli.services.rollout",
        "selftest": "bayplan.cli.ops.selftest",
        "simulate": "bayplan.cli.packing.simulate",
        "support-bundle": "bayplan.cli.ops.support_bundle:support_bundle",
        "top": "bayplan.cli.packing.top",
        "uninstall": "bayplan.cli.ops.uninstall",
    }

    def list_commands(self, ctx: click.Context) -> list[str]:
        del ctx
        return sorted(self.modules)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        del ctx
        module = self.modules.get(cmd_name)
        if module is None:
            return None
        module, _, attribute = module.partition(":")
        command: click.Command = getattr(importlib.import_module(module), attribute or cmd_name)
        return command

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except InputError as error:
            raise WrongInput(str(error)) from error


@click.group(cls=_Lazy, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="bayplan")
def main() -> None:
    """Pack Kubernetes workloads onto the fewest, cheapest nodes, and say why."""
    # The library warns of what it then raises: an error is one line.
    logging.getLogger("kubernetes").addHandler(logging.NullHandler())
    logs.to_terminal()
