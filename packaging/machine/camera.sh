#!/bin/bash
# camera.sh   installs from the signed repository /root/files/repo on a computer with cameras, and has them and the
# system around them fail. /root/files has camsim (device/lab/camsim) and fakerpicam (device/libcamera/fakerpicam), too.
# The file late says after how many seconds a camera comes that comes late, slow by what to stretch limits. With the
# file short it ends after the installation.
# shellcheck source=/dev/null
. /root/lib.sh
cd /root/files || exit 1
. /etc/os-release
late=$(cat late 2>/dev/null || echo 20)
# Emulated, everything takes longer: systemd's own work on a restart alone is seconds.
slow=$(cat slow 2>/dev/null || echo 1)

vivid() { modprobe vivid n_devs=1 node_types=1 num_inputs=1 input_types=0; }
state() { get -m 5 http://localhost:8000/state | tr -d ' \n'; }
# live WORD   succeeds when pictures of a camera flow whose description has WORD in it.
live() {
  picture || return 1
  local s
  s=$(state)
  grep -q '"state":"online"' <<<"$s" && grep -oE '"info":\{[^}]*\}' <<<"$s" | grep -q "$1"
}
changed() { [ "$(pid)" != "$p" ] && live "$1"; }
soon=$((10 * slow))

say 'the repository, a camera is there'
vivid
within 20 'the node of the camera' test -c /dev/video0
rm -f /etc/apt/sources.list /etc/apt/sources.list.d/*
busybox httpd -f -p 127.0.0.1:8888 -h /root/files &
server=$!
within 10 'repository is served' curl -s -f -o /dev/null http://127.0.0.1:8888/repo/webgear-archive-keyring.gpg
cp repo/webgear-archive-keyring.gpg /usr/share/keyrings/
sed 's|^URIs:.*|URIs: http://127.0.0.1:8888/repo|' "repo/webgear-$VERSION_CODENAME.sources" >/etc/apt/sources.list.d/webgear.sources
check 'apt reads the repository' apt-get update -q --error-on=any
check 'apt installs from it' apt-get install -y -q --no-install-recommends webgear
first $((5 * slow)) 'of the camera after the end of apt' live vivid
kill "$server"
exposure=$(systemd-analyze security webgear --no-pager | awk '/Overall exposure/ {print $(NF - 2)}' | grep -oE '[0-9.]+')
check "exposure $exposure is at most 2.0" awk "BEGIN {exit !($exposure <= 2.0)}"
doctor=$(webgear doctor 2>&1)
says() { grep -E "$1" <<<"$doctor" || { echo "$doctor"; return 1; }; }
check 'the doctor finds the camera and its controls' says '^ok +camera +/dev/video0, vivid.*, [0-9]+ controls'
check 'and what encodes its pictures' says '^ok +encoder +libjpeg.* makes JPEG'
equal 'status line' "$(systemctl show -P StatusText webgear | grep -o '^Camera online: vivid')" 'Camera online: vivid'

if [ -e short ]; then finish; fi

say 'the camera is pulled out and put back'
p=$(pid)
for _ in 1 2 3; do
  echo vivid.0 >/sys/bus/platform/drivers/vivid/unbind
  unplugged() { ! live vivid; }
  within "$soon" 'viewers are told' unplugged
  check 'the page stays' picture
  echo vivid.0 >/sys/bus/platform/drivers/vivid/bind
  within "$soon" 'live again' live vivid
done
echo vivid.0 >/sys/bus/platform/drivers/vivid/unbind
unloaded() { modprobe -r vivid; }
within "$soon" 'the driver can be unloaded: nobody holds the camera' unloaded
check 'the page stays' picture
check 'the driver comes back' vivid
within "$soon" 'live again' live vivid
equal 'by the same process' "$(pid)" "$p"

say 'a USB camera'
systemctl stop webgear
modprobe -r vivid
check 'USB' modprobe -a uvcvideo vhci-hcd
mkdir -p /run/lab
/root/files/camsim -ctl /run/lab/cam >/tmp/camsim 2>&1 &
sim=$!
within 20 'the node of the camera' sh -c 'grep -q Lab /sys/class/video4linux/*/name || ls /dev/v4l/by-id/*'
check 'start' systemctl start webgear
within "$soon" 'live' live uvcvideo
p=$(pid)
for _ in 1 2; do
  echo unplug >/run/lab/cam
  unplugged() { ! live uvcvideo; }
  within "$soon" 'unplugged: viewers are told' unplugged
  echo plug >/run/lab/cam
  within "$soon" 'plugged in: live again' live uvcvideo
done
# A camera that is silent is opened anew, again and again; that is no reason to restart the program.
echo stall >/run/lab/cam
within "$soon" 'silent: viewers are told' unplugged
sleep 45
equal 'a silent camera does not restart the service' "$(pid)" "$p"
echo go >/run/lab/cam
within $((60 * slow)) 'live again' live uvcvideo
equal 'by the same process' "$(pid)" "$p"

say 'killed'
for _ in 1 2 3; do
  p=$(pid)
  systemctl kill -s KILL webgear
  within "$soon" 'live after kill -9' changed uvcvideo
done

say 'a driver that hangs'
# The threads that wait for the kernel never come back, as from a call that hangs there: they are frozen by themselves.
p=$(pid)
group=/sys/fs/cgroup/system.slice/webgear.service/frozen
mkdir "$group" && echo threaded >"$group/cgroup.type"
frames() { state | grep -oE '"frames":[0-9]+' | head -1 | cut -d: -f2; }
wedge() {
  local t n
  for t in /proc/"$p"/task/*; do
    if grep -qE '^(poll|do_poll|do_sys_poll)' "$t/wchan"; then echo "${t##*/}" >"$group/cgroup.threads"; fi
  done
  echo 1 >"$group/cgroup.freeze"
  n=$(frames)
  sleep 1
  [ "$n" = "$(frames)" ] && return
  echo 0 >"$group/cgroup.freeze" # it was just elsewhere
  return 1
}
within "$soon" 'the capture side hangs' wedge
within $((10 * slow)) 'it is restarted' changed uvcvideo
equal 'because it asked for it' "$(journal -u webgear | grep -c 'Watchdog request')" 1
check 'the journal says what hung where' bash -c "journal -u webgear | grep -q 'v4l2.*Next'"
say "$(journal -u webgear -o short-monotonic | grep -E 'sign of life|Watchdog request|Scheduled restart|camera (on|off)line' | tail -5)"

