package httpjpeg_test

import (
	"bufio"
	"context"
	"errors"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/webgear-pi/webgear/device"
	"github.com/webgear-pi/webgear/device/httpjpeg"
)

// pipeClient connects to script without a network, so that time can be the
// bubble's.
func pipeClient(script func(conn net.Conn, gone <-chan struct{})) *http.Client {
	return &http.Client{Transport: &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) {
		client, server := net.Pipe()
		go func() { // the bubble waits for it
			defer func() { _ = server.Close() }() // it is a pipe
			r := bufio.NewReader(server)
			if _, err := http.ReadRequest(r); err != nil {
				return
			}
			gone := make(chan struct{})
			go func() { // the bubble waits for it
				defer close(gone)
				_, _ = r.ReadByte() // nothing more comes until the client goes
			}()
			script(server, gone)
		}()
		return client, nil
	}}}
}

func TestSilentAndDrippingServersAreGivenUp(t *testing.T) {
	for _, tc := range []struct {
		name   string
		script func(conn net.Conn, gone <-chan struct{})
		// good is how many pictures come before the error.
		good  int
		kind  error
		text  string // what the error must say
		after time.Duration
	}{
		{"drips a part", func(conn net.Conn, gone <-chan struct{}) {
			_, _ = conn.Write([]byte(streamHead + onePart(1) + "--frame\r\nContent-Length: 5000\r\n\r\n\xff\xd8")) // the test sees what comes
			drip(conn, gone, "x", 20*time.Millisecond)
		}, 1, device.ErrStalled, "sent no whole picture for 30s", 30 * time.Second},
		{"drips a header", func(conn net.Conn, gone <-chan struct{}) {
			_, _ = conn.Write([]byte(streamHead + "--frame\r\n")) // the test sees what comes
			drip(conn, gone, "X-A: b\r\n", 20*time.Millisecond)
		}, 0, device.ErrStalled, "sent no whole picture for 30s", 30 * time.Second},
		{"drips the answer", func(conn net.Conn, gone <-chan struct{}) {
			_, _ = conn.Write([]byte("HTTP/1.1 200 OK\r\n")) // the test sees what comes
			drip(conn, gone, "X-A: b\r\n", 20*time.Millisecond)
		}, 0, device.ErrDisconnected, "sent nothing for 10s", 10 * time.Second},
		{"is silent", func(_ net.Conn, gone <-chan struct{}) { <-gone }, 0, device.ErrDisconnected, "sent nothing for 10s", 10 * time.Second},
		{"falls silent", func(conn net.Conn, gone <-chan struct{}) {
			_, _ = conn.Write([]byte(streamHead + onePart(1))) // the test sees what comes
			<-gone
		}, 1, device.ErrDisconnected, "sent nothing for 10s", 10 * time.Second},
		{"sends damaged pictures only", func(conn net.Conn, gone <-chan struct{}) {
			_, _ = conn.Write([]byte(streamHead)) // the test sees what comes
			drip(conn, gone, "--frame\r\n\r\nno picture\r\n", 20*time.Millisecond)
		}, 0, device.ErrDamaged, "sent only damaged pictures for 30s", 30 * time.Second},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				begun := time.Now()
				cam := open(t, httpjpeg.Options{URL: "http://camera/", Client: pipeClient(tc.script)})
				_, err := cam.Start(t.Context(), device.Format{})
				good := 0
				for err == nil {
					if err = cam.Next(t.Context(), func(*device.Buffer) error { return nil }); err == nil {
						good++
					}
				}
				if good != tc.good || !errors.Is(err, tc.kind) || !strings.Contains(err.Error(), tc.text) {
					t.Errorf("%d good pictures, then %v; want %d, %v with %q", good, err, tc.good, tc.kind, tc.text)
				}
				if took := time.Since(begun); took != tc.after {
					t.Errorf("given up after %v, want %v", took, tc.after)
				}
			})
		})
	}
}
