#!/usr/bin/env bash
# ci.sh   tests the image when something that it is made of changed since it passed last: on a first start, by one power
# failure, and for what is in it. webgear's own Go code does not count; it has tests of its own. Nothing is tested where
# no Debian for the image was ever made, because making one takes minutes and the network.
set -euo pipefail
cd "$(dirname "$0")/../.."
cache=${WEBGEAR_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/webgear}/image
stamp=$cache/ci-passed
say() { echo "image: $*" >&2; }

# What is committed, and what was changed after that.
made_of=(packaging/image packaging/deb rootfs-overlay packaging/sysroot.sh packaging/private-apt.sh
  pkg/firstboot/webgear-setup.yaml ':!*.md')
print=$({ git ls-files -s -- "${made_of[@]}"; git diff -- "${made_of[@]}"; } | sha256sum | cut -d' ' -f1)

if [ "$(cat "$stamp" 2>/dev/null)" = "$print" ]; then
  say "nothing that the image is made of changed since it passed"
  exit 0
fi
if ! compgen -G "$cache/base-debian-*.tar" >/dev/null; then
  say "not tested: its test needs \`make test-image\` once by hand to fill $cache"
  exit 0
fi
# Compressed only as much as takes no time: nothing of it is published. make reads $$ as $.
IMAGE_XZ=0 IMAGE_CUTS=1 make test-image \
  IMAGE_RUN='^Test(ImageHoldsNothingItShouldNot|BlockMapNamesAllThatCounts|SettingsAreTakenOverOnlyWhenTheyChanged|LEDAndScreenShowTheState|FirstStartAndWhatIsKept|PowerCuts)$$'
echo "$print" >"$stamp.new"
mv "$stamp.new" "$stamp"
say "passed"
