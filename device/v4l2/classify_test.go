package v4l2

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/webgear-pi/webgear/device"
)

// treeNode is one video node of a real machine: what QUERYCAP says, and what
// sysfs does (empty: nothing).
type treeNode struct {
	cap     capability
	formats string // separated by spaces
	sysfs   string // the driver's name there
	name    string
}

const (
	capture = capVideoCapture | capStreaming
	meta    = capMetaCapture | capStreaming
	m2m     = capVideoM2MMPlane | capStreaming
)

func codec(role string) treeNode {
	return treeNode{capability{"bcm2835-codec", "bcm2835-codec-" + role, "platform:bcm2835-codec", m2m}, "JPEG", "", "bcm2835-codec-" + role}
}

func isp(bits uint32, name string) treeNode {
	return treeNode{capability{"bcm2835-isp", "bcm2835-isp", "platform:bcm2835-isp", bits}, "YU12 NV12 YUYV", "", "bcm2835-isp-" + name}
}

// withVC4 adds the nodes that a Pi Zero 2 W, 3 or 4 with libcamera has besides
// those of its cameras.
func withVC4(nodes map[int]treeNode) map[int]treeNode {
	const bus = "platform:fe801000.csi"
	all := map[int]treeNode{
		0:  {capability{"unicam", "unicam", bus, capture}, "RG10 UYVY", "", "unicam-image"},
		1:  {capability{"unicam", "unicam", bus, meta}, "", "", "unicam-embedded"},
		10: codec("decode"), 11: codec("encode"), 12: codec("isp"), 18: codec("image_fx"), 31: codec("encode_image"),
		13: isp(capVideoOutput|capStreaming, "output0"), 14: isp(capture, "capture0"),
		15: isp(capture, "capture1"), 16: isp(meta, "stats2"),
		19: {capability{"rpi-hevc-dec", "rpi-hevc-dec", "platform:rpi-hevc-dec", m2m}, "NC12", "", "rpi-hevc-dec"},
		20: isp(capVideoOutput|capStreaming, "output0"), 21: isp(capture, "capture0"),
		22: isp(capture, "capture1"), 23: isp(meta, "stats2"),
	}
	maps.Copy(all, nodes)
	return all
}

func usbCamera(first int, card string) map[int]treeNode {
	const bus = "usb-0000:01:00.0-1.2"
	return map[int]treeNode{
		first:     {capability{"uvcvideo", card, bus, capture}, "YUYV MJPG", "uvcvideo", card},
		first + 1: {capability{"uvcvideo", card, bus, meta}, "", "uvcvideo", card},
	}
}

// withPi5 adds the nodes that a Pi 5 has besides those of its cameras.
func withPi5(nodes map[int]treeNode) map[int]treeNode {
	all := map[int]treeNode{
		19: {capability{"rpi-hevc-dec", "rpi-hevc-dec", "platform:rpi-hevc-dec", m2m}, "NC12", "", "rpi-hevc-dec"},
		20: {capability{"pispbe", "pispbe", "platform:pispbe", capVideoOutputMPlane | capStreaming}, "YU12", "", "pispbe-input"},
		24: {capability{"pispbe", "pispbe", "platform:1000880000.pisp_be", capVideoCaptureMPlane | capStreaming}, "YU12", "", "pispbe-output0"},
		27: {capability{"pispbe", "pispbe", "platform:pispbe", capMetaOutput | capStreaming}, "", "", "pispbe-config"},
	}
	for i := range 8 {
		all[i] = treeNode{capability{"rp1-cfe", "rp1-cfe", "platform:1f00110000.csi", capture | capIOMC}, "RG10", "", fmt.Sprintf("rp1-cfe-csi2_ch%d", i)}
	}
	maps.Copy(all, nodes)
	return all
}

