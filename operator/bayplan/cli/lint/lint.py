"""`bayplan lint`: what is wrong with manifests, offline, with file and line."""

import sys
from typing import TYPE_CHECKING

import click

from bayplan.cli.printing import data, formatted, is_data, plain

if TYPE_CHECKING:
    from bayplan.cli.lint.findings import Finding


@click.command(short_help="Check manifests offline: schema, rules, schedules, references.")
@click.argument("paths", nargs=-1, metavar="[FILE|FOLDER|-]...")
@click.option("-f", "--filename", "more", multiple=True, help="As the argument; may be repeated.")
@click.option("--strict", is_flag=True, help="Warnings end with exit code 1 too.")
@click.option("-q", "--quiet", is_flag=True, help="Say nothing when there is nothing to say.")
@formatted
def lint(
    paths: tuple[str, ...], more: tuple[str, ...], strict: bool, quiet: bool, output: str
) -> None:
    """Say what an API server and the operator would refuse of manifests.

    BatchJobs and LongServices: unknown and wrong fields, pod templates too, the definitions' own
    rules, schedules that can never be due, amounts, patterns, circles of parents, a name used
    twice. Kinds of Kubernetes' own: fields that its published schema does not know, values of
    another type, what is required. Warnings: a parent, a service or an autoscaler's target that is
    not among the manifests, a template that is not rendered. Other kinds and files are not read.

    Exit code: 0 nothing wrong, 1 something is, 2 a path cannot be read.
    """
    from bayplan.cli.lint import findings  # pydantic: --help answers at once

    given = (*paths, *more)
    if not given:
        raise click.UsageError("Name a file or folder, or - for standard input.")
    looked = findings.look(given, sys.stdin.buffer)
    wrong = [one for one in looked.findings if strict or one.severity == "error"]
    if is_data(output):
        data(
            output,
            "lint",
            {
                "resources": looked.resources,
                "files": looked.files,
                "findings": [_plain(one) for one in looked.findings],
            },
        )
    else:
        for one in looked.findings:
            click.echo(plain(f"{one.file}:{one.line}: {one.severity}: {one.text}"))
        if not (quiet and not looked.findings):
            counts = f"{looked.resources} resources in {looked.files} files"
            click.echo(f"{counts}: {len(looked.findings) or 'nothing'} to say", err=True)
    click.get_current_context().exit(1 if wrong else 0)


def _plain(one: "Finding") -> dict[str, object]:
    return {
        "file": one.file,
        "line": one.line,
        "severity": one.severity,
        "resource": one.resource,
        "field": one.field,
        "message": one.message,
    }
