package libcamera

import (
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/webgear-pi/webgear/device"
)

func TestCommandLineIsExact(t *testing.T) {
	imx708 := listed{sensor: "imx708", id: "/base/soc/i2c0mux/i2c@1/imx708@1a", width: 4608, height: 2592}
	imx708.modes = []SensorMode{{Width: 1536, Height: 864, FPS: 120.13}, {Width: 4608, Height: 2592, FPS: 14.35}}
	second := imx708
	second.index = 1
	for _, tt := range []struct {
		name  string
		cam   listed
		board Board
		opt   Options
		want  device.Format
		args  string
	}{
		{
			"VC4 decides for raw pictures", imx708, BoardVC4,
			Options{},
			device.Format{},
			"-n -t 0 --camera 0 --codec yuv420 --width 1280 --height 720 --framerate 30 --flush -o - --metadata M --metadata-format txt",
		},
		{
			"PiSP decides for JPEG pictures", second, BoardPiSP,
			Options{},
			device.Format{Width: 1920, Height: 1080, Rate: device.FPS(10)},
			"-n -t 0 --camera 1 --codec mjpeg --width 1920 --height 1080 --framerate 10 --flush -o - --quality 80 --metadata M --metadata-format txt",
		},
		{
			"auto is as nothing", imx708, BoardVC4,
			Options{Codec: CodecAuto},
			device.Format{},
			"-n -t 0 --camera 0 --codec yuv420 --width 1280 --height 720 --framerate 30 --flush -o - --metadata M --metadata-format txt",
		},
		{
			"an exposure that is longer than a picture lowers the rate", imx708, BoardVC4,
			Options{ExposureTime: 500 * time.Millisecond},
			device.Format{},
			"-n -t 0 --camera 0 --codec yuv420 --width 1280 --height 720 --framerate 2 --flush -o - --metadata M --metadata-format txt --shutter=500000",
		},
		{
			"PiSP with raw pictures by setting", imx708, BoardPiSP,
			Options{Codec: CodecYUV420},
			device.Format{},
			"-n -t 0 --camera 0 --codec yuv420 --width 1280 --height 720 --framerate 30 --flush -o - --metadata M --metadata-format txt",
		},
		{
			"the format that is asked for goes first", imx708, BoardVC4,
			Options{Codec: CodecYUV420, JpegQuality: 55},
			device.Format{FourCC: device.MJPG},
			"-n -t 0 --camera 0 --codec mjpeg --width 1280 --height 720 --framerate 30 --flush -o - --quality 55 --metadata M --metadata-format txt",
		},
		{
			"sides are even, at least 64, at most the sensor's, the rate at most the mode's", imx708, BoardVC4,
			Options{},
			device.Format{Width: 9001, Height: 33, Rate: device.FPS(500)},
			"-n -t 0 --camera 0 --codec yuv420 --width 4608 --height 64 --framerate 14.35 --flush -o - --metadata M --metadata-format txt",
		},
		{
			"one side makes the other", imx708, BoardVC4,
			Options{AlignWidth: true},
			device.Format{Width: 815},
			"-n -t 0 --camera 0 --codec yuv420 --width 800 --height 458 --framerate 30 --flush -o - --metadata M --metadata-format txt",
		},
		{
			"every control", imx708, BoardVC4,
			Options{
				ExposureTime: 10 * time.Millisecond, AnalogueGain: 2.5, ExposureValue: -0.5, AeExposureMode: "sport", AeMeteringMode: "spot",
				AeFlickerPeriod: 8333 * time.Microsecond, AwbMode: "cloudy", ColourGains: [2]float64{1.5, 2}, AfMode: "manual", AfRange: "macro",
				AfSpeed: "fast", AfWindow: Region{0.25, 0.25, 0.5, 0.5}, LensPosition: new(0.0), Brightness: -0.25, Contrast: new(0.0), Saturation: new(float64(1.25)),
				Sharpness: new(float64(15)), NoiseReductionMode: "cdn_off", HdrMode: "sensor", ScalerCrop: Region{0, 0, 0.5, 0.5}, HFlip: true, VFlip: true,
				Rotation: 180, TuningFile: "/etc/imx708.json", SensorMode: "1536:864:10:P", BufferCount: 4, Verbose: true,
			},
			device.Format{Width: 640, Height: 480},
			"-n -t 0 --camera 0 --codec yuv420 --width 640 --height 480 --framerate 30 --flush -o - --metadata M --metadata-format txt --verbose=2 " +
				"--shutter=10000 --gain=2.5 --ev=-0.5 --exposure=sport --metering=spot --flicker-period=8333us --awb=cloudy --awbgains=1.5,2 " +
				"--autofocus-mode=manual --autofocus-range=macro --autofocus-speed=fast --autofocus-window=0.25,0.25,0.5,0.5 --lens-position=0 " +
				"--brightness=-0.25 --contrast=0 --saturation=1.25 --sharpness=15 --denoise=cdn_off --hdr=sensor --roi=0,0,0.5,0.5 --hflip --vflip " +
				"--rotation=180 --tuning-file=/etc/imx708.json --mode=1536:864:10:P --buffer-count=4",
		},
		{
			"no raw", imx708, BoardVC4,
			Options{NoRaw: true},
			device.Format{},
			"-n -t 0 --camera 0 --codec yuv420 --width 1280 --height 720 --framerate 30 --flush -o - --metadata M --metadata-format txt --no-raw",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if err := tt.opt.Validate(); err != nil {
				t.Fatal(err)
			}
			p := newPlan(&tt.cam, tt.board, tt.board != BoardPiSP, tt.opt, tt.want)
			if got := strings.Join(p.args("M"), " "); got != tt.args {
				t.Errorf("got  %s\nwant %s", got, tt.args)
			}
		})
	}
}

