package v4l2

import (
	"strings"
	"unicode"

	"github.com/webgear-pi/webgear/device"
)

// strangers are drivers whose nodes look more or less like cameras and are none
// that can be used alone. Names are what VIDIOC_QUERYCAP and sysfs give in the
// kernel of Raspberry Pi OS (raspberrypi/linux, 5.15 to 6.12).
var strangers = []struct{ driver, reason string }{ //nolint:gochecknoglobals // a constant table; Go has no constant slices
	{"unicam", "sensor receiver of the Pi's camera stack, not a camera by itself"},
	{"rp1-cfe", "sensor receiver of the Pi's camera stack, not a camera by itself"},
	{"bcm2835-isp", "ISP of the Pi's camera stack, not a camera"},
	{"pispbe", "ISP of the Pi's camera stack, not a camera"},
	{"bcm2835-codec", "hardware codec, not a camera"},
	{"rpi-hevc-dec", "hardware video decoder, not a camera"},
	{"rpi-rpivid", "hardware video decoder, not a camera"},
	{"rpivid", "hardware video decoder, not a camera"},
}

// stranger finds a driver in the table above.
func stranger(driver string) (reason string, ok bool) {
	for _, s := range strangers {
		if s.driver == driver {
			return s.reason, true
		}
	}
	return "", false
}

func isStranger(driver string) bool {
	_, ok := stranger(driver)
	return ok
}

// strangerByName finds the driver that gives its nodes such a name in sysfs,
// like "bcm2835-isp-capture0".
func strangerByName(name string) (driver, reason string, ok bool) {
	for _, s := range strangers {
		if name == s.driver || strings.HasPrefix(name, s.driver+"-") {
			return s.driver, s.reason, true
		}
	}
	return "", "", false
}

// uvcDriver is the kernel's driver for USB cameras. Each camera has at least two
// nodes, the second one for metadata.
const uvcDriver = "uvcvideo"

// judge says why a node is no camera. An empty reason means that it may be one:
// its pixel formats decide.
func judge(c capability) (reason string) {
	if reason, ok := stranger(c.driver); ok {
		return reason
	}
	has := func(bits uint32) bool { return c.caps&bits != 0 }
	switch {
	case has(capVideoM2M | capVideoM2MMPlane),
		has(capVideoCapture|capVideoCaptureMPlane) && has(capVideoOutput|capVideoOutputMPlane):
		return "memory-to-memory converter, not a camera"
	case has(capIOMC):
		return "part of a media pipeline that needs a camera stack, not a camera by itself"
	case has(capTouch):
		return "touch sensor, not a camera"
	case has(capVideoCapture) && !has(capStreaming):
		return "offers no streaming"
	case has(capVideoCapture):
		return ""
	case has(capVideoCaptureMPlane):
		return "delivers pictures in separate planes only, which is not supported"
	case has(capMetaCapture|capMetaOutput) && c.driver == uvcDriver:
		return "metadata node of a USB camera"
	case has(capMetaCapture | capMetaOutput):
		return "metadata node, not a camera"
	case has(capVideoOutput | capVideoOutputMPlane):
		return "video output, not a camera"
	}
	return "does not capture video"
}

// judgeFormats says why a node with these pixel formats is no camera for us.
func judgeFormats(formats []formatDesc) (reason string) {
	if len(formats) == 0 {
		return "offers no pixel format"
	}
	var offered []string
	for _, f := range formats {
		if _, ok := f.fourcc.Rank(); ok {
			return ""
		}
		offered = append(offered, f.fourcc.String())
	}
	const enough = 8 // chosen: a raw sensor can have dozens
	if len(offered) > enough {
		offered = append(offered[:enough], "…")
	}
	return "offers only pixel formats that cannot be used: " + strings.Join(offered, ", ")
}

// tidyName makes a card name fit to print. Many USB cameras give maker and
// product the same text, so that the kernel reports "USB Camera: USB Camera", cut
// at 31 bytes.
func tidyName(card string) string {
	name := strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) || r == unicode.ReplacementChar {
			return -1
		}
		return r
	}, strings.ToValidUTF8(card, ""))
	name = strings.TrimSpace(name)
	if first, second, ok := strings.Cut(name, ": "); ok && second != "" && strings.HasPrefix(first, second) {
		return first
	}
	return name
}

// cameraInfo describes the node behind path.
func cameraInfo(c capability, path, id string) device.Info {
	return device.Info{Driver: c.driver, Name: tidyName(c.card), Path: path, ID: id, Bus: c.bus}
}
