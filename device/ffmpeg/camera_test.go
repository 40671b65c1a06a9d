package ffmpeg

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/webgear-pi/webgear/device"
	"github.com/webgear-pi/webgear/device/devicetest"
)

// roleVariable makes the test binary act as ffmpeg or ffprobe, by its name.
const roleVariable = "WEBGEAR_FFMPEG_TEST_ROLE"

// noSleep keeps a race-enabled fake program from waiting a second at its end.
const noSleep = "GORACE=atexit_sleep_ms=0"

func TestMain(m *testing.M) {
	if role := os.Getenv(roleVariable); role != "" {
		os.Exit(act(filepath.Base(os.Args[0]), role))
	}
	os.Exit(m.Run())
}

// act is what the fake programs do. A role is words: "parts" for JPEG pictures,
// a number of pictures, and what happens after them.
func act(program, role string) int {
	var limit int
	parts := strings.HasPrefix(role, "parts")
	end := ""
	_, _ = fmt.Sscanf(strings.TrimPrefix(role, "parts"), "%d%s", &limit, &end) // what is missing stays empty
	if program == "ffprobe" {
		if end == "unreadable" {
			_, _ = os.Stderr.WriteString("http://h/x: Invalid data found when processing input\n")
			return 1
		}
		codec := "h264"
		if parts {
			codec = "mjpeg"
		}
		_, _ = fmt.Fprintf(os.Stdout, `{"streams":[{"codec_name":%q,"width":32,"height":16,"pix_fmt":"yuv420p","avg_frame_rate":"50/1"}],"format":{"format_name":"fake"}}`, codec)
		return 0
	}
	jpeg := []byte("\xff\xd8\xff\xc0\x00\x0b\x08\x00\x10\x00\x20\x01\x01\x11\x00\xff\xd9")
	if !parts && end != "mute" {
		_, _ = os.Stdout.WriteString("YUV4MPEG2 W32 H16 F50:1 C420jpeg\n")
	}
	tick := time.NewTicker(20 * time.Millisecond)
	for i := 0; limit == 0 || i < limit; i++ {
		if _, err := os.Stat(os.Getenv("STALL_FILE")); err == nil {
			hang()
		}
		var err error
		if parts {
			_, err = fmt.Fprintf(os.Stdout, "--x\r\nContent-Length: %d\r\n\r\n%s\r\n", len(jpeg), jpeg)
		} else {
			_, err = os.Stdout.Write(append([]byte("FRAME\n"), make([]byte, 32*16*3/2)...))
		}
		if err != nil {
			return 1
		}
		<-tick.C
	}
	switch end {
	case "silent", "mute":
		hang()
	case "fail":
		_, _ = os.Stderr.WriteString("[tcp @ 0x55d0] Connection reset by peer\n")
		return 1
	case "crash":
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		hang()
	case "garbage":
		_, _ = os.Stdout.WriteString("what is this\n")
		hang()
	case "cut":
		_, _ = os.Stdout.WriteString("FRAME\nabc")
	}
	return 0
}

// hang waits to be killed. A program without cgo that waits for nothing at all
// is stopped by the runtime as deadlocked.
func hang() { <-time.After(time.Hour) }

// fake gives options with which the test binary is run in place of ffmpeg, and
// the file that silences it.
func fake(t *testing.T, role string) (opt Options, stall string) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	folder := t.TempDir()
	for _, name := range []string{"ffmpeg", "ffprobe"} {
		if err := os.Symlink(self, filepath.Join(folder, name)); err != nil {
			t.Fatal(err)
		}
	}
	stall = filepath.Join(folder, "stall")
	return Options{FFmpeg: folder, Env: []string{roleVariable + "=" + role, "STALL_FILE=" + stall, noSleep}}, stall
}

func openFake(t *testing.T, source, role string, change func(*Options)) *Camera {
	t.Helper()
	opt, _ := fake(t, role)
	if change != nil {
		change(&opt)
	}
	cam, err := Open(t.Context(), source, opt)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := cam.Close(); err != nil {
			t.Error(err)
		}
	})
	return cam
}