func TestBoardIsToldByTheCameraID(t *testing.T) {
	for id, want := range map[string]Board{
		"/base/axi/pcie@120000/rp1/i2c@88000/imx708@1a":     BoardPiSP,
		"/base/axi/pcie@1000120000/rp1/i2c@80000/imx219@10": BoardPiSP,
		"/base/soc/i2c0mux/i2c@1/imx708@1a":                 BoardVC4,
		"":                                                  BoardVC4,
	} {
		if got := boardOf(id); got != want {
			t.Errorf("%q: got %s, want %s", id, got, want)
		}
	}
}

func TestStridesFollowTheBoard(t *testing.T) {
	vc4, pisp := plan{board: BoardVC4}, plan{board: BoardPiSP}
	for _, tt := range []struct {
		p     plan
		width int
		want  []int
	}{
		{vc4, 780, []int{832}},
		{vc4, 1920, []int{1920}},
		{pisp, 1280, []int{1280}},
		{pisp, 1920, []int{1920}},
		{pisp, 832, []int{896, 832}},
		{pisp, 780, []int{896, 832, 800, 780}},
	} {
		if got := tt.p.strides(tt.width); !slices.Equal(got, tt.want) {
			t.Errorf("%s %d: got %v, want %v", tt.p.board, tt.width, got, tt.want)
		}
	}
}

func TestOptionsNameWhatIsWrongAndTheRemedy(t *testing.T) {
	for _, tt := range []struct{ name, value, want string }{
		{"AnalogueGain", "0.5", `AnalogueGain "0.5": outside of 1 to 64`},
		{"AnalogueGain", "NaN", `AnalogueGain "NaN": not a number`},
		{"ExposureTime", "5m", `ExposureTime "5m": outside of 1µs to 4m10s`},
		{"ExposureTime", "soon", `ExposureTime "soon": write it as 10ms or 10000us`},
		{"ExposureValue", "9", `ExposureValue "9": outside of -8 to 8`},
		{"AwbMode", "sunny", `AwbMode "sunny": use one of auto, incandescent, tungsten, fluorescent, indoor, daylight, cloudy, custom`},
		{"ColourGains", "1.5", `ColourGains "1.5": wants 2 numbers with commas between them`},
		{"ColourGains", "1.5,90", `ColourGains "1.5,90": write red,blue: each is outside of 0.1 to 32`},
		{"Contrast", "-1", `Contrast "-1": outside of 0 to 15.99`},
		{"Rotation", "90", `Rotation "90": use 0 or 180: the hardware cannot make a quarter turn, turn the camera`},
		{"ScalerCrop", "0.5,0,0.6,1", `ScalerCrop "0.5,0,0.6,1": write x,y,width,height as fractions of the picture from 0 to 1, such as 0.25,0.25,0.5,0.5`},
		{"SensorMode", "1536x864", `SensorMode "1536x864": write it as WIDTH:HEIGHT:BITS:P, such as 2304:1296:10:P; the sensor's modes are listed with the camera`},
		{"SensorMode", "1536:864:11", `SensorMode "1536:864:11": write it as`},
		{"BufferCount", "100", `BufferCount "100": outside of 1 to 64`},
		{"BufferCount", "four", `BufferCount "four": not a whole number`},
		{"HFlip", "perhaps", `HFlip "perhaps": use true or false`},
		{"TuningFile", "a\nb", `not a path to a file`},
		{"JpegQuality", "101", `JpegQuality "101": outside of 1 to 100`},
		{"Sharpnes", "1", `Sharpnes: no such control`},
	} {
		var o Options
		err := o.Set(tt.name, tt.value)
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s=%s: got %v, want %s", tt.name, tt.value, err, tt.want)
		}
		if !reflect.DeepEqual(o, Options{}) {
			t.Errorf("%s=%s was refused but left %+v", tt.name, tt.value, o)
		}
	}
	err := Options{AnalogueGain: 99, Rotation: 90, Codec: "h264", NoRaw: true, SensorMode: "640:480"}.Validate()
	for _, want := range []string{"AnalogueGain: outside", "Rotation: use 0", `Codec "h264": use auto`, "SensorMode: cannot be chosen without raw"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q in it", err, want)
		}
	}
}