say 'a computer that has no time'
p=$(pid)
hogs=
for _ in 1 2 3 4 5 6 7 8 9 10; do (while :; do :; done) & hogs="$hogs $!"; done
sleep 20
kill -STOP "$p"
sleep 12 # longer than a driver may hang
kill -CONT "$p"
sleep 10
# shellcheck disable=SC2086
kill $hogs
equal 'nobody is restarted for that' "$(pid)" "$p"
within "$soon" 'live' live uvcvideo

say 'a camera that comes late'
systemctl stop webgear
echo quit >/run/lab/cam
wait "$sim"
check 'start without a camera' systemctl start webgear
within "$soon" 'a picture that says so' picture
p=$(pid)
sleep "$late"
date -s '+10 minutes' >/dev/null # the clock of the wall
check 'still there' picture
equal 'the same process' "$(pid)" "$p"
vivid
within "$soon" "live $late s later" live vivid

say 'a wrong clock'
now=$(date +%s)
date -s '1970-01-02' >/dev/null
p=$(pid)
check 'restart in 1970' systemctl restart webgear
within "$soon" 'live in 1970' changed vivid
p=$(pid)
date -s "@$now" >/dev/null
sleep 3
check 'live after the jump to now' live vivid
date -s '2037-01-01' >/dev/null
check 'live after the jump to 2037' live vivid
n=$(frames)
date -s "@$now" >/dev/null
more() { [ "$(frames)" -gt $((n + 5)) ]; }
within 10 'pictures go on after the jump back' more
sleep 25
equal 'the watchdog does not mind' "$(pid)" "$p"

say 'the camera of a Pi, in the sandbox'
systemctl stop webgear
install -m 755 /root/files/fakerpicam /usr/libexec/fakerpicam
# What libcamera's programs open besides the camera, and what nobody should.
cat >/usr/bin/rpicam-vid <<'R'
#!/bin/bash
{
  for d in /dev/dma_heap/system /dev/udmabuf; do [ ! -e "$d" ] || { : <>"$d" && echo "opened $d"; }; done
  for d in /dev/mem /dev/kmsg /dev/vda; do : <"$d" && echo "opened $d"; done
  [ -e /proc/self/fd/0 ] && echo 'own descriptors are seen'
  ls -d /proc/1 && echo 'others are seen'
  : >/usr/bin/x && echo 'wrote /usr'
  grep -E '^(CapEff|NoNewPrivs|Seccomp):' /proc/self/status
} >/var/lib/webgear/sandbox 2>/dev/null
exec /usr/libexec/fakerpicam "$@"
R
chmod 755 /usr/bin/rpicam-vid
cp /etc/webgear/webgear.yaml /root/good.yaml
printf 'camera:\n  source: csi\n' >/etc/webgear/webgear.yaml
check 'start' systemctl start webgear
within "$soon" 'live through rpicam-vid' live imx708
picture
sandbox=$(cat /var/lib/webgear/sandbox)
for d in /dev/dma_heap/system /dev/udmabuf; do
  [ ! -e "$d" ] || check "it may open $d" grep -q "opened $d" <<<"$sandbox"
done
refused 'and nothing else' grep -E 'opened /dev/(mem|kmsg|vda)|wrote|others' <<<"$sandbox"
check 'it sees its descriptors' grep -q 'own descriptors' <<<"$sandbox"
check 'it has no capability' grep -qE 'CapEff:\s+0+$' <<<"$sandbox"
p=$(pid)
kill -KILL "$(pgrep -x fakerpicam | head -1)"
within "$soon" 'live after rpicam-vid was killed' live imx708
equal 'by the same process' "$(pid)" "$p"
journal -u webgear | grep -iE 'metadata|descriptor' | head -3
systemctl stop webgear
equal 'no child is left' "$(pgrep -cx fakerpicam)" 0
rm -f /var/lib/webgear/sandbox /usr/bin/rpicam-vid
cp /root/good.yaml /etc/webgear/webgear.yaml
check 'start' systemctl start webgear
within "$soon" 'live with the other camera' live vivid
equal 'denials in the kernel log' "$(journal -k | grep -cE 'audit.*SECCOMP|segfault')" 0
finish
