//go:build system

package main

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/webgear-pi/webgear/pkg/auth"
)

// sites are pages of other web sites, and proxies that nobody trusts.
func (s *siege) sites(t *testing.T) {
	t.Helper()
	p := s.stranger(t)
	cookie := p.signIn(t, "admin", adminPassword)
	signed := header("Cookie", cookie)
	_, token := s.token(t, p, "of the sites", auth.Admin, basic("admin", adminPassword))
	host := func(h string) tweak { return func(r *http.Request) { r.Host = h } }

	for _, tt := range []struct {
		rule string
		want int
		all  []string
	}{
		{"DNS rebinding: a foreign Host is refused", 421, []string{
			"evil.example", "evil.example:8000", "EVIL.EXAMPLE", "evil.example.", "localhost.evil.example", "evil.local.example", "10.99.0.1.evil.example",
			hostname() + ".evil.example", "local.evil", "evil.localhost.example", "1.2.3.4.5", "0x7f.0.0.1", "evil.example:0", "evil.example:99999",
		}},
		{"DNS rebinding: a Host that is none is refused", 400, []string{"evil.example/x", "evil.example@" + s.addr, s.addr + "?", "a,b", "a b"}},
		{"Host: our addresses and names are answered", 200, []string{
			s.addr, s.street.house.String(), "127.0.0.1", "[::1]:8000", "localhost", hostname(), hostname() + ".local", hostname() + ".local:8000", "camera.local.",
		}},
	} {
		t.Run(tt.rule, func(t *testing.T) {
			for _, h := range tt.all {
				r := p.send(t, "GET /snapshot HTTP/1.1\r\nHost: "+h+"\r\nAuthorization: Bearer "+token+"\r\nConnection: close\r\n\r\n", silenceLimit)
				if r.codes() != fmt.Sprint(tt.want) || isPicture(r.raw) != (tt.want == 200) {
					t.Errorf("%s: %s, want %d", h, r.codes(), tt.want)
				}
			}
		})
	}
	t.Run("DNS rebinding: a foreign Host can neither sign in nor claim", func(t *testing.T) {
		for _, path := range []string{"/api/v1/sign-in", "/api/v1/claim", "/api/v1/sign-out"} {
			a := p.ask(t, http.MethodPost, path, host("evil.example"), asJSONBody(`{"password": "`+adminPassword+`"}`))
			if a.status != 421 || a.header.Get("Set-Cookie") != "" {
				t.Errorf("%s: %d %v", path, a.status, a.header)
			}
		}
	})

	changes := []probedRoute{}
	for _, r := range probedRoutes() {
		if m := r.method(); m != http.MethodGet {
			changes = append(changes, r)
		}
	}
	for _, tt := range []struct {
		rule   string
		fields []tweak
	}{
		{"a foreign Origin", []tweak{header("Origin", "https://evil.example")}},
		{"our name and another port in Origin", []tweak{header("Origin", "http://"+s.street.house.String()+":1")}},
		{"our address in a scheme that is none", []tweak{header("Origin", "file://"+s.addr)}},
		{"our address at the end of Origin", []tweak{header("Origin", "http://evil.example/"+s.addr)}},
		{"our address before another one in Origin", []tweak{header("Origin", "http://"+s.addr+".evil.example")}},
		{"our address as the user in Origin", []tweak{header("Origin", "http://"+s.addr+"@evil.example")}},
		{"two Origins", []tweak{header("Origin", "http://"+s.addr), header("Origin", "https://evil.example")}},
		{"the Origin null", []tweak{header("Origin", "null")}},
		{"Sec-Fetch-Site: cross-site", []tweak{header("Sec-Fetch-Site", "cross-site")}},
		{"Sec-Fetch-Site: same-site", []tweak{header("Sec-Fetch-Site", "same-site")}},
		{"Sec-Fetch-Site twice", []tweak{header("Sec-Fetch-Site", "same-origin"), header("Sec-Fetch-Site", "cross-site")}},
	} {
		t.Run("other sites: "+tt.rule+" changes nothing", func(t *testing.T) {
			for _, r := range changes {
				if r.method() == http.MethodOptions {
					continue // it changes nothing
				}
				for who, by := range map[string]tweak{"cookie": signed, "password": basic("admin", adminPassword), "token": bearer(token)} {
					if a := p.ask(t, r.method(), r.path, append([]tweak{by, asJSONBody("{}")}, tt.fields...)...); a.status != 403 || a.code() != string(auth.CodeOrigin) {
						t.Errorf("%s %s with the %s: %d %.100s", r.method(), r.path, who, a.status, a.body)
					}
				}
			}
		})
	}
	t.Run("other sites: a cookie without a word of its page changes nothing", func(t *testing.T) {
		for _, r := range changes {
			if r.kind != forAdmins || r.method() == http.MethodOptions {
				continue
			}
			if a := p.ask(t, r.method(), r.path, signed, asJSONBody("{}")); a.status != 403 {
				t.Errorf("%s %s: %d", r.method(), r.path, a.status)
			}
		}
	})
	t.Run("other sites: a page of ours that was not encrypted changes nothing that is", func(t *testing.T) {
		for _, origin := range []string{s.url, "http://" + s.secure} {
			a := p.askAt(t, http.MethodPost, "https://"+s.secure+"/api/v1/links", bearer(token), asJSONBody(`{"path": "/video", "life_seconds": 60}`), header("Origin", origin))
			if a.status != 403 || a.code() != string(auth.CodeOrigin) {
				t.Errorf("%s: %d %s", origin, a.status, a.body)
			}
		}
	})
	t.Run("other sites: none may read, nor ask before", func(t *testing.T) {
		for _, path := range []string{"/state", "/snapshot", "/api/v1/tokens", "/"} {
			a := p.ask(t, http.MethodGet, path, signed, header("Origin", "https://evil.example"))
			for name := range a.header {
				if strings.HasPrefix(name, "Access-Control-") {
					t.Errorf("%s: %s: %s", path, name, a.header.Get(name))
				}
			}
			a = p.ask(t, http.MethodOptions, path, header("Origin", "https://evil.example"), header("Access-Control-Request-Method", "DELETE"))
			if a.status != 403 || a.header.Get("Access-Control-Allow-Origin") != "" {
				t.Errorf("preflight of %s: %d %v", path, a.status, a.header)
			}
		}
	})

	t.Run("proxies: what an untrusted one says is not believed", func(t *testing.T) {
		for _, f := range []struct{ name, value string }{
			{"X-Forwarded-For", "127.0.0.1"},
			{"X-Forwarded-For", "203.0.113.77, ::1"},
			{"X-Real-IP", "127.0.0.1"},
			{"Forwarded", "for=127.0.0.1;host=localhost;proto=https"},
			{"True-Client-IP", "127.0.0.1"},
			{"X-Forwarded-Host", "localhost"},
			{"X-Forwarded-Proto", "https"},
			{"X-Forwarded-User", "admin"},
			{"X-Remote-User", "admin"},
			{"Remote-User", "admin"},
			{"X-Forwarded-Prefix", "/healthz"},
		} {
			if a := p.ask(t, http.MethodGet, "/state", header(f.name, f.value)); a.status != 401 {
				t.Errorf("%s: %s: %d", f.name, f.value, a.status)
			}
			a := p.ask(t, http.MethodGet, "/state", bearer(token), header(f.name, f.value), host("evil.example"))
			if a.status != 421 {
				t.Errorf("%s: %s with a foreign host: %d", f.name, f.value, a.status)
			}
			a = p.ask(t, http.MethodPost, "/api/v1/sign-in", header(f.name, f.value), asJSONBody(`{"name": "admin", "password": "`+adminPassword+`"}`))
			if set := a.header.Get("Set-Cookie"); a.status != 200 || strings.Contains(set, "Secure") {
				t.Errorf("%s: %s: a cookie as if it were encrypted: %d", f.name, f.value, a.status)
			}
		}
		if strings.Contains(s.log.String(), "203.0.113.77") {
			t.Error("the log has an address that somebody made up")
		}
	})
	t.Run("proxies: another path or method in the fields is ignored", func(t *testing.T) {
		link := s.link(t, p, "/snapshot", 3600e9, bearer(token))
		for _, name := range []string{"X-Original-URL", "X-Rewrite-URL", "X-Original-URI", "X-Accel-Redirect", "X-Sendfile"} {
			if a := p.ask(t, http.MethodGet, "/healthz", header(name, "/state")); a.status != 200 || len(a.body) > 200 {
				t.Errorf("%s: %d %s", name, a.status, a.body)
			}
			if a := p.ask(t, http.MethodGet, "/state", header(name, "/healthz")); a.status != 401 {
				t.Errorf("%s: %d", name, a.status)
			}
		}
		for _, name := range []string{"X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override"} {
			if a := p.ask(t, http.MethodGet, "/api/v1/links?_method=DELETE", bearer(token), header(name, "DELETE")); a.status != 405 {
				t.Errorf("%s: %d", name, a.status)
			}
			if a := p.ask(t, http.MethodDelete, "/api/v1/links", header(name, "GET")); a.status != 401 {
				t.Errorf("%s: %d", name, a.status)
			}
		}
		if a := p.ask(t, http.MethodGet, "/snapshot?"+link); a.status != 200 {
			t.Errorf("the link: %d", a.status)
		}
	})
}