func TestEveryControlCanBeSetAndTakenBack(t *testing.T) {
	values := map[string]string{
		"JpegQuality": "70", "ExposureTime": "10ms", "AeFlickerPeriod": "10000", "ColourGains": "1.5,2.5", "AfWindow": "0.1,0.1,0.2,0.2",
		"ScalerCrop": "[0.25, 0.25, 0.5, 0.5]", "HFlip": "true", "VFlip": "1", "NoRaw": "True", "Rotation": "180", "TuningFile": "/x.json",
		"SensorMode": "640:480:10:p", "BufferCount": "3",
	}
	names := map[string]bool{}
	for _, c := range Controls() {
		if names[c.Name] || c.Help == "" || c.Kind == "" {
			t.Errorf("control %+v is named twice or described too little", c)
		}
		names[c.Name] = true
		value := values[c.Name]
		if value == "" {
			value = "1"
			if c.Kind == KindChoice {
				value = c.Choices[len(c.Choices)-1]
			}
		}
		var o Options
		if err := o.Set(c.Name, value); err != nil {
			t.Errorf("%s=%s: %v", c.Name, value, err)
		}
		if reflect.DeepEqual(o, Options{}) {
			t.Errorf("%s=%s changed nothing", c.Name, value)
		}
		if err := o.Validate(); err != nil {
			t.Errorf("%s=%s: %v", c.Name, value, err)
		}
		if err := o.Set(c.Name, ""); err != nil || !reflect.DeepEqual(o, Options{}) {
			t.Errorf("%s cannot be taken back: %v, %+v", c.Name, err, o)
		}
	}
}

func TestOptionsThatAreMissingAreLeftOut(t *testing.T) {
	args := strings.Fields("-n -t 0 --codec yuv420 --flush -o - --metadata /x --metadata-format txt --hflip --no-raw --hdr=auto --buffer-count=3")
	missing := map[string]bool{"metadata": true, "no-raw": true, "hdr": true, "flush": true, "codec": true}
	kept, dropped := without(args, func(name string) bool { return missing[name] })
	if got, want := strings.Join(kept, " "), "-n -t 0 --codec yuv420 --flush -o - --metadata-format txt --hflip --buffer-count=3"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if want := []string{"metadata", "no-raw", "hdr"}; !slices.Equal(dropped, want) {
		t.Errorf("dropped %v, want %v", dropped, want)
	}
}

