"""`bayplan completion`: the script that a shell evaluates to complete commands and options."""

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
    """Print the completion script of a shell. In bash: `source <(bayplan completion bash)`.

    For fish: `bayplan completion fish | source`.
    """
    found = shell_completion.get_completion_class(shell)
    if found is None:
        raise click.UsageError(f"no completion for {shell}")
    root = context.find_root().command
    click.echo(found(root, {}, "bayplan", _VARIABLE).source())


def plugin() -> None:
    """`kubectl_complete-bayplan`: kubectl asks it how `kubectl bayplan …` may go on.

    Its arguments are the words typed so far; the last word is unfinished. Each line that it prints
    is a possible word and its help; the last line tells kubectl not to complete file names.
    """
    from bayplan.cli.main import main  # main loads this module for its command

    *words, last = sys.argv[1:] or [""]
    asked = shell_completion.ShellComplete(main, {}, "bayplan", _VARIABLE)
    for item in asked.get_completions(words, last):
        if item.type == "plain":
            click.echo(f"{item.value}\t{item.help}" if item.help else item.value)
    click.echo(f":{_NO_FILES}")
