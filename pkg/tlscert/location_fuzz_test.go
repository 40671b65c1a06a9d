package tlscert

import (
	"net/url"
	"strconv"
	"strings"
	"testing"
)

// FuzzLocation holds that people are sent to the host they asked for and to no
// other, whatever they ask.
func FuzzLocation(f *testing.F) {
	f.Add("attic.local:8000", 8443, "/video?width=640")
	f.Add("[fe80::1]:80", 443, "//evil.example")
	f.Add("[::1]", 443, "/")
	f.Add("a@evil.example", 443, "/\\evil.example")
	f.Add("::1", 443, "http://evil.example/")
	f.Add("a:b:c", 1, "/\r\nX: y")
	f.Fuzz(func(t *testing.T, host string, port int, uri string) {
		to, err := Location(host, port, uri)
		if err != nil {
			return
		}
		if strings.ContainsAny(to, "\r\n\x00\\ ") {
			t.Fatalf("%q, %q: %q", host, uri, to)
		}
		authority, _, _ := strings.Cut(strings.TrimPrefix(to, "https://"), "/")
		u, err := url.Parse("https://" + authority)
		if err != nil {
			t.Fatalf("%q: %q: %v", host, to, err)
		}
		if name := u.Hostname(); !strings.Contains(host, name) || u.User != nil {
			t.Errorf("%q is sent to %q", host, to)
		}
		if p := u.Port(); p != "" && p != strconv.Itoa(port) || p == "" && port != 443 {
			t.Errorf("%q, port %d: %q", host, port, to)
		}
	})
}
