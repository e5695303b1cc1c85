#!/usr/bin/env bash
# Makes sure that the browser test has a browser. Without one that test is skipped; in CI (CI=true) that is a failure.
set -euo pipefail

for browser in chromium chromium-browser google-chrome; do
  if command -v "$browser" >/dev/null; then exit 0; fi
done

as_root=()
if [[ $(id -u) != 0 ]]; then as_root=(sudo); fi
if command -v apt-get >/dev/null && { [[ $(id -u) == 0 ]] || command -v sudo >/dev/null; }; then
  echo "Installing Chromium for the browser test ..."
  export DEBIAN_FRONTEND=noninteractive
  if "${as_root[@]}" apt-get update -qq && "${as_root[@]}" apt-get install -y -qq --no-install-recommends chromium; then
    exit 0
  fi
fi

echo "Chromium could not be installed here, so the browser test will be skipped. Install it yourself to run that test." >&2
[[ ${CI:-} != true ]]
