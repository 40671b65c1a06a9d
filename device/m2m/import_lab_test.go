//go:build labguest

package m2m

import (
	"bytes"
	"context"
	"strings"
	"testing"
	"time"

	"github.com/webgear-pi/webgear/device"
	"github.com/webgear-pi/webgear/device/v4l2"
)

// labVivid opens the kernel's test driver with pictures of full range.
func labVivid(t *testing.T, quantization string) *v4l2.Camera {
	t.Helper()
	d := v4l2.New(v4l2.Config{})
	found, err := d.List(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range found {
		if f.Info.Driver != "vivid" || !f.Usable {
			continue
		}
		cam, err := d.Open(t.Context(), f.Info.Path)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := cam.Close(); err != nil {
				t.Errorf("Close: %v", err)
			}
		})
		if _, err := cam.SetControls(t.Context(), map[string]device.ControlValue{"quantization": device.TextValue(quantization)}); err != nil {
			t.Fatal(err)
		}
		return cam
	}
	t.Fatal("no vivid")
	return nil
}

// TestLabPicturesOfACameraAreImported has labjpeg read vivid's pictures where
// they are, and compares with what it makes of copies.
func TestLabPicturesOfACameraAreImported(t *testing.T) {
	const pictures = 10
	for _, want := range []device.Format{
		{FourCC: device.YU12, Width: 640, Height: 480},
		{FourCC: device.NV12, Width: 640, Height: 480},
		{FourCC: device.YUYV, Width: 1280, Height: 720},
		{FourCC: device.UYVY, Width: 640, Height: 480},
	} {
		t.Run(want.String(), func(t *testing.T) {
			labSet(t, "delay_ms", 0)
			cam := labVivid(t, "Full Range")
			m := labEncoder(t, Config{})
			granted, err := cam.Start(t.Context(), want)
			if err != nil || granted.FourCC != want.FourCC || granted.Quantization != device.FullRange {
				t.Fatalf("granted %+v, %v", granted, err)
			}
			shared, copied := labOpen(t, m, granted), labOpen(t, m, granted)
			var took [2]time.Duration
			seen := map[string]bool{}
			for round := range 2 { // vivid gets new memory for the second
				for range pictures {
					err := cam.Next(t.Context(), func(b *device.Buffer) error {
						began := time.Now()
						got, err := shared.Encode(b)
						took[0] += time.Since(began)
						if err != nil {
							return err
						}
						seen[string(got)] = true
						mine := *b
						mine.DMABUF = nil
						began = time.Now()
						want, err := copied.Encode(&mine)
						took[1] += time.Since(began)
						if err == nil && !bytes.Equal(got, want) {
							t.Errorf("the imported picture %d came out differently", b.DriverSeq)
						}
						return err
					})
					if err != nil {
						t.Fatal(err)
					}
				}
				if err := cam.Stop(); err != nil {
					t.Fatalf("Stop with pictures imported: %v", err)
				}
				if round == 0 {
					if _, err := cam.Start(context.Background(), granted); err != nil {
						t.Fatal(err)
					}
				}
			}
			size := uint64(shared.copier.size)
			if shared.imports.pictures != 2*pictures || shared.copied != size || copied.copied != 2*pictures*size {
				t.Errorf("%d pictures imported with %d bytes copied, beside %d bytes", shared.imports.pictures, shared.copied, copied.copied)
			}
			if len(seen) < 2 {
				t.Error("all pictures are the same")
			}
			t.Logf("%d bytes copied of %d pictures, %v each; %d bytes without import, %v each", shared.copied, 2*pictures,
				took[0]/(2*pictures), copied.copied, took[1]/(2*pictures))
		})
	}
}

func TestLabPicturesThatNeedACopyGetOne(t *testing.T) {
	for _, tt := range []struct {
		quantization string
		want         device.Format
	}{
		{"Limited Range", device.Format{FourCC: device.YU12, Width: 640, Height: 480}},
		{"Full Range", device.Format{FourCC: device.YU12, Width: 640, Height: 360}},   // lines are added
		{"Full Range", device.Format{FourCC: device.YUYV, Width: 640, Height: 360}},   // the kernel finds the memory too short
		{"Full Range", device.Format{FourCC: device.YU12, Width: 1920, Height: 1080}}, // lines are added
	} {
		t.Run(strings.Join([]string{tt.quantization, tt.want.String()}, " "), func(t *testing.T) {
			cam := labVivid(t, tt.quantization)
			granted, err := cam.Start(t.Context(), tt.want)
			if err != nil || granted.Height != tt.want.Height {
				t.Fatalf("granted %+v, %v", granted, err)
			}
			e := labOpen(t, labEncoder(t, Config{}), granted)
			for range 3 {
				err := cam.Next(t.Context(), func(b *device.Buffer) error {
					_, err := e.Encode(b)
					return err
				})
				if err != nil {
					t.Fatal(err)
				}
			}
			if e.imports.pictures != 0 || e.copied != 3*uint64(e.copier.size) || e.output.mem != memoryMMAP {
				t.Errorf("%d pictures imported, %d bytes copied", e.imports.pictures, e.copied)
			}
		})
	}
}

func labOpen(t *testing.T, m device.EncoderMaker, f device.Format) *Encoder {
	t.Helper()
	e, err := m.New(t.Context(), f, 80)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Close)
	return e.(*Encoder)
}
