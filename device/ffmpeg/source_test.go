package ffmpeg

import (
	"bytes"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/webgear-pi/webgear/device"
)

func TestDetect(t *testing.T) {
	for source, want := range map[string]Kind{
		"film.mp4": KindFile, "/srv/img%03d.png": KindFile, "-film.mp4": KindFile, "concat:a|b": KindFile, "pipe:0": KindFile,
		"file:///etc/passwd": KindFile, "data:x": KindFile, "appsink": KindFile, "wow ! appsink.mp4": KindFile,
		"http://h/x": KindNetwork, "HTTPS://h/x": KindNetwork, "rtsp://u:p@h/x": KindNetwork, "udp://@239.0.0.1:1": KindNetwork,
		"srt://h:1?mode=listener": KindNetwork, "rtmp://h/x": KindNetwork, "mms://h": KindNetwork, "tcp://h:1": KindNetwork, "rtp://h:1": KindNetwork,
		"videotestsrc ! appsink": KindGStreamer, "videotestsrc!appsink": KindGStreamer,
		"rtspsrc location=rtsp://h/x ! rtpjpegdepay ! appsink sync=false": KindGStreamer,
		"'videotestsrc ! appsink": KindGStreamer, // and refused, with a word about the quote
	} {
		if got := Detect(source); got != want {
			t.Errorf("Detect(%q) = %v, want %v", source, got, want)
		}
	}
}

func TestOpenRefusesWhatCannotWork(t *testing.T) {
	folder := t.TempDir()
	for _, tc := range []struct {
		name, source string
		opt          Options
		kind         error
		text         string
	}{
		{name: "nothing", source: " ", kind: device.ErrUnsupported, text: "no source"},
		{name: "zero byte", source: "a\x00b", kind: device.ErrUnsupported},
		{name: "missing file", source: filepath.Join(folder, "x.mp4"), kind: device.ErrNotFound, text: "no such file"},
		{name: "protocol that is none", source: "concat:/etc/passwd|x", kind: device.ErrNotFound},
		{name: "missing pictures", source: filepath.Join(folder, "img%03d.png"), kind: device.ErrNotFound},
		{name: "numbered folders", source: filepath.Join(folder, "%03d", "img%03d.png"), kind: device.ErrUnsupported, text: "belongs to the name"},
		{name: "folder", source: folder, kind: device.ErrUnsupported, text: "is a folder"},
		{name: "option as a device", source: "-y", opt: Options{Demuxer: "lavfi"}, kind: device.ErrUnsupported, text: "dash"},
		{name: "device without demuxer", source: "x", opt: Options{Kind: KindDevice}, kind: device.ErrUnsupported, text: "demuxer"},
		{name: "site that is a file", source: "/etc/passwd", opt: Options{Kind: KindSite}, kind: device.ErrUnsupported, text: "no known protocol"},
		{name: "site on rtsp", source: "rtsp://h/x", opt: Options{Kind: KindSite}, kind: device.ErrUnsupported, text: "http"},
		{name: "spaces", source: "http://h/x -y", kind: device.ErrUnsupported, text: "spaces"},
		{name: "option in a pipeline", source: "--gst-plugin-path=/tmp videotestsrc ! appsink", kind: device.ErrUnsupported, text: "is an option"},
		{name: "no appsink", source: "videotestsrc ! fakesink", opt: Options{Kind: KindGStreamer}, kind: device.ErrUnsupported, text: "appsink"},
		{name: "two appsinks", source: "videotestsrc ! tee name=t ! appsink t. ! appsink", kind: device.ErrUnsupported, text: "one appsink"},
		{name: "open quote", source: "filesrc location='x ! appsink", kind: device.ErrUnsupported, text: "not closed"},
		{name: "option that is ours", source: "http://h/x", opt: Options{Extra: map[string]string{"-f": "mp4"}}, kind: device.ErrUnsupported, text: "-f: cannot be set"},
		{name: "border", source: "http://h/x", opt: Options{Stabilize: &Stabilize{BorderSize: -1}}, kind: device.ErrUnsupported, text: "border"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			cam, err := Open(t.Context(), tc.source, tc.opt)
			if cam != nil || !errors.Is(err, tc.kind) || !strings.Contains(err.Error(), tc.text) {
				t.Errorf("Open(%q): got %v, %v, want %v with %q", tc.source, cam, err, tc.kind, tc.text)
			}
			if _, ok := errors.AsType[*device.OpError](err); !ok {
				t.Errorf("Open(%q): %T is no OpError", tc.source, err)
			}
		})
	}
}

