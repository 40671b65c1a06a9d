package board

import (
	"os"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Tags of the firmware's property interface (include/soc/bcm2835/
// raspberrypi-firmware.h of the Raspberry Pi kernel).
const (
	tagFirmwareRevision = 0x00000001 // seconds since 1970
	tagVCMemory         = 0x00010006 // base and size in bytes
	tagThrottled        = 0x00030046
	words               = 16 // of the message
)

// ioctlProperty is IOCTL_MBOX_PROPERTY, _IOWR(100, 0, char *) of the driver
// vcio; the size in it is that of a pointer.
const ioctlProperty = 3<<30 | unsafe.Sizeof(uintptr(0))<<16 | 100<<8

// mailbox is what the firmware answers.
type mailbox struct {
	asked     bool
	revision  uint32
	gpuMemory int // MiB
	throttled uint32
}

// date is that of the firmware, empty when not known.
func (m mailbox) date() string {
	if m.revision == 0 {
		return ""
	}
	return time.Unix(int64(m.revision), 0).UTC().Format(time.DateOnly)
}

// request is one message with three questions. Its layout is the firmware's:
// size, code, then for each tag its number, the room for the answer, a code and
// the room itself; a zero ends it. The firmware wants 16-byte alignment of its own
// copy only, which the kernel makes.
func request() [words]uint32 {
	return [...]uint32{
		words * 4, 0,
		tagFirmwareRevision, 4, 0, 0,
		tagVCMemory, 8, 0, 0, 0,
		tagThrottled, 4, 0, 0, // bits set here would clear what was noted since the start
		0,
	}
}

// response reads the answers. Bit 31 of a code says that there is one.
func response(m [words]uint32) mailbox {
	const done, answered = 0x80000000, 1 << 31
	if m[1] != done {
		return mailbox{}
	}
	var a mailbox
	if m[4]&answered != 0 {
		a.revision = m[5]
	}
	if m[8]&answered != 0 {
		a.gpuMemory = int(m[10] >> 20)
	}
	if m[13]&answered != 0 {
		a.asked, a.throttled = true, m[14]
	}
	return a
}

// askFirmware asks through the device node. Who may not open it, or has none,
// gets nothing.
func askFirmware(path string) mailbox {
	info, err := os.Stat(path)
	if err != nil || info.Mode()&os.ModeCharDevice == 0 {
		return mailbox{}
	}
	fd, err := unix.Open(path, unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return mailbox{}
	}
	defer func() { _ = unix.Close(fd) }() // nothing was written
	m := request()
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), ioctlProperty, uintptr(unsafe.Pointer(&m))); errno != 0 {
		return mailbox{}
	}
	return response(m)
}
