package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/goccy/go-yaml"

	"github.com/webgear-pi/webgear/device/child"
	"github.com/webgear-pi/webgear/device/source"
)

// Bounds of a report.
const (
	logTime  = 10 * time.Second
	logLines = "2000"
	maxLog   = 4 << 20
)

// report writes an archive of all that helps to find a fault. Every text goes
// through redact first.
func (d *doctor) report(ctx context.Context, path string) error {
	var b bytes.Buffer
	zip := gzip.NewWriter(&b)
	archive := tar.NewWriter(zip)
	now := time.Now()
	add := func(name, text string) error {
		text = redact(text)
		h := &tar.Header{Name: "webgear-report/" + name, Mode: 0o600, Size: int64(len(text)), ModTime: now, Typeflag: tar.TypeReg}
		if err := archive.WriteHeader(h); err != nil {
			return err
		}
		_, err := io.WriteString(archive, text)
		return err
	}
	for _, part := range []struct {
		name string
		text func() string
	}{
		{"version.txt", func() string { return buildVersion() + "\n" }},
		{"doctor.json", func() string { return asJSON(d.findings) }},
		{"computer.json", func() string { return asJSON(d.facts) }},
		{"cameras.json", func() string { return asJSON(probe(d.found, d.pi)) }},
		{"settings.yaml", d.shownSettings},
		{"state.json", d.shownState},
		{"journal.txt", func() string { return journalOf(ctx) }},
	} {
		if err := add(part.name, part.text()); err != nil {
			return fmt.Errorf("report %s: %w", path, err)
		}
	}
	if err := errors.Join(archive.Close(), zip.Close()); err != nil {
		return fmt.Errorf("report %s: %w", path, err)
	}
	// What is there already is somebody's.
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("report %s: %w: choose another file", path, rootCause(err))
	}
	_, err = f.Write(b.Bytes())
	if err := errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("report %s: %w", path, err)
	}
	return nil
}

// asJSON prints anything of ours.
func asJSON(v any) string {
	data, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err.Error() + "\n"
	}
	return string(data) + "\n"
}

// shownSettings are the settings in force, without comments, which may hold
// anything.
func (d *doctor) shownSettings() string {
	c := d.config
	c.Camera.Source = source.Shown(c.Camera.Source)
	c.Access.Accounts = slices.Clone(c.Access.Accounts) // the settings themselves stay
	for i := range c.Access.Accounts {
		c.Access.Accounts[i].Hash = hidden
	}
	for _, list := range []*[]string{&c.Access.Hosts, &c.Access.Origins, &c.Access.FrameAncestors} { // names of somebody's network
		*list = slices.Repeat([]string{hidden}, len(*list))
	}
	data, err := yaml.Marshal(c)
	if err != nil {
		return err.Error() + "\n"
	}
	return string(data)
}

// shownState is what the server says, without who watches.
func (d *doctor) shownState() string {
	if d.state == nil {
		return "null\n"
	}
	s := *d.state
	s.Stream.Viewers = nil
	return asJSON(s)
}

// journalOf is the end of the service's log.
func journalOf(ctx context.Context) string {
	ctx, cancel := context.WithTimeout(ctx, logTime)
	defer cancel()
	out, lines, err := child.Output(ctx, child.Spec{
		Program: "journalctl", Package: "systemd",
		Args: []string{"--unit=webgear*", "--lines=" + logLines, "--output=short-iso-precise", "--no-pager", "--no-hostname"},
	}, maxLog)
	if err != nil {
		return fmt.Sprintf("not to be had: %v\n%s\n", err, strings.Join(lines, "\n"))
	}
	return string(out)
}

// hidden stands for what is nobody's business.
const hidden = "xxxxx"

// redact takes out of a text what is nobody's business: passwords and their
// hashes, tokens, signed links and cookies, the addresses of network cameras and
// those of computers.
func redact(text string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		line = source.Shown(line)
		line = headerLine.ReplaceAllString(line, "${1}${2}"+hidden)
		line = secretLine.ReplaceAllString(line, "${1}"+hidden)
		line = credential.ReplaceAllString(line, hidden)
		line = signature.ReplaceAllString(line, "${1}"+hidden)
		line = address.ReplaceAllStringFunc(line, func(s string) string {
			if isOwn(s) {
				return s
			}
			scheme, _, _ := strings.Cut(s, "://")
			return scheme + "://xxxxx"
		})
		b.WriteString(ip.ReplaceAllStringFunc(line, func(s string) string {
			if strings.HasPrefix(s, "127.") || s == "::1" || s == "0.0.0.0" {
				return s
			}
			return "x.x.x.x"
		}))
	}
	return b.String()
}

// isOwn says whether an address is this computer's own server or a page of ours.
func isOwn(s string) bool {
	_, rest, _ := strings.Cut(s, "://")
	return strings.HasPrefix(rest, "localhost") || strings.HasPrefix(rest, "127.") || strings.HasPrefix(rest, "[::")
}

var (
	// secretLine is a setting or a field whose name says that its value is secret.
	secretLine = regexp.MustCompile(`(?i)(["']?[\w.-]*(?:passw|passphrase|pwd|token|secret|credential|authorization|cookie)[\w.-]*["']?\s*[:=]\s*)("[^"]*"|'[^']*'|[^\s,}]+)`)
	// headerLine is a header field that holds credentials, with all of its value.
	headerLine = regexp.MustCompile(`(?i)\b((?:proxy-)?authorization|(?:set-)?cookie)(["']?\s*[:=]\s*)["']?(?:basic|bearer|[^\s=;"']+=)[^"'\r\n]*`)
	// credential is a hash of a password, a token or a session, wherever it stands.
	credential = regexp.MustCompile(`\$argon2id\$[^\s"']*|\bwebgear_[A-Za-z0-9_-]{20,}|\b(?i:basic|bearer)\s+[A-Za-z0-9+/_=.-]{8,}`)
	// signature is that of a link.
	signature = regexp.MustCompile(`\b(sig=)[A-Za-z0-9_%-]+`)
	// address is anything with a scheme and a host.
	address = regexp.MustCompile(`[a-zA-Z][a-zA-Z0-9+.-]*://[^\s"'<>)]+`)
	// ip is the address of a computer or of a network card: four numbers, or
	// groups with at least five colons or two that follow each other. Times of day
	// and USB ports have fewer.
	ip = regexp.MustCompile(`\b\d{1,3}(?:\.\d{1,3}){3}\b|(?i:\b[0-9a-f]{1,4}(?::[0-9a-f]{1,4}){5,7}\b|\b[0-9a-f]{1,4}(?::[0-9a-f]{1,4})*::[0-9a-f:]*)`)
)
