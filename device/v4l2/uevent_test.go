package v4l2

import (
	"context"
	"errors"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// message makes what the kernel sends.
func message(head string, fields ...string) []byte {
	return []byte(head + "\x00" + strings.Join(fields, "\x00") + "\x00")
}

func nodeMessage(action, node string) []byte {
	return message(action+"@/devices/pci0000:00/usb1/1-1/1-1:1.0/video4linux/"+node,
		"ACTION="+action, "DEVPATH=/devices/x", "SUBSYSTEM=video4linux", "MAJOR=81", "MINOR=0", "DEVNAME="+node, "SEQNUM=3141")
}

func TestUeventsThatMatter(t *testing.T) {
	for _, tt := range []struct {
		name    string
		message []byte
		ok      bool
		matters bool
		node    string // that appeared
	}{
		{"node comes", nodeMessage("add", "video0"), true, true, "video0"},
		{"node changes", nodeMessage("change", "video12"), true, true, "video12"},
		{"node goes", nodeMessage("remove", "video0"), true, true, ""},
		{"node with its folder", nodeMessage("add", "/dev/video1"), true, true, "video1"},
		{"another node", nodeMessage("add", "v4l-subdev0"), true, true, ""},
		{"a way out", nodeMessage("add", "../video0"), true, true, ""},
		{"USB device comes", message("add@/devices/usb1/1-1", "ACTION=add", "SUBSYSTEM=usb", "DEVTYPE=usb_device"), true, true, ""},
		{"USB device goes", message("remove@/devices/usb1/1-1", "ACTION=remove", "SUBSYSTEM=usb", "DEVTYPE=usb_device"), true, true, ""},
		{"USB device is bound", message("bind@/devices/usb1/1-1", "ACTION=bind", "SUBSYSTEM=usb", "DEVTYPE=usb_device"), true, false, ""},
		{"USB interface", message("add@/devices/usb1/1-1:1.0", "ACTION=add", "SUBSYSTEM=usb", "DEVTYPE=usb_interface"), true, false, ""},
		{"disk", message("add@/devices/sda", "ACTION=add", "SUBSYSTEM=block", "DEVNAME=sda"), true, false, ""},
		{"udev's own", message("libudev", "\xfe\xed\xca\xfe"), false, false, ""},
		{"no action", message("@/devices/x", "SUBSYSTEM=video4linux"), false, false, ""},
		{"nothing", nil, false, false, ""},
		{"head alone", []byte("add@/devices/x"), true, false, ""},
	} {
		e, ok := parseUevent(tt.message)
		if ok != tt.ok || ok && e.matters() != tt.matters {
			t.Errorf("%s: got %+v, %v, matters %v", tt.name, e, ok, e.matters())
		}
		if node, appeared := e.appeared(); appeared != (tt.node != "") || appeared && node != tt.node {
			t.Errorf("%s: %q appeared %v, want %q", tt.name, node, appeared, tt.node)
		}
	}
}

func FuzzParseUevent(f *testing.F) {
	f.Add(nodeMessage("add", "video0"))
	f.Add(message("libudev", "x"))
	f.Add([]byte("add@\x00=\x00DEVNAME\x00DEVNAME=\x00"))
	f.Fuzz(func(t *testing.T, b []byte) {
		e, ok := parseUevent(b)
		if node, appeared := e.appeared(); appeared && (!ok || !isVideoNode(node) || strings.ContainsAny(node, "/\x00")) {
			t.Errorf("% x: node %q appeared, ok %v", b, node, ok)
		}
	})
}

// watching runs a Watcher whose kernel messages come from the returned function.
func watching(t *testing.T, d *Driver) (w *Watcher, send func([]byte)) {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	before := runtime.NumGoroutine()
	ctx, cancel := context.WithCancelCause(context.Background())
	w = d.NewWatcher()
	w.uevents = func() (int, error) { return fds[0], nil }
	done := make(chan error)
	go func() { done <- w.Run(ctx) }()
	<-w.Changes() // it has begun
	t.Cleanup(func() {
		cause := errors.New("enough")
		cancel(cause)
		if err := <-done; !errors.Is(err, cause) {
			t.Errorf("Run: got %v, want %v", err, cause)
		}
		_ = unix.Close(fds[1])
		waitForGoroutines(t, before)
	})
	return w, func(b []byte) {
		t.Helper()
		if _, err := unix.Write(fds[1], b); err != nil {
			t.Fatal(err)
		}
	}
}

func wantSignal(t *testing.T, w *Watcher, what string) {
	t.Helper()
	select {
	case <-w.Changes():
	case <-time.After(5 * time.Second):
		t.Fatalf("%s: no signal", what)
	}
}

func wantSilence(t *testing.T, w *Watcher, what string, d time.Duration) {
	t.Helper()
	select {
	case <-w.Changes():
		t.Errorf("%s: a signal, want none", what)
	case <-time.After(d):
	}
}

func TestNewNodeIsToldWhenItOpens(t *testing.T) {
	for _, errno := range []unix.Errno{unix.EACCES, unix.EPERM, unix.ENODEV} {
		d := webcam()
		d.broken = map[string]error{"open": errno}
		w, send := watching(t, newFake(t, map[string]*fakeDevice{"video0": d}))
		send(nodeMessage("add", "video0"))
		wantSilence(t, w, "node that cannot be opened yet", 3*settlePause)
		d.mu.Lock()
		d.broken = nil
		d.mu.Unlock()
		wantSignal(t, w, "node that opens now")
		wantSilence(t, w, "afterwards", 2*settlePause)
	}
}

func TestNewNodeIsToldAtTheLatestWhenItsTimeIsOver(t *testing.T) {
	d := webcam()
	d.broken = map[string]error{"open": unix.EACCES}
	w, send := watching(t, newFake(t, map[string]*fakeDevice{"video0": d}))
	began := time.Now()
	send(nodeMessage("add", "video0"))
	wantSignal(t, w, "node that never opens")
	if took := time.Since(began); took < settleTime {
		t.Errorf("told after %v, want at least %v", took, settleTime)
	}
}

func TestNodesThatNeedNoWaitingAreToldAtOnce(t *testing.T) {
	d := webcam()
	driver := newFake(t, map[string]*fakeDevice{"video0": d, "video14": webcam()})
	symlink(t, driver.root, "../../../../bus/platform/drivers/bcm2835-isp", "sys/class/video4linux/video14/device/driver")
	w, send := watching(t, driver)
	for _, m := range [][]byte{
		nodeMessage("add", "video0"), nodeMessage("remove", "video0"), nodeMessage("add", "video9"), nodeMessage("add", "video14"),
		message("add@/devices/usb1/1-1", "ACTION=add", "SUBSYSTEM=usb", "DEVTYPE=usb_device"),
	} {
		send(m)
		wantSignal(t, w, string(m))
	}
	send(message("add@/devices/sda", "ACTION=add", "SUBSYSTEM=block", "DEVNAME=sda"))
	wantSilence(t, w, "disk", 2*settlePause)
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.opened == 0 || d.nodes != 0 {
		t.Errorf("camera opened %d times, %d nodes left open", d.opened, d.nodes)
	}
}

func TestWatcherGoesOnWithoutKernelMessages(t *testing.T) {
	for _, tt := range []struct {
		name string
		open func() (int, error)
	}{
		{"refused", func() (int, error) { return -1, unix.EPROTONOSUPPORT }},
		{"ends", func() (int, error) {
			fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
			if err != nil {
				return -1, err
			}
			return fds[0], unix.Close(fds[1])
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			root := t.TempDir()
			writeFile(t, root, "dev/console", "")
			ctx, cancel := context.WithCancel(context.Background())
			w := New(Config{Root: root}).NewWatcher()
			w.uevents = tt.open
			done := make(chan error)
			go func() { done <- w.Run(ctx) }()
			<-w.Changes()
			settle(t, w, "begin", true)
			writeFile(t, root, "dev/video0", "")
			wantSignal(t, w, "node")
			cancel()
			if err := <-done; !errors.Is(err, context.Canceled) {
				t.Errorf("Run: %v", err)
			}
		})
	}
}

// TestKernelMessagesCanBeHeard opens the real socket, which needs no rights; in
// a container it may be refused, which is an errno.
func TestKernelMessagesCanBeHeard(t *testing.T) {
	fd, err := openUevents()
	if err != nil {
		if _, ok := errors.AsType[unix.Errno](err); !ok {
			t.Errorf("got %v, want an errno", err)
		}
		return
	}
	if err := unix.Close(fd); err != nil {
		t.Error(err)
	}
	w := New(Config{}).NewWatcher()
	if w.uevents == nil {
		t.Error("the world at / has no kernel messages")
	}
	if w := New(Config{Root: t.TempDir()}).NewWatcher(); w.uevents != nil {
		t.Error("another world has the kernel messages of this one")
	}
}
