package ffmpeg

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/webgear-pi/webgear/device"
)

// What ffprobe 5.1.9 of Debian 12 says, shortened.
const (
	probeAVI = `{"program_version":{"version":"5.1.9-0+deb12u1"},"streams":[{"index":0,"codec_name":"mjpeg","codec_type":"video","width":320,"height":240,
"pix_fmt":"yuvj444p","color_range":"pc","color_space":"bt470bg","r_frame_rate":"30000/1001","avg_frame_rate":"30000/1001","duration":"2.002000","nb_frames":"60"}],
"format":{"filename":"a.avi","format_name":"avi","duration":"2.002000"}}`
	probeRTSP = `{"program_version":{"version":"7.1.1-1"},"streams":[{"codec_name":"h264","codec_type":"video","width":1920,"height":1080,"pix_fmt":"yuv420p",
"field_order":"progressive","r_frame_rate":"25/1","avg_frame_rate":"25/1"}],"format":{"format_name":"rtsp"}}`
	probePhone = `{"program_version":{"version":"4.3.9"},"streams":[{"codec_name":"hevc","codec_type":"video","width":1920,"height":1080,"pix_fmt":"yuv420p","color_range":"tv",
"color_space":"bt709","r_frame_rate":"90000/1","avg_frame_rate":"2997/100","side_data_list":[{"side_data_type":"Display Matrix","rotation":-90}]}],
"format":{"format_name":"mov,mp4,m4a,3gp,3g2,mj2","duration":"3.0"}}`
	probeLavfi  = `{"streams":[{"codec_name":"rawvideo","width":320,"height":240,"pix_fmt":"rgb24","r_frame_rate":"25/1","avg_frame_rate":"0/0"}],"format":{"format_name":"lavfi"}}`
	probeFields = `{"streams":[{"codec_name":"mjpeg","width":720,"height":576,"pix_fmt":"yuvj422p","field_order":"tt","r_frame_rate":"25/1","avg_frame_rate":"25/1"}],"format":{"format_name":"avi","duration":"1"}}`
	probeHLS    = `{"streams":[{"codec_name":"h264","width":1280,"height":720,"pix_fmt":"yuv420p","r_frame_rate":"30/1","avg_frame_rate":"0/0"}],"format":{"format_name":"hls"}}`
	probeParts  = `{"streams":[{"codec_name":"mjpeg","width":640,"height":480,"pix_fmt":"yuvj420p","r_frame_rate":"25/1","avg_frame_rate":"0/0"}],"format":{"format_name":"mpjpeg"}}`
)

func TestParseProbe(t *testing.T) {
	for name, tc := range map[string]struct {
		json string
		want facts
	}{
		"AVI":      {probeAVI, facts{codec: "mjpeg", width: 320, height: 240, rate: device.Rate{Num: 30000, Den: 1001}, pixels: "yuvj444p", full: true, container: "avi", major: 5, minor: 1}},
		"RTSP":     {probeRTSP, facts{codec: "h264", width: 1920, height: 1080, rate: device.Rate{Num: 25, Den: 1}, pixels: "yuv420p", matrix: device.BT709, endless: true, container: "rtsp", major: 7, minor: 1}},
		"portrait": {probePhone, facts{codec: "hevc", width: 1080, height: 1920, rate: device.Rate{Num: 2997, Den: 100}, pixels: "yuv420p", matrix: device.BT709, container: "mov,mp4,m4a,3gp,3g2,mj2", major: 4, minor: 3}},
		"lavfi":    {probeLavfi, facts{codec: "rawvideo", width: 320, height: 240, rate: device.Rate{Num: 25, Den: 1}, pixels: "rgb24", endless: true, container: "lavfi"}},
	} {
		got, err := parseProbe([]byte(tc.json))
		if err != nil || *got != tc.want {
			t.Errorf("%s: got %+v, %v\nwant %+v", name, got, err, tc.want)
		}
	}
	for _, text := range []string{`{"streams":[],"format":{}}`, `{"streams":[{"width":1,"height":1}]}`} {
		if _, err := parseProbe([]byte(text)); !errors.Is(err, errNoVideo) {
			t.Errorf("%s: got %v, want errNoVideo", text, err)
		}
	}
	for _, text := range []string{"", "{", `{"streams":[{"codec_name":"h264","width":0,"height":0}]}`, `{"streams":[{"codec_name":"h264","width":99999,"height":2}]}`} {
		if got, err := parseProbe([]byte(text)); err == nil {
			t.Errorf("%s: got %+v, want an error", text, got)
		}
	}
}