// fakeTree builds nodes with sysfs or without it, and gives the Driver and its
// devices.
func fakeTree(t *testing.T, nodes map[int]treeNode, sysfs bool) (*Driver, map[string]*fakeDevice) {
	t.Helper()
	devices := map[string]*fakeDevice{}
	for nr, n := range nodes {
		d := &fakeDevice{cap: n.cap, sizes: webcam().sizes, intervals: webcam().intervals}
		for f := range strings.FieldsSeq(n.formats) {
			d.formats = append(d.formats, formatDesc{fourcc: device.FourCC(f[0]) | device.FourCC(f[1])<<8 | device.FourCC(f[2])<<16 | device.FourCC(f[3])<<24})
		}
		devices[fmt.Sprintf("video%d", nr)] = d
	}
	driver := newFake(t, devices)
	for nr, n := range nodes {
		dir := fmt.Sprintf("sys/class/video4linux/video%d", nr)
		if sysfs {
			writeFile(t, driver.root, dir+"/name", n.name+"\n")
		}
		if sysfs && n.sysfs != "" {
			symlink(t, driver.root, "../../../../bus/usb/drivers/"+n.sysfs, dir+"/device/driver")
		}
	}
	return driver, devices
}

func TestListFindsTheCamerasOfRealMachines(t *testing.T) {
	for _, tt := range []struct {
		name   string
		nodes  map[int]treeNode
		usable []string
	}{
		{"Pi 4 with a CSI camera", withVC4(nil), nil},
		{"Pi 4 with a CSI and a USB camera", withVC4(usbCamera(2, "HD Pro Webcam C920")), []string{"/dev/video2"}},
		{"Pi 4 with a USB camera only", withVC4(usbCamera(0, "USB Camera: USB Camera")), []string{"/dev/video0"}},
		{"Pi 5 with a CSI camera", withPi5(nil), nil},
		{"Pi 5 with two USB cameras", withPi5(mapsOf(usbCamera(8, "A"), usbCamera(10, "B"))), []string{"/dev/video8", "/dev/video10"}},
		{"legacy camera stack", map[int]treeNode{
			0:  {capability{"bm2835 mmal", "mmal service 16.1", "platform:bcm2835-v4l2-0", capture | 0x4 | 0x1000000}, "YU12 YUYV RGB3 JPEG H264 MJPG", "", "camera0"},
			10: codec("decode"), 11: codec("encode"), 12: codec("isp"),
		}, []string{"/dev/video0"}},
		{"HDMI bridge behind unicam", map[int]treeNode{
			0: {capability{"unicam", "unicam", "platform:fe801000.csi", capture}, "UYVY RGB3", "", "unicam-image"},
		}, nil},
		{"vivid", map[int]treeNode{
			5: {capability{"vivid", "vivid", "platform:vivid-000", capture | 0x1000000}, "YUYV RGB3", "", "vivid-000-vid-cap"},
		}, []string{"/dev/video5"}},
	} {
		for _, sysfs := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, sysfs %v", tt.name, sysfs), func(t *testing.T) {
				driver, devices := fakeTree(t, tt.nodes, sysfs)
				found, err := driver.List(context.Background())
				if err != nil || len(found) != len(tt.nodes) {
					t.Fatalf("List: %d nodes, %v, want %d", len(found), err, len(tt.nodes))
				}
				var usable []string
				for i, f := range found {
					if i > 0 && nodeNumber(f.Info.Path[5:]) <= nodeNumber(found[i-1].Info.Path[5:]) {
						t.Errorf("%s follows %s", f.Info.Path, found[i-1].Info.Path)
					}
					n := tt.nodes[nodeNumber(f.Info.Path[5:])]
					if f.Info.Driver != n.cap.driver || f.Reason == "" || f.Err != nil {
						t.Errorf("%s: driver %q, want %q; %q, %v", f.Info.Path, f.Info.Driver, n.cap.driver, f.Reason, f.Err)
					}
					if f.Usable {
						usable = append(usable, f.Info.Path)
						if len(f.Modes) == 0 || f.Caps != n.cap.caps {
							t.Errorf("%s: %d modes, capabilities %#x", f.Info.Path, len(f.Modes), f.Caps)
						}
					}
					d := devices[f.Info.Path[5:]]
					if _, strange := stranger(n.cap.driver); strange && sysfs && d.opened != 0 {
						t.Errorf("%s of %s was opened", f.Info.Path, n.cap.driver)
					}
					for _, call := range []string{"sfmt", "streamon", "sparm"} {
						if slices.Contains(d.calls, call) {
							t.Errorf("%s: List called %s", f.Info.Path, call)
						}
					}
					cam, err := driver.Open(context.Background(), f.Info.Path)
					if f.Usable != (err == nil) || (err != nil && !errors.Is(err, device.ErrUnsupported)) {
						t.Errorf("%s: usable %v, but Open: %v", f.Info.Path, f.Usable, err)
					}
					if err == nil {
						_ = cam.Close()
					}
				}
				if !slices.Equal(usable, tt.usable) {
					t.Errorf("usable: %v, want %v", usable, tt.usable)
				}
			})
		}
	}
}

