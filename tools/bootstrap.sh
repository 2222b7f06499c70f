#!/usr/bin/env bash
# Create the virtual environment, install what the lock names, by hash, and the commands of this
# checkout: `bayplan`, `kubectl-bayplan`.
# usage: tools/bootstrap.sh PYTHON VENV
set -euo pipefail
python=$1 venv=$2
if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
  echo "bayplan needs Python 3.11 or newer; '$python' is not (set PYTHON=…)." >&2
  exit 1
fi
if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    echo "installing the Debian package python3-venv (needed for the virtual environment)"
    apt-get update -qq && apt-get install -y -qq python3-venv
  else
    echo "the Python module venv is missing: install it (Debian and Ubuntu: apt-get install python3-venv)." >&2
    exit 1
  fi
fi
[ -x "$venv/bin/python" ] || { echo "creating $venv"; "$python" -m venv "$venv"; }
echo "installing the packages of requirements-dev.lock into $venv"
"$venv/bin/python" -m pip install --quiet --require-hashes --requirement requirements-dev.lock
# Editable: the commands run operator/bayplan as it stands. The lock has brought all that this needs,
# the build backend too, so nothing is fetched and nothing comes without a hash.
echo "installing bayplan and kubectl-bayplan into $venv/bin"
"$venv/bin/python" -m pip install --quiet --no-index --no-deps --no-build-isolation --editable .
