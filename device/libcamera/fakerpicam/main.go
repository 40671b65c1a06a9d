// Fakerpicam is rpicam-vid without a camera: the same options, words, exit
// statuses and bytes, paced like the real one. Tests of the driver run it.
//
// What it is and what goes wrong stands in the environment variable FAKERPICAM
// and, read again for every picture, in the file named by FAKERPICAM_CONTROL, as
// words with blanks between them:
//
//	version=1.2      an older version: 1.0, 1.2, 1.4 or 1.9 (the default)
//	list=STYLE       what --list-cameras shows: vc4 (the default), pisp, two,
//	                 bare, old, usb, broken or none
//	log=FILE         append the command line to a file
//	lock=FILE        the camera can be taken once at a time
//	busy, denied     the camera cannot be taken; nobody may open the nodes
//	lag=TIME         be slow to start, and stay deaf to nothing
//	reject=TEXT      fail at once when the command line has this in it, saying TEXT
//	die=N, say=TEXT  fail before picture N, saying TEXT (with _ for blanks)
//	crash=N          be killed before picture N
//	half=N           write half of picture N and fail
//	stall=N          from picture N on there are none, nor does SIGINT help
//	garbage=N        random bytes instead of picture N
//	timeout=N        restart the sensor before picture N
//	dead             the sensor falls silent and every restart is in vain
//	split=N          write pictures in pieces of N bytes
//	align=N          round the bytes of a row up to N
//	grant=WxH        make pictures of another size
//	deaf             ignore SIGINT
//	mute             write no metadata
//	terse            do not tell the size of the pictures
//	chatty           a line for every picture
//	burst            do not wait between pictures
//
// It shares no code with the driver. One goroutine does everything.
package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"
)

func main() {
	code := run(os.Args[1:], os.Stdout, os.Stderr)
	os.Exit(code) //nolint:forbidigo // this is main
}

// run is the program: failures are told as the real one does.
func run(args []string, stdout *os.File, stderr io.Writer) int {
	err := vid(args, stdout, stderr)
	if errors.Is(err, errAborted) {
		say(stderr, "terminate called after throwing an instance of 'std::runtime_error'\n  what():  failed to write output bytes")
		return 134 // what a shell makes of SIGABRT
	}
	if err != nil {
		say(stderr, "ERROR: *** "+err.Error()+" ***")
		return 255
	}
	return 0
}

// say writes a line. Nobody is there to be told when that fails.
func say(w io.Writer, line string) { _, _ = io.WriteString(w, line+"\n") }

// errAborted is the exception that rpicam-vid does not catch.
var errAborted = errors.New("aborted")

func vid(args []string, stdout *os.File, stderr io.Writer) error {
	c := newCommands()
	if path, ok := c.text("log"); ok {
		f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
		if err != nil {
			return err
		}
		say(f, strings.Join(args, " "))
		if err := f.Close(); err != nil {
			return err
		}
	}
	version, ok := c.text("version")
	if !ok {
		version = "1.9"
	}
	opt, err := parse(args, version)
	if err != nil {
		return err
	}
	switch {
	case opt.has("help"):
		return help(stdout, version)
	case opt.has("version"):
		name := "rpicam-apps"
		if version == "1.0" || version == "1.2" {
			name = "libcamera-apps"
		}
		say(stdout, name+" build: v"+version+".0 0123456789ab 01-02-2025 (10:11:12)")
		say(stdout, "libcamera build: v0.5.0+59-d83ff0a4")
		return nil
	}
	if err := opt.check(); err != nil {
		return err
	}
	style, _ := c.text("list")
	if opt.has("list-cameras") {
		say(stdout, listing(style))
		return nil
	}
	if c.is("denied") {
		say(stderr, "[0:01:02.345678901] [1234] ERROR V4L2 v4l2_device.cpp:94 '/dev/v4l-subdev0': Failed to open V4L2 device: Permission denied")
		return errors.New("no cameras available")
	}
	cameras := ids(style)
	index := opt.number("camera")
	switch {
	case len(cameras) == 0:
		return errors.New("no cameras available")
	case index >= len(cameras):
		return errors.New("selected camera is not available")
	}
	if bad, ok := c.text("reject"); ok && strings.Contains(strings.Join(args, " "), bad) {
		return c.died()
	}
	busy := c.is("busy")
	if path, ok := c.text("lock"); ok {
		f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
		if err != nil {
			return err
		}
		defer func() { _ = f.Close() }()                                                  // nothing was written
		busy = busy || syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) != nil //nolint:gosec // a descriptor is a small number
	}
	if busy {
		say(stderr, "[0:01:02.345678901] [1234]  INFO Camera camera.cpp:1004 Pipeline handler in use by another process")
		return errors.New("failed to acquire camera " + cameras[index])
	}
	s, err := newSession(c, opt, cameras[index], stdout, stderr)
	if err != nil {
		return err
	}
	return s.capture()
}

// commands are the words that say what goes wrong.
type commands struct {
	fixed map[string]string
	path  string
	read  time.Time // the control file's, when it was read last
	live  map[string]string
}

func newCommands() *commands {
	return &commands{fixed: words(os.Getenv("FAKERPICAM")), path: os.Getenv("FAKERPICAM_CONTROL")}
}

func words(text string) map[string]string {
	m := map[string]string{}
	for word := range strings.FieldsSeq(text) {
		name, value, _ := strings.Cut(word, "=")
		m[name] = value
	}
	return m
}

// text gives the value of a command.
func (c *commands) text(name string) (string, bool) {
	if v, ok := c.fixed[name]; ok {
		return v, true
	}
	if c.path == "" {
		return "", false
	}
	if info, err := os.Stat(c.path); err == nil && !info.ModTime().Equal(c.read) {
		data, err := os.ReadFile(c.path)
		if err == nil {
			c.live, c.read = words(string(data)), info.ModTime()
		}
	}
	v, ok := c.live[name]
	return v, ok
}

func (c *commands) is(name string) bool {
	_, ok := c.text(name)
	return ok
}

// at reports whether something is to happen at picture n; without a number it
// happens at once.
func (c *commands) at(name string, n int) bool {
	v, ok := c.text(name)
	if !ok {
		return false
	}
	when, err := strconv.Atoi(v)
	return err != nil || when == n
}

// from is at for what goes on.
func (c *commands) from(name string, n int) bool {
	v, ok := c.text(name)
	if !ok {
		return false
	}
	when, err := strconv.Atoi(v)
	return err != nil || n >= when
}

func (c *commands) number(name string, otherwise int) int {
	v, _ := c.text(name)
	n, err := strconv.Atoi(v)
	if err != nil {
		return otherwise
	}
	return n
}

// sleep waits, but not for what cannot happen.
func sleep(d time.Duration) {
	if d > 0 {
		<-time.After(d)
	}
}

// signals gives the channel on which SIGINT, SIGUSR1 and SIGUSR2 arrive. As with
// the real one, nobody looks at it but once per picture. SIGTERM is not caught.
func signals(deaf bool) <-chan os.Signal {
	c := make(chan os.Signal, 4)
	signal.Notify(c, syscall.SIGUSR1, syscall.SIGUSR2)
	if deaf {
		signal.Ignore(syscall.SIGINT)
		return c
	}
	signal.Notify(c, syscall.SIGINT)
	return c
}

// died describes the failure that a test asked for.
func (c *commands) died() error {
	text, ok := c.text("say")
	if !ok {
		text = "failed to queue request"
	}
	return fmt.Errorf("%s", strings.ReplaceAll(text, "_", " "))
}
