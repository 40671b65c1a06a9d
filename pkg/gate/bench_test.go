package gate

import (
	"fmt"
	"net"
	"testing"
	"time"
)

// TestAcceptAllocatesLittle guards what a connection costs beside that of package
// net: itself, and what is known of its client.
func TestAcceptAllocatesLittle(t *testing.T) {
	inner := newFakeConn("192.0.2.1")
	g := New(&always{newFakeListener(), inner}, Options{MaxConnections: 8, MaxConnectionsPerAddress: 8})
	defer func() { _ = g.Close() }()
	n := testing.AllocsPerRun(1000, func() {
		c, err := g.Accept()
		if err != nil {
			t.Fatal(err)
		}
		c.(*Conn).Served()
		_ = c.Close()
	})
	if n > 2 {
		t.Errorf("%v allocations for a connection, want at most 2", n)
	}
}

// BenchmarkAcceptUnderAttack measures a new connection when 1,000 clients have
// opened all there may be: go test -run '^$' -bench Attack ./pkg/gate.
func BenchmarkAcceptUnderAttack(b *testing.B) {
	const clients = 1000
	g := New(newFakeListener(), Options{MaxConnections: clients})
	defer func() { _ = g.Close() }()
	var conns []net.Conn
	for i := range clients {
		conns = append(conns, newFakeConn(fmt.Sprintf("10.0.%d.%d", i/250, i%250)))
	}
	b.ReportAllocs()
	for n := 0; b.Loop(); n++ {
		c, _, displaced := g.admit(conns[n%clients], time.Now())
		if n > 2*clients && c == nil && displaced == nil && g.halfOpen == 0 {
			b.Fatal("neither came nor was turned away")
		}
	}
}
