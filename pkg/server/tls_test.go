package server

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// certificate makes one for 127.0.0.1.
func certificate(tb testing.TB) tls.Certificate {
	tb.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	template := x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, &template, &template, &key.PublicKey, key)
	if err != nil {
		tb.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		tb.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
}

// startTLS runs a server with a listener of package tls.
func startTLS(tb testing.TB, config *tls.Config, o Options) *rig {
	tb.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	r := startOn(tb, tls.NewListener(ln, config), o)
	roots := x509.NewCertPool()
	roots.AddCert(config.Certificates[0].Leaf)
	r.client = &tls.Config{RootCAs: roots, ServerName: "127.0.0.1"}
	return r
}

// watch is the function of that name, over TLS where the rig has that.
func (r *rig) watch(tb testing.TB, request string) *client {
	tb.Helper()
	if r.client == nil {
		return watch(tb, r.addr, request)
	}
	v := &client{conn: tls.Client(dial(tb, r.addr), r.client)}
	if _, err := io.WriteString(v.conn, request); err != nil {
		tb.Fatal(err)
	}
	var err error
	if v.resp, err = http.ReadResponse(bufio.NewReader(v), nil); err != nil { //nolint:bodyclose // the connection is closed instead
		tb.Fatal(err)
	}
	v.parts = readParts(v.resp.Body)
	return v
}

func TestStreamOverTLS(t *testing.T) {
	r := startTLS(t, &tls.Config{Certificates: []tls.Certificate{certificate(t)}}, Options{Limits: Limits{ViewerTimeout: time.Second}})
	data := strings.Repeat("x", 100_000)
	r.hub.Publish(picture(data))
	v := r.watch(t, getVideo)
	ahead := r.watch(t, get("advance_headers=sized"))
	stalled := r.watch(t, getVideo)
	if err := stalled.conn.(*tls.Conn).NetConn().(*net.TCPConn).SetReadBuffer(8 << 10); err != nil {
		t.Fatal(err)
	}
	r.viewing(t, 3)
	v.next(t)
	ahead.next(t)
	for i := range 40 {
		r.hub.Publish(picture(data))
		if p := v.next(t); string(p.Data) != data || p.Header.Get("X-Sequence") != fmt.Sprint(i+2) {
			t.Fatalf("picture %s of %d bytes", p.Header.Get("X-Sequence"), len(p.Data))
		}
		if p := ahead.next(t); strings.TrimRight(string(p.Data), "\x00") != data || p.Header.Get("Content-Length") != fmt.Sprint(len(p.Data)) {
			t.Fatalf("%d bytes, %q promised", len(p.Data), p.Header.Get("Content-Length"))
		}
	}
	if c := r.Stream().Viewers[0]; c.LagMS > 5000 {
		t.Errorf("%+v", c)
	}
	r.hub.Publish(picture(strings.Repeat("y", 1<<20))) // more than the sockets of the stalled one hold
	v.next(t)
	ahead.next(t) // once more what there was
	ahead.next(t)
	eventually(t, "the stalled viewer is cut off", func() bool { return len(r.log.lines("viewer timed out")) == 1 })
	r.stop()
	for name, c := range map[string]*client{"plain": v, "ahead": ahead} {
		var last string
		for {
			p, err := c.parts.Next()
			if err != nil {
				break
			}
			last = strings.TrimRight(string(p.Data), "\x00")
		}
		if last != "bye" {
			t.Errorf("%s: the last picture was %q", name, shorten(last, 20))
		}
	}
}