func FuzzProbe(f *testing.F) {
	for _, s := range []string{probeAVI, probeRTSP, probePhone, probeLavfi} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		got, err := parseProbe(data)
		if err != nil {
			return
		}
		if err := checkSize(got.width, got.height); err != nil || got.codec == "" {
			t.Fatalf("accepted %+v: %v", got, err)
		}
	})
}

func TestFFmpegArguments(t *testing.T) {
	for _, tc := range []struct {
		name  string
		kind  Kind
		src   string
		probe string
		opt   Options
		want  device.Format
		args  string // behind -loglevel error, up to -flush_packets
		parts bool
		rate  device.Rate
	}{
		{
			name: "MJPEG file", kind: KindFile, src: "-y.avi", probe: probeAVI, parts: true, rate: device.Rate{Num: 30000, Den: 1001},
			args: "-re -i file:-y.avi -map 0:V:0 -c:v copy -f mpjpeg",
		},
		{
			name: "looped", kind: KindFile, src: "a.mp4", probe: probePhone, opt: Options{Loop: true}, rate: device.Rate{Num: 2997, Den: 100},
			args: "-re -stream_loop -1 -i file:a.mp4 -map 0:V:0 -vsync passthrough -pix_fmt yuv420p -f yuv4mpegpipe",
		},
		{
			name: "filter on MJPEG", kind: KindFile, src: "a.avi", probe: probeAVI, opt: Options{Extra: map[string]string{"-vf": "hflip", "-ss": "1"}},
			args: "-re -ss 1 -i file:a.avi -map 0:V:0 -vf hflip -fps_mode passthrough -pix_fmt yuvj420p -f yuv4mpegpipe",
		},
		{
			name: "other rate", kind: KindFile, src: "a.avi", probe: probeAVI, opt: Options{Extra: map[string]string{"-r": "5"}},
			args: "-re -i file:a.avi -map 0:V:0 -r 5 -pix_fmt yuvj420p -f yuv4mpegpipe",
		},
		{
			name: "interlaced MJPEG", kind: KindFile, src: "a.avi", probe: probeFields, rate: device.Rate{Num: 25, Den: 1},
			args: "-re -i file:a.avi -map 0:V:0 -fps_mode passthrough -pix_fmt yuvj420p -f yuv4mpegpipe",
		},
		{
			name: "RTSP", kind: KindNetwork, src: "rtsp://h/x", probe: probeRTSP, rate: device.Rate{Num: 25, Den: 1},
			args: "-fflags nobuffer -flags low_delay -rtsp_transport tcp -i rtsp://h/x -map 0:V:0 -fps_mode passthrough -pix_fmt yuv420p -f yuv4mpegpipe",
		},
		{
			name: "RTSP over UDP", kind: KindNetwork, src: "rtsp://h/x", probe: probeRTSP, rate: device.Rate{Num: 25, Den: 1},
			opt:  Options{Extra: map[string]string{"-rtsp_transport": "udp", "-fflags": "+discardcorrupt"}},
			args: "-flags low_delay -fflags +discardcorrupt -rtsp_transport udp -i rtsp://h/x -map 0:V:0 -fps_mode passthrough -pix_fmt yuv420p -f yuv4mpegpipe",
		},
		{
			name: "HLS runs by the clock", kind: KindNetwork, src: "https://h/x.m3u8", probe: probeHLS, rate: device.Rate{Num: 30, Den: 1},
			args: "-re -i https://h/x.m3u8 -map 0:V:0 -fps_mode passthrough -pix_fmt yuv420p -f yuv4mpegpipe",
		},
		{
			name: "multipart has no rate", kind: KindNetwork, src: "http://h/x", probe: probeParts, parts: true,
			args: "-fflags nobuffer -flags low_delay -i http://h/x -map 0:V:0 -c:v copy -f mpjpeg",
		},
		{
			name: "lavfi", kind: KindDevice, src: "testsrc", probe: probeLavfi, opt: Options{Demuxer: "lavfi"}, rate: device.Rate{Num: 25, Den: 1},
			args: "-re -f lavfi -i testsrc -map 0:V:0 -fps_mode passthrough -pix_fmt yuvj420p -f yuv4mpegpipe",
		},
		{
			name: "not asked", kind: KindDevice, src: "/dev/video0", opt: Options{Demuxer: "v4l2", Extra: map[string]string{"-video_size": "640x480"}},
			args: "-f v4l2 -video_size 640x480 -i /dev/video0 -map 0:V:0 -fps_mode passthrough -pix_fmt yuv420p -f yuv4mpegpipe",
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := &source{kind: tc.kind, text: tc.src, shown: tc.src, recording: tc.kind == KindFile, networked: tc.kind == KindNetwork, synthetic: tc.opt.Demuxer == "lavfi"}
			x, err := newExtra(tc.opt.Extra)
			if err != nil {
				t.Fatal(err)
			}
			var f *facts
			if tc.probe != "" {
				if f, err = parseProbe([]byte(tc.probe)); err != nil {
					t.Fatal(err)
				}
			}
			p := ffmpegPlan(s, s.target(), tc.opt, x, x.filter, f, tc.want)
			want := "-hide_banner -nostdin -nostats -loglevel error " + tc.args + " -flush_packets 1 pipe:1"
			if got := strings.Join(p.spec.Args, " "); got != want {
				t.Errorf("got  %s\nwant %s", got, want)
			}
			if p.multipart != tc.parts || p.rate != tc.rate {
				t.Errorf("multipart %v, rate %v, want %v, %v", p.multipart, p.rate, tc.parts, tc.rate)
			}
		})
	}
}

