#!/usr/bin/env bash
# private-apt.sh DIR SUITE ARCH   makes an apt root of its own in DIR and prints the path of its APT_CONFIG file.
# With it, packages of any suite and architecture can be downloaded; the machine's own apt state stays as it is.
#   APT_CONFIG=$(packaging/private-apt.sh .cache/apt bookworm arm64) apt-get download libjpeg62-turbo
# The mirror and its key are those the machine uses already, read at run time.
set -euo pipefail
mkdir -p "$1"
dir=$(cd "$1" && pwd) suite=$2 arch=$3
mkdir -p "$dir"/{state/lists/partial,cache/archives/partial,etc}
: >"$dir/status"
uri='' key=''
if [ -e /etc/apt/sources.list.d/debian.sources ]; then
  uri=$(awk '/^URIs:/ {print $2; exit}' /etc/apt/sources.list.d/debian.sources)
  key=$(awk '/^Signed-By:/ {print $2; exit}' /etc/apt/sources.list.d/debian.sources)
elif [ -e /etc/apt/sources.list ]; then
  uri=$(awk '$1 == "deb" { for (i = 2; i <= NF; i++) if ($i ~ /^https?:/) { print $i; exit } }' /etc/apt/sources.list)
fi
key=${key:-/usr/share/keyrings/debian-archive-keyring.gpg}
if [ -z "$uri" ] || [ ! -e "$key" ]; then
  echo "private-apt.sh: found no Debian mirror in /etc/apt or no keyring $key; this needs a Debian machine" >&2
  exit 1
fi
echo "deb [arch=$arch signed-by=$key] $uri $suite main" >"$dir/etc/sources.list"
cat >"$dir/apt.conf" <<C
APT::Architecture "$arch"; APT::Architectures { "$arch"; };
Dir::State "$dir/state"; Dir::State::status "$dir/status"; Dir::Cache "$dir/cache";
Dir::Etc::sourcelist "$dir/etc/sources.list"; Dir::Etc::sourceparts "/nonexistent";
APT::Sandbox::User "root"; Acquire::Languages "none"; Acquire::Retries "2";
C
APT_CONFIG="$dir/apt.conf" timeout 300 apt-get -qq update >&2
echo "$dir/apt.conf"
