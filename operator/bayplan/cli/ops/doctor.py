"""`bayplan doctor`: checks an installation and says how to mend what is wrong."""

import click

from bayplan.cli.printing import data, formatted, is_data, now, plain, table
from bayplan.cli.target import Target, installed, targeted

_HEADINGS = ("check", "verdict", "said")


@click.command(short_help="Look for what is wrong with an installation.")
@installed()
@formatted
@targeted(
    everywhere=True,
    of_namespace="Accepted but not used; --operator says where the operator is.",
    of_all="Accepted but not needed; all namespaces are always checked.",
)
@click.pass_context
def doctor(context: click.Context, operator: tuple[str, str], output: str, target: Target) -> None:
    """Check versions, definitions, pods, leader, rights, Pools, and autoscalers that interfere.

    Nothing is written. Exit code: 0 nothing fails (some checks may be doubtful), 1 something fails,
    2 wrong usage, 3 the cluster did not answer.
    """
    from bayplan.cli import client  # --help answers at once
    from bayplan.cli.ops import doctor_checks, finding  # --help answers at once

    namespace, name = operator
    where = finding.Installation(namespace, name, now())
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
    if any(one.verdict is finding.Verdict.FAILS for one in found):
        context.exit(1)
