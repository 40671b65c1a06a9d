package device

import (
	"encoding/json"
	"errors"
	"io/fs"
	"strings"
	"syscall"
	"testing"
)

func TestFourCCTextRoundTrips(t *testing.T) {
	for _, code := range []FourCC{MJPG, JPEG, YUYV, UYVY, NV12, YU12, RGB24, GREY, 'Y' | '1'<<8 | '6'<<16 | ' '<<24, 0} {
		text, err := code.MarshalText()
		if err != nil {
			t.Fatal(err)
		}
		var back FourCC
		if err := back.UnmarshalText(text); err != nil || back != code {
			t.Errorf("%08x became %q and then %08x, %v", uint32(code), text, uint32(back), err)
		}
	}
	if got := FourCC(0x01020304).String(); got != "...." {
		t.Errorf("unprintable code printed as %q", got)
	}
}

func TestParseFourCCKnowsCodesAndFFmpegNames(t *testing.T) {
	for text, want := range map[string]FourCC{
		"MJPG": MJPG, "mjpeg": MJPG, "yuyv": YUYV, "yuyv422": YUYV, "UYVY": UYVY, "nv12": NV12, "yuv420p": YU12,
		"RGB3": RGB24, "rgb24": RGB24, "gray": GREY, " GREY ": GREY, "JPEG": JPEG,
	} {
		if got, err := ParseFourCC(text); err != nil || got != want {
			t.Errorf("%q: got %v, %v; want %v", text, got, err, want)
		}
	}
	for _, text := range []string{"", "H264", "BA81", "MJPGX"} {
		if _, err := ParseFourCC(text); err == nil || !strings.Contains(err.Error(), "use one of MJPG, JPEG, YU12") {
			t.Errorf("%q: got %v, want the list of formats", text, err)
		}
	}
}

func TestRankPrefersWhatNeedsNoEncoding(t *testing.T) {
	last := -1
	for _, f := range []FourCC{MJPG, JPEG, YU12, NV12, YUYV, UYVY, GREY, RGB24} {
		rank, ok := f.Rank()
		if !ok || rank <= last {
			t.Errorf("%v has rank %d after %d, usable %v", f, rank, last, ok)
		}
		last = rank
	}
	if _, ok := FourCC('H' | '2'<<8 | '6'<<16 | '4'<<24).Rank(); ok {
		t.Error("H264 is called usable")
	}
}

func TestRateIsExact(t *testing.T) {
	for _, tt := range []struct {
		fps  float64
		want Rate
		text string
	}{
		{30, Rate{30, 1}, "30"},
		{29.97, Rate{2997, 100}, "29.97"},
		{7.5, Rate{15, 2}, "7.5"},
		{0.1, Rate{1, 10}, "0.1"},
		{100, Rate{100, 1}, "100"},
		{0, Rate{}, "0"},
		{-1, Rate{}, "0"},
	} {
		r := FPS(tt.fps)
		if r != tt.want || r.String() != tt.text {
			t.Errorf("%v: got %+v %q, want %+v %q", tt.fps, r, r, tt.want, tt.text)
		}
		data, err := json.Marshal(r)
		var back Rate
		if err != nil || json.Unmarshal(data, &back) != nil || back != r {
			t.Errorf("%v became %s and then %v", r, data, back)
		}
	}
}

func TestParseSize(t *testing.T) {
	w, h, rate, err := ParseSize("1920x1080@59.94")
	if err != nil || w != 1920 || h != 1080 || rate != FPS(59.94) {
		t.Errorf("got %d %d %v %v", w, h, rate, err)
	}
	if _, _, rate, err = ParseSize("16X16"); err != nil || rate != (Rate{}) {
		t.Errorf("got rate %v, %v", rate, err)
	}
	for _, bad := range []string{"", "x", "1280", "1280x", "x720", "1280x720x3", "15x16", "16385x16", "16384x16384", "-1x720", "1280x720@", "1280x720@0", "1280x720@1001", "1280x720@NaN", "1280 x 720"} {
		if _, _, _, err := ParseSize(bad); err == nil || !strings.Contains(err.Error(), "size \""+bad) {
			t.Errorf("%q: got %v", bad, err)
		}
	}
}

func FuzzParseSize(f *testing.F) {
	f.Add("1280x720@30")
	f.Fuzz(func(t *testing.T, s string) {
		w, h, rate, err := ParseSize(s)
		if err == nil && (w < 16 || h < 16 || w*h > MaxPixels || rate.Float() < 0 || rate.Float() > 1000.001) {
			t.Errorf("%q accepted as %dx%d at %v", s, w, h, rate)
		}
	})
}

func TestOpErrorSaysOperationObjectAndCauseAndKeepsTheErrno(t *testing.T) {
	err := error(&OpError{Op: "v4l2 set format", Path: "/dev/video0", Detail: "MJPG 1280x720", Kind: ErrBusy, Err: syscall.EBUSY})
	if got, want := err.Error(), "v4l2 set format /dev/video0 MJPG 1280x720: device or resource busy"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if !errors.Is(err, ErrBusy) || !errors.Is(err, syscall.EBUSY) || errors.Is(err, ErrUnplugged) {
		t.Error("kind or errno is not reachable")
	}
	err = &OpError{Op: "open", Path: "x", Kind: ErrNotFound}
	if got := err.Error(); got != "open x: not found" || errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %q", got)
	}
}
