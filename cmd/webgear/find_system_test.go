//go:build system

package main

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// avahiSettings are as on any Debian system, but for the name and the bus.
const avahiSettings = `[server]
host-name=garten
use-ipv4=yes
use-ipv6=yes
enable-dbus=no
[publish]
publish-hinfo=no
publish-workstation=no
`

// inNetwork makes a network of its own with one other end, has avahi announce the
// service files of $1 there with the settings $2, and runs the program $3. avahi
// has its folders from the build, so it gets the empty folder $4 for a root, with a
// copy of itself: mounts over its folders would need a mount namespace, which
// cannot be had where the tests run in a root of their own.
// avahi first makes sure that nobody else has the name, so some more tries are
// right.
const inNetwork = `
set -e
ip link set lo up
ip link add near type veth peer name far
ip address add 10.77.0.1/24 dev near
ip link set near up
ip link set far up
mkdir -p "$4/run/avahi-daemon" "$4/etc/avahi"
cp -r "$1" "$4/etc/avahi/services"
cp /etc/passwd /etc/group "$4/etc"
cp "$2" "$4/settings"
avahi=$(command -v avahi-daemon)
for file in "$avahi" $(ldd "$avahi" | grep -o '/[^ ]*'); do
  mkdir -p "$4$(dirname "$file")"
  cp -L "$file" "$4$file"
done
chroot "$4" "$avahi" --no-drop-root --no-chroot --no-rlimits --no-proc-title -f /settings >&2 &
daemon=$!
trap 'kill $daemon; wait $daemon' EXIT
tries=0
until "$3" find --json; do
  tries=$((tries + 1))
  [ $tries -lt 5 ]
done
"$3" find
`

func TestSystemFindListsWhatAvahiAnnounces(t *testing.T) {
	services, err := filepath.Abs("../../rootfs-overlay/etc/avahi/services")
	if err != nil {
		t.Fatal(err)
	}
	settings := write(t, "avahi.conf", avahiSettings)
	cmd := exec.CommandContext(t.Context(), "unshare", "--net", "sh", "-c", inNetwork, "sh", services, settings, os.Getenv(binaryVariable), t.TempDir())
	var said strings.Builder
	cmd.Stderr = &said
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v\n%s%s", err, out, said.String())
	}
	// An attempt before avahi was ready prints an empty list.
	text := strings.ReplaceAll(string(out), "[]\n", "")
	list, table, _ := strings.Cut(text, "\n]\n")
	var all []findResult
	if err := json.Unmarshal([]byte(list+"]"), &all); err != nil || len(all) != 1 {
		t.Fatalf("%v\n%s%s", err, out, said.String())
	}
	if r := all[0]; r.Name != "Camera on garten" || r.Host != "garten.local" || r.URL != "http://10.77.0.1:8000/" ||
		r.Stream != "http://10.77.0.1:8000/video" || r.Snapshot != "http://10.77.0.1:8000/snapshot" || r.State != "http://10.77.0.1:8000/state" {
		t.Errorf("found %+v", r)
	}
	if !strings.Contains(table, "Camera on garten") {
		t.Errorf("printed\n%s", table)
	}
}
