"""`bayplan completion`: what a shell evaluates to complete commands and options."""

import click
from click import shell_completion

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
