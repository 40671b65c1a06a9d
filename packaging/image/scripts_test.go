//go:build image

package image_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// scripts are the programs of the image that are shell.
const scripts = "overlay/usr/lib/webgear-image/"

// fake puts a program into a folder.
func fake(t *testing.T, dir, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"+text+"\n"), 0o700); err != nil { //nolint:gosec // it is run
		t.Fatal(err)
	}
}

// script runs one of the image's programs with fakes in front of the path.
func script(t *testing.T, fakes, name string, env ...string) error {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), scripts+name)
	cmd.Env = append(os.Environ(), append(env, "PATH="+fakes+":"+os.Getenv("PATH"))...)
	out, err := cmd.CombinedOutput()
	t.Logf("%s: %v %s", name, err, out)
	return err
}

func TestSettingsAreTakenOverOnlyWhenTheyChanged(t *testing.T) {
	dir := t.TempDir()
	fakes, boot, ran := filepath.Join(dir, "fakes"), filepath.Join(dir, "boot"), filepath.Join(dir, "ran")
	for _, d := range []string{fakes, boot} {
		if err := os.Mkdir(d, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(boot, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	webgear := func(code string) {
		fake(t, fakes, "webgear", `[ "$1" = firstboot ] && echo ran >>`+ran+`; exit `+code)
	}
	runs := func(want int) {
		t.Helper()
		_ = script(t, fakes, "firstboot", "BOOT="+boot, "STAMP="+dir+"/stamp", "SAID="+dir+"/said", "WEBGEAR="+fakes+"/webgear") // counted below
		data, _ := os.ReadFile(ran)
		if got := strings.Count(string(data), "ran"); got != want {
			t.Errorf("webgear firstboot ran %d times, want %d", got, want)
		}
	}
	webgear("0")
	fake(t, fakes, "mount", "exit 0")
	write("webgear-setup.yaml", "hostname: a")
	runs(1)
	runs(1) // nothing new
	write("webgear-setup-errors.txt", "written by webgear")
	runs(1)
	write("webgear-setup.yaml", "hostname: b")
	runs(2)
	write("rpi-preseed.toml", "")
	runs(3)
	runs(3)
	if err := os.Remove(filepath.Join(boot, "rpi-preseed.toml")); err != nil {
		t.Fatal(err)
	}
	runs(4)
	// What failed is tried again.
	webgear("1 # and is another program")
	runs(5)
	runs(6)
	webgear("0")
	runs(7)
	runs(7)
	// Passwords may stand in files that cannot be written.
	fake(t, fakes, "mount", "exit 1")
	write("webgear-setup.yaml", "hostname: c")
	runs(8)
	runs(8 + 1)
}

func TestLEDAndScreenShowTheState(t *testing.T) {
	for _, tt := range []struct{ active, status, trigger, screen string }{
		{"active", "Camera online: HD camera (/dev/video0), 1280x720", "default-on", "webgear: live"},
		{"active", "Camera asleep until somebody watches: HD camera", "default-on", "webgear: live"},
		{"active", "Camera asleep until somebody watches: Test picture (testsrc)", "timer", "webgear: no camera"},
		{"active", "Camera online: Test picture (testsrc), 640x480", "timer", "webgear: no camera"},
		{"active", "Camera offline: auto: no camera. Plug one in.", "timer", "webgear: no camera"},
		{"activating", "", "timer", "webgear: starting"},
		{"failed", "", "heartbeat", "webgear: error"},
	} {
		t.Run(tt.screen, func(t *testing.T) {
			dir := t.TempDir()
			led := filepath.Join(dir, "leds", "ACT")
			if err := os.MkdirAll(led, 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(led+"/trigger", nil, 0o600); err != nil {
				t.Fatal(err)
			}
			fake(t, dir, "systemctl", `[ "$3 $5" = "ActiveState StatusText" ] && echo 'StatusText=`+tt.status+`' && echo 'ActiveState=`+tt.active+"'")
			fake(t, dir, "ip", "echo '2: eth0    inet 192.168.1.7/24 brd 192.168.1.255 scope global eth0'")
			if err := os.WriteFile(dir+"/storage", []byte("ok\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(dir+"/setup", []byte("webgear-setup.yaml: told by webgear firstboot\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			if err := script(t, dir, "show-state", "ONCE=1", "LEDS="+dir+"/leds", "SCREEN="+dir+"/screen", "STORAGE="+dir+"/storage",
				"SETUP="+dir+"/setup", "BOOT="+dir); err != nil {
				t.Error(err)
			}
			trigger, _ := os.ReadFile(led + "/trigger")
			screen, _ := os.ReadFile(dir + "/screen")
			if strings.TrimSpace(string(trigger)) != tt.trigger {
				t.Errorf("trigger %q, want %q", trigger, tt.trigger)
			}
			for _, want := range []string{tt.screen, "http://192.168.1.7:8000/", ".local:8000/", "told by webgear firstboot", tt.status} {
				if !strings.Contains(string(screen), want) {
					t.Errorf("the screen lacks %q:\n%s", want, screen)
				}
			}
		})
	}
}
