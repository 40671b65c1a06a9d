package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
)

// command is one line of the control file.
type command struct {
	verb string
	n    int // pictures, or frames per second
}

// parseCommand reads a line. The number is 1 when left out.
func parseCommand(line string) (command, error) {
	words := strings.Fields(line)
	if len(words) == 0 {
		return command{}, errors.New("empty command")
	}
	c := command{verb: words[0]}
	args, least := words[1:], -1
	switch c.verb {
	case "unplug", "plug", "stall", "go", "quit":
		if len(args) > 0 {
			return command{}, fmt.Errorf("command %q takes no number", c.verb)
		}
		return c, nil
	case "truncate", "garbage", "empty", "nodht", "pad":
		c.n = 1
	case "fps":
		least = 0
	default:
		return command{}, fmt.Errorf("unknown command %q", c.verb)
	}
	if len(args) > 0 {
		n, err := strconv.Atoi(args[0])
		if err != nil || n < least || n > 1_000_000 || len(args) > 1 {
			return command{}, fmt.Errorf("command %q: want one number from %d to 1000000", line, least)
		}
		c.n = n
	}
	return c, nil
}

// readCommands delivers the commands of a FIFO until ctx ends, or those of
// standard input until it ends, after which the channel is closed. wait, to be
// called after ctx ended, waits for the goroutine behind it.
func readCommands(ctx context.Context, path string, log *slog.Logger) (commands <-chan command, wait func(), err error) {
	// Both are opened anew rather than inherited, so that they join the
	// runtime's poller and closing them wakes the reader. A FIFO opened for
	// writing too never ends, however many writers come and go.
	mode := os.O_RDWR
	if path == "-" {
		path, mode = "/proc/self/fd/0", os.O_RDONLY // /dev/stdin needs udevd to be there
	} else if err := syscall.Mkfifo(path, 0o600); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, nil, fmt.Errorf("make FIFO %s: %w", path, err)
	}
	f, err := os.OpenFile(path, mode, 0)
	if err != nil {
		return nil, nil, err
	}
	ch := make(chan command)
	stop := context.AfterFunc(ctx, func() { _ = f.Close() })
	var wg sync.WaitGroup
	wg.Go(func() {
		defer close(ch)
		lines := bufio.NewScanner(f)
		for lines.Scan() {
			c, err := parseCommand(lines.Text())
			if err != nil {
				log.Error("bad command", "err", err)
				continue
			}
			select {
			case ch <- c:
			case <-ctx.Done():
				return
			}
		}
	})
	return ch, func() {
		wg.Wait()
		if stop() {
			_ = f.Close()
		}
	}, nil
}
