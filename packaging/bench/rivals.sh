#!/bin/sh
# Compares webgear with other servers in the same run: all of them read one stream
# over HTTP and pass it on to many viewers.
#
#   MJPG_STREAMER_SRC=folder GO2RTC_SRC=folder packaging/bench/rivals.sh [options of the bench]
#
# The folders hold the sources of github.com/jacksonliam/mjpg-streamer and
# github.com/AlexxIT/go2rtc, each may be left out; what is built goes to a
# temporary folder. ustreamer reads cameras only and is not part of it.
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
go run ./packaging/bench "$@"
