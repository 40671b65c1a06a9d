package devicetest

import (
	"fmt"
	"slices"
	"strings"

	"github.com/webgear-pi/webgear/device"
)

// Board is a computer with the video nodes that its kernel makes.
type Board struct {
	// Name is the model and what is connected: "Pi 4, CSI and USB camera".
	Name string
	// Nodes are in the order of their numbers.
	Nodes []VideoNode
}

// VideoNode is one /dev/video node as VIDIOC_QUERYCAP, VIDIOC_ENUM_FMT and sysfs
// describe it.
type VideoNode struct {
	// Path is the node, such as "/dev/video0".
	Path string
	// Name is what /sys/class/video4linux/video0/name says.
	Name string
	// Driver, Card and Bus are the texts of VIDIOC_QUERYCAP.
	Driver, Card, Bus string
	// Capabilities are those of the whole device, DeviceCaps those of this node,
	// V4L2_CAP_ bits.
	Capabilities, DeviceCaps uint32
	// Formats come out of the node: of the capture queue, single- or
	// multi-planar. Inputs go in, where it is a converter.
	Formats, Inputs []device.FourCC
	// Camera is set when the node is a camera that webgear captures from.
	Camera bool
}

// Capability bits, V4L2_CAP_* of include/uapi/linux/videodev2.h.
const (
	capCapture       = 0x00000001
	capOutput        = 0x00000002
	capOverlay       = 0x00000004
	capCaptureMPlane = 0x00001000
	capOutputMPlane  = 0x00002000
	capM2MMPlane     = 0x00004000
	capMetaCapture   = 0x00800000
	capExtPixFormat  = 0x00200000
	capReadWrite     = 0x01000000
	capStreaming     = 0x04000000
	capMetaOutput    = 0x08000000
	capIOMC          = 0x20000000
	capDeviceCaps    = 0x80000000
)

// Boards gives the node tables of the Raspberry Pi models, as the kernel of
// Raspberry Pi OS makes them (raspberrypi/linux 5.15 for the old camera stack,
// 6.12 for the others). Node numbers are the drivers' defaults; a camera that is
// found before the others takes the lowest free ones.
func Boards() []Board {
	vc4 := func(name, csi string, usb ...VideoNode) Board {
		nodes := append(unicam(csi), usb...)
		nodes = append(nodes, codecs()...)
		return Board{Name: name, Nodes: append(nodes, isp()...)}
	}
	pi4 := vc4("Pi 4, CSI and USB camera", "fe801000", usbCamera(2, "HD Pro Webcam C920", "usb-0000:01:00.0-1.2")...)
	pi4.Nodes = append(pi4.Nodes, hevc())
	boards := []Board{
		vc4("Pi Zero 2 W, CSI camera", "3f801000"),
		vc4("Pi 3, CSI and USB camera", "3f801000", usbCamera(2, "USB Camera: USB Camera", "usb-3f980000.usb-1.3")...),
		{Name: "Pi 3, USB camera only", Nodes: append(usbCamera(0, "USB 2.0 Camera: HD USB Camera", "usb-3f980000.usb-1.2"), append(codecs(), isp()...)...)},
		pi4,
		{Name: "Pi 5, CSI and USB camera", Nodes: append(append(cfe(), usbCamera(8, "HD Pro Webcam C920", "usb-xhci-hcd.0-1")...), append(pisp(), hevc())...)},
		{Name: "Pi 3, old camera stack", Nodes: append([]VideoNode{mmal()}, codecs()...)},
	}
	for i := range boards {
		sortNodes(boards[i].Nodes)
	}
	return boards
}

func node(nr int, name, driver, card, bus string, caps uint32) VideoNode {
	return VideoNode{
		Path: fmt.Sprintf("/dev/video%d", nr), Name: name, Driver: driver, Card: card, Bus: bus,
		Capabilities: caps | capDeviceCaps | capExtPixFormat, DeviceCaps: caps | capExtPixFormat,
	}
}

// fourCCs reads codes of four characters separated by spaces.
func fourCCs(s string) (codes []device.FourCC) {
	for f := range strings.FieldsSeq(s) {
		var c device.FourCC
		_ = c.UnmarshalText([]byte(f)) // four characters are always a code
		codes = append(codes, c)
	}
	return codes
}

// mmal is the camera of the stack that ended with Debian 11: the firmware makes
// the JPEG.
func mmal() VideoNode {
	n := node(0, "camera0", "bm2835 mmal", "mmal service 16.1", "platform:bcm2835-v4l2-0", capCapture|capOverlay|capStreaming|capReadWrite)
	n.Formats = fourCCs("YU12 YUYV RGB3 JPEG H264 MJPG YVYU VYUY UYVY NV12 BGR3 YV12 NV21 RGB4")
	n.Camera = true
	return n
}

// unicam is the receiver of Pi 0 to 4; it sets both capabilities for the whole
// device.
func unicam(address string) []VideoNode {
	bus := "platform:" + address + ".csi"
	image := node(0, "unicam-image", "unicam", "unicam", bus, capCapture|capStreaming|capReadWrite)
	image.Formats = fourCCs("pBAA BG10 pGAA RG10")
	embedded := node(1, "unicam-embedded", "unicam", "unicam", bus, capMetaCapture|capStreaming|capReadWrite)
	for _, n := range []*VideoNode{&image, &embedded} {
		n.Capabilities |= capCapture | capMetaCapture
	}
	return []VideoNode{image, embedded}
}

