"""`python -m bayplan`: command line and environment → Settings → `app.run`.

Every field of Settings is an option and a `BAYPLAN_…` variable; there is no second list of them.
"""

import enum
import os
import sys
from typing import Any, Literal, get_args, get_origin

import click
import pydantic

from bayplan import __version__
from bayplan.settings import Settings


def _option(name: str, field: pydantic.fields.FieldInfo) -> click.Option:
    kind: Any = field.annotation
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        chosen: Any = click.Choice([one.value for one in kind])
    elif get_origin(kind) is Literal:
        chosen = click.Choice(list(get_args(kind)))
    else:
        chosen = kind if kind in {int, float, bool} else str
    default = field.default.value if isinstance(field.default, enum.Enum) else field.default
    switch: dict[str, Any] = {"is_flag": False, "flag_value": "true"} if kind is bool else {}
    return click.Option(
        [f"--{name.replace('_', '-')}"],
        **switch,
        type=chosen,
        default=default,
        envvar=f"BAYPLAN_{name.upper()}",
        show_envvar=True,
        show_default=default not in {None, ""},
        help=field.description,
    )


def _serve(**values: Any) -> None:
    try:
        settings = Settings(**{name: value for name, value in values.items() if value is not None})
    except pydantic.ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = "".join(f"--{str(part).replace('_', '-')}: " for part in first["loc"])
        raise click.UsageError(f"{where}{first['msg'].removeprefix('Value error, ')}") from error
    if settings.kubeconfig is not None:
        # kopf's login reads it there.
        os.environ["KUBECONFIG"] = str(settings.kubeconfig)
    from bayplan.runtime import app  # noqa: PLC0415  a wrong option is told before kopf is loaded (1 s)

    sys.exit(app.run(settings))


def _version(context: click.Context, _: click.Parameter, given: bool) -> None:
    if given:
        click.echo(__version__)
        context.exit()


main = click.Command(
    "python -m bayplan",
    callback=_serve,
    params=[
        *(_option(name, field) for name, field in Settings.model_fields.items()),
        click.Option(
            ["--version"],
            is_flag=True,
            expose_value=False,
            is_eager=True,
            callback=_version,
            help="Say the version and end.",
        ),
    ],
    help="The operator: places BatchJobs, LongServices and pods with schedulerName bayplan.",
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)

if __name__ == "__main__":
    main()
