package source

import (
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/webgear-pi/webgear/device"
	"github.com/webgear-pi/webgear/device/board"
	"github.com/webgear-pi/webgear/device/devicetest"
	"github.com/webgear-pi/webgear/device/m2m"
	"github.com/webgear-pi/webgear/device/v4l2"
)

// boardFiles lays out what a fixture of package board has, below root.
func boardFiles(t *testing.T, root, name string) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("../board/testdata", name+".txt"))
	if err != nil {
		t.Fatal(err)
	}
	files, path := map[string]string{}, ""
	for line := range strings.Lines(string(data)) {
		if p, ok := strings.CutPrefix(strings.TrimSpace(line), "-- "); ok {
			path = strings.TrimSuffix(p, " --")
			continue
		}
		files[path] += line
	}
	for path, text := range files {
		if path == "" {
			continue
		}
		if strings.Contains(text, `\0`) {
			text = strings.ReplaceAll(strings.TrimSuffix(text, "\n"), `\0`, "\x00")
		}
		full := filepath.Join(root, path)
		if err := os.MkdirAll(filepath.Dir(full), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(full, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// TestEveryBoardGetsItsCameraAndItsEncoder goes through the whole decision on
// each Raspberry Pi: which node is a camera, what encodes, what rpicam-vid is
// asked for, and what is refused.
func TestEveryBoardGetsItsCameraAndItsEncoder(t *testing.T) {
	usePi(t)
	fake := filepath.Join(os.Getenv("PATH"), "rpicam-vid")
	const image, video = "bcm2835-codec-encode_image on /dev/video31", "bcm2835-codec-encode on /dev/video11"
	yuyv := device.Format{FourCC: device.YUYV, Width: 1280, Height: 720, Stride: 2560}
	yu12 := device.Format{FourCC: device.YU12, Width: 1280, Height: 720, Stride: 1280}
	full := yu12
	full.Width, full.Height, full.Stride = 4608, 2592, 4608
	for _, tt := range []struct {
		board   string
		facts   string // the fixture
		soc     string
		rpicam  string // what is connected to the ribbon cable
		cameras []string
		auto    string        // what source auto opens
		codec   device.FourCC // in this format
		makers  []string      // all encoders, and those for pictures from rpicam-vid and from a USB camera
		forYU12 []string
		forYUYV []string
	}{
		{
			"Pi Zero 2 W, CSI camera", "zero2w", "BCM2837", "vc4", nil, "libcamera", device.YU12,
			[]string{image, video},
			[]string{image, video},
			[]string{image, video},
		},
		{
			"Pi 3, CSI and USB camera", "3bplus", "BCM2837", "vc4",
			[]string{"/dev/video2"},
			"libcamera", device.YU12,
			[]string{image, video},
			[]string{image, video},
			[]string{image, video},
		},
		{
			"Pi 3, USB camera only", "3bplus", "BCM2837", "none",
			[]string{"/dev/video0"},
			"uvcvideo", device.MJPG,
			[]string{image, video},
			[]string{image, video},
			[]string{image, video},
		},
		{
			"Pi 4, CSI and USB camera", "4b", "BCM2711", "vc4",
			[]string{"/dev/video2"},
			"libcamera", device.YU12,
			[]string{image, video},
			[]string{image, video},
			[]string{image, video},
		},
		{
			"Pi 5, CSI and USB camera", "5", "BCM2712", "pisp",
			[]string{"/dev/video8"},
			"libcamera", device.MJPG,
			nil, nil, nil,
		},
		{
			"Pi 3, old camera stack", "3bplus", "BCM2837", "none",
			[]string{"/dev/video0"},
			"bm2835 mmal", device.MJPG,
			[]string{image, video},
			[]string{image, video},
			[]string{image, video},
		},
	} {
		t.Run(tt.board, func(t *testing.T) {
			boards := devicetest.Boards()
			at := slices.IndexFunc(boards, func(b devicetest.Board) bool { return b.Name == tt.board })
			if at < 0 {
				t.Fatal("there is no such table")
			}
			bin := t.TempDir()
			script := "#!/bin/sh\nFAKERPICAM=list=" + tt.rpicam + " exec " + fake + " \"$@\"\n"
			if err := os.WriteFile(filepath.Join(bin, "rpicam-vid"), []byte(script), 0o700); err != nil { //nolint:gosec // a program
				t.Fatal(err)
			}
			t.Setenv("PATH", bin)
			k := devicetest.NewKernel(t, boards[at].Nodes...)
			boardFiles(t, k.Root, tt.facts)

			facts := board.Read(k.Root)
			if facts.SoC != tt.soc || (facts.JPEG == board.JPEGExpected) != (len(tt.makers) > 0) {
				t.Errorf("the board is a %s with JPEG hardware %q", facts.SoC, facts.JPEG)
			}

			drv := v4l2.New(v4l2.Config{Root: k.Root, Nodes: k.Open})
			found, err := drv.List(t.Context())
			if err != nil || len(found) != len(boards[at].Nodes) {
				t.Fatalf("listed %d nodes of %d, %v", len(found), len(boards[at].Nodes), err)
			}
			var cameras []string
			for _, f := range found {
				switch {
				case f.Usable:
					cameras = append(cameras, f.Info.Path)
				case f.Reason == "" || f.Err != nil:
					t.Errorf("%s: refused without a reason: %q, %v", f.Info.Path, f.Reason, f.Err)
				}
			}
			if !slices.Equal(cameras, tt.cameras) {
				t.Errorf("cameras are %v, want %v", cameras, tt.cameras)
			}

			makers, err := m2m.New(m2m.Config{Root: k.Root, Nodes: k.Open}).Find(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			takes := func(f device.Format) (names []string) {
				for _, m := range makers {
					if !m.Hardware {
						t.Errorf("%s is called software", m.Name)
					}
					if f == (device.Format{}) || m.Accepts(f) {
						names = append(names, m.Name)
					}
				}
				return names
			}
			for what, want := range map[device.Format][]string{{}: tt.makers, yu12: tt.forYU12, yuyv: tt.forYUYV, full: nil} {
				if got := takes(what); !slices.Equal(got, want) {
					t.Errorf("encoders for %v are %v, want %v", what, got, want)
				}
			}

			raw := func() bool {
				return slices.ContainsFunc(makers, func(m device.EncoderMaker) bool { return m.Accepts(yu12) })
			}
			s, err := Parse("auto", Options{Raw: raw}, drv, slog.New(slog.DiscardHandler))
			if err != nil {
				t.Fatal(err)
			}
			cam, err := s.Open(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = cam.Close() }() // there is nothing to lose
			if got := cam.Info().Driver; got != tt.auto {
				t.Errorf("auto opened %s, want %s", got, tt.auto)
			}
			modes, err := cam.Modes(t.Context())
			if err != nil || len(modes) == 0 {
				t.Fatalf("modes: %v, %v", modes, err)
			}
			best, _, ok := v4l2.Choose(modes, device.Format{Width: 1280, Height: 720})
			if !ok || best.FourCC != tt.codec {
				t.Errorf("pictures come as %v, want %v", best.FourCC, tt.codec)
			}
		})
	}
}

// TestEveryBoardIsInTheTable keeps the test above complete.
func TestEveryBoardIsInTheTable(t *testing.T) {
	if got := len(devicetest.Boards()); got != 6 {
		t.Errorf("there are %d boards, and 6 are tested", got)
	}
}
