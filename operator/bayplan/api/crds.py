"""Writes the custom resource definitions: `crds/`, the chart `bayplan-crds`, files of `bayplan`.

`python -m bayplan.api.crds --write [DIR…]` writes; `--check` says what differs and exits with 1. A
folder named `bayplan-crds` is treated as the chart. The chart has the definitions as templates,
because Helm never upgrades a `crds/` folder, and keeps them (and so everybody's jobs) on uninstall.
"""

import argparse
import sys
from collections.abc import Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

import yaml

import bayplan
from bayplan.api import names
from bayplan.api.definitions import models_of
from bayplan.api.kinds import DEFINED, DefinedKind
from bayplan.api.meta import crd
from bayplan.api.structural import Schema, structural

CHART = "bayplan-crds"
FOLDERS = ("crds", f"charts/{CHART}", "charts/bayplan/files/crds")

_HEADER = "# Generated from the models in operator/bayplan/api by `make crds`; do not edit.\n"
_KEEP = {
    "helm.sh/resource-policy": "keep",
    "argocd.argoproj.io/sync-options": "Prune=false,ServerSideApply=true",
}


def definition(kind: DefinedKind) -> Schema:
    """One CustomResourceDefinition."""
    models = models_of(kind)
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{kind.plural}.{names.GROUP}"},
        "spec": {
            "group": names.GROUP,
            "names": {
                "kind": kind.name,
                "listKind": f"{kind.name}List",
                "plural": kind.plural,
                "singular": kind.singular,
                "shortNames": [kind.short],
                "categories": ["bayplan"],
            },
            "scope": "Namespaced" if kind.namespaced else "Cluster",
            "versions": [
                {
                    "name": names.VERSION,
                    "served": True,
                    "storage": True,
                    "additionalPrinterColumns": [
                        {
                            "name": column.name,
                            "type": column.kind,
                            "jsonPath": column.path,
                            **({"priority": column.priority} if column.priority else {}),
                        }
                        for column in models.columns
                    ],
                    "subresources": {
                        "status": {},
                        **({"scale": dict(models.scale)} if models.scale else {}),
                    },
                    "schema": {"openAPIV3Schema": _root(kind)},
                }
            ],
        },
    }


def _root(kind: DefinedKind) -> Schema:
    models = models_of(kind)
    return {
        "description": models.description,
        "type": "object",
        **crd(validations=list(models.rules)),
        "required": ["spec"],
        "properties": {
            "apiVersion": {
                "description": f"Group and version: {names.API_VERSION}.",
                "type": "string",
            },
            "kind": {"description": f"The kind: {kind.name}.", "type": "string"},
            "metadata": {"type": "object"},
            "spec": structural(models.spec, defaults=True),
            "status": structural(models.status, defaults=False),
        },
    }


def build() -> dict[str, str]:
    """File name → YAML text of the folder `crds`."""
    return {f"{kind.plural}.{names.GROUP}.yaml": _text(definition(kind)) for kind in DEFINED}


def chart() -> dict[str, str]:
    """File name → text of the chart."""
    *first, last = (kind.name for kind in DEFINED)
    told = f"{', '.join(first)} and {last}"
    about = {
        "apiVersion": "v2",
        "name": CHART,
        "description": f"Custom resource definitions of Bayplan: {told}",
        "type": "application",
        "version": bayplan.__version__,
        "appVersion": bayplan.__version__,
        "kubeVersion": ">=1.30.0-0",
    }
    files = {"Chart.yaml": _text(about)}
    for kind in DEFINED:
        kept = deepcopy(definition(kind))
        kept["metadata"]["annotations"] = dict(_KEEP)
        text = _text(kept)
        if "{{" in text:
            raise ValueError(f"{kind.name}: Helm would take its braces for a template")
        files[f"templates/{kind.plural}.{names.GROUP}.yaml"] = text
    return files


def _text(document: Mapping[str, Any]) -> str:
    return _HEADER + yaml.dump(
        dict(document), Dumper=_Dumper, sort_keys=False, width=140, allow_unicode=True
    )


class _Dumper(yaml.SafeDumper):
    """Writes no anchors: they are legal, and nobody reads them."""

    def ignore_aliases(self, data: object) -> bool:  # noqa: ARG002
        return True


def main(arguments: Sequence[str] | None = None) -> int:
    """Write or check; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m bayplan.api.crds")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--write", action="store_true", help="write the files")
    what.add_argument("--check", action="store_true", help="say which files differ")
    parser.add_argument("folders", nargs="*", type=Path, default=[Path(one) for one in FOLDERS])
    options = parser.parse_args(arguments)
    stale: list[Path] = []
    for folder in options.folders:
        for name, text in (chart() if folder.name == CHART else build()).items():
            path = folder / name
            if options.write:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text, encoding="utf-8")
            elif not path.is_file() or path.read_text(encoding="utf-8") != text:
                stale.append(path)
    for path in stale:
        sys.stderr.write(f"{path} differs from the models; run `make crds`\n")
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
