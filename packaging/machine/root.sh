#!/usr/bin/env bash
# root.sh SUITE [ARCH]   makes a small Debian system with systemd for the tests of the package, once, and prints the path
# of its tar archive. SUITE is bookworm or trixie, ARCH amd64 or arm64. Needs root; arm64 needs qemu-user-static, too.
set -euo pipefail
suite=$1 arch=${2:-amd64}
here=$(cd "$(dirname "$0")" && pwd)
cache=${WEBGEAR_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/webgear}/machine
# What the package depends on and what the tests look with.
packages=systemd-sysv,dbus,udev,kmod,procps,iproute2,curl,libjpeg62-turbo,avahi-daemon,avahi-utils,man-db,v4l-utils,busybox
# busybox serves the repository over HTTP; v4l-utils looks at cameras.
tar=$cache/$suite-$arch-$(sha256sum "$here/root.sh" | cut -c1-12).tar
mkdir -p "$cache"
exec 9>"$cache/lock"
flock 9
if [ ! -e "$tar" ]; then
  echo "root.sh: making a Debian $suite $arch for tests, once" >&2
  rm -f "$cache/$suite-$arch"-*.tar
  mmdebstrap --mode=root --quiet --architectures="$arch" --variant=minbase --dpkgopt=force-unsafe-io --aptopt='Acquire::Languages "none"' \
    --include="$packages" "$suite" "$tar.new.tar" >&2
  mv "$tar.new.tar" "$tar"
fi
echo "$tar"
