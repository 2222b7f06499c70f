"""`bayplan lint`: finds what is wrong with manifests, offline, with file and line."""

import sys
from typing import TYPE_CHECKING

import click

from bayplan.cli.printing import data, formatted, is_data, plain

if TYPE_CHECKING:
    from bayplan.cli.lint.findings import Finding


@click.command(short_help="Check manifests offline: schema, rules, schedules, references.")
@click.argument("paths", nargs=-1, metavar="[FILE|FOLDER|-]...", type=click.Path())
@click.option("-f", "--filename", "more", multiple=True, help="Another FILE; may be repeated.")
@click.option("--strict", is_flag=True, help="End with exit code 1 for warnings too.")
@click.option("-q", "--quiet", is_flag=True, help="Print nothing if there are no findings.")
@formatted
def lint(
    paths: tuple[str, ...], more: tuple[str, ...], strict: bool, quiet: bool, output: str
) -> None:
    """Say what an API server and the operator would refuse in the manifests.

    In BatchJobs and LongServices: unknown and wrong fields, also in pod templates, the definitions'
    own rules, schedules that can never be due, amounts, patterns, circles of parents, a name used
    twice. In Pools: two defaults, limits of zero, and a NodePool that Karpenter itself consolidates
    or that lacks the Pool's label or taint. In Kubernetes' own kinds: fields that its published
    schema does not know, values of another type, missing required fields. It warns about a parent,
    a service or an autoscaler's target that is not among the manifests, about a service whose
    instances stop before AWS has deregistered them, and about a template that is not rendered. It
    does not read other kinds and files.

    Exit code: 0 nothing is wrong, 1 something is wrong, 2 a path cannot be read.
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
