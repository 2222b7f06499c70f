"""The page docs/reference/cli.md, from the commands themselves; `tools.reference` writes it."""

from collections.abc import Iterator

import click

from bayplan.cli.main import main

_WIDTH = 100
_HEAD = """\
# Command line

<!-- Written by `python -m tools.reference --write`; do not edit. -->

`bayplan`, also as `kubectl bayplan`. Exit codes: 0 yes or done, 1 the answer is no, 2 the input is
wrong, 3 the cluster did not answer or refused. Data of `-o json` and `-o yaml` names its schema,
`bayplan.dev/COMMAND/v1`: fields are added to it, never changed.
"""


def text() -> str:
    """The whole page."""
    told = _commands(main, "bayplan", None)
    parts = [f"## {name}\n\n```text\n{help_}\n```\n" for name, help_ in told]
    return "\n".join([_HEAD, *parts])


def _commands(
    command: click.Command, name: str, parent: click.Context | None
) -> Iterator[tuple[str, str]]:
    """Each command's help as it is when called: settings come down from the group."""
    context = click.Context(
        command,
        parent=parent,
        info_name=name,
        **{
            "terminal_width": _WIDTH,
            "max_content_width": _WIDTH,
            **command.context_settings,
        },
    )
    help_ = command.get_help(context)
    yield context.command_path, "\n".join(line.rstrip() for line in help_.splitlines())
    if isinstance(command, click.Group):
        for each in command.list_commands(context):
            inner = command.get_command(context, each)
            if inner is not None:
                yield from _commands(inner, each, context)
