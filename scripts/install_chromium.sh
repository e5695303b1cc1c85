#!/usr/bin/env bash
# Makes sure that the browser test has a browser. Without one that test is skipped; in CI (CI=true) that is a failure.
set -euo pipefail

# Ubuntu's packages are stubs of a snap, which is not there in a container: only a browser that runs counts.
found() {
  local browser
  for browser in chromium chromium-browser google-chrome; do
    if "$browser" --version >/dev/null 2>&1; then return 0; fi
  done
  return 1
}

if found; then exit 0; fi

as_root=()
if [[ $(id -u) != 0 ]]; then as_root=(sudo -n); fi # never ask for a password in the middle of a set-up
if command -v apt-get >/dev/null && "${as_root[@]}" true 2>/dev/null; then
  echo "Installing Chromium for the browser test ..."
  install=(env DEBIAN_FRONTEND=noninteractive apt-get)
  if "${as_root[@]}" "${install[@]}" update -qq &&
    "${as_root[@]}" "${install[@]}" install -y -qq --no-install-recommends chromium && found; then
    exit 0
  fi
fi

echo "Chromium could not be installed here, so the browser test will be skipped. Install it yourself to run that test." >&2
[[ ${CI:-} != true ]]
