package main

import (
	"bytes"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"image/jpeg"
	"io"
	"math"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// poison fills what lies between the rows.
	poison = 0xA5
	// stdioBlock is what the C library keeps back when nobody flushes.
	stdioBlock = 4096
	// readout is how long a picture is on its way from the sensor.
	readout = 12 * time.Millisecond
)

// session is one capture.
type session struct {
	c      *commands
	stdout *os.File
	stderr io.Writer
	signal <-chan os.Signal
	signed bool // told to mind SIGUSR1 and SIGUSR2
	paused bool // by SIGUSR1

	codec         string
	width, height int
	stride        int
	interval      time.Duration
	flush         bool
	metadata      *os.File // nil when not wanted
	exposure      string
	gain          string

	jpeg    []byte // without number
	raw     []byte
	pending []byte // kept back
}

func newSession(c *commands, opt parsed, id string, stdout *os.File, stderr io.Writer) (*session, error) {
	s := &session{
		c: c, stdout: stdout, stderr: stderr, signal: signals(c.is("deaf")), signed: opt.has("signal"),
		codec: opt["codec"], width: opt.number("width") &^ 1, height: opt.number("height") &^ 1, flush: opt.has("flush"),
		exposure: "9998", gain: "1.500000",
	}
	signal.Ignore(syscall.SIGPIPE) // caught: writing fails instead
	if opt["output"] != "-" || opt["timeout"] != "0" {
		return nil, errors.New("failed to open output file " + opt["output"])
	}
	if grant, ok := c.text("grant"); ok {
		w, h, _ := strings.Cut(grant, "x")
		s.width, s.height = parsed{"w": w}.number("w"), parsed{"h": h}.number("h")
	}
	align := 64
	if strings.HasPrefix(id, "/base/axi/pcie") {
		align = 128
	}
	align = c.number("align", align)
	s.stride = (s.width + align - 1) / align * align
	fps, err := strconv.ParseFloat(opt["framerate"], 64)
	if err != nil || fps <= 0 {
		fps = 30
	}
	s.interval = time.Duration(float64(time.Second) / fps)
	if us, ok := opt["shutter"]; ok {
		s.exposure = us
	}
	if gain, ok := opt["gain"]; ok {
		s.gain = gain
	}
	if path := opt["metadata"]; path != "" && !c.is("mute") {
		// Like the real one, it says nothing when that fails.
		s.metadata, _ = os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	}
	const sensor = "[0:01:02.345678901] [1234]  INFO "
	say(stderr, sensor+"Camera camera_manager.cpp:313 libcamera v0.5.0+59-d83ff0a4")
	say(stderr, "Mode selection for 1280:720:12:P")
	say(stderr, "    SRGGB10_CSI2P,1536x864/0 - Score: 1201.7")
	say(stderr, "Stream configuration adjusted")
	if !c.is("terse") {
		say(stderr, fmt.Sprintf(sensor+"Camera camera.cpp:1183 configuring streams: (0) %dx%d-YUV420 (1) 1536x864-SRGGB10_CSI2P", s.width, s.height))
	}
	return s, s.draw()
}

// draw makes what all pictures have in common.
func (s *session) draw() error {
	if s.codec == "yuv420" {
		s.raw = bytes.Repeat([]byte{poison}, s.stride*s.height*3/2)
		for y := range s.height {
			row := s.raw[y*s.stride:][:s.width]
			for x := range row {
				row[x] = byte(x + y)
			}
		}
		for i, value := range []byte{100, 150} {
			plane := s.raw[s.stride*s.height*(4+i)/4:]
			for y := range s.height / 2 {
				copy(plane[y*s.stride/2:][:s.width/2], bytes.Repeat([]byte{value}, s.width/2))
			}
		}
		return nil
	}
	img := image.NewGray(image.Rect(0, 0, s.width, s.height))
	draw.Draw(img, img.Bounds(), image.NewUniform(color.Gray{Y: 90}), image.Point{}, draw.Src)
	var b bytes.Buffer
	err := jpeg.Encode(&b, img, nil)
	s.jpeg = b.Bytes()
	return err
}

