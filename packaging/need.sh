#!/usr/bin/env bash
# need.sh PACKAGE...   installs the Debian packages that are missing, and says which.
# Does nothing, quickly and without a network, when all are there.
set -euo pipefail
missing=()
for p; do
  [ "$(dpkg-query -W -f='${db:Status-Status}' "$p" 2>/dev/null)" = installed ] || missing+=("$p")
done
[ ${#missing[@]} -gt 0 ] || exit 0
echo "installing Debian packages: ${missing[*]}" >&2
if ! command -v apt-get >/dev/null; then
  echo "need.sh: this machine has no apt-get; install the equivalents of: ${missing[*]}" >&2
  exit 1
fi
sudo=()
if [ "$(id -u)" != 0 ]; then
  if ! command -v sudo >/dev/null; then
    echo "need.sh: run as root, once: apt-get install ${missing[*]}" >&2
    exit 1
  fi
  sudo=(sudo)
fi
log=$(mktemp)
trap 'rm -f "$log"' EXIT
# One retry: mirrors hiccup. The lists of a new machine are old or empty.
for try in 1 2; do
  if { "${sudo[@]}" apt-get -qq update &&
       "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends "${missing[@]}"; } >"$log" 2>&1; then
    exit 0
  fi
  echo "need.sh: attempt $try failed" >&2
done
cat "$log" >&2
exit 1
