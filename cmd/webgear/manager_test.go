package main

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/webgear-pi/webgear/pkg/auth"
	"github.com/webgear-pi/webgear/pkg/gate"
)

// notes is the other end of a manager: what the program tells it.
type notes struct {
	conn *net.UnixConn
}

// newNotes makes a manager that nobody but the test listens to.
func newNotes(t *testing.T) (*manager, *notes) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "notify")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	t.Setenv("NOTIFY_SOCKET", path)
	return &manager{address: path}, &notes{conn}
}

// next waits for a note, and for the files that came with it.
func (n *notes) next(t *testing.T) (text string, files []int) {
	t.Helper()
	if err := n.conn.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	b, oob := make([]byte, 4096), make([]byte, 4096)
	size, oobSize, _, _, err := n.conn.ReadMsgUnix(b, oob)
	if err != nil {
		t.Fatal(err)
	}
	if messages, err := unix.ParseSocketControlMessage(oob[:oobSize]); err == nil && len(messages) > 0 {
		files, _ = unix.ParseUnixRights(&messages[0])
	}
	return string(b[:size]), files
}

// until reads notes until one begins so.
func (n *notes) until(t *testing.T, prefix string) (all []string) {
	t.Helper()
	for range 60 { // other notes may come in between, for ever
		text, files := n.next(t)
		for _, fd := range files {
			_ = unix.Close(fd)
		}
		all = append(all, text)
		if strings.HasPrefix(text, prefix) {
			return all
		}
	}
	t.Fatalf("no %q in %q", prefix, all)
	return nil
}

func TestManagerHearsOfPictureStateAndEnd(t *testing.T) {
	m, n := newNotes(t)
	m.watchdog = 2 * time.Second
	ctx, cancel := context.WithCancel(t.Context())
	code := make(chan int, 1)
	stderr := newLockedBuffer()
	go func() {
		code <- run(ctx, []string{"run", "--listen", "127.0.0.1:0", "--source", "test:320x240"},
			world{root: emptyRoot(t), home: t.TempDir(), stdout: stderr, stderr: stderr, manager: m})
	}()
	all := n.until(t, "READY=1")
	if !strings.HasPrefix(all[0], "FDSTORE=1\nFDNAME=webgear-http") {
		t.Errorf("first note %q", all[0])
	}
	if !strings.Contains(stderr.String(), "msg=serving") {
		t.Error("was called ready before it served")
	}
	if !slices.ContainsFunc(all, func(s string) bool { return strings.HasPrefix(s, "STATUS=Camera online: Test picture") }) {
		t.Errorf("no status of a camera in %q", all)
	}
	for range 3 {
		n.until(t, "WATCHDOG=1")
	}
	cancel()
	n.until(t, "STOPPING=1")
	if c := <-code; c != 0 {
		t.Errorf("exit code %d:\n%s", c, stderr)
	}
}

func TestReloadIsToldWithItsTime(t *testing.T) {
	m, n := newNotes(t)
	m.reloading()
	if text, _ := n.next(t); !strings.HasPrefix(text, "RELOADING=1\nMONOTONIC_USEC=") {
		t.Errorf("got %q", text)
	}
}

func TestNobodyIsToldWithoutAManager(*testing.T) {
	var m *manager
	m.ready()
	m.reloading()
	m.stopping()
	m.forget("x")
}

// listener is one on a free port, with its file as the manager would pass it.
func passed(t *testing.T, name string) (address string, f *os.File) {
	t.Helper()
	ln, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	own, err := ln.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	fd, err := unix.Dup(int(own.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	address = ln.Addr().String()
	if err := errors.Join(own.Close(), ln.Close()); err != nil {
		t.Fatal(err)
	}
	return address, os.NewFile(uintptr(fd), name)
}

// listenPlain gets the sockets for HTTP as one.
func listenPlain(t *testing.T, address string, explicit bool, m *manager) (net.Listener, error) {
	t.Helper()
	plain, _ := kinds()
	all, err := plain.listen(t.Context(), address, explicit, m)
	if err != nil {
		return nil, err
	}
	return assemble(all, nil, nil, gate.Options{}), nil
}

func TestStoredSocketIsServedAgain(t *testing.T) {
	address, f := passed(t, "webgear-http")
	ln, err := listenPlain(t, address, true, &manager{files: []*os.File{f}})
	if err != nil {
		t.Fatal(err) // a new socket would be refused: the stored one is bound
	}
	defer func() { _ = ln.Close() }()
	if ln.Addr().String() != address {
		t.Errorf("got %s, want %s", ln.Addr(), address)
	}
}

func TestStoredSocketOfAnotherAddressIsForgotten(t *testing.T) {
	m, n := newNotes(t)
	address, f := passed(t, "webgear-http")
	m.files = []*os.File{f}
	ln, err := listenPlain(t, "127.0.0.1:0", true, m)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = ln.Close() }()
	if ln.Addr().String() == address {
		t.Error("the old address is served")
	}
	if text, _ := n.next(t); text != "FDSTOREREMOVE=1\nFDNAME=webgear-http" {
		t.Errorf("got %q", text)
	}
	if conn, err := net.Dial("tcp", address); err == nil {
		_ = conn.Close()
		t.Error("the old address still answers")
	}
}

func TestSocketOfAUnitIsServedUnlessTheSettingsSayOtherwise(t *testing.T) {
	one, f := passed(t, "webgear.socket")
	two, g := passed(t, "webgear.socket")
	ln, err := listenPlain(t, ":8000", false, &manager{files: []*os.File{f, g}})
	if err != nil {
		t.Fatal(err)
	}
	for _, address := range []string{one, two} {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		got, err := ln.Accept()
		if err != nil || got.LocalAddr().String() != address {
			t.Errorf("%s: accepted %v, %v", address, got, err)
		}
		_ = got.Close()
		_ = conn.Close()
	}
	if err := ln.Close(); err != nil {
		t.Error(err)
	}
	if _, err := ln.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Accept after Close: %v", err)
	}

	_, f = passed(t, "webgear.socket")
	if _, err := listenPlain(t, "127.0.0.1:1", true, &manager{files: []*os.File{f}}); !errors.Is(err, errTaken) {
		t.Errorf("got %v", err)
	}
}

