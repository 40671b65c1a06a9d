package gate

import (
	"errors"
	"log/slog"
	"net"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// failing is what accept says when there are no descriptors.
func failing(err syscall.Errno) error {
	return &net.OpError{Op: "accept", Net: "tcp", Err: err}
}

func TestAFailureThatPassesIsWaitedFor(t *testing.T) {
	for _, errno := range []syscall.Errno{syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM, syscall.ECONNABORTED} {
		t.Run(errno.Error(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ln, log := newFakeListener(), &syncBuffer{}
				ln.fail(failing(errno))
				g := New(ln, Options{Logger: slog.New(slog.NewTextHandler(log, nil))})
				accept := accepting(g)
				time.Sleep(30 * time.Second) // in the bubble
				calls := ln.calls()
				if calls < 30 || calls > 45 {
					t.Errorf("tried %d times in 30 s, want once a second after some quicker ones", calls)
				}
				if n := log.count("connections cannot be accepted"); n != 1 {
					t.Errorf("logged %d times, want once", n)
				}
				ln.fail(nil)
				ln.came <- newFakeConn("192.0.2.1")
				if c := <-accept; c == nil {
					t.Error("not accepted once the failure was over")
				}
				time.Sleep(quiet + time.Second)
				if n := log.count("not turned away any more"); n != 1 {
					t.Errorf("logged %d times that it is over, want once", n)
				}
				if got := g.Refused(); got.Failures != uint64(calls) {
					t.Errorf("%d failures counted, want %d", got.Failures, calls)
				}
				_ = g.Close()
				<-accept
			})
		})
	}
}

func TestAFailureThatDoesNotPassIsReturned(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ln := newFakeListener()
		ln.fail(failing(syscall.EINVAL))
		g := New(ln, Options{})
		began := time.Now()
		_, err := g.Accept()
		if !errors.Is(err, syscall.EINVAL) || time.Since(began) < giveUpAfter || time.Since(began) > 2*giveUpAfter {
			t.Errorf("got %v after %v, want EINVAL after %v", err, time.Since(began), giveUpAfter)
		}
		_ = g.Close()
	})
}

func TestCloseEndsTheWaitForAFailureToPass(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ln := newFakeListener()
		ln.fail(failing(syscall.EMFILE))
		g := New(ln, Options{})
		done := make(chan error)
		go func() { _, err := g.Accept(); done <- err }()
		time.Sleep(10 * time.Second) // in the bubble
		_ = g.Close()
		if err := <-done; !errors.Is(err, net.ErrClosed) {
			t.Errorf("got %v, want net.ErrClosed", err)
		}
	})
}

func TestTurningAwayIsLoggedOnceEachTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ln, log := newFakeListener(), &syncBuffer{}
		g := New(ln, Options{MaxConnections: 1, Logger: slog.New(slog.NewTextHandler(log, nil))})
		accept := accepting(g)
		ln.came <- newFakeConn("192.0.2.1")
		(<-accept).(*Conn).Served()
		for range 100 {
			ln.came <- newFakeConn("192.0.2.2")
			time.Sleep(quiet / 2)
		}
		began, over := log.count("connections are turned away"), log.count("not turned away any more")
		if began != 1 || over != 0 {
			t.Errorf("logged %d times, and %d times that it is over; want 1 and 0", began, over)
		}
		time.Sleep(2 * quiet)
		if log.count("not turned away any more") != 1 || log.count("count=100 ") != 1 {
			t.Errorf("want one line that it is over: %s", log.b.String())
		}
		ln.came <- newFakeConn("192.0.2.2")
		synctest.Wait()
		if n := log.count("connections are turned away"); n != 2 {
			t.Errorf("logged %d times, want again", n)
		}
		_ = g.Close()
		<-accept
	})
}

func TestConnectionsThatWereToldAreClosedSoon(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ln := newFakeListener()
		g := New(ln, Options{MaxConnections: 1})
		accept := accepting(g)
		ln.came <- newFakeConn("192.0.2.1")
		(<-accept).(*Conn).Served()
		var told []*fakeConn
		for range maxLingers + 5 {
			c := newFakeConn("192.0.2.2")
			told = append(told, c)
			ln.came <- c
			time.Sleep(time.Millisecond)
		}
		synctest.Wait()
		for i, c := range told {
			if c.isClosed() != (i < 5) {
				t.Errorf("connection %d: closed is %v at once", i, c.isClosed())
			}
		}
		time.Sleep(2 * lingerTime)
		for i, c := range told {
			if !c.isClosed() {
				t.Errorf("connection %d is open %v later", i, 2*lingerTime)
			}
		}
		last := newFakeConn("192.0.2.2")
		ln.came <- last
		synctest.Wait()
		_ = g.Close()
		if !last.isClosed() {
			t.Error("open after Close")
		}
		<-accept
	})
}
