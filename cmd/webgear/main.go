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

	"github.com/webgear-pi/webgear/pkg/mdns"
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
	stdin          io.Reader
	stdout, stderr io.Writer
	// manager started us; nil when nobody did.
	manager *manager
	// find looks for services of the network; nil means by multicast DNS.
	find func(ctx context.Context, o mdns.Options) ([]mdns.Instance, error)
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	// After the first signal the next one kills, for a person who cannot wait.
	context.AfterFunc(ctx, stop)
	os.Exit(run(ctx, os.Args[1:], world{root: "/", stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr, manager: newManager()}))
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

  webgear run            show the camera in a browser; stop with Ctrl-C
  webgear probe          list cameras, what they can do, and which one would be chosen
  webgear provision      make the files of the web page, for you to edit
  webgear reload         have the running service read its settings again
  webgear doctor         find out why something does not work, and what to do
  webgear find           list the cameras of the local network
  webgear firstboot      apply the setup files of the memory card's boot partition
  webgear claim          set the first password
  webgear passwd         change a password, or make an account
  webgear accounts       list the accounts, or remove one
  webgear token          make, list and revoke tokens for programs
  webgear link           make a link to the picture that needs no password for a time
  webgear hash-password  print the hash of a password, for the settings file
  webgear version        print the version

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
	if command, ok := commands()[args[0]]; ok {
		return command(ctx, args[1:], w)
	}
	switch args[0] {
	case "version", "--version", "-version":
		_, _ = fmt.Fprintf(w.stdout, "webgear %s %s/%s %s\n", buildVersion(), runtime.GOOS, runtime.GOARCH, runtime.Version())
		return nil
	case "help", "--help", "-help", "-h":
		_, _ = fmt.Fprint(w.stdout, usage)
		return nil
	}
	return usageError("unknown command %q: use %s or version", args[0], strings.Join(commandNames(), ", "))
}

// commands are those with flags of their own.
func commands() map[string]func(context.Context, []string, world) error {
	return map[string]func(context.Context, []string, world) error{
		"run": runCommand, "probe": probeCommand, "provision": provisionCommand, "reload": reloadCommand, "doctor": doctorCommand,
		"find": findCommand, "firstboot": firstbootCommand,
		"claim": claimCommand, "passwd": passwdCommand, "accounts": accountsCommand, "token": tokenCommand, "link": linkCommand,
		"hash-password": hashPasswordCommand,
	}
}

// commandNames lists them as the usage does.
func commandNames() (names []string) {
	known := commands()
	for line := range strings.Lines(usage) {
		fields := strings.Fields(line)
		if len(fields) > 1 && fields[0] == "webgear" && known[fields[1]] != nil {
			names = append(names, fields[1])
		}
	}
	return names
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
	err := parseStart(fs, args, w, about)
	if err == nil && fs.NArg() > 0 {
		return usageError("unexpected argument %q: webgear %s takes flags only, such as --source test", fs.Arg(0), fs.Name())
	}
	return err
}

// parseArgs is parseFlags for a command that also takes words, up to so many of
// them, before, between and behind the flags.
func parseArgs(fs *flag.FlagSet, args []string, w world, about string, most int) (words []string, err error) {
	for {
		if err := parseStart(fs, args, w, about); err != nil {
			return nil, err
		}
		if fs.NArg() == 0 {
			break
		}
		if n := len(args) - fs.NArg(); n > 0 && args[n-1] == "--" { // nothing behind it is a flag
			words = append(words, fs.Args()...)
			break
		}
		words, args = append(words, fs.Arg(0)), fs.Args()[1:]
	}
	if len(words) > most {
		return nil, usageError("unexpected argument %q: webgear %s --help says what it takes", words[most], fs.Name())
	}
	return words, nil
}

// parseStart parses the flags before the first word.
func parseStart(fs *flag.FlagSet, args []string, w world, about string) error {
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
	}
	return nil
}