func mapsOf(all ...map[int]treeNode) map[int]treeNode {
	out := map[int]treeNode{}
	for _, m := range all {
		maps.Copy(out, m)
	}
	return out
}

func TestLegacyCameraStartsWithItsOwnJPEG(t *testing.T) {
	driver, _ := fakeTree(t, map[int]treeNode{
		0: {capability{"bm2835 mmal", "mmal service 16.1", "", capture}, "YU12 YUYV RGB3 JPEG H264 MJPG", "", ""},
	}, false)
	cam, err := driver.Open(context.Background(), "/dev/video0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = cam.Close() }()
	if got, err := cam.Start(context.Background(), device.Format{}); err != nil || got.FourCC != device.MJPG {
		t.Errorf("Start: got %v, %v, want MJPG", got, err)
	}
}

func TestJudgeSaysWhatANodeIs(t *testing.T) {
	for _, tt := range []struct {
		driver string
		caps   uint32
		want   string
	}{
		{"uvcvideo", capture, ""},
		{"uvcvideo", meta, "metadata node of a USB camera"},
		{"other", meta, "metadata node, not a camera"},
		{"other", capVideoCapture, "offers no streaming"},
		{"other", capture | capIOMC, "part of a media pipeline that needs a camera stack, not a camera by itself"},
		{"vim2m", capVideoM2M | capStreaming, "memory-to-memory converter, not a camera"},
		{"old", capture | capVideoOutput, "memory-to-memory converter, not a camera"},
		{"other", capVideoCaptureMPlane | capStreaming, "delivers pictures in separate planes only, which is not supported"},
		{"vivid", capVideoOutput | capStreaming, "video output, not a camera"},
		{"touch", capture | capTouch, "touch sensor, not a camera"},
		{"radio", 0x10000, "does not capture video"},
		{"bcm2835-isp", capture, "ISP of the Pi's camera stack, not a camera"},
		{"pispbe", capture, "ISP of the Pi's camera stack, not a camera"},
		{"bcm2835-codec", capture, "hardware codec, not a camera"},
		{"rpivid", m2m, "hardware video decoder, not a camera"},
	} {
		if got := judge(capability{driver: tt.driver, caps: tt.caps}); got != tt.want {
			t.Errorf("judge(%s, %#x): got %q, want %q", tt.driver, tt.caps, got, tt.want)
		}
	}
}

func TestListExplainsNodesThatCannotBeUsed(t *testing.T) {
	with := func(change func(*fakeDevice)) *fakeDevice {
		d := webcam()
		change(d)
		return d
	}
	busy := func(d *fakeDevice) { d.broken = map[string]error{"reqbufs": unix.EBUSY} }
	for _, tt := range []struct {
		name   string
		device *fakeDevice
		reason string
		kind   error
	}{
		{"permission", with(func(d *fakeDevice) { d.fail = map[string][]error{"open": {unix.EACCES}} }), "permission denied: add the user to group video", device.ErrPermission},
		{"cgroup", with(func(d *fakeDevice) { d.fail = map[string][]error{"open": {unix.EPERM}} }), "permission denied: add the user to group video", device.ErrPermission},
		{"busy", with(busy), "in use by another program", device.ErrBusy},
		{"busy at open", with(func(d *fakeDevice) { d.fail = map[string][]error{"open": {unix.EBUSY}} }), "in use by another program", device.ErrBusy},
		{"pulled", with(func(d *fakeDevice) { d.fail = map[string][]error{"open": {unix.ENODEV}} }), "went away", device.ErrNotFound},
		{"pulled meanwhile", with(func(d *fakeDevice) { d.broken = map[string]error{"enumsize": unix.ENODEV} }), "went away", device.ErrUnplugged},
		{"not V4L2", with(func(d *fakeDevice) { d.broken = map[string]error{"querycap": unix.ENOTTY} }), "is not a V4L2 device", device.ErrUnsupported},
		{"broken", with(func(d *fakeDevice) { d.broken = map[string]error{"enumformat": unix.EIO} }), "cannot be examined: input/output error", unix.EIO},
		{"no formats", with(func(d *fakeDevice) { d.formats = nil }), "offers no pixel format", nil},
		{"Bayer only", with(func(d *fakeDevice) { d.formats = []formatDesc{{fourcc: 'B' | 'A'<<8 | '8'<<16 | '1'<<24}} }), "offers only pixel formats that cannot be used: BA81", nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			found, err := newFake(t, map[string]*fakeDevice{"video3": tt.device}).List(context.Background())
			if err != nil || len(found) != 1 {
				t.Fatalf("List: %v, %v", found, err)
			}
			f := found[0]
			if f.Usable || f.Reason != tt.reason || !errors.Is(f.Err, tt.kind) || (f.Err != nil) != (tt.kind != nil) {
				t.Errorf("got usable %v, %q, %v, want %q, %v", f.Usable, f.Reason, f.Err, tt.reason, tt.kind)
			}
			if f.Info.Path != "/dev/video3" || (f.Info.ID != "/dev/video3" && f.Info.ID != "bus:usb-1") {
				t.Errorf("path %q, id %q", f.Info.Path, f.Info.ID)
			}
		})
	}
}