func TestSameKnowsTheWaysToWriteAnAddress(t *testing.T) {
	for _, tt := range []struct {
		ip      string
		address string
		want    bool
	}{
		{"::", ":8000", true},
		{"0.0.0.0", ":8000", true},
		{"::", "[::]:8000", true},
		{"127.0.0.1", "127.0.0.1:8000", true},
		{"::ffff:127.0.0.1", "127.0.0.1:8000", true},
		{"::", "127.0.0.1:8000", false},
		{"127.0.0.1", ":8000", false},
		{"::", ":8001", false},
		{"::", "localhost:8000", false},
		{"::", "x", false},
	} {
		if got := same(&net.TCPAddr{IP: net.ParseIP(tt.ip), Port: 8000}, tt.address); got != tt.want {
			t.Errorf("%s and %s: %v", tt.ip, tt.address, got)
		}
	}
}

func TestSocketsOfHTTPAndHTTPSAreToldApart(t *testing.T) {
	m, n := newNotes(t)
	plainAddress, f := passed(t, "webgear-http")
	secureAddress, g := passed(t, "webgear-https")
	m.files = []*os.File{g, f}
	plain, secure := kinds()
	for address, k := range map[string]kind{plainAddress: plain, secureAddress: secure} {
		all, err := k.listen(t.Context(), address, true, m)
		if err != nil || len(all) != 1 || all[0].Addr().String() != address {
			t.Fatalf("%s: %v, %v", address, all, err)
		}
		closeAll(all)
	}
	// What nobody wants any more is given back.
	_, f = passed(t, "webgear-https")
	m.files = []*os.File{f}
	secure.drop(m)
	if text, _ := n.next(t); text != "FDSTOREREMOVE=1\nFDNAME=webgear-https" || len(m.files) != 0 {
		t.Errorf("got %q, %v", text, m.files)
	}
	// Socket units name theirs.
	address, f := passed(t, "https")
	all, err := secure.listen(t.Context(), ":8443", false, &manager{files: []*os.File{f}})
	if err != nil || all[0].Addr().String() != address {
		t.Fatalf("%v, %v", all, err)
	}
	closeAll(all)
}

func TestJoinedListenersKeepWhatEachIsWorth(t *testing.T) {
	open := func(address string) []net.Listener {
		t.Helper()
		ln, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		return []net.Listener{ln}
	}
	for _, tt := range []struct {
		plain, secure string
		want          auth.Trust
		marked        bool
	}{
		{"127.0.0.1:0", "127.0.0.1:0", auth.Local, false},
		{"0.0.0.0:0", "0.0.0.0:0", auth.Network, false},
		{"127.0.0.1:0", "0.0.0.0:0", auth.Network, true},
	} {
		plain, secure := open(tt.plain), open(tt.secure)
		ln := assemble(plain, secure, nil, gate.Options{})
		if got := trustOf(ln); got != tt.want {
			t.Errorf("%+v: together %v", tt, got)
		}
		conn, err := net.Dial("tcp", plain[0].Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		got, err := ln.Accept()
		if err != nil {
			t.Fatal(err)
		}
		m, isMarked := got.(interface{ Trust() auth.Trust })
		if isMarked != tt.marked || isMarked && m.Trust() != auth.Local {
			t.Errorf("%+v: the connection is a %T", tt, got)
		}
		_, _ = conn.Close(), got.Close()
		if err := ln.Close(); err != nil {
			t.Errorf("%+v: %v", tt, err)
		}
	}
}

func TestSocketsOfBothKindsAreKept(t *testing.T) {
	m, n := newNotes(t)
	ctx, cancel := context.WithCancel(t.Context())
	code := make(chan int, 1)
	stderr := newLockedBuffer()
	go func() {
		code <- run(ctx, []string{"run", "--listen", "127.0.0.1:0", "--tls", "self-signed", "--tls-listen", "127.0.0.1:0", "--source", "test:320x240"},
			world{root: emptyRoot(t), home: t.TempDir(), stdout: stderr, stderr: stderr, manager: m})
	}()
	kept := map[string]bool{}
	for _, note := range n.until(t, "READY=1") {
		if name, ok := strings.CutPrefix(note, "FDSTORE=1\nFDNAME="); ok {
			kept[name] = true
		}
	}
	if len(kept) != 2 || !kept["webgear-http"] || !kept["webgear-https"] {
		t.Errorf("kept %v", kept)
	}
	cancel()
	if c := <-code; c != 0 {
		t.Errorf("exit code %d:\n%s", c, stderr)
	}
}