// codecs are the roles of bcm2835-codec: converters with one node each.
func codecs() []VideoNode {
	const raw = "YU12 YV12 NV12 NV21 RGBP YUYV UYVY YVYU VYUY RGB3 BGR3 BGR4"
	role := func(nr int, role, in, out string) VideoNode {
		n := node(nr, "bcm2835-codec-"+role, "bcm2835-codec", "bcm2835-codec-"+role, "platform:bcm2835-codec", capM2MMPlane|capStreaming)
		n.Inputs, n.Formats = fourCCs(in), fourCCs(out)
		return n
	}
	return []VideoNode{
		role(10, "decode", "H264 MJPG MPG4 H263", "YU12 YV12 NV12 NV21 RGBP"),
		role(11, "encode", raw, "H264 MJPG"),
		role(12, "isp", raw, raw),
		role(18, "image_fx", "YU12", "YU12"),
		role(31, "encode_image", "RGBP RGB3 BGR3 BGR4 YU12 YUYV YVYU VYUY UYVY", "JPEG"),
	}
}

// isp is bcm2835-isp, twice; its capture nodes look like cameras.
func isp() (nodes []VideoNode) {
	for _, first := range []int{13, 20} {
		add := func(i int, name string, caps uint32, formats string) {
			n := node(first+i, "bcm2835-isp-"+name, "bcm2835-isp", "bcm2835-isp", "platform:bcm2835-isp", caps|capStreaming)
			n.Formats = fourCCs(formats)
			nodes = append(nodes, n)
		}
		add(0, "output0", capOutput, "")
		add(1, "capture0", capCapture, "YU12 YV12 NV12 NV21 YUYV UYVY RGB3 BGR3")
		add(2, "capture1", capCapture, "YU12 YV12 NV12 NV21 YUYV UYVY RGB3 BGR3")
		add(3, "stats2", capMetaCapture, "")
	}
	return nodes
}

// cfe is the receiver of the Pi 5.
func cfe() (nodes []VideoNode) {
	add := func(name string, caps uint32, formats string) {
		n := node(len(nodes), "rp1-cfe-"+name, "rp1-cfe", "rp1-cfe", "platform:1f00110000.csi", caps|capStreaming|capIOMC)
		n.Capabilities |= capCapture | capMetaCapture | capMetaOutput
		n.Formats = fourCCs(formats)
		nodes = append(nodes, n)
	}
	for i := range 4 {
		add(fmt.Sprintf("csi2_ch%d", i), capCapture, "RG10 pRAA YUYV RGB3")
	}
	add("fe_image0", capCapture, "RG16")
	add("fe_image1", capCapture, "RG16")
	add("fe_stats", capMetaCapture, "")
	add("fe_config", capMetaOutput, "")
	return nodes
}

// pisp is the ISP of the Pi 5.
func pisp() (nodes []VideoNode) {
	for i, part := range []struct {
		name string
		caps uint32
	}{
		{"input", capOutputMPlane},
		{"tdn_input", capOutputMPlane},
		{"stitch_input", capOutputMPlane},
		{"output0", capCaptureMPlane},
		{"output1", capCaptureMPlane},
		{"tdn_output", capCaptureMPlane},
		{"stitch_output", capCaptureMPlane},
		{"config", capMetaOutput},
	} {
		n := node(20+i, "pispbe-"+part.name, "pispbe", "pispbe", "platform:1000880000.pisp_be", part.caps|capStreaming)
		n.Capabilities |= capCaptureMPlane | capOutputMPlane | capMetaOutput
		if part.caps == capCaptureMPlane {
			n.Formats = fourCCs("YU12 NV12 YUYV RGB3")
		}
		nodes = append(nodes, n)
	}
	return nodes
}

// hevc is the video decoder of Pi 4 and 5.
func hevc() VideoNode {
	n := node(19, "rpi-hevc-dec", "rpi-hevc-dec", "rpi-hevc-dec", "platform:rpi-hevc-dec", capM2MMPlane|capStreaming)
	n.Inputs, n.Formats = fourCCs("S265"), fourCCs("NC12")
	return n
}

// usbCamera is a USB camera: its pictures, and its metadata.
func usbCamera(first int, card, bus string) []VideoNode {
	pictures := node(first, card, "uvcvideo", card, bus, capCapture|capStreaming)
	pictures.Formats, pictures.Camera = fourCCs("YUYV MJPG"), true
	metadata := node(first+1, card, "uvcvideo", card, bus, capMetaCapture|capStreaming)
	for _, n := range []*VideoNode{&pictures, &metadata} {
		n.Capabilities |= capCapture | capMetaCapture
	}
	return []VideoNode{pictures, metadata}
}

// sortNodes orders nodes by their numbers.
func sortNodes(nodes []VideoNode) {
	number := func(n VideoNode) (nr int) {
		_, _ = fmt.Sscanf(n.Path, "/dev/video%d", &nr) // made by node
		return nr
	}
	slices.SortFunc(nodes, func(a, b VideoNode) int { return number(a) - number(b) })
}
