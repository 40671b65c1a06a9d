package v4l2

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/webgear-pi/webgear/device"
)

// TestLayoutIsTheKernels holds sizes, offsets and request numbers against those
// of C compilers for the kernel's header; 32-bit ARM with 64-bit time.
func TestLayoutIsTheKernels(t *testing.T) {
	wide := unsafe.Sizeof(uintptr(0)) == 8
	pick := func(on64, on32 uintptr) uintptr {
		if wide {
			return on64
		}
		return on32
	}
	for _, tt := range []struct {
		name      string
		got, want uintptr
	}{
		{"sizeof v4l2_buffer", unsafe.Sizeof(rawBuffer{}), pick(88, 80)},
		{"sizeof v4l2_format", unsafe.Sizeof(rawFormat{}), pick(208, 204)},
		{"sizeof v4l2_streamparm", unsafe.Sizeof(rawParm{}), 204},
		{"offset timestamp", unsafe.Offsetof(rawBuffer{}.Sec), 24},
		{"offset sequence", unsafe.Offsetof(rawBuffer{}.Sequence), 56},
		{"offset memory", unsafe.Offsetof(rawBuffer{}.Memory), 60},
		{"offset m", unsafe.Offsetof(rawBuffer{}.Offset), 64},
		{"offset length", unsafe.Offsetof(rawBuffer{}.Length), pick(72, 68)},
		{"offset pix.width", unsafe.Offsetof(rawFormat{}.Width), pick(8, 4)},
		{"offset timeperframe", unsafe.Offsetof(rawParm{}.TimePerFrame), 12},
		{"QUERYCAP", vidiocQueryCap, 0x80685600},
		{"ENUM_FMT", vidiocEnumFmt, 0xc0405602},
		{"G_FMT", vidiocGetFmt, pick(0xc0d05604, 0xc0cc5604)},
		{"S_FMT", vidiocSetFmt, pick(0xc0d05605, 0xc0cc5605)},
		{"REQBUFS", vidiocReqBufs, 0xc0145608},
		{"QUERYBUF", vidiocQueryBuf, pick(0xc0585609, 0xc0505609)},
		{"QBUF", vidiocQBuf, pick(0xc058560f, 0xc050560f)},
		{"DQBUF", vidiocDQBuf, pick(0xc0585611, 0xc0505611)},
		{"STREAMON", vidiocStreamOn, 0x40045612},
		{"STREAMOFF", vidiocStreamOff, 0x40045613},
		{"G_PARM", vidiocGetParm, 0xc0cc5615},
		{"S_PARM", vidiocSetParm, 0xc0cc5616},
		{"ENUM_FRAMESIZES", vidiocEnumFrameSizes, 0xc02c564a},
		{"ENUM_FRAMEINTERVALS", vidiocEnumFrameIntervals, 0xc034564b},
		{"sizeof v4l2_query_ext_ctrl", unsafe.Sizeof(rawQueryControl{}), 232},
		{"sizeof v4l2_queryctrl", unsafe.Sizeof(rawQueryOld{}), 68},
		{"sizeof v4l2_querymenu", unsafe.Sizeof(rawMenu{}), 44},
		{"sizeof v4l2_ext_control", unsafe.Sizeof(rawControl{}), 20},
		{"sizeof v4l2_ext_controls", unsafe.Sizeof(rawControls{}), pick(32, 24)},
		{"sizeof v4l2_event", unsafe.Sizeof(rawEvent{}), 136},
		{"offset minimum", unsafe.Offsetof(rawQueryControl{}.Minimum), 40},
		{"offset flags", unsafe.Offsetof(rawQueryControl{}.Flags), 72},
		{"offset value", unsafe.Offsetof(rawControl{}.Value), 12},
		{"offset controls", unsafe.Offsetof(rawControls{}.Controls), pick(24, 20)},
		{"offset u", unsafe.Offsetof(rawEvent{}.Data), 8},
		{"offset event.timestamp", unsafe.Offsetof(rawEvent{}.Sec), 80},
		{"offset event.id", unsafe.Offsetof(rawEvent{}.ID), 96},
		{"QUERYCTRL", vidiocQueryCtrl, 0xc0445624},
		{"QUERYMENU", vidiocQueryMenu, 0xc02c5625},
		{"G_EXT_CTRLS", vidiocGetExtCtrls, pick(0xc0205647, 0xc0185647)},
		{"S_EXT_CTRLS", vidiocSetExtCtrls, pick(0xc0205648, 0xc0185648)},
		{"DQEVENT", vidiocDQEvent, 0x80885659},
		{"SUBSCRIBE_EVENT", vidiocSubscribeEvent, 0x4020565a},
		{"QUERY_EXT_CTRL", vidiocQueryExtCtrl, 0xc0e85667},
	} {
		if tt.got != tt.want {
			t.Errorf("%s: got %#x, want %#x", tt.name, tt.got, tt.want)
		}
	}
}

