#!/usr/bin/env bash
# mk-initramfs.sh TREE OUT BUSYBOX MODULE...
#   TREE     an unpacked linux-image package
#   OUT      folder that gets vmlinuz and initramfs.cpio
#   BUSYBOX  a static busybox
# The initramfs holds busybox, /init and the named modules with all they depend on. Modules are stored unpacked
# (newer kernels ship .xz): unpacking them in an emulated machine costs seconds. The archive itself is not
# compressed for the same reason.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
tree=$1 out=$2 busybox=$3
shift 3
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# On merged-/usr releases the package has usr/lib only, and kmod looks in lib.
if [ -d "$tree/usr/lib/modules" ] && [ ! -e "$tree/lib" ]; then ln -s usr/lib "$tree/lib"; fi
version=$(basename "$(find "$tree/lib/modules/" -mindepth 1 -maxdepth 1 -type d -print -quit)")
modules=$work/lib/modules/$version
[ -e "$tree/lib/modules/$version/modules.dep" ] || depmod -b "$tree" "$version"

mkdir -p "$work"/{bin,dev,proc,sys,mnt,tmp} "$modules"
cp "$busybox" "$work/bin/busybox"
install -m 755 "$here/init" "$work/init"
# "builtin" lines are for what is compiled in: nothing to copy.
for m; do modprobe -d "$tree" -S "$version" --show-depends "$m"; done |
  awk '$1 == "insmod" {print $2}' | sort -u | while read -r file; do
  to=$modules/$(dirname "${file#*lib/modules/"$version"/}")
  mkdir -p "$to"
  case $file in
    *.xz) xz -dc "$file" >"$to/$(basename "${file%.xz}")" ;;
    *.zst) zstd -qdc "$file" >"$to/$(basename "${file%.zst}")" ;;
    *) cp "$file" "$to/" ;;
  esac
done
cp "$tree/lib/modules/$version"/modules.{builtin,builtin.modinfo,order} "$modules/"
if [ -d "${EXTRA_MODULES:-/nonexistent}" ]; then
  mkdir -p "$modules/extra"
  find "$EXTRA_MODULES" -maxdepth 1 -name "*.ko" -exec cp {} "$modules/extra/" \;
fi
depmod -b "$work" "$version"

mkdir -p "$out"
cp "$tree/boot/vmlinuz-$version" "$out/vmlinuz"
(cd "$work" && find . | cpio -o -H newc -R 0:0 --quiet) >"$out/initramfs.cpio"