func TestConformance(t *testing.T) {
	clip := filepath.Join(t.TempDir(), "clip.mp4")
	if err := os.WriteFile(clip, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		source, role string
		finite       bool
	}{
		"network, raw":  {"http://h/x", "0", false},
		"network, JPEG": {"http://h/x", "parts0", false},
		"file":          {clip, "20", true},
	} {
		t.Run(name, func(t *testing.T) {
			stalls := map[device.Camera]string{}
			devicetest.TestCameraWith(t, devicetest.Options{
				Finite: tc.finite, Frames: 5,
				Open: func(t *testing.T) device.Camera {
					t.Helper()
					opt, stall := fake(t, tc.role)
					cam, err := Open(t.Context(), tc.source, opt)
					if err != nil {
						t.Fatal(err)
					}
					stalls[cam] = stall
					return cam
				},
				Stall: func(t *testing.T, cam device.Camera) {
					t.Helper()
					if err := os.WriteFile(stalls[cam], nil, 0o600); err != nil {
						t.Fatal(err)
					}
				},
			})
		})
	}
}

// drain takes pictures until Next fails.
func drain(ctx context.Context, cam *Camera) (pictures int, err error) {
	for {
		if err := cam.Next(ctx, func(*device.Buffer) error { pictures++; return nil }); err != nil {
			return pictures, err
		}
	}
}

func TestEndsSayWhy(t *testing.T) {
	clip := filepath.Join(t.TempDir(), "clip.mp4")
	if err := os.WriteFile(clip, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	quick := func(o *Options) { o.ReadTimeout = 300 * time.Millisecond }
	for _, tc := range []struct {
		name, source, role string
		change             func(*Options)
		pictures           int
		kind               error
		text               string
	}{
		{"file over", clip, "3", nil, 3, device.ErrEnded, ""},
		{"file cut", clip, "3cut", nil, 3, device.ErrEnded, ""},
		{"file damaged", clip, "3fail", nil, 3, device.ErrDamaged, "reset by peer"},
		{"network over", "http://h/x", "3", nil, 0, device.ErrDisconnected, ""},
		{"network lost", "http://h/x", "3fail", nil, 0, device.ErrDisconnected, "ffmpeg: Connection reset by peer (exit status 1)"},
		{"network silent", "http://h/x", "3silent", quick, 0, device.ErrDisconnected, "time limit"},
		{"program crashed", "http://h/x", "3crash", nil, 0, device.ErrDisconnected, "signal"},
		{"garbage", "http://h/x", "3garbage", nil, 0, device.ErrDamaged, "what is this"},
		{"device gone", "/dev/video0", "3fail", func(o *Options) { o.Demuxer = "v4l2" }, 0, device.ErrUnplugged, ""},
		{"device silent", "/dev/video0", "3silent", func(o *Options) { o.Demuxer = "v4l2"; quick(o) }, 0, device.ErrStalled, ""},
		{"lavfi over", "testsrc=d=1", "3", func(o *Options) { o.Demuxer = "lavfi" }, 0, device.ErrEnded, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			cam := openFake(t, tc.source, tc.role, tc.change)
			if _, err := cam.Start(t.Context(), device.Format{}); err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			n, err := drain(ctx, cam)
			if !errors.Is(err, tc.kind) || !strings.Contains(err.Error(), tc.text) {
				t.Errorf("end: got %v, want %v with %q", err, tc.kind, tc.text)
			}
			if n == 0 || tc.pictures != 0 && n != tc.pictures {
				t.Errorf("%d pictures, want %d", n, tc.pictures)
			}
			if _, again := drain(ctx, cam); !errors.Is(again, tc.kind) {
				t.Errorf("Next after the end: got %v, want %v again", again, tc.kind)
			}
		})
	}
}