func TestPiGearOptionsAreTranslated(t *testing.T) {
	for _, tt := range []struct {
		name     string
		settings map[string]any
		opt      Options
		size     [2]int
		warnings []string
	}{
		{"nothing", nil, Options{}, [2]int{640, 480}, nil},
		{
			"everything that works",
			map[string]any{
				"format": "YUV420", "buffer_count": uint64(4), "queue": true, "auto_align_output_size": true, "enable_verbose_logs": true,
				"transform": map[string]any{"hflip": 1, "vflip": true},
				"sensor":    map[string]any{"output_size": []any{uint64(2304), uint64(1296)}, "bit_depth": 10},
				"controls": map[string]any{
					"ExposureTime": uint64(10000), "AnalogueGain": 2.0, "Brightness": -0.1, "AwbMode": 4, "AfMode": "Continuous", "AeExposureMode": 1,
					"AeMeteringMode": "Matrix", "NoiseReductionMode": 2, "AeEnable": false, "AwbEnable": true, "ColourGains": []any{1.5, 2},
					"AfWindows": []any{[]any{0.1, 0.2, 0.3, 0.4}}, "LensPosition": 0,
				},
			},
			Options{
				Codec: CodecYUV420, BufferCount: 4, AlignWidth: true, Verbose: true, HFlip: true, VFlip: true, SensorMode: "2304:1296:10",
				ExposureTime: 10 * time.Millisecond, AnalogueGain: 2, Brightness: -0.1, AwbMode: "indoor", AfMode: "continuous", AeExposureMode: "sport",
				AeMeteringMode: "average", NoiseReductionMode: "cdn_hq", ColourGains: [2]float64{1.5, 2}, AfWindow: Region{0.1, 0.2, 0.3, 0.4},
				LensPosition: new(0.0),
			},
			[2]int{2304, 1296},
			[]string{"option sensor.output_size 2304x1296 overrides the resolution 640x480"},
		},
		{
			"everything that does not",
			map[string]any{
				"format": "SRGGB10", "buffer_count": 0, "queue": "yes", "hflip": true, "transform": map[string]any{"rotation": 90, "vflip": "x"},
				"sensor": map[any]any{"output_size": []any{1}, "bit_depth": 9, "crop": 1},
				"controls": map[string]any{
					"FrameDuration": 33333, "FrameDurationLimits": []any{1, 2}, "FrameRate": 30, "Gamma": 2, "AwbMode": 99, "Contrast": 40.0,
					"AwbEnable": false, "HdrMode": 2,
				},
			},
			Options{},
			[2]int{640, 480},
			[]string{
				"option buffer_count 0 wants a whole number from 1 to 64: dropped",
				"option controls.AwbEnable false needs ColourGains beside it: dropped",
				"option controls.AwbMode 99 has no such value: dropped",
				`option controls.Contrast "40": outside of 0 to 15.99: dropped`,
				"option controls.FrameDuration 33333 is refused: set the frame rate instead: dropped",
				"option controls.FrameDurationLimits [1 2] is refused: set the frame rate instead: dropped",
				"option controls.FrameRate 30 is refused: set the frame rate instead: dropped",
				"option controls.Gamma is not a control that rpicam-vid can set: dropped",
				"option controls.HdrMode 2 has no such value: dropped",
				"option format SRGGB10 cannot be delivered, use YUV420 or MJPEG: dropped",
				"option hflip is not an option of PiGear with picamera2: dropped",
				"option queue yes wants true or false: dropped",
				"option sensor.bit_depth 9 wants 8, 10, 12, 14 or 16: dropped",
				"option sensor.crop is not known, use output_size and bit_depth: dropped",
				"option sensor.output_size [1] wants width and height: dropped",
				"option transform.rotation is not possible: the hardware makes no quarter turns: dropped",
				"option transform.vflip x wants true or false: dropped",
			},
		},
		{
			"wrong kinds",
			map[string]any{"sensor": 1, "controls": "x", "transform": []any{}, "format": 5},
			Options{},
			[2]int{640, 480},
			[]string{
				"option controls x wants controls by their names: dropped", "option format 5 wants the name of a pixel format: dropped",
				"option sensor 1 wants output_size and bit_depth: dropped", "option transform [] wants hflip and vflip: dropped",
			},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			opt, want, warnings := FromPiGear(tt.settings, device.Format{Width: 640, Height: 480, Rate: device.FPS(25)})
			if !reflect.DeepEqual(opt, tt.opt) {
				t.Errorf("got  %+v\nwant %+v", opt, tt.opt)
			}
			if want.Width != tt.size[0] || want.Height != tt.size[1] || want.Rate != device.FPS(25) {
				t.Errorf("got %v, want %v", want, tt.size)
			}
			if !slices.Equal(warnings, tt.warnings) {
				t.Errorf("got\n%s\nwant\n%s", strings.Join(warnings, "\n"), strings.Join(tt.warnings, "\n"))
			}
			if err := opt.Validate(); err != nil {
				t.Errorf("what came out is not valid: %v", err)
			}
		})
	}
}

func FuzzSetOption(f *testing.F) {
	f.Add("ScalerCrop", "0,0,1,1")
	f.Add("ExposureTime", "1e300")
	f.Add("SensorMode", "99999:99999")
	f.Fuzz(func(t *testing.T, name, value string) {
		var o Options
		if o.Set(name, value) != nil {
			return
		}
		if err := o.Validate(); err != nil {
			t.Fatalf("%s=%q was set but is not valid: %v", name, value, err)
		}
		for _, arg := range o.args() {
			if !strings.HasPrefix(arg, "--") || strings.ContainsAny(arg, "\n\x00") {
				t.Fatalf("%s=%q gives the argument %q", name, value, arg)
			}
		}
	})
}