// TestOpenSaysWhatAPathLeadsTo uses the running kernel.
func TestOpenSaysWhatAPathLeadsTo(t *testing.T) {
	root := t.TempDir()
	writeFile(t, root, "dev/video0", "a file")
	symlink(t, root, "video0", "dev/link")
	symlink(t, root, "loop", "dev/loop")
	symlink(t, root, "/dev/null", "dev/null")
	if err := unix.Mkfifo(filepath.Join(root, "dev/fifo"), 0o600); err != nil {
		t.Fatal(err)
	}
	driver := New(Config{Root: root})
	for _, tt := range []struct {
		path string
		kind error
		text string
	}{
		{"/dev/video0", device.ErrUnsupported, "open /dev/video0 is a regular file, not a camera: not supported"},
		{"/dev/link", device.ErrUnsupported, "open /dev/link is a regular file, not a camera: not supported"},
		{"/dev/null", device.ErrUnsupported, "open /dev/null is another kind of device, not a camera: not supported"},
		{"/dev/fifo", device.ErrUnsupported, "open /dev/fifo is a named pipe, not a camera: not supported"},
		{"/dev", device.ErrUnsupported, "open /dev is a directory, not a camera: not supported"},
		{"/dev/video1", device.ErrNotFound, "open /dev/video1: no such file or directory"},
		{"/dev/video0/x", device.ErrNotFound, "open /dev/video0/x: not a directory"},
		{"/dev/loop", device.ErrNotFound, "open /dev/loop: too many levels of symbolic links"},
	} {
		_, err := driver.Open(context.Background(), tt.path)
		if !errors.Is(err, tt.kind) || err.Error() != tt.text {
			t.Errorf("Open(%s): got %v, want %s", tt.path, err, tt.text)
		}
	}
	found, err := driver.List(context.Background())
	if err != nil || len(found) != 1 || found[0].Usable || found[0].Reason != "is a regular file, not a camera" {
		t.Errorf("List: got %+v, %v", found, err)
	}
}

func TestOpenMapsErrnos(t *testing.T) {
	for errno, kind := range map[unix.Errno]error{
		unix.EACCES: device.ErrPermission,
		unix.EPERM:  device.ErrPermission,
		unix.EBUSY:  device.ErrBusy,
		unix.ENODEV: device.ErrNotFound,
		unix.ENXIO:  device.ErrNotFound,
		unix.EMFILE: unix.EMFILE,
	} {
		d := webcam()
		d.fail = map[string][]error{"open": {errno}}
		_, err := newFake(t, map[string]*fakeDevice{"video0": d}).Open(context.Background(), "/dev/video0")
		if !errors.Is(err, kind) || !errors.Is(err, errno) {
			t.Errorf("Open with %v: got %v, want %v", errno, err, kind)
		}
	}
}

func TestOpenClosesNodeThatIsNoCamera(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(*fakeDevice)
		text   string
	}{
		{"metadata", func(d *fakeDevice) { d.cap.caps = meta }, "open /dev/video0 metadata node of a USB camera: not supported"},
		{"no V4L2", func(d *fakeDevice) { d.broken = map[string]error{"querycap": unix.ENOTTY} }, "v4l2 query capabilities /dev/video0 is not a V4L2 device: inappropriate ioctl for device"},
		{"formats", func(d *fakeDevice) { d.formats = nil }, "open /dev/video0 offers no pixel format: not supported"},
	} {
		d := webcam()
		tt.change(d)
		_, err := newFake(t, map[string]*fakeDevice{"video0": d}).Open(context.Background(), "/dev/video0")
		if !errors.Is(err, device.ErrUnsupported) || err.Error() != tt.text || d.nodes != 0 {
			t.Errorf("%s: got %v with %d nodes open, want %s", tt.name, err, d.nodes, tt.text)
		}
	}
}