func TestListKnowsItsOwnCamera(t *testing.T) {
	d := webcam()
	driver := newFake(t, map[string]*fakeDevice{"video0": d})
	cam, err := driver.Open(context.Background(), "/dev/video0")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := cam.Start(context.Background(), device.Format{}); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"camera, open in this program", "camera"} {
		found, err := driver.List(context.Background())
		if err != nil || !found[0].Usable || found[0].Reason != want || len(found[0].Modes) != 4 {
			t.Errorf("List: got %+v, %v, want %q", found, err, want)
		}
		if err := cam.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestListEndsWithItsContext(t *testing.T) {
	cause := errors.New("enough")
	ctx, cancel := context.WithCancelCause(context.Background())
	cancel(cause)
	driver := newFake(t, map[string]*fakeDevice{"video0": webcam()})
	if _, err := driver.List(ctx); !errors.Is(err, cause) {
		t.Errorf("List: got %v, want %v", err, cause)
	}
	if _, err := driver.Open(ctx, "/dev/video0"); !errors.Is(err, cause) {
		t.Errorf("Open: got %v, want %v", err, cause)
	}
}

func TestListFailsWithoutDev(t *testing.T) {
	if _, err := New(Config{Root: t.TempDir()}).List(context.Background()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("List: got %v, want that there is no /dev", err)
	}
}

func TestStableNames(t *testing.T) {
	const serial, twin = "by-id/usb-Maker_C920_ABC-video-index0", "by-id/usb-Clone_Cam-video-index0"
	for _, tt := range []struct {
		name  string
		links map[string]string // below /dev/v4l
		names map[string]string // in sysfs
		want  map[string]string
	}{
		{"none", nil, nil, map[string]string{}},
		{
			"id is preferred",
			map[string]string{serial: "video0", "by-path/pci-1-usb-0:1:1.0-video-index0": "video0", "by-path/pci-1-usbv2-0:1:1.0-video-index0": "video0"},
			nil,
			map[string]string{"video0": serial},
		},
		{
			"path alone, the shorter one",
			map[string]string{"by-path/pci-1-usb-0:1:1.0-video-index0": "video0", "by-path/pci-1-usbv2-0:1:1.0-video-index0": "video0"},
			nil,
			map[string]string{"video0": "by-path/pci-1-usb-0:1:1.0-video-index0"},
		},
		{
			"two cameras share an id",
			map[string]string{twin: "video2", "by-path/p1-video-index0": "video0", "by-path/p2-video-index0": "video2"},
			map[string]string{"video0": "Clone Cam", "video2": "Clone Cam"},
			map[string]string{"video0": "by-path/p1-video-index0", "video2": "by-path/p2-video-index0"},
		},
		{
			"two cameras with ids of their own, and a CSI node without",
			map[string]string{
				twin: "video2", serial: "video0", "by-path/p1-video-index0": "video0", "by-path/p2-video-index0": "video2",
				"by-path/platform-csi-video-index0": "video4",
			},
			map[string]string{"video0": "C920", "video2": "Clone Cam", "video4": "unicam-image"},
			map[string]string{"video0": serial, "video2": twin, "video4": "by-path/platform-csi-video-index0"},
		},
		{
			"the metadata node has no id",
			map[string]string{serial: "video0", "by-path/p1-video-index0": "video0", "by-path/p1-video-index1": "video1"},
			map[string]string{"video0": "C920", "video1": "C920"},
			map[string]string{"video0": serial, "video1": "by-path/p1-video-index1"},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			driver := newFake(t, map[string]*fakeDevice{"video0": webcam()})
			for link, node := range tt.links {
				symlink(t, driver.root, "../../"+node, "dev/v4l/"+link)
			}
			for node, name := range tt.names {
				writeFile(t, driver.root, "sys/class/video4linux/"+node+"/name", name+"\n")
			}
			want := map[string]string{}
			for node, link := range tt.want {
				want[node] = "/dev/v4l/" + link
			}
			if got := driver.stableNames(); !maps.Equal(got, want) {
				t.Errorf("got %v, want %v", got, want)
			}
			cam, err := driver.Open(context.Background(), "/dev/video0")
			if err != nil {
				t.Fatal(err)
			}
			if id := want["video0"]; id != "" && cam.Info().ID != id {
				t.Errorf("id of the open camera: %q, want %q", cam.Info().ID, id)
			}
			_ = cam.Close()
		})
	}
}

