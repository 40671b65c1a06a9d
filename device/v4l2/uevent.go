package v4l2

import (
	"bytes"
	"strings"

	"golang.org/x/sys/unix"
)

// uevent is what matters of a message of the kernel about a device
// (Documentation/ABI and lib/kobject_uevent.c: "add@/devices/…", then
// KEY=VALUE texts, all with a zero byte at the end).
type uevent struct {
	action    string
	subsystem string
	devtype   string
	node      string // the name below /dev
}

// parseUevent reads one message. ok is false for what is none, such as those
// that udev passes on in its own form.
func parseUevent(message []byte) (e uevent, ok bool) {
	head, rest, _ := bytes.Cut(message, []byte{0})
	action, _, ok := bytes.Cut(head, []byte{'@'})
	if !ok || len(action) == 0 {
		return uevent{}, false
	}
	e.action = string(action)
	for field := range bytes.SplitSeq(rest, []byte{0}) {
		key, value, ok := bytes.Cut(field, []byte{'='})
		if !ok {
			continue
		}
		switch string(key) {
		case "ACTION":
			e.action = string(value)
		case "SUBSYSTEM":
			e.subsystem = string(value)
		case "DEVTYPE":
			e.devtype = string(value)
		case "DEVNAME":
			e.node = strings.TrimPrefix(string(value), "/dev/")
		}
	}
	return e, true
}

// appeared names the video node that a message brings, or brings back.
func (e uevent) appeared() (node string, ok bool) {
	return e.node, e.subsystem == "video4linux" && e.action != "remove" && isVideoNode(e.node)
}

// matters says whether a message can change what cameras there are: about a
// video node, or a whole USB device and not one of its parts.
func (e uevent) matters() bool {
	switch e.subsystem {
	case "video4linux":
		return true
	case "usb":
		return e.devtype == "usb_device" && (e.action == "add" || e.action == "remove")
	}
	return false
}

// kernelEvents are the groups of NETLINK_KOBJECT_UEVENT: 1 is the kernel's, 2
// udev's.
const kernelEvents = 1

// openUevents listens to the kernel. In a container the socket may be refused,
// or be silent.
func openUevents() (fd int, err error) {
	fd, err = unix.Socket(unix.AF_NETLINK, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.NETLINK_KOBJECT_UEVENT)
	if err != nil {
		return -1, err
	}
	if err := unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: kernelEvents}); err != nil {
		_ = unix.Close(fd) // The first error counts.
		return -1, err
	}
	return fd, nil
}
