package libcamera

import (
	"reflect"
	"strings"
	"testing"

	"github.com/webgear-pi/webgear/device"
)

const newListing = `Available cameras
-----------------
0 : imx708_wide [4608x2592 10-bit RGGB] (/base/axi/pcie@120000/rp1/i2c@88000/imx708@1a)
    Modes: 'SRGGB10_CSI2P' : 1536x864 [120.13 fps - (768, 432)/3072x1728 crop]
                             2304x1296 [nan fps - (0, 0)/4608x2592 crop]

1 : imx477 [4056x3040 12-bit RGGB] (/base/axi/pcie@120000/rp1/i2c@80000/imx477@1a)
    Modes: 'SRGGB10_CSI2P' : 1332x990 [120.05 fps - (696, 528)/2664x1980 crop]
           'SRGGB12_CSI2P' : 2028x1080 [50.03 fps - (0, 440)/4056x2160 crop]
                             4056x3040 [10.00 fps - (0, 0)/4056x3040 crop]

    Available controls for 4056x3040 SRGGB12_CSI2P mode:
    ----------------------------------------------------
    AeEnable : [false..true]
    ScalerCrop : [(0, 0)/64x64..(0, 0)/4056x3040]

`

func TestListingOfEveryVersionIsRead(t *testing.T) {
	mode := func(format string, w, h, bits int, packed bool, fps float64) SensorMode {
		return SensorMode{Format: format, Width: w, Height: h, BitDepth: bits, Packed: packed, FPS: fps}
	}
	for _, tt := range []struct {
		name, text string
		want       []listed
	}{
		{"none", "No cameras available!\n", nil},
		{"nothing", "", nil},
		{"new, with controls", newListing, []listed{
			{
				index: 0, sensor: "imx708_wide", id: "/base/axi/pcie@120000/rp1/i2c@88000/imx708@1a", width: 4608, height: 2592, bitDepth: 10, cfa: "RGGB",
				modes: []SensorMode{mode("SRGGB10_CSI2P", 1536, 864, 10, true, 120.13), mode("SRGGB10_CSI2P", 2304, 1296, 10, true, 0)},
			},
			{
				index: 1, sensor: "imx477", id: "/base/axi/pcie@120000/rp1/i2c@80000/imx477@1a", width: 4056, height: 3040, bitDepth: 12, cfa: "RGGB",
				modes: []SensorMode{
					mode("SRGGB10_CSI2P", 1332, 990, 10, true, 120.05), mode("SRGGB12_CSI2P", 2028, 1080, 12, true, 50.03),
					mode("SRGGB12_CSI2P", 4056, 3040, 12, true, 10),
				},
			},
		}},
		{
			"2022, without bits", "Available cameras\n-----------------\n0 : imx219 [3280x2464] (/base/soc/i2c0mux/i2c@1/imx219@10)\n" +
				"    Modes: 'SRGGB10_CSI2P' : 640x480 [206.65 fps - (1000, 752)/1280x960 crop]\n" +
				"                             1640x1232 [41.85 fps - (0, 0)/3280x2464 crop]\n" +
				"           'SRGGB8' : 640x480 [206.65 fps - (1000, 752)/1280x960 crop]\n",
			[]listed{{
				sensor: "imx219", id: "/base/soc/i2c0mux/i2c@1/imx219@10", width: 3280, height: 2464,
				modes: []SensorMode{
					mode("SRGGB10_CSI2P", 640, 480, 10, true, 206.65), mode("SRGGB10_CSI2P", 1640, 1232, 10, true, 41.85),
					mode("SRGGB8", 640, 480, 8, false, 206.65),
				},
			}},
		},
		{
			"2021, sizes in a line, a USB camera", "Available cameras\n-----------------\n0 : ov5647 (/base/soc/i2c0mux/i2c@1/ov5647@36)\n" +
				"    Modes: 'SGBRG10_CSI2P' : 640x480 1296x972 \n" +
				"1 : HD Webcam (/base/soc/usb@7e980000/usb-port@1-1.2:1.0-046d:0825)\n    Modes: 'MJPEG' : 640x480 \n",
			[]listed{{
				sensor: "ov5647", id: "/base/soc/i2c0mux/i2c@1/ov5647@36",
				modes: []SensorMode{mode("SGBRG10_CSI2P", 640, 480, 10, true, 0), mode("SGBRG10_CSI2P", 1296, 972, 10, true, 0)},
			}},
		},
		{
			"a sensor without properties", "0 : arducam ] (/base/soc/i2c0mux/i2c@1/arducam@1a)\n",
			[]listed{{sensor: "arducam", id: "/base/soc/i2c0mux/i2c@1/arducam@1a"}},
		},
		{
			"monochrome, compressed, carriage returns", "2 : ov9281 [1280x800 10-bit MONO] (/base/soc/i2c0mux/i2c@1/ov9281@60)\r\n" +
				"    Modes: 'MONO_PISP_COMP1' : 1280x800 [143.66 fps - (0, 0)/1280x800 crop]\r\n",
			[]listed{{
				index: 2, sensor: "ov9281", id: "/base/soc/i2c0mux/i2c@1/ov9281@60", width: 1280, height: 800, bitDepth: 10, cfa: "MONO",
				modes: []SensorMode{mode("MONO_PISP_COMP1", 1280, 800, 0, true, 143.66)},
			}},
		},
		{
			"a sensor that could not be asked", "0 : imx219 [3280x2464 10-bit RGGB] (/base/axi/pcie@120000/rp1/i2c@88000/imx219@10)\n" +
				"    Modes: 'SRGGB8' : 640x480 [30.00 fps - (65535, 65535)/65535x65535 crop]\n",
			[]listed{{
				sensor: "imx219", id: "/base/axi/pcie@120000/rp1/i2c@88000/imx219@10", width: 3280, height: 2464, bitDepth: 10, cfa: "RGGB",
				modes: []SensorMode{mode("SRGGB8", 640, 480, 8, false, 0)},
			}},
		},
		{"modes without camera", "    Modes: 'SRGGB8' : 640x480 [30.00 fps - (0, 0)/1x1 crop]\n", nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := parseListing([]byte(tt.text))
			if len(got) == 0 && len(tt.want) == 0 {
				return
			}
			if !reflect.DeepEqual(got, tt.want) {
				t.Errorf("got  %+v\nwant %+v", got, tt.want)
			}
		})
	}
}

