package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/webgear-pi/webgear/device"
	"github.com/webgear-pi/webgear/pkg/config"
	"github.com/webgear-pi/webgear/pkg/status"
)

func TestRedactTakesOutSecretsAndAddressesAndNothingElse(t *testing.T) {
	for text, want := range map[string]string{
		"source: rtsp://me:secret@10.1.2.3/x\n":          "source: rtsp://xxxxx\n",
		"url=http://localhost:8000/ version=1.2.3.4-5":   "url=http://localhost:8000/ version=x.x.x.x-5",
		"viewer connected address=192.168.1.17:41234":    "viewer connected address=x.x.x.x:41234",
		"address=[fe80::1ff:fe23:4567:890a%eth0]:1":      "address=[x.x.x.x%eth0]:1",
		"2001:db8:0:1:2:3:4:5 and b8:27:eb:01:02:03":     "x.x.x.x and x.x.x.x",
		"18:08:45 at usb-0000:01:00.0-1.2, 127.0.0.1:80": "18:08:45 at usb-0000:01:00.0-1.2, 127.0.0.1:80",
		`{"rtsp_password": "hush", "size": 5}`:           `{"rtsp_password": xxxxx, "size": 5}`,
		"api_token: abc\n":                               "api_token: xxxxx\n",
		"linger: 60s\nformat: MJPG\n":                    "linger: 60s\nformat: MJPG\n",
	} {
		if got := redact(text); got != want {
			t.Errorf("%q\ngot  %q\nwant %q", text, got, want)
		}
	}
}

// findings runs the doctor on a machine without anything.
func findings(t *testing.T, args ...string) (int, map[string][]finding) {
	t.Helper()
	code, stdout, stderr := execute(t, append([]string{"doctor", "--json"}, args...)...)
	var all []finding
	if err := json.Unmarshal([]byte(stdout), &all); err != nil {
		t.Fatalf("%v in %s%s", err, stdout, stderr)
	}
	by := map[string][]finding{}
	for _, f := range all {
		by[f.About] = append(by[f.About], f)
		if f.Verdict == problem && f.Text == "" {
			t.Errorf("problem without a text: %+v", f)
		}
	}
	return code, by
}

func has(list []finding, v verdict, texts ...string) bool {
	return slices.ContainsFunc(list, func(f finding) bool {
		for _, text := range texts {
			if !strings.Contains(f.Text+" "+f.Remedy, text) {
				return false
			}
		}
		return f.Verdict == v
	})
}

func TestDoctorSaysWhatIsMissingAndWhatToDo(t *testing.T) {
	ln, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	free := ln.Addr().String()
	if err := ln.Close(); err != nil {
		t.Fatal(err)
	}
	file := write(t, "webgear.yaml", fmt.Sprintf("http: {listen: '%s'}\noptions: {custom_data_location: /nowhere, frame_size_reduction: x}\n", free))
	code, by := findings(t, "--config", file)
	if code != exitFailed {
		t.Errorf("exit code %d", code)
	}
	for about, ok := range map[string]bool{
		"settings": has(by["settings"], good, file) && has(by["settings"], note, "frame_size_reduction"),
		"server":   has(by["server"], problem, "no webgear runs", "systemctl start webgear"),
		"port":     has(by["port"], good, free+" is free"),
		"camera":   has(by["camera"], problem, "no usable camera", "cable"),
		"encoder":  has(by["encoder"], good, "makes JPEG of raw pictures"),
		"disk":     has(by["disk"], note, "/nowhere is not there"),
		"time":     len(by["time"]) == 1,
		"program":  len(by["program"]) == 4,
	} {
		if !ok {
			t.Errorf("%s: %+v", about, by[about])
		}
	}
	_, by = findings(t, "--config", write(t, "bad.yaml", "camera:\n  sorce: x\n"))
	if !has(by["settings"], problem, "line 2", "webgear reload") {
		t.Errorf("bad file: %+v", by["settings"])
	}
	_, by = findings(t, "--config", write(t, "gst.yaml", fmt.Sprintf("camera: {source: 'a ! b'}\nhttp: {listen: '%s'}\n", free)))
	if !has(by["camera"], good, "elsewhere") {
		t.Errorf("source elsewhere: %+v", by["camera"])
	}
}

