"""`bayplan doctor`: whether an installation is sound, and what to do where it is not."""

import click

from bayplan.cli.printing import data, formatted, is_data, now, plain, table
from bayplan.cli.target import Target, installed, targeted

_HEADINGS = ("check", "verdict", "said")


@click.command(short_help="Look for what is wrong with an installation.")
@installed()
@formatted
@targeted(
    everywhere=True,
    of_namespace="Taken as kubectl takes it; --operator says where the operator is.",
    of_all="All namespaces are looked at, told or not.",
)
@click.pass_context
def doctor(context: click.Context, operator: tuple[str, str], output: str, target: Target) -> None:
    """Look at versions, definitions, pods, leader, rights, and at autoscalers that would interfere.

    Nothing is written. Exit code: 0 nothing fails (there may be doubts), 1 something fails, 2 wrong
    usage, 3 the cluster did not answer.
    """
    from bayplan.cli import client  # --help answers at once
    from bayplan.cli.ops import doctor_checks  # --help answers at once

    namespace, name = operator
    where = doctor_checks.Installation(namespace, name, now())
    with client.connected(target) as cluster:
        found = list(doctor_checks.examined(cluster, where))
    if is_data(output):
        data(output, "doctor", {"findings": [one.told() for one in found]})
    else:
        rows = [(one.check, one.verdict, one.said) for one in found]
        click.echo(table(_HEADINGS, rows), nl=False)
        for one in found:
            if one.remedy:
                click.echo(plain(f"{one.check}: {one.remedy}"))
    if any(one.verdict is doctor_checks.Verdict.FAILS for one in found):
        context.exit(1)