func TestSequencesTakeTheRateThatIsWanted(t *testing.T) {
	s := &source{kind: KindFile, text: "i%d.png", recording: true, numbered: true}
	x := &extra{}
	p := ffmpegPlan(s, s.target(), Options{}, x, "", nil, device.Format{Rate: device.FPS(12.5)})
	if got := strings.Join(p.spec.Args, " "); !strings.Contains(got, "-framerate 25/2 -i file:i%d.png") || p.rate != device.FPS(12.5) {
		t.Errorf("arguments %s, rate %v", got, p.rate)
	}
	if got := strings.Join(probeArgs(s, s.target(), Options{}, x, device.Format{}), " "); !strings.HasSuffix(got, "-of json -i file:i%d.png") {
		t.Errorf("arguments for ffprobe: %s", got)
	}
}

func TestSplitPipeline(t *testing.T) {
	for text, want := range map[string][]string{
		"":                                 nil,
		"a ! b":                            {"a", "!", "b"},
		"a!b":                              {"a", "!", "b"},
		" a\t x=1\n!  b ":                  {"a", "x=1", "!", "b"},
		`a caps="video/x-raw, width=1" !b`: {"a", "caps=video/x-raw, width=1", "!", "b"},
		`a l='x ! y' ! b`:                  {"a", "l=x ! y", "!", "b"},
		`a l=x\ y l2="q\"r" '\'`:           {"a", "l=x y", `l2=q"r`, `\`},
		`a $(reboot) ; b`:                  {"a", "$(reboot)", ";", "b"},
		`a ""`:                             {"a", ""},
	} {
		got, err := splitPipeline(text)
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("splitPipeline(%q): got %q, %v, want %q", text, got, err, want)
		}
	}
	for _, text := range []string{`a "b`, `a 'b`, `a \`, "a\x00b"} {
		if got, err := splitPipeline(text); err == nil {
			t.Errorf("splitPipeline(%q): got %q, want an error", text, got)
		}
	}
}

func FuzzPipeline(f *testing.F) {
	f.Add("videotestsrc ! appsink")
	f.Add(`filesrc location="a b" ! jpegdec ! tee name=t ! appsink drop=1 t. ! queue ! fakesink`)
	f.Add(`a ! 'b ! appsink`)
	f.Fuzz(func(t *testing.T, text string) {
		p, err := newPipeline(text, false)
		if err != nil {
			return
		}
		for i, a := range p.args {
			if i > 1 && strings.HasPrefix(a, "-") {
				t.Fatalf("%q gave the option %q", text, a)
			}
		}
		if utf8.ValidString(text) && slices.Contains(p.args, "appsink") {
			t.Fatalf("%q: an appsink is left in %q", text, p.args)
		}
	})
}

func TestPipelineTail(t *testing.T) {
	const raw = "videoconvert ! video/x-raw,format=I420 ! y4menc name=webgear_pictures ! fdsink fd=3 sync="
	const parts = "multipartmux name=webgear_pictures ! fdsink fd=3 sync="
	for _, tc := range []struct {
		text, want string
		check      func(p *pipeline) bool
	}{
		{"videotestsrc ! appsink", "videotestsrc ! " + raw + "true", func(p *pipeline) bool { return !p.jpeg && !p.recording && !p.network }},
		{"gst-launch-1.0 videotestsrc ! appsink sync=false drop=true max-buffers=1", "videotestsrc ! " + raw + "false", func(p *pipeline) bool { return p.newest }},
		{"filesrc location=x ! jpegparse ! queue ! appsink", "filesrc location=x ! jpegparse ! queue ! " + parts + "true", func(p *pipeline) bool { return p.jpeg && p.recording }},
		{"v4l2src ! image/jpeg,width=640 ! appsink", "v4l2src ! image/jpeg,width=640 ! " + parts + "true", func(p *pipeline) bool { return p.jpeg && p.camera }},
		{"v4l2src ! image/jpeg ! jpegdec ! videoconvert ! video/x-raw,format=BGR ! appsink", "v4l2src ! image/jpeg ! jpegdec ! videoconvert ! video/x-raw,format=BGR ! " + raw + "true", func(p *pipeline) bool { return !p.jpeg }},
		{"rtspsrc location=rtsp://h ! rtpjpegdepay ! appsink", "rtspsrc location=rtsp://h ! rtpjpegdepay ! " + parts + "true", func(p *pipeline) bool { return p.jpeg && p.network }},
		{"videotestsrc ! tee name=t ! appsink name=s t. ! queue ! fakesink", "videotestsrc ! tee name=t ! " + raw + "true t. ! queue ! fakesink", func(p *pipeline) bool { return !p.jpeg }},
	} {
		p, err := newPipeline(tc.text, false)
		if err != nil {
			t.Errorf("%s: %v", tc.text, err)
			continue
		}
		if got := strings.Join(p.args, " "); got != "-v -- "+tc.want || !tc.check(p) {
			t.Errorf("%s:\ngot  %s\nwant -v -- %s\n%+v", tc.text, got, tc.want, p)
		}
	}
}

// TestCaps uses lines of gst-launch-1.0 1.22 of Debian 12.
func TestCaps(t *testing.T) {
	const line = "/GstPipeline:pipeline0/GstY4mEncode:webgear_pictures.GstPad:sink: caps = video/x-raw, width=(int)64, framerate=(fraction)20/1, colorimetry=(string)"
	hd := device.Format{FourCC: device.YU12, Width: 1280, Height: 720}
	for colorimetry, want := range map[string]device.Format{
		"bt601": {Quantization: device.LimitedRange, Matrix: device.BT601}, "bt709": {Quantization: device.LimitedRange, Matrix: device.BT709},
		"1:4:0:0": {Quantization: device.FullRange, Matrix: device.BT601}, "2:4:16:4": {Quantization: device.LimitedRange, Matrix: device.BT601},
		"1:3:5:1": {Quantization: device.FullRange, Matrix: device.BT709}, "bt2020-10": {Quantization: device.LimitedRange, Matrix: device.BT709},
		"nonsense": {Quantization: device.LimitedRange, Matrix: device.BT709},
	} {
		caps := capsOf(line + colorimetry + ", interlace-mode=(string)progressive")
		got := applyCaps(hd, caps)
		if got.Quantization != want.Quantization || got.Matrix != want.Matrix || got.Rate.Float() != 20 {
			t.Errorf("%s: got %+v, want %+v at 20 fps", colorimetry, got, want)
		}
	}
	if got := applyCaps(hd, ""); got.Matrix != device.BT709 || got.Quantization != device.LimitedRange {
		t.Errorf("without caps: got %+v", got)
	}
	jpeg := capsOf("/GstPipeline:pipeline0/GstMultipartMux:webgear_pictures.GstPad:sink_0: caps = image/jpeg, framerate=(fraction)15/2, colorimetry=(string)bt601")
	if got := applyCaps(device.Format{FourCC: device.MJPG}, jpeg); got.Rate != (device.Rate{Num: 15, Den: 2}) || got.Matrix != device.BT601 {
		t.Errorf("JPEG: got %+v", got)
	}
	for _, other := range []string{
		"", "/GstPipeline:pipeline0/GstY4mEncode:webgear_pictures.GstPad:src: caps = application/x-yuv4mpeg",
		"/GstPipeline:pipeline0/GstVideoConvert:videoconvert0.GstPad:sink: caps = video/x-raw",
	} {
		if got := capsOf(other); got != "" {
			t.Errorf("capsOf(%q) = %q", other, got)
		}
	}
}