// picture gives picture n. Its number stands in a comment, behind a segment that
// holds a small picture, or in the first 32 pixels, highest bit first.
func (s *session) picture(n int) []byte {
	if s.codec == "yuv420" {
		for i := range 32 {
			s.raw[i] = byte(0 - uint32(n)>>(31-i)&1)
		}
		return s.raw
	}
	trap := "\xFF\xE1\x00\x0A\xFF\xD8\xFF\xDB\xFF\xD9\xFF\xD8"
	number := fmt.Sprintf("number %08d", n)
	comment := "\xFF\xFE\x00" + string(rune(len(number)+2)) + number
	return bytes.Join([][]byte{s.jpeg[:2], []byte(trap), []byte(comment), s.jpeg[2:]}, nil)
}

// capture delivers pictures until somebody stops it.
func (s *session) capture() error {
	if text, ok := s.c.text("lag"); ok {
		if d, err := time.ParseDuration(text); err == nil {
			sleep(d)
		}
	}
	due := time.Now()
	for n := 0; ; n++ {
		if !s.c.is("burst") {
			sleep(time.Until(due))
		}
		due = due.Add(s.interval)
		if late := time.Since(due); late > 0 { // the sensor does not wait either
			due = due.Add(late.Truncate(s.interval))
		}
		for s.c.from("stall", n) { // the real one waits for a picture, too
			sleep(10 * time.Millisecond)
		}
		if s.stopped() {
			return nil
		}
		for s.c.is("dead") {
			say(s.stderr, "ERROR: Device timeout detected, attempting a restart!!!")
			sleep(50 * time.Millisecond)
		}
		switch {
		case s.c.at("die", n):
			return s.c.died()
		case s.c.at("crash", n):
			return syscall.Kill(os.Getpid(), syscall.SIGKILL)
		case s.c.at("timeout", n):
			say(s.stderr, "ERROR: Device timeout detected, attempting a restart!!!")
		}
		if s.c.is("chatty") {
			say(s.stderr, fmt.Sprintf("#%d (30.00 fps) exp 9998.00 ag 1.50 dg 1.00", n))
		}
		taken := bootTime() - readout.Nanoseconds()
		data := s.picture(n)
		switch {
		case s.c.at("garbage", n):
			data = bytes.Repeat([]byte{0xFF, 0xD8, 0x00, 0x11, 0xFF, 0xD9}, len(data)/6+1)[:len(data)]
		case s.c.at("half", n):
			if err := s.write(data[:len(data)/2]); err != nil {
				return err
			}
			return s.c.died()
		}
		if s.paused {
			continue
		}
		if err := s.write(data); err != nil {
			return err
		}
		s.tell(n, taken)
	}
}

// stopped reports whether a signal ends the capture. SIGUSR1 and SIGUSR2 are
// heard, but do something with --signal only: pause or go on, and end.
func (s *session) stopped() bool {
	select {
	case sig := <-s.signal:
		number, _ := sig.(syscall.Signal)
		say(s.stderr, "Received signal "+strconv.Itoa(int(number)))
		if s.signed && number == syscall.SIGUSR1 {
			s.paused = !s.paused
		}
		return number == syscall.SIGINT || s.signed && number == syscall.SIGUSR2
	default:
		return false
	}
}

// write hands a picture over as the C library does.
func (s *session) write(data []byte) error {
	if !s.flush {
		s.pending = append(s.pending, data...)
		whole := len(s.pending) / stdioBlock * stdioBlock
		data = s.pending[:whole]
		defer func() { s.pending = append(s.pending[:0], s.pending[whole:]...) }()
	}
	piece := s.c.number("split", math.MaxInt)
	for len(data) > 0 {
		n, err := s.stdout.Write(data[:min(piece, len(data))])
		if err != nil {
			return errAborted
		}
		data = data[n:]
	}
	return nil
}

// tell writes what is known about a picture, line by line.
func (s *session) tell(n int, taken int64) {
	if s.metadata == nil || s.c.is("mute") {
		return
	}
	for _, line := range []string{
		"SensorTimestamp=" + strconv.FormatInt(taken, 10),
		"AeLocked=true", "ExposureTime=" + s.exposure, "AnalogueGain=" + s.gain, "DigitalGain=1.002000",
		"FrameDuration=" + strconv.FormatInt(s.interval.Microseconds(), 10), "Lux=401.250000", "ColourTemperature=4512",
		"ColourGains=[ 1.912000, 2.105000 ]", "LensPosition=1.000000", "AfState=2", "FocusFoM=" + strconv.Itoa(500+n%7),
		"SensorTemperature=41.000000", "ScalerCrop=(0, 0)/4608x2592", "",
	} {
		say(s.metadata, line)
	}
}

func bootTime() int64 {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts); err != nil {
		return 0
	}
	return ts.Nano()
}
