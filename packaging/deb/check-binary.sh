#!/usr/bin/env bash
# check-binary.sh ARCH TREE   fails when a program needs other libraries than the package says, or newer symbols of
# the C library than bookworm and Raspberry Pi OS 12 are sure to have.
set -euo pipefail
arch=$1 tree=$2
case $arch in
  amd64) dump=objdump ;;
  arm64) dump=aarch64-linux-gnu-objdump ;;
  armhf) dump=arm-linux-gnueabihf-objdump ;;
esac
highest=2.34 # what control.in depends on
find "$tree/usr" -type f -perm /100 | while IFS= read -r f; do
  [ "$(head -c4 "$f" | od -An -c | tr -d ' ')" = '177ELF' ] || continue
  facts=$($dump -p "$f")
  while IFS= read -r lib; do
    case $lib in
      libc.so.6 | libm.so.6 | libpthread.so.0 | libresolv.so.2 | libdl.so.2 | ld-linux*.so.* | libjpeg.so.62) ;;
      *) echo "check-binary.sh: ${f#"$tree"} needs $lib, which control.in does not name" >&2; exit 1 ;;
    esac
  done < <(awk '$1 == "NEEDED" {print $2}' <<<"$facts")
  newest=$({ grep -oE 'GLIBC_[0-9.]+' <<<"$facts" || true; } | cut -d_ -f2 | sort -V | tail -1)
  if [ -n "$newest" ] && [ "$(printf '%s\n' "$newest" "$highest" | sort -V | tail -1)" != "$highest" ]; then
    echo "check-binary.sh: ${f#"$tree"} needs GLIBC_$newest, control.in says $highest" >&2
    exit 1
  fi
done
