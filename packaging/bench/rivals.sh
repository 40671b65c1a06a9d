#!/bin/sh
# Compares webgear with other servers in the same run. Those that can read one stream
# over HTTP and pass it on to many viewers; ustreamer, which reads cameras only,
# gets the same pictures from a camera that does not exist (c/camera.c).
#
#   MJPG_STREAMER_SRC=folder GO2RTC_SRC=folder USTREAMER_SRC=folder packaging/bench/rivals.sh [options of the bench]
#
# The folders hold the sources of github.com/jacksonliam/mjpg-streamer,
# github.com/AlexxIT/go2rtc and github.com/pikvm/ustreamer, each may be left out; what
# is built goes to a temporary folder. ustreamer needs the Debian packages
# libevent-dev, libbsd-dev and libjpeg62-turbo-dev.
set -eu

cd "$(dirname "$0")/../.."
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT

if [ -n "${MJPG_STREAMER_SRC:-}" ]; then
  src=$MJPG_STREAMER_SRC/mjpg-streamer-experimental
  flags="-O2 -w -DLINUX -D_GNU_SOURCE -DNO_LIBJPEG -I$src"
  # shellcheck disable=SC2086 # they are several
  {
    gcc $flags -rdynamic -o "$out/mjpg_streamer" "$src/mjpg_streamer.c" "$src/utils.c" -lpthread -ldl
    for plugin in input_http output_http; do
      gcc $flags -fPIC -shared -o "$out/$plugin.so" "$src/plugins/$plugin"/*.c -lpthread
    done
  }
  set -- -mjpg-streamer "$out/mjpg_streamer" "$@"
fi
if [ -n "${GO2RTC_SRC:-}" ]; then
  (cd "$GO2RTC_SRC" && go build -trimpath -ldflags '-s -w' -o "$out/go2rtc" .)
  set -- -go2rtc "$out/go2rtc" "$@"
fi
if [ -n "${USTREAMER_SRC:-}" ]; then
  cp -r "$USTREAMER_SRC/src" "$out/ustreamer"
  make -C "$out/ustreamer" ustreamer.bin >"$out/ustreamer.log" 2>&1 || { cat "$out/ustreamer.log" >&2; exit 1; }
  set -- -ustreamer "$out/ustreamer/ustreamer.bin" "$@"
fi
go run ./packaging/bench "$@"
