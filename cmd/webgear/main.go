// Command webgear turns a camera into a network camera. This package is the
// only one that names drivers: it reads flags and settings, wires the parts
// together, and turns errors into exit codes.
//
// Exit codes are a contract with whoever supervises the program:
//
//	0   asked to stop, or done
//	1   failed in use; starting it again may help
//	2   the command line is wrong, or names a source that cannot be used
//	78  the settings file is wrong (EX_CONFIG); starting it again does not help
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"strings"
	"syscall"
)

// version is set by the linker.
var version = ""

// Exit codes.
const (
	exitOK     = 0
	exitFailed = 1
	exitUsage  = 2
	exitConfig = 78
)

// world is everything outside the program that it touches by name.
type world struct {
	// home holds the data files of a person; empty means the user's own.
	home string
	// root is put before /dev and /sys.
	root           string
	stdout, stderr io.Writer
	// manager started us; nil when nobody did.
	manager *manager
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	// After the first signal the next one kills, for a person who cannot wait.
	context.AfterFunc(ctx, stop)
	os.Exit(run(ctx, os.Args[1:], world{root: "/", stdout: os.Stdout, stderr: os.Stderr, manager: newManager()}))
}

// exitError carries an exit code with an error.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string { return e.err.Error() }
func (e *exitError) Unwrap() error { return e.err }

// usageError makes an error that ends the program with exit code 2.
func usageError(format string, args ...any) error {
	return &exitError{exitUsage, fmt.Errorf(format, args...)}
}

const usage = `webgear turns a camera into a network camera.

  webgear run        show the camera in a browser; stop with Ctrl-C
  webgear probe      list cameras, what they can do, and which one would be chosen
  webgear provision  make the files of the web page, for you to edit
  webgear reload     have the running service read its settings again
  webgear doctor     find out why something does not work, and what to do
  webgear version    print the version

webgear COMMAND --help lists the flags of a command.
`

// run executes one command line and returns the exit code.
func run(ctx context.Context, args []string, w world) int {
	err := dispatch(ctx, args, w)
	if err == nil || errors.Is(err, flag.ErrHelp) {
		return exitOK
	}
	text := strings.TrimPrefix(strings.ReplaceAll(err.Error(), "\n", "; "), "webgear: ") // package webgear says it, too
	_, _ = fmt.Fprintf(w.stderr, "webgear: %s\n", text)
	if ee, ok := errors.AsType[*exitError](err); ok {
		return ee.code
	}
	return exitFailed
}

func dispatch(ctx context.Context, args []string, w world) error {
	if len(args) == 0 {
		_, _ = fmt.Fprint(w.stderr, usage)
		return usageError("no command given: use webgear run to show the camera")
	}
	switch args[0] {
	case "run":
		return runCommand(ctx, args[1:], w)
	case "probe":
		return probeCommand(ctx, args[1:], w)
	case "provision":
		return provisionCommand(ctx, args[1:], w)
	case "reload":
		return reloadCommand(ctx, args[1:], w)
	case "doctor":
		return doctorCommand(ctx, args[1:], w)
	case "version", "--version", "-version":
		_, _ = fmt.Fprintf(w.stdout, "webgear %s %s/%s %s\n", buildVersion(), runtime.GOOS, runtime.GOARCH, runtime.Version())
		return nil
	case "help", "--help", "-help", "-h":
		_, _ = fmt.Fprint(w.stdout, usage)
		return nil
	}
	return usageError("unknown command %q: use run, probe, provision, reload, doctor or version", args[0])
}

// buildVersion prefers what the linker was told over what the Go tool recorded.
func buildVersion() string {
	if version != "" {
		return version
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "unknown"
}

// newFlagSet makes the flags of a command.
func newFlagSet(command string) *flag.FlagSet { return flag.NewFlagSet(command, flag.ContinueOnError) }

// parseFlags parses args strictly: errors are one line that names the flag and
// where help is; --help prints the flags to stdout.
func parseFlags(fs *flag.FlagSet, args []string, w world, about string) error {
	fs.SetOutput(io.Discard)
	err := fs.Parse(args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		_, _ = fmt.Fprintf(w.stdout, "%s\n\nFlags:\n", about)
		fs.SetOutput(w.stdout)
		fs.PrintDefaults()
		return err
	case err != nil:
		msg := strings.Replace(err.Error(), "flag provided but not defined: -", "unknown flag --", 1)
		return usageError("%s: webgear %s --help lists the flags", msg, fs.Name())
	case fs.NArg() > 0:
		return usageError("unexpected argument %q: webgear %s takes flags only, such as --source test", fs.Arg(0), fs.Name())
	}
	return nil
}