// TestWakeEndsWaitAndPause runs the real waiting code on a pipe, which never
// has anything to tell.
func TestWakeEndsWaitAndPause(t *testing.T) {
	n := pipeNode(t)
	for _, wait := range []func() error{
		func() error { _, err := n.wait(); return err },
		func() error { return n.pause(time.Hour) },
	} {
		n.wake()
		if err := wait(); err != nil { // woken before
			t.Error(err)
		}
		done := make(chan error)
		go func() { done <- wait() }()
		n.wake()
		if err := <-done; err != nil { // woken meanwhile
			t.Error(err)
		}
	}
	if err := n.pause(time.Millisecond); err != nil {
		t.Error(err)
	}
	if err := n.close(); err != nil {
		t.Error(err)
	}
	n.wake() // must not touch a closed descriptor
}

// TestIoctlKeepsErrno asks a pipe. User-mode emulation of other processors does
// not know these ioctls and answers ENOSYS.
func TestIoctlKeepsErrno(t *testing.T) {
	n := pipeNode(t)
	if _, err := n.queryCap(); !is(err, unix.ENOTTY, unix.ENOSYS) {
		t.Errorf("QUERYCAP on a pipe: got %v, want ENOTTY", err)
	}
	if _, err := n.enumFormat(0); !is(err, unix.ENOTTY, unix.ENOSYS) {
		t.Errorf("ENUM_FMT on a pipe: got %v, want ENOTTY", err)
	}
	if _, err := n.enumSize(0, device.MJPG); !is(err, unix.ENOTTY, unix.ENOSYS) {
		t.Errorf("ENUM_FRAMESIZES on a pipe: got %v, want ENOTTY", err)
	}
	if _, err := n.enumInterval(0, device.MJPG, 1, 1); !is(err, unix.ENOTTY, unix.ENOSYS) {
		t.Errorf("ENUM_FRAMEINTERVALS on a pipe: got %v, want ENOTTY", err)
	}
	if err := n.dequeue(&rawBuffer{}); !is(err, unix.ENOTTY, unix.ENOSYS) {
		t.Errorf("DQBUF on a pipe: got %v, want ENOTTY", err)
	}
	if now, err := n.now(); err != nil || now <= 0 {
		t.Errorf("clock: got %v, %v", now, err)
	}
	if err := n.close(); err != nil {
		t.Error(err)
	}
}

func pipeNode(t *testing.T) *fdNode {
	t.Helper()
	var fds [2]int
	if err := unix.Pipe2(fds[:], unix.O_CLOEXEC|unix.O_NONBLOCK); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Close(fds[1]) })
	wakeFD, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		t.Fatal(err)
	}
	return &fdNode{fd: fds[0], wakeFD: wakeFD}
}

func TestWatcherTellsAboutCameras(t *testing.T) {
	root := t.TempDir()
	dev := filepath.Join(root, "dev")
	writeFile(t, root, "dev/console", "")
	before := runtime.NumGoroutine()
	ctx, cancel := context.WithCancelCause(context.Background())
	w := New(Config{Root: root}).NewWatcher()
	done := make(chan error)
	go func() { done <- w.Run(ctx) }()
	<-w.Changes() // it has begun

	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, step := range []struct {
		name string
		do   func()
		want bool
	}{
		{"other file", func() { writeFile(t, root, "dev/ttyUSB0", "") }, false},
		{"node appears", func() { writeFile(t, root, "dev/video0", "") }, true},
		{"permission changes", func() { must(os.Chmod(dev+"/video0", 0o640)) }, true},
		{"node is renamed", func() { must(os.Rename(dev+"/video0", dev+"/video3")) }, true},
		{"links appear", func() { symlink(t, root, "../../video3", "dev/v4l/by-id/usb-a") }, true},
		{"a link more", func() { symlink(t, root, "../../video3", "dev/v4l/by-id/usb-b") }, true},
		{"paths appear", func() { symlink(t, root, "../../video3", "dev/v4l/by-path/usb-c") }, true},
		{"a link is replaced", func() {
			symlink(t, root, "../../video4", "dev/v4l/by-path/.tmp")
			must(os.Rename(dev+"/v4l/by-path/.tmp", dev+"/v4l/by-path/usb-c"))
		}, true},
		{"links vanish", func() { must(os.RemoveAll(dev + "/v4l")) }, true},
		{"links come back", func() { symlink(t, root, "../../video3", "dev/v4l/by-id/usb-a") }, true},
		{"node vanishes", func() { must(os.Remove(dev + "/video3")) }, true},
		{"other file again", func() { must(os.Remove(dev + "/ttyUSB0")) }, false},
	} {
		step.do()
		if step.want {
			select {
			case <-w.Changes():
			case <-time.After(5 * time.Second):
				t.Fatalf("%s: no signal", step.name)
			}
		}
		settle(t, w, step.name, step.want)
	}
	cause := errors.New("enough")
	cancel(cause)
	if err := <-done; !errors.Is(err, cause) {
		t.Errorf("Run: got %v, want %v", err, cause)
	}
	waitForGoroutines(t, before)
}

