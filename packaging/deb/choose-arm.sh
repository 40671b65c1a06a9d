#!/bin/sh
# The Pi 1, Zero and Zero W have an ARMv6 processor, all later ones understand ARMv7.
case $(uname -m) in
  armv6*) exec /usr/libexec/webgear/webgear-armv6 "$@" ;;
esac
exec /usr/libexec/webgear/webgear-armv7 "$@"
