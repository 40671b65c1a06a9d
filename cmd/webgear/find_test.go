package main

import (
	"context"
	"encoding/json"
	"errors"
	"net/netip"
	"strings"
	"testing"

	"github.com/webgear-pi/webgear/pkg/mdns"
)

// findIn runs webgear find in a network with certain services.
func findIn(t *testing.T, found []mdns.Instance, err error, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	out, errs := newLockedBuffer(), newLockedBuffer()
	w := world{root: t.TempDir(), stdout: out, stderr: errs, find: func(_ context.Context, o mdns.Options) ([]mdns.Instance, error) {
		if o.Service != "_webgear._tcp" || o.Wait != findWait {
			t.Errorf("asked for %+v", o)
		}
		return found, err
	}}
	code = run(t.Context(), append([]string{"find"}, args...), w)
	return code, out.String(), errs.String()
}

func TestFindListsCamerasWithTheirAddresses(t *testing.T) {
	found := []mdns.Instance{
		{
			Name: "Camera on garten", Host: "garten.local", Port: 8000, Text: map[string]string{"stream": "/video", "snapshot": "//elsewhere/x", "state": "http://elsewhere/"},
			Addresses: []netip.Addr{netip.MustParseAddr("192.168.1.7"), netip.MustParseAddr("fd00::7")},
		},
		{Name: "Six", Host: "six.local", Port: 80, Addresses: []netip.Addr{netip.MustParseAddr("fd00::6")}},
		{Name: "Near", Host: "near.local", Port: 8000, Addresses: []netip.Addr{netip.MustParseAddr("fe80::1%eth0")}},
		{Name: "Nowhere", Host: "nowhere.local", Port: 8000},
	}
	code, stdout, stderr := findIn(t, found, nil)
	want := `NAME              ADDRESS       URL
Camera on garten  192.168.1.7   http://192.168.1.7:8000/
Six               fd00::6       http://[fd00::6]:80/
Near              fe80::1%eth0  http://near.local:8000/
Nowhere           nowhere.local http://nowhere.local:8000/
`
	if code != 0 || stderr != "" || strings.Join(strings.Fields(stdout), " ") != strings.Join(strings.Fields(want), " ") {
		t.Errorf("code %d\n%s%s", code, stdout, stderr)
	}
	code, stdout, stderr = findIn(t, found, nil, "--json")
	var all []findResult
	if err := json.Unmarshal([]byte(stdout), &all); code != 0 || stderr != "" || err != nil || len(all) != 4 {
		t.Fatalf("code %d, %v\n%s%s", code, err, stdout, stderr)
	}
	if r := all[0]; r.URL != "http://192.168.1.7:8000/" || r.Stream != "http://192.168.1.7:8000/video" || r.Snapshot != "" || r.State != "" || len(r.Addresses) != 2 {
		t.Errorf("first is %+v", r)
	}
}

func TestFindSaysWhatToDoWhenThereIsNone(t *testing.T) {
	for _, tt := range []struct {
		name         string
		err          error
		args         []string
		code         int
		stdout, want string
	}{
		{"none", nil, nil, exitFailed, "", "webgear: no camera answered within 3s: switch it on"},
		{"none for programs", nil, []string{"--json"}, exitFailed, "[]\n", "no camera answered"},
		{"no network", errors.New("look for _webgear._tcp: this computer is in no network"), nil, exitFailed, "", "in no network"},
		{"argument", nil, []string{"garten"}, exitUsage, "", `unexpected argument "garten"`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			code, stdout, stderr := findIn(t, nil, tt.err, tt.args...)
			if code != tt.code || stdout != tt.stdout || strings.Count(stderr, "\n") != 1 || !strings.Contains(stderr, tt.want) {
				t.Errorf("code %d\n%s%s", code, stdout, stderr)
			}
		})
	}
}