func TestOpenFollowsStableName(t *testing.T) {
	driver := newFake(t, map[string]*fakeDevice{"video7": webcam()})
	const link = "/dev/v4l/by-id/usb-Cam-video-index0"
	symlink(t, driver.root, "../../video7", link)
	cam, err := driver.Open(context.Background(), link)
	if err != nil {
		t.Fatal(err)
	}
	want := device.Info{Driver: "uvcvideo", Name: "Test Cam", Path: link, ID: link, Bus: "usb-1"}
	if got := cam.Info(); got != want {
		t.Errorf("Info: got %+v, want %+v", got, want)
	}
	if !driver.isOpen("video7") {
		t.Error("the Driver does not know that video7 is open")
	}
	_ = cam.Close()
	if driver.isOpen("video7") {
		t.Error("the Driver believes that video7 is still open")
	}
}

func TestTidyName(t *testing.T) {
	for card, want := range map[string]string{
		"HD Pro Webcam C920":              "HD Pro Webcam C920",
		"USB Camera: USB Camera":          "USB Camera",
		"Integrated Camera: Integrated C": "Integrated Camera",
		"Maker: Model":                    "Maker: Model",
		" padded\n":                       "padded",
		"bad\xff\x00\x1bbytes":            "badbytes",
		"":                                "",
	} {
		if got := tidyName(card); got != want {
			t.Errorf("tidyName(%q): got %q, want %q", card, got, want)
		}
	}
}

func FuzzTidyName(f *testing.F) {
	f.Add("USB Camera: USB Camera")
	f.Add("\xff: \xff")
	f.Fuzz(func(t *testing.T, card string) {
		got := tidyName(card)
		if again := tidyName(got); len(got) > len(card) || len(again) > len(got) {
			t.Errorf("tidyName(%q) is %q, and of that %q", card, got, again)
		}
		for _, r := range got {
			if r < ' ' || r == 0x7f {
				t.Errorf("tidyName(%q) keeps control character %q", card, r)
			}
		}
	})
}
