"""`bayplan` and `kubectl bayplan`: the commands; each is loaded when it is asked for."""

import importlib
import logging
from typing import Any, ClassVar

import click

from bayplan import __version__
from bayplan.cli.errors import WrongInput
from bayplan.inputs import InputError


class _Lazy(click.Group):
    """Commands by name and module, so that `--help` costs no numpy."""

    modules: ClassVar[dict[str, str]] = {
        "backfill": "bayplan.cli.again",
        "cancel": "bayplan.cli.jobs",
        "completion": "bayplan.cli.completion",
        "doctor": "bayplan.cli.doctor",
        "drain": "bayplan.cli.drain",
        "explain": "bayplan.cli.explain",
        "graph": "bayplan.cli.graph",
        "import": "bayplan.cli.importing:import_",
        "lint": "bayplan.cli.lint",
        "logs": "bayplan.cli.jobs",
        "mark-success": "bayplan.cli.jobs:mark_success",
        "next": "bayplan.cli.next_slots:next_",
        "pause": "bayplan.cli.jobs",
        "plan": "bayplan.cli.plan",
        "restart": "bayplan.cli.rollout",
        "resume": "bayplan.cli.jobs",
        "retry": "bayplan.cli.again",
        "rollout": "bayplan.cli.rollout",
        "run": "bayplan.cli.jobs",
        "runs": "bayplan.cli.jobs",
        "scale": "bayplan.cli.rollout",
        "selftest": "bayplan.cli.selftest",
        "simulate": "bayplan.cli.simulate",
        "support-bundle": "bayplan.cli.support:support_bundle",
        "top": "bayplan.cli.top",
        "uninstall": "bayplan.cli.uninstall",
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