func TestStartSaysWhatIsWrong(t *testing.T) {
	for _, tc := range []struct {
		role   string
		change func(*Options)
		kind   error
		text   string
	}{
		{"0unreadable", nil, device.ErrUnsupported, "ffprobe: Invalid data found when processing input (exit status 1)"},
		{"1mute", func(o *Options) { o.NoProbe = true }, device.ErrUnsupported, "not the pictures"},
	} {
		cam := openFake(t, "http://h/x", tc.role, tc.change)
		_, err := cam.Start(t.Context(), device.Format{})
		if !errors.Is(err, tc.kind) || !strings.Contains(err.Error(), tc.text) {
			t.Errorf("%s: got %v, want %v with %q", tc.role, err, tc.kind, tc.text)
		}
	}
}

func TestStartTwiceFails(t *testing.T) {
	cam := openFake(t, "http://h/x", "0", nil)
	if _, err := cam.Start(t.Context(), device.Format{}); err != nil {
		t.Fatal(err)
	}
	if _, err := cam.Start(t.Context(), device.Format{}); err == nil || !strings.Contains(err.Error(), "already started") {
		t.Errorf("Start of a started camera: got %v", err)
	}
}

func TestNewestCountsWhatItSkips(t *testing.T) {
	cam := openFake(t, "http://h/x", "0", nil)
	if _, err := cam.Start(t.Context(), device.Format{}); err != nil {
		t.Fatal(err)
	}
	seen, stale := 0, 0
	var last uint32
	for range 4 {
		err := cam.Next(t.Context(), func(b *device.Buffer) error {
			before := bytes.Clone(b.Data)
			timer := time.NewTimer(90 * time.Millisecond) // four pictures come meanwhile
			defer timer.Stop()
			<-timer.C
			if !bytes.Equal(before, b.Data) {
				t.Error("the lent picture changed")
			}
			seen, stale, last = seen+1, stale+b.Stale, b.DriverSeq
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if stale < 6 || seen+stale != int(last)+1 {
		t.Errorf("%d pictures seen, %d skipped, last number %d: want that they add up", seen, stale, last)
	}
}

func TestTimeDelayIsWaitedInStart(t *testing.T) {
	const delay = 150 * time.Millisecond
	cam := openFake(t, "http://h/x", "0", func(o *Options) { o.TimeDelay = delay })
	begun := time.Now()
	if _, err := cam.Start(t.Context(), device.Format{}); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(begun); took < delay {
		t.Errorf("Start took %v, want %v at least", took, delay)
	}
	err := cam.Next(t.Context(), func(b *device.Buffer) error {
		if b.Stale < 3 {
			t.Errorf("%d pictures were skipped, want those of the delay", b.Stale)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

func TestModesOfSourceThatOpensOnceAreKnownAfterStart(t *testing.T) {
	cam := openFake(t, "http://h/x", "0", func(o *Options) { o.NoProbe = true })
	if modes, err := cam.Modes(t.Context()); len(modes) != 0 || err != nil {
		t.Errorf("Modes before Start: got %v, %v, want none", modes, err)
	}
	if _, err := cam.Start(t.Context(), device.Format{}); err != nil {
		t.Fatal(err)
	}
	if err := cam.Stop(); err != nil {
		t.Fatal(err)
	}
	if modes, err := cam.Modes(t.Context()); len(modes) != 1 || err != nil || modes[0].Width != 32 {
		t.Errorf("Modes after Start: got %v, %v, want one of 32x16", modes, err)
	}
}

func TestNextAllocatesLittle(t *testing.T) {
	cam := openFake(t, "http://h/x", "0", nil)
	if _, err := cam.Start(t.Context(), device.Format{}); err != nil {
		t.Fatal(err)
	}
	use := func(*device.Buffer) error { return nil }
	got := testing.AllocsPerRun(20, func() {
		if err := cam.Next(t.Context(), use); err != nil {
			t.Error(err)
		}
	})
	// The buffer that is lent, and the line in front of each picture.
	if got > 8 {
		t.Errorf("%v allocations per picture, want 8 at most", got)
	}
}
