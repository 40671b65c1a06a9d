// Package device is the contract between webgear and the hardware: what a
// camera is, how its pictures look, how it fails. Drivers live in the packages
// below this one and implement [Camera]; the rest of the program sees only what
// is declared here, so it can be tested without a camera.
//
// The package holds no hardware access itself and imports the standard library
// only. Values are safe to copy; concurrency rules stand with each method.
package device

import (
	"context"
	"time"
)

// Camera is one source of pictures: a V4L2 node, a synthetic pattern, a
// recording. devicetest.TestCamera checks every rule below.
//
// One goroutine calls Modes, Start, Next and Stop, in that order; Close may come
// from any goroutine at any time and more than once.
type Camera interface {
	// Info says what the camera is. It never changes and never blocks.
	Info() Info

	// Modes lists what the camera offers, best guess first for stepwise ranges.
	// It may be called before Start or after Stop.
	Modes(ctx context.Context) ([]Mode, error)

	// Start asks for a format and begins to capture. It returns the format
	// that was granted, which may differ in every field: asking for something
	// the camera does not have is not an error as long as something close was
	// granted. Zero fields of want mean "driver's choice".
	Start(ctx context.Context, want Format) (Format, error)

	// Next waits for a picture newer than the last one and lends it to use.
	// When several are waiting, older ones are skipped and counted in
	// Buffer.Stale. The buffer belongs to the driver: use must not keep it nor
	// anything in it once it returns, unless it called Buffer.Hold. Next returns
	// the error of use.
	//
	// The error matches the context's cause when ctx ended first, ErrClosed
	// after Close, ErrUnplugged when the hardware is gone, ErrEnded when a
	// recording is over.
	Next(ctx context.Context, use func(*Buffer) error) error

	// Stop ends capturing; Start may be called again. Stopping a stopped
	// camera does nothing.
	Stop() error

	// Close stops and releases the camera. A blocked Next returns promptly
	// with an error matching ErrClosed. Every later call does too, except
	// Close itself, which returns nil.
	Close() error
}

// Info identifies a camera to people and programs.
type Info struct {
	// Driver is the kernel's name for the driver ("uvcvideo", "vivid") or the
	// package's own ("testsrc").
	Driver string `json:"driver"`
	// Name is what the hardware calls itself, such as "HD Pro Webcam C920".
	Name string `json:"name"`
	// Path is what was opened, such as "/dev/video0".
	Path string `json:"path"`
	// ID is a name that survives replugging and rebooting where there is one: a
	// path below /dev/v4l/by-id or by-path, or "bus:" and the port that the camera
	// is plugged in where nobody makes those. Otherwise it equals Path.
	ID string `json:"id"`
	// Bus says where the camera is attached, such as "usb-0000:01:00.0-1.2".
	Bus string `json:"bus,omitempty"`
	// Synthetic is set when the pictures do not come from a camera.
	Synthetic bool `json:"synthetic,omitempty"`
}

// Buffer is one picture in the driver's memory, lent to the function that was
// given to Camera.Next.
type Buffer struct {
	// Data is the picture as the hardware wrote it: bytesused bytes for
	// compressed formats, whole planes for raw ones. Read only.
	Data []byte
	// Format is the granted format; Stride is filled for raw formats.
	Format Format
	// DriverSeq is the driver's own frame counter. A gap, less Stale, is what
	// the driver or the bus lost.
	DriverSeq uint32
	// Stale counts older pictures skipped by this call to Next.
	Stale int
	// Corrupt is the driver's own verdict: it flagged the picture as damaged.
	Corrupt bool
	// CapturedAt is when the picture was taken (for UVC: when its first packet
	// arrived), converted once from the driver's clock. It has a monotonic reading.
	CapturedAt time.Time
	// ReceivedAt is when the driver handed the picture over.
	ReceivedAt time.Time
	// Hold, where it is not nil, may be called once during use to keep Data
	// beyond it. The driver gets the memory back by release, which may be called
	// from any goroutine, and has to be: Stop and Close wait for it. ok is false
	// when the driver cannot spare the memory now; then Data has to be copied.
	// The other fields may be kept anyway.
	Hold func() (release func(), ok bool)
	// DMABUF, where it is not nil, gives a file descriptor of the memory that Data
	// begins at the first byte of, for other hardware to read the picture without
	// a copy. It may be called as long as Data may be read, and the descriptor used
	// as long; it stays the driver's, which closes it. The same memory has the same
	// descriptor, so that whoever imported it once can tell. ok is false when the
	// memory cannot be shared. A copy of the Buffer whose Data was copied must not
	// keep it.
	DMABUF func() (fd int, ok bool)
}

// Frame is one complete JPEG picture, shared by all viewers through its pointer
// and freed by the garbage collector. Nobody writes to it, or to Data, after it
// was published.
type Frame struct {
	// Data is a whole JPEG file, from SOI to EOI.
	Data []byte
	// Width and Height are the picture's size in pixels.
	Width, Height int
	// Seq counts published frames from 1 without gaps, across cameras and
	// placeholders. A viewer's gaps are the frames it did not get.
	Seq uint64
	// DriverSeq is the driver's counter, for live frames.
	DriverSeq uint32
	// CapturedAt is when the picture was taken, or drawn for a placeholder.
	CapturedAt time.Time
	// PublishedAt is when the frame became visible to viewers.
	PublishedAt time.Time
	// Placeholder is empty for live pictures; otherwise the code of the cause
	// that is shown instead, such as "unplugged".
	Placeholder string
}
