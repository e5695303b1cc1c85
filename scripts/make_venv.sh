#!/usr/bin/env bash
# Creates the virtual environment $1, unless it is there, with the first Python of 3.11 or newer that works.
set -euo pipefail
venv=$1
if [[ -x $venv/bin/pip ]]; then exit 0; fi

usable() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; }

found=
for python in ${PYTHON:-python3.11 python3.12 python3.13 python3}; do
  if usable "$python"; then found=$python && break; fi
done
if [[ -z $found ]]; then
  echo "No Python 3.11 or newer was found. Install one, or name it: make PYTHON=/path/to/python setup" >&2
  exit 1
fi
if ! "$found" -c 'import ensurepip' 2>/dev/null; then
  echo "$found cannot create virtual environments. On Debian and Ubuntu: sudo apt-get install python3-venv" >&2
  exit 1
fi
"$found" -m venv "$venv"