// settle swallows what is left of a step's signals, until there is none for a
// while. For a step that wants no signal, one is a mistake.
func settle(t *testing.T, w *Watcher, step string, signals bool) {
	t.Helper()
	if !signals {
		// What the step did is queued in the kernel already, before what
		// follows; give Run the time to get it wrong.
		select {
		case <-w.Changes():
			t.Errorf("%s: signal, want none", step)
		case <-time.After(30 * time.Millisecond):
		}
		return
	}
	quiet := time.NewTimer(30 * time.Millisecond)
	defer quiet.Stop()
	for {
		select {
		case <-w.Changes():
			quiet.Reset(30 * time.Millisecond)
		case <-quiet.C:
			return
		}
	}
}

func TestWatcherCoalescesChanges(t *testing.T) {
	w := New(Config{}).NewWatcher()
	for range 3 {
		w.signal()
	}
	<-w.Changes()
	select {
	case <-w.Changes():
		t.Error("a second signal, want one for all")
	default:
	}
}

func TestWatcherFailsWithoutDev(t *testing.T) {
	err := New(Config{Root: t.TempDir()}).NewWatcher().Run(context.Background())
	if !errors.Is(err, fs.ErrNotExist) || !strings.HasPrefix(err.Error(), "watch cameras: inotify /dev: ") {
		t.Errorf("Run: got %v, want that there is no /dev", err)
	}
}

// event makes one struct inotify_event.
func event(wd int32, mask uint32, name string, padding int) []byte {
	b := binary.NativeEndian.AppendUint32(nil, uint32(wd))
	b = binary.NativeEndian.AppendUint32(b, mask)
	b = binary.NativeEndian.AppendUint32(b, 0)
	b = binary.NativeEndian.AppendUint32(b, uint32(len(name)+padding))
	return append(append(b, name...), make([]byte, padding)...)
}

func TestRelevantReadsEventsOfInotify(t *testing.T) {
	other := event(1, unix.IN_CREATE, "tty0", 12)
	for _, tt := range []struct {
		name   string
		events []byte
		want   bool
		node   string // that appeared
	}{
		{"nothing", nil, false, ""},
		{"other file", other, false, ""},
		{"node", event(1, unix.IN_CREATE, "video0", 10), true, "video0"},
		{"node after others", bytes.Join([][]byte{other, other, event(1, unix.IN_ATTRIB, "video12", 9)}, nil), true, "video12"},
		{"node goes", event(1, unix.IN_DELETE, "video0", 10), true, ""},
		{"links", event(1, unix.IN_CREATE, "v4l", 13), true, ""},
		{"not quite a node", event(1, unix.IN_CREATE, "video0.tmp", 6), false, ""},
		{"no number", event(1, unix.IN_CREATE, "video", 11), false, ""},
		{"in a directory of links", event(2, unix.IN_CREATE, "x", 15), true, ""},
		{"directory of links gone", event(2, unix.IN_IGNORED, "", 0), false, ""},
		{"overflow", event(-1, unix.IN_Q_OVERFLOW, "", 0), true, ""},
		{"cut in the header", other[:15], false, ""},
		{"cut in the name", other[:len(other)-1], true, ""},
	} {
		look, nodes := relevant(tt.events, 1)
		if got := look || len(nodes) > 0; got != tt.want {
			t.Errorf("%s: got %v, want %v", tt.name, got, tt.want)
		}
		if tt.node != "" && !slices.Equal(nodes, []string{tt.node}) {
			t.Errorf("%s: nodes %q appeared, want %s", tt.name, nodes, tt.node)
		}
	}
}

func FuzzRelevant(f *testing.F) {
	f.Add(event(1, unix.IN_CREATE, "video0", 10))
	f.Add(event(2, unix.IN_IGNORED, "", 0))
	f.Add(bytes.Repeat([]byte{0xff}, 40))
	f.Fuzz(func(t *testing.T, events []byte) {
		// Events about others in front never hide what follows.
		front := append(event(1, unix.IN_CREATE, "tty0", 12), events...)
		look, nodes := relevant(events, 1)
		look2, nodes2 := relevant(front, 1)
		if look != look2 || !slices.Equal(nodes, nodes2) {
			t.Errorf("an event in front changes the answer for % x", events)
		}
	})
}