func TestModesHaveTheRateOfTheSensorModeTheyAreScaledFrom(t *testing.T) {
	c := parseListing([]byte(newListing))[1]
	for _, tt := range []struct {
		width, height int
		want          float64
	}{{640, 480, 120.05}, {1332, 990, 120.05}, {1920, 1080, 50.03}, {4056, 3040, 10}, {8000, 8000, 120.05}} {
		if got := c.maxFPS(tt.width, tt.height); got != tt.want {
			t.Errorf("%dx%d: got %v fps, want %v", tt.width, tt.height, got, tt.want)
		}
	}
	modes := c.offers(device.YU12)
	if modes[0].Width != 1280 || modes[0].Rates[0] != device.FPS(120.05) || modes[0].Rates[1] != device.FPS(120) {
		t.Errorf("best guess is %+v", modes[0])
	}
}

func TestSensorModeReadsAsTheOptionWantsIt(t *testing.T) {
	for _, c := range parseListing([]byte(newListing)) {
		for _, m := range c.modes {
			if err := (Options{SensorMode: m.String()}).Validate(); err != nil {
				t.Errorf("%v: %v", m, err)
			}
		}
	}
	if got := (SensorMode{Width: 640, Height: 480, BitDepth: 8}).String(); got != "640:480:8:U" {
		t.Errorf("got %s", got)
	}
}

func FuzzListing(f *testing.F) {
	f.Add(newListing)
	f.Add("0 : a [1x1] (b)\n    Modes: 'SRGGB10' : 99999x99999 [1e9 fps - ] 16x16[")
	f.Add("0 : a ] (b)\n 'x' : 1x1")
	f.Fuzz(func(t *testing.T, text string) {
		cameras := parseListing([]byte(text))
		if len(cameras) > maxCameras {
			t.Fatalf("%d cameras", len(cameras))
		}
		for i := range cameras {
			c := &cameras[i]
			if c.id == "" || c.sensor == "" || strings.Contains(c.id, "\n") || c.index < 0 || len(c.modes) > maxModes {
				t.Fatalf("accepted %+v", c)
			}
			for _, want := range []device.Format{{}, {Width: 16384, Height: 16384}, {FourCC: device.YU12, Width: 333, Height: 77}} {
				p := newPlan(c, boardOf(c.id), true, Options{}, want)
				if g := p.format; g.Width < minSide || g.Height < minSide || g.Width%2 != 0 || g.Rate.Float() <= 0 || g.Width > device.MaxSide {
					t.Fatalf("%v gives %+v", want, g)
				}
			}
			for _, m := range c.offers(device.YU12) {
				if m.Width < minSide || m.Height < minSide || m.Width*m.Height > device.MaxPixels {
					t.Fatalf("offers %+v", m)
				}
			}
		}
	})
}
