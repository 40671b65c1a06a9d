package main

import (
	"errors"
	"io"
	"net"
	"path/filepath"
	"testing"
)

// failing is a listener that cannot accept for a while.
type failing struct {
	net.Listener
	left int
}

func (f *failing) Accept() (net.Conn, error) {
	if f.left > 0 {
		f.left--
		return nil, errors.New("too many open files")
	}
	return f.Listener.Accept()
}

func TestControlSocketOutlivesAFailure(t *testing.T) {
	r, _ := newReloader(t, &target{})
	path := filepath.Join(t.TempDir(), "control.sock")
	ln, err := listenControl(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		r.serveControl(t.Context(), &failing{ln, 1})
	}()
	conn, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	if _, err := io.WriteString(conn, controlRequest); err != nil {
		t.Fatal(err)
	}
	if answer, err := io.ReadAll(conn); err != nil || len(answer) == 0 {
		t.Errorf("got %q, %v", answer, err)
	}
	_ = ln.Close()
	<-ended
}
