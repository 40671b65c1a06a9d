package main

import (
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// These tests keep what the Debian package says of the program true.

func TestCopyrightNamesEveryModuleInTheProgram(t *testing.T) {
	cmd := exec.Command("go", "list", "-deps", "-f", "{{with .Module}}{{if not .Main}}{{.Path}}{{end}}{{end}}", ".")
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	text := read(t, "../../packaging/deb/copyright")
	modules := slices.Compact(slices.Sorted(strings.FieldsSeq(string(out))))
	if len(modules) < 10 {
		t.Errorf("only %v", modules)
	}
	for _, m := range modules {
		m = regexp.MustCompile(`/v[0-9]+$`).ReplaceAllString(m, "")
		if !strings.Contains(text, "\nFiles: "+m+"/*\n") {
			t.Errorf("packaging/deb/copyright does not name %s", m)
		}
	}
}

func TestManualNamesEveryCommandAndItsFlagsExist(t *testing.T) {
	text := read(t, "../../packaging/deb/webgear.1")
	for _, m := range regexp.MustCompile(`(?m)^  webgear ([a-z-]+) `).FindAllStringSubmatch(usage, -1) {
		if name := strings.ReplaceAll(m[1], "-", `\-`); !strings.Contains(text, "\n.B "+name+"\n") {
			t.Errorf("%s is missing", m[1])
		}
	}
	fs, _ := newRunFlags()
	for _, m := range regexp.MustCompile(`\\-\\-([a-z\\-]+)`).FindAllStringSubmatch(text, -1) {
		name := strings.ReplaceAll(m[1], `\-`, "-")
		if fs.Lookup(name) == nil && !slices.Contains([]string{"json", "report", "help", "role", "life", "url", "revoke-all", "boot"}, name) {
			t.Errorf("there is no flag --%s", name)
		}
	}
}

func TestCompletionKnowsEveryCommand(t *testing.T) {
	text := read(t, "../../rootfs-overlay/usr/share/bash-completion/completions/webgear")
	for _, m := range regexp.MustCompile(`(?m)^  webgear ([a-z-]+) `).FindAllStringSubmatch(usage, -1) {
		if strings.Count(text, " "+m[1]+" ") < 2 && strings.Count(text, m[1]) < 2 {
			t.Errorf("%s is missing", m[1])
		}
	}
}

func TestUnitsStartCommandsThatExist(t *testing.T) {
	for _, unit := range []string{"webgear.service", "webgear-provision.service"} {
		text := read(t, "../../rootfs-overlay/usr/lib/systemd/system/"+unit)
		lines := regexp.MustCompile(`(?m)^Exec[A-Za-z]+=/usr/bin/webgear (.*)$`).FindAllStringSubmatch(text, -1)
		if len(lines) == 0 {
			t.Errorf("%s starts nothing", unit)
		}
		for _, m := range lines {
			args := strings.ReplaceAll(m[1], defaultSettings, write(t, "webgear.yaml", ""))
			switch fields := strings.Fields(args); fields[0] {
			case "run":
				c, flags, err := parseRunFlags(fields[1:], world{})
				if err != nil || c.HTTP.Listen != ":8000" || !flags.service {
					t.Errorf("%s: %v, %+v", unit, err, c.HTTP)
				}
			case "reload", "provision":
			default:
				t.Errorf("%s: unknown command %s", unit, fields[0])
			}
		}
	}
}
