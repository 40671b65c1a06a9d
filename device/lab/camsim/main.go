// Camsim is a USB webcam made of software. It plugs itself into the running
// kernel through vhci-hcd, the virtual host controller of USB/IP, over a
// socketpair: the kernel's own uvcvideo driver binds to it and makes
// /dev/videoN with MJPG and YUYV at 640x480, 1280x720 and 1920x1080. It needs
// root and "modprobe vhci-hcd", but no network, no gadget controller and no cgo.
//
//	camsim [-iso=false] [-port 0] [-serial S] [-absent] [-ctl FIFO]
//
// Every MJPG picture carries its number and a checksum, see package stamp.
// What goes wrong with real cameras happens on command, one a line on the
// control file (N is a number of pictures, -1 means until "go"):
//
//	unplug, plug   pull the cable, and put it back into the same port
//	stall          deliver nothing until "go"
//	truncate N     cut pictures in half
//	garbage N      random bytes instead of pictures
//	empty N        pictures of no bytes
//	nodht N        MJPG without Huffman tables
//	pad N          MJPG with zero bytes after the end
//	fps N          another rate than the negotiated one; 0 goes back to that
//	go             end all of the above but unplug and fps
//	quit           unplug and end
//
// The package owns the simulated hardware. One goroutine executes commands;
// while the camera is plugged in, one reads the kernel's requests and one sends
// pictures, both waited for by unplug.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stderr)
	stop()
	os.Exit(code) //nolint:forbidigo // this is main
}

// run is the program. It returns 0 after quit or when ctx ends, 1 when the
// camera could not be plugged in, 2 when args are wrong.
func run(ctx context.Context, args []string, stderr io.Writer) int {
	fs := flag.NewFlagSet("camsim", flag.ContinueOnError)
	fs.SetOutput(stderr)
	var m model
	fs.BoolVar(&m.iso, "iso", true, "isochronous transfers, as most webcams have; false means bulk")
	number := fs.Int("port", 0, "port of the virtual host controller")
	fs.StringVar(&m.serial, "serial", "", "serial number (default LAB and the port, such as LAB0000)")
	absent := fs.Bool("absent", false, "do not plug in before the command \"plug\"")
	ctl := fs.String("ctl", "", "read commands from this FIFO, made if missing; \"-\" is standard input, whose end means \"quit\"")
	if err := fs.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return 0
		}
		return 2
	}
	if fs.NArg() > 0 || *number < 0 || *number > 7 {
		_, _ = fmt.Fprintln(stderr, "camsim: takes no arguments beside flags, and -port goes from 0 to 7")
		return 2
	}
	if m.serial == "" {
		m.serial = fmt.Sprintf("LAB%04d", *number)
	}
	log := slog.New(slog.NewTextHandler(stderr, nil)).With("port", *number)

	pictures, err := draw()
	if err != nil {
		log.Error("cannot make pictures", "err", err)
		return 1
	}
	p := &plug{cam: newCamera(m, pictures, log), port: port{dir: vhciDir, number: *number}, log: log}
	if err := control(ctx, p, *ctl, !*absent); err != nil {
		log.Error("ended", "err", err)
		return 1
	}
	return 0
}

// control plugs the camera in and executes commands until quit or ctx ends.
func control(ctx context.Context, p *plug, ctl string, present bool) (err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var commands <-chan command
	if ctl != "" {
		c, wait, err := readCommands(ctx, ctl, p.log)
		if err != nil {
			return err
		}
		defer func() {
			cancel()
			wait()
		}()
		commands = c
	}
	if present {
		if err := p.in(ctx); err != nil {
			return err
		}
	}
	defer p.out()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-p.gone():
			p.log.Warn("the kernel let go of the camera")
			p.out()
		case c, ok := <-commands:
			if !ok || c.verb == "quit" {
				return nil
			}
			p.log.Info("command", "verb", c.verb, "count", c.n)
			switch c.verb {
			case "plug":
				err = p.in(ctx)
			case "unplug":
				p.out()
			default:
				p.cam.apply(c)
			}
			if err != nil {
				return err
			}
		}
	}
}
