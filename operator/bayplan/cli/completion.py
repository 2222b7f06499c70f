"""`bayplan completion`: what a shell evaluates to complete commands and options."""

import sys

import click
from click import shell_completion

_NO_FILES = 4  # a word of kubectl's: complete with these and never with files
_SHELLS = ("bash", "zsh", "fish")
_VARIABLE = "_BAYPLAN_COMPLETE"


@click.command(short_help="Print a shell's completion script.")
@click.argument("shell", type=click.Choice(_SHELLS))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print what SHELL is to evaluate: `source <(bayplan completion bash)`.

    For fish: `bayplan completion fish | source`.
    """
    found = shell_completion.get_completion_class(shell)
    if found is None:
        raise click.UsageError(f"no completion for {shell}")
    root = context.find_root().command
    click.echo(found(root, {}, "bayplan", _VARIABLE).source())


def plugin() -> None:
    """`kubectl_complete-bayplan`: kubectl asks it how `kubectl bayplan …` may go on.

    The words so far are its arguments, the last one unfinished; each line of the answer is a word
    and what it is for, and the last line says that file names are none of them.
    """
    from bayplan.cli.main import main  # main loads this module for its command

    *words, last = sys.argv[1:] or [""]
    asked = shell_completion.ShellComplete(main, {}, "bayplan", _VARIABLE)
    for one in asked.get_completions(words, last):
        if one.type == "plain":
            click.echo(f"{one.value}\t{one.help}" if one.help else one.value)
    click.echo(f":{_NO_FILES}")