func TestPasswordsAreHidden(t *testing.T) {
	for _, source := range []string{
		"rtsp://me:top%40secret@cam.local/x",
		"rtspsrc location=rtsp://me:top%40secret@cam.local/x ! rtpjpegdepay ! appsink",
		"rtsp://me:xxxxx@cam.local/x?stream=1&token=top%40secret",
		`rtspsrc location=rtsp://me:xxxxx@cam.local/x user-pw="top%40secret" ! rtpjpegdepay ! appsink`,
	} {
		cam, err := Open(t.Context(), source, Options{})
		if err != nil {
			t.Fatal(err)
		}
		for _, text := range []string{
			cam.Info().Path, cam.Info().ID, cam.Info().Name,
			cam.source.redact("GET rtsp://me:top%40secret@cam.local/x: 401"), cam.source.redact("GET /x?stream=1&token=top%40secret: 401"), cam.source.redact("user me password top@secret"),
		} {
			if strings.Contains(text, "secret") {
				t.Errorf("%q tells the password", text)
			}
		}
		if !strings.Contains(cam.Info().Path, "rtsp://me:xxxxx@cam.local/x") {
			t.Errorf("path %q", cam.Info().Path)
		}
		if err := cam.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestOddSettingsAreReportedAndIgnored(t *testing.T) {
	for name, tc := range map[string]struct {
		source string
		opt    Options
		want   string
	}{
		"colour space":      {"http://h/x", Options{Colorspace: "COLOR_BGR2HSV"}, "COLOR_BGR2HSV"},
		"loop":              {"http://h/x", Options{Loop: true}, "only files"},
		"border type":       {"http://h/x", Options{Stabilize: &Stabilize{BorderType: "pink"}}, "pink"},
		"wrap":              {"http://h/x", Options{Stabilize: &Stabilize{BorderType: "wrap"}}, "wrap"},
		"pipeline colours":  {"videotestsrc ! appsink", Options{Colorspace: "RGB"}, "RGB"},
		"pipeline movement": {"videotestsrc ! appsink", Options{Stabilize: &Stabilize{}}, "stabilized"},
	} {
		var log bytes.Buffer
		tc.opt.Log = slog.New(slog.NewTextHandler(&log, nil))
		cam, err := Open(t.Context(), tc.source, tc.opt)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if !strings.Contains(log.String(), tc.want) || !strings.Contains(log.String(), "level=WARN") {
			t.Errorf("%s: log %q, want a warning about %q", name, log.String(), tc.want)
		}
		if cam.chain != "" && !strings.HasPrefix(cam.chain, "deshake=") {
			t.Errorf("%s: filters %q", name, cam.chain)
		}
	}
}

func TestFilters(t *testing.T) {
	for _, tc := range []struct {
		opt  Options
		want string
	}{
		{Options{}, ""},
		{Options{Colorspace: "none-such"}, ""},
		{Options{Colorspace: "COLOR_BGR2GRAY"}, "hue=s=0"},
		{Options{Colorspace: "cv2.COLOR_BGR2BGRA"}, ""},
		{Options{Stabilize: &Stabilize{}}, "deshake=edge=blank"},
		{Options{Stabilize: &Stabilize{BorderType: "reflect_101", BorderSize: 10}}, "pad=iw+20:ih+20:10:10:black,deshake=edge=mirror"},
		{Options{Stabilize: &Stabilize{BorderType: "replicate", BorderSize: 10, CropNZoom: true}}, "deshake=edge=blank,crop=iw-20:ih-20,scale=iw+20:ih+20"},
		{
			Options{Colorspace: "gray", Extra: map[string]string{"-vf": "hflip"}, Stabilize: &Stabilize{BorderType: "replicate"}},
			"hflip,hue=s=0,deshake=edge=clamp",
		},
	} {
		x, err := newExtra(tc.opt.Extra)
		if err != nil {
			t.Fatal(err)
		}
		if got, _, err := filterChain(tc.opt, x); got != tc.want || err != nil {
			t.Errorf("filters of %+v: got %q, %v, want %q", tc.opt, got, err, tc.want)
		}
	}
}

func TestExtraOptionsGoWhereTheyBelong(t *testing.T) {
	x, err := newExtra(map[string]string{
		"-hwaccel": "drm", "-ss": "5", "-vf": "hflip", "-r": "10", "-c:v": "h264_v4l2m2m", "-framerate": "5",
		"-noautorotate": "true", "-copyts": "", "-xerror": "false", "-rtsp_flags": "listen", "-frames:v": "3",
	})
	if err != nil {
		t.Fatal(err)
	}
	wantIn := []string{"-c:v", "h264_v4l2m2m", "-copyts", "-framerate", "5", "-hwaccel", "drm", "-noautorotate", "-rtsp_flags", "listen", "-ss", "5"}
	if !slices.Equal(x.input, wantIn) {
		t.Errorf("input options %q, want %q", x.input, wantIn)
	}
	if want := []string{"-frames:v", "3", "-r", "10"}; !slices.Equal(x.output, want) {
		t.Errorf("output options %q, want %q", x.output, want)
	}
	if want := []string{"-framerate", "5", "-rtsp_flags", "listen"}; !slices.Equal(x.probe, want) {
		t.Errorf("options for ffprobe %q, want %q", x.probe, want)
	}
	if x.filter != "hflip" || !x.decodes() {
		t.Errorf("filter %q, decodes %v", x.filter, x.decodes())
	}
}

func TestExtraOptionsThatCouldDoMoreAreRefused(t *testing.T) {
	for _, tc := range []map[string]string{
		{"vf": "hflip"},
		{"": "x"},
		{"-": "x"},
		{"-a b": "x"},
		{"--": "x"},
		{"-i": "/etc/passwd"},
		{"-y": ""},
		{"-f": "mp4"},
		{"-report": ""},
		{"-dump_attachment:t": "/etc/cron.d/x"},
		{"-re": "/tmp/output.mp4"},
		{"-nostdin": ""},
		{"-progress": "http://h/"},
		{"-pix_fmt": "rgb24"},
		{"-ss": ""},
		{"-ss": "1\x00"},
		{"-vf": "hflip", "-filter:v": "vflip"},
		{"-vf": "hflip", "-filter_complex": "vflip"},
		{"-noautorotate": "/tmp/output.mp4"},
	} {
		if x, err := newExtra(tc); err == nil {
			t.Errorf("newExtra(%q): got %q and %q, want an error", tc, x.input, x.output)
		}
	}
}

func FuzzExtra(f *testing.F) {
	f.Add("-vf", "hflip")
	f.Add("-re", "x")
	f.Add("-noautoscale", "")
	f.Fuzz(func(t *testing.T, name, value string) {
		x, err := newExtra(map[string]string{name: value})
		if err != nil {
			return
		}
		for _, args := range [][]string{x.input, x.output, x.probe} {
			if len(args) > 2 || len(args) > 0 && (args[0] != name || !strings.HasPrefix(name, "-")) || len(args) == 2 && args[1] != value {
				t.Fatalf("%q: %q became %q", name, value, args)
			}
		}
	})
}

func TestSiteArguments(t *testing.T) {
	args, odd := siteArgs("https://h/v", Options{Resolution: "720P", SiteParams: map[string]string{
		"--user_agent": "me", "nocheckcertificate": "true", "exec": "reboot", "format": "x", "force_ipv4": "false",
	}})
	want := []string{
		"--ignore-config", "--no-warnings", "--no-playlist", "--playlist-items", "1-2", "-g", "-f",
		"bv*[height=720]/b[height=720]/bv*[height<=720]/bv*/b", "--user-agent=me", "--no-check-certificates", "--", "https://h/v",
	}
	if !slices.Equal(args, want) {
		t.Errorf("got %q\nwant %q", args, want)
	}
	if len(odd) != 2 {
		t.Errorf("odd: %q, want exec and format", odd)
	}
	for name, known := range map[string]bool{"": true, "best": true, "Worst": true, "144p": true, "4320p": true, "721p": false, "huge": false, "-720p": false} {
		if _, _, ok := siteFormat(name); ok != known {
			t.Errorf("siteFormat(%q) is known: %v, want %v", name, ok, known)
		}
	}
	for out, want := range map[string]error{
		"https://h/v.mp4\n": nil, "": errNoAddress, "file:///etc/passwd\n": errNoAddress, "-y\n": errNoAddress, "https://h/1\nhttps://h/2\n": errPlaylist,
	} {
		if got, err := parseSite([]byte(out)); !errors.Is(err, want) || err == nil && got != strings.TrimSpace(out) {
			t.Errorf("parseSite(%q): got %q, %v, want %v", out, got, err, want)
		}
	}
}

func TestProgramsOfAFolder(t *testing.T) {
	folder := t.TempDir()
	if f, p := (Options{FFmpeg: folder}).programs(); f != filepath.Join(folder, "ffmpeg") || p != "ffprobe" {
		t.Errorf("got %s and %s, want ffprobe from PATH where the folder has none", f, p)
	}
	if err := os.WriteFile(filepath.Join(folder, "ffprobe"), nil, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{folder, filepath.Join(folder, "ffmpeg")} {
		if f, p := (Options{FFmpeg: path}).programs(); f != filepath.Join(folder, "ffmpeg") || p != filepath.Join(folder, "ffprobe") {
			t.Errorf("%s: got %s and %s", path, f, p)
		}
	}
}

func TestCauseIsTheLineThatSaysMost(t *testing.T) {
	s := &source{kind: KindNetwork, networked: true, text: "http://me:pw@h/x", shown: "http://me:xxxxx@h/x"}
	for _, tc := range []struct {
		lines []string
		want  string
		kind  error
	}{
		{[]string{"[tcp @ 0x55d0] Connection to tcp://h:80 failed: Connection refused", "http://me:xxxxx@h/x: Connection refused"}, "Connection refused", device.ErrDisconnected},
		{[]string{"[AVFilterGraph @ 0x1] No such filter: 'x'", "Error reinitializing filters!", "Conversion failed!"}, "No such filter: 'x'", device.ErrUnsupported},
		{[]string{"http://me:xxxxx@h/x: Invalid data found when processing input"}, "Invalid data found when processing input", device.ErrUnsupported},
		{[]string{"https://somewhere.else/x?sig=1: Server returned 403 Forbidden (access denied)"}, "Server returned 403 Forbidden (access denied)", device.ErrDisconnected},
		{[]string{"Conversion failed!"}, "Conversion failed!", device.ErrDisconnected},
		{nil, "", device.ErrDisconnected},
	} {
		if got := cause(tc.lines, s); got != tc.want {
			t.Errorf("cause of %q: got %q, want %q", tc.lines, got, tc.want)
		}
		if got := s.openKind(tc.want); !errors.Is(got, tc.kind) {
			t.Errorf("kind of %q: got %v, want %v", tc.want, got, tc.kind)
		}
	}
}

// TestCauseOfPipelineIsTheFirstComplaint uses lines of gst-launch-1.0 1.22.
func TestCauseOfPipelineIsTheFirstComplaint(t *testing.T) {
	s := &source{kind: KindGStreamer}
	for _, tc := range []struct {
		lines []string
		want  string
		kind  error
	}{
		{[]string{
			"ERROR: from element /GstPipeline:pipeline0/GstFileSrc:filesrc0: GStreamer error: state change failed", "Additional debug info:",
			"ERROR: from element /GstPipeline:pipeline0/GstFileSrc:filesrc0: Resource not found.", "Additional debug info:",
			"ERROR: from element /GstPipeline:pipeline0/GstFileSrc:filesrc0: GStreamer error: state change failed", "Freeing pipeline ...",
		}, "Resource not found.", device.ErrNotFound},
		{[]string{"ERROR: from element /GstPipeline:pipeline0/GstV4l2Src:v4l2src0: Cannot identify device '/dev/video99'."}, "Cannot identify device '/dev/video99'.", device.ErrNotFound},
		{[]string{`WARNING: erroneous pipeline: no element "x"`}, `no element "x"`, device.ErrUnsupported},
		{[]string{"Setting pipeline to NULL ..."}, "Setting pipeline to NULL ...", device.ErrUnsupported},
	} {
		if got := cause(tc.lines, s); got != tc.want {
			t.Errorf("cause of %q: got %q, want %q", tc.lines, got, tc.want)
		}
		if got := s.openKind(tc.want); !errors.Is(got, tc.kind) {
			t.Errorf("kind of %q: got %v, want %v", tc.want, got, tc.kind)
		}
	}
}

func TestSilenceIsBoundedForLiveNetworkSourcesOnly(t *testing.T) {
	for _, tc := range []struct {
		timeout time.Duration
		live    bool
		want    time.Duration
	}{{0, true, networkTimeout}, {0, false, 0}, {time.Second, false, time.Second}, {-1, true, 0}} {
		p := &plan{}
		p.setSilence(&source{}, Options{ReadTimeout: tc.timeout}, tc.live)
		if p.silence != tc.want {
			t.Errorf("time limit %v, live %v: got %v, want %v", tc.timeout, tc.live, p.silence, tc.want)
		}
	}
}
