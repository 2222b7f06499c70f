#!/usr/bin/env bash
# Write the three locks from pyproject.toml: by hash, without addresses of an index.
# usage: tools/lock.sh [--upgrade]      (needs uv; without --upgrade pins stay where they can)
set -euo pipefail
cd "$(dirname "$0")/.."
lock() {  # lock FILE OPTIONS…
  uv pip compile --quiet --no-header --generate-hashes --python-version 3.11 \
    "${@:2}" pyproject.toml --output-file "$1"
}
lock requirements.lock --extra aws "$@"  # the image asks AWS for groups of a Pool
lock requirements-dev.lock "$@" --group dev
uv pip compile --quiet --no-header --generate-hashes --python-version 3.11 \
  "$@" --group build --output-file requirements-build.lock