func TestDoctorAsksTheServerThatRuns(t *testing.T) {
	d := launch(t, "--source", "test:320x240")
	address := strings.TrimPrefix(strings.TrimSuffix(d.url, "/"), "http://")
	settings := write(t, "webgear.yaml", fmt.Sprintf("http: {listen: '%s'}\ncamera: {source: test}\n", address))
	// It answers before the camera is there.
	late, again := time.After(20*time.Second), time.NewTicker(20*time.Millisecond)
	defer again.Stop()
	for {
		_, by := findings(t, "--config", settings)
		if has(by["server"], good, "answers on port") && has(by["picture"], good, "Camera online: Test picture") {
			return
		}
		select {
		case <-again.C:
		case <-late:
			t.Fatalf("%+v %+v", by["server"], by["picture"])
		}
	}
}

func TestDoctorNoticesAnotherProgramOnThePort(t *testing.T) {
	ln, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			_, _ = io.WriteString(c, "SSH-2.0-x\r\n")
			_ = c.Close()
		}
	}()
	defer func() { _ = ln.Close(); <-done }()
	_, by := findings(t, "--config", write(t, "webgear.yaml", fmt.Sprintf("http: {listen: '%s'}\n", ln.Addr())))
	if !has(by["port"], problem, "not webgear", "http.listen") {
		t.Errorf("%+v", by["port"])
	}
}

func TestReportHoldsNoSecretAndOverwritesNothing(t *testing.T) {
	file := write(t, "webgear.yaml", "camera: {source: 'rtsp://me:hush-hush@10.9.8.7/x'} # my password is hush-hush\n"+
		"options: {camera_password: hush-hush, '-headers': 'Authorization: hush-hush'}\n")
	to := filepath.Join(t.TempDir(), "report.tar.gz")
	_, _, stderr := execute(t, "doctor", "--config", file, "--report", to)
	if !strings.Contains(stderr, "wrote "+to) {
		t.Fatal(stderr)
	}
	files := untar(t, to)
	want := []string{"cameras.json", "computer.json", "doctor.json", "journal.txt", "settings.yaml", "state.json", "version.txt"}
	if got := slices.Sorted(maps.Keys(files)); !slices.Equal(got, want) {
		t.Errorf("got %v", got)
	}
	for name, text := range files {
		if strings.Contains(text, "hush-hush") || strings.Contains(text, "10.9.8.7") {
			t.Errorf("%s tells a secret:\n%s", name, text)
		}
	}
	if !strings.Contains(files["settings.yaml"], "source: rtsp://") || !strings.Contains(files["settings.yaml"], "linger: 60s") {
		t.Errorf("settings:\n%s", files["settings.yaml"])
	}
	if _, _, stderr := execute(t, "doctor", "--config", file, "--report", to); !strings.Contains(stderr, "file exists: choose another") {
		t.Errorf("second report: %s", stderr)
	}
}

func untar(t *testing.T, path string) map[string]string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	zip, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	for r := tar.NewReader(zip); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		all[filepath.Base(h.Name)] = string(text)
	}
}

func TestDoctorComparesTheRecordOfTheNetworkWithThePort(t *testing.T) {
	root := t.TempDir()
	dir := filepath.Join(root, "etc/avahi/services")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	text := read(t, "../../rootfs-overlay/etc/avahi/services/webgear.service")
	if err := os.WriteFile(filepath.Join(dir, "webgear.service"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	for listen, want := range map[string]int{":8000": 0, "0.0.0.0:8000": 0, ":8080": 1} {
		d := &doctor{w: world{root: root}, config: config.ServiceDefault()}
		d.config.HTTP.Listen = listen
		d.record()
		if len(d.findings) != want || want > 0 && !has(d.findings, note, "port 8000", "<port>8080<") {
			t.Errorf("%s: %+v", listen, d.findings)
		}
	}
}

func TestDoctorKnowsTheCameraOfTheServer(t *testing.T) {
	info := device.Info{Path: "/dev/video0"}
	online := &status.Snapshot{Camera: status.Camera{State: status.Online, Info: &info}}
	asleep := &status.Snapshot{Camera: status.Camera{State: status.Asleep, Info: &info}}
	for _, tt := range []struct {
		state *status.Snapshot
		path  string
		want  bool
	}{{nil, info.Path, false}, {online, info.Path, true}, {online, "/dev/video1", false}, {asleep, info.Path, false}} {
		d := &doctor{state: tt.state}
		if got := d.serves(device.Info{Path: tt.path}); got != tt.want {
			t.Errorf("%s: %v", tt.path, got)
		}
	}
}