// files tries to read what is outside of the two folders.
func (s *siege) files(t *testing.T) {
	t.Helper()
	const marker = "BYTES FROM OUTSIDE"
	tree := filepath.Join(s.home, treeOf)
	outside := filepath.Join(s.home, "outside.txt")
	if err := os.WriteFile(outside, []byte(marker), 0o600); err != nil {
		t.Fatal(err)
	}
	for link, target := range map[string]string{
		"static/file.txt": outside, "static/folder": s.home, "static/up.txt": "../../../outside.txt", "static/passwd": "/etc/passwd", "static/self": "/proc/self",
		"static/access.json": filepath.Join(s.home, ".webgear/access.json"), "static/loop": "loop", "templates/error.html": outside,
	} {
		if err := os.Symlink(target, filepath.Join(tree, link)); err != nil {
			t.Fatal(err)
		}
	}
	page := filepath.Join(tree, "templates/404.html")
	before := read(t, page)
	remove(t, page)
	if err := os.Symlink(outside, page); err != nil {
		t.Fatal(err)
	}
	p := s.stranger(t)
	admin := basic("admin", adminPassword)
	clean := func(t *testing.T, path string, raw []byte) {
		t.Helper()
		for _, leak := range []string{marker, "root:", "PATH=", "HOME=", "$argon2id", "PRIVATE KEY", "{{"} {
			if strings.Contains(string(raw), leak) {
				t.Errorf("%s: %q is in the answer", path, leak)
			}
		}
	}
	t.Run("files: links that leave the folders lead nowhere", func(t *testing.T) {
		for _, path := range []string{
			"file.txt", "folder/outside.txt", "folder", "up.txt", "passwd", "self/environ", "self/root/etc/passwd", "access.json", "loop", "folder/.webgear/access.json",
		} {
			a := p.ask(t, http.MethodGet, "/static/"+path, admin)
			if a.status != 404 {
				t.Errorf("%s: %d", path, a.status)
			}
			clean(t, path, a.body)
		}
	})
	t.Run("files: no way of writing a path leaves the folders", func(t *testing.T) {
		ups := []string{
			"../", "%2e%2e/", "%2e%2e%2f", "..%2f", "%2E%2E%2F", "%252e%252e%252f", "..%252f", "%25252e%25252e%25252f", "..\\", "..%5c", "%2e%2e%5c", "....//", "..;/",
			"%c0%ae%c0%ae/", "%c0%ae%c0%ae%c0%af", "..%c0%af", "%e0%80%ae%e0%80%ae/", "%uff0e%uff0e/", ".%00./", "..%00/", "./../", "%2f..%2f..%2f", "//", "/%2f", "%00/",
		}
		targets := []string{
			"etc/passwd", "etc%2fpasswd", "proc/self/environ", "proc%2fself%2fenviron", "templates/index.html", "templates%2findex.html", "outside.txt", ".webgear/access.json",
			"access.json", "TEMPLATES/INDEX.HTML", "etc/passwd%00.css", "etc/passwd%23", "etc/passwd%3f",
		}
		var paths []string
		for _, prefix := range []string{"/static/", "/static/css/", "/STATIC/", "/ui/", "/ui/ui.css/", "/api/v1/accounts/", "/", "/templates/", "/snapshot/", "/video/", "/webcam/"} {
			for _, up := range ups {
				for _, target := range targets {
					paths = append(paths, prefix+strings.Repeat(up, 1+len(paths)%9)+target)
				}
			}
		}
		var sent strings.Builder
		for n, i := 0, 0; i < len(paths); i++ {
			n++
			end := ""
			if strings.HasPrefix(paths[i], "//") || n == 100 || i == len(paths)-1 {
				end = "Connection: close\r\n"
			}
			fmt.Fprintf(&sent, "GET %s HTTP/1.1\r\nHost: %s\r\nAuthorization: %s\r\nAccept: application/json\r\n%s\r\n", paths[i], s.addr, basicField("admin", adminPassword), end)
			if end == "" {
				continue
			}
			r := p.send(t, sent.String(), silenceLimit)
			if len(r.answers) != n {
				t.Fatalf("%d answers to %d requests, the last of them to %s", len(r.answers), n, paths[i-n+len(r.answers)])
			}
			for j, a := range r.answers {
				path := paths[i-n+1+j]
				clean(t, path, a.body)
				if a.status < 300 {
					t.Errorf("%s: %d %.100s", path, a.status, a.body)
				}
			}
			sent.Reset()
			n = 0
		}
	})
	t.Run("files: hidden ones and folders are not shown", func(t *testing.T) {
		if err := os.WriteFile(filepath.Join(tree, "static/.hidden"), []byte(marker), 0o600); err != nil {
			t.Fatal(err)
		}
		for _, path := range []string{"/static/.hidden", "/static/%2ehidden", "/static/", "/static", "/static/css", "/static/css/", "/templates/index.html", "/access.json", "/.webgear/access.json"} {
			a := p.ask(t, http.MethodGet, path, admin)
			if a.status != 404 {
				t.Errorf("%s: %d", path, a.status)
			}
			clean(t, path, a.body)
		}
	})
	remove(t, page)
	edit(t, page, before)
}
