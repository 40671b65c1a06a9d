package main

import (
	"bytes"
	"encoding/binary"
	"io"
	"net"
	"runtime"
	"testing"
	"time"

	"github.com/webgear-pi/webgear/device/lab/stamp"
)

// kernel plays the part of vhci-hcd at the other end of the connection.
type kernel struct {
	t    *testing.T
	conn io.ReadWriteCloser
	seq  uint32
}

// plugged returns a session with a kernel at its other end, over the same kind
// of socket that vhci-hcd gets.
func plugged(t *testing.T, m model) (*kernel, *session, *camera) {
	t.Helper()
	goroutines := runtime.NumGoroutine()
	cam := testCamera(t, m)
	ours, theirs, err := connection()
	if err != nil {
		t.Fatal(err)
	}
	conn, err := net.FileConn(theirs)
	_ = theirs.Close()
	if err != nil {
		t.Fatal(err)
	}
	if err := conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	s := newSession(cam, ours)
	t.Cleanup(func() {
		s.close()
		_ = conn.Close()
		checkGoroutines(t, goroutines)
	})
	return &kernel{t: t, conn: conn}, s, cam
}

func (k *kernel) write(b []byte) {
	k.t.Helper()
	if _, err := k.conn.Write(b); err != nil {
		k.t.Fatal(err)
	}
}

// submit sends a CMD_SUBMIT and returns its number.
func (k *kernel) submit(in bool, endpoint uint32, length, packets int, setup, data []byte) uint32 {
	k.t.Helper()
	k.seq++
	be := binary.BigEndian
	h := make([]byte, headerLen)
	be.PutUint32(h, cmdSubmit)
	be.PutUint32(h[4:], k.seq)
	if in {
		be.PutUint32(h[12:], 1)
	}
	be.PutUint32(h[16:], endpoint)
	be.PutUint32(h[24:], uint32(length))
	be.PutUint32(h[32:], uint32(packets))
	if packets == 0 {
		be.PutUint32(h[32:], 0xffffffff) // what newer kernels say for "not isochronous"
	}
	copy(h[40:], setup)
	descriptors := make([]byte, packets*packetLen)
	for i := range packets {
		be.PutUint32(descriptors[i*packetLen:], uint32(i*isoPayload))
		be.PutUint32(descriptors[i*packetLen+4:], isoPayload)
	}
	k.write(cat(h, data, descriptors))
	return k.seq
}

// unlink withdraws a request.
func (k *kernel) unlink(victim uint32) {
	k.t.Helper()
	k.seq++
	h := make([]byte, headerLen)
	binary.BigEndian.PutUint32(h, cmdUnlink)
	binary.BigEndian.PutUint32(h[4:], k.seq)
	binary.BigEndian.PutUint32(h[20:], victim)
	k.write(h)
}

type answer struct {
	kind, seq uint32
	status    int32
	data      []byte
	packets   []byte
}

// read reads an answer. in says whether it brings data.
func (k *kernel) read(in bool) answer {
	k.t.Helper()
	h := make([]byte, headerLen)
	if _, err := io.ReadFull(k.conn, h); err != nil {
		k.t.Fatal(err)
	}
	be := binary.BigEndian
	a := answer{kind: be.Uint32(h), seq: be.Uint32(h[4:]), status: int32(be.Uint32(h[20:]))}
	if a.kind != retSubmit {
		return a
	}
	if in {
		a.data = make([]byte, be.Uint32(h[24:]))
	}
	a.packets = make([]byte, packetLen*be.Uint32(h[32:]))
	for _, b := range [][]byte{a.data, a.packets} {
		if _, err := io.ReadFull(k.conn, b); err != nil {
			k.t.Fatal(err)
		}
	}
	return a
}

// commit starts the stream as uvcvideo does.
func (k *kernel) commit(p probe, m model) {
	k.t.Helper()
	seq := k.submit(false, 0, 26, 0, []byte{0x21, setCur, 0, vsCommit, interfaceVS, 0, 26, 0}, p.block(m))
	if a := k.read(false); a.seq != seq || a.status != statusOK {
		k.t.Fatalf("commit: %+v", a)
	}
}

// payloads takes the UVC payloads out of an answer.
func (a answer) payloads() (out [][]byte) {
	if len(a.packets) == 0 {
		return [][]byte{a.data}
	}
	data := a.data
	for d := a.packets; len(d) > 0; d = d[packetLen:] {
		n := binary.BigEndian.Uint32(d[8:])
		if n > 0 {
			out = append(out, data[:n])
		}
		data = data[n:]
	}
	return out
}

// frame submits requests until a whole picture is there.
func (k *kernel) frame(m model) (picture []byte, toggle byte) {
	k.t.Helper()
	packets, length := 0, bulkPayload
	if m.iso {
		packets, length = 32, 32*isoPayload
	}
	for {
		k.submit(true, 1, length, packets, nil, nil)
		for _, p := range k.read(true).payloads() {
			picture = append(picture, p[p[0]:]...)
			toggle = p[1] & 1
			if p[1]&2 != 0 {
				return picture, toggle
			}
		}
	}
}

func TestKernelGetsWholePicturesInOrder(t *testing.T) {
	for name, m := range map[string]model{"isochronous": {iso: true}, "bulk": {}} {
		t.Run(name, func(t *testing.T) {
			k, _, cam := plugged(t, m)
			k.commit(probe{formatMJPG, 2, 333333}, m)
			last := byte(0xff)
			for i := range 5 {
				f, toggle := k.frame(m)
				if n, err := stamp.Check(f); int(n) != i || err != nil {
					t.Fatalf("picture %d: Check = %d, %v", i, n, err)
				}
				if toggle == last {
					t.Errorf("picture %d: the frame toggle did not change", i)
				}
				last = toggle
			}
			cam.apply(command{"empty", 1})
			// One intact picture may be on its way already.
			for i := 0; ; i++ {
				if f, _ := k.frame(m); len(f) == 0 {
					break
				} else if i > 1 {
					t.Fatal("no empty picture")
				}
			}
			k.commit(probe{formatYUYV, 1, 333333}, m)
			for i := 0; ; i++ {
				if f, _ := k.frame(m); len(f) == 640*480*2 {
					break
				} else if i > 1 {
					t.Fatalf("a raw picture of %d bytes after the second commit", len(f))
				}
			}
		})
	}
}

func TestRequestsAreRefusedAsUSBDoes(t *testing.T) {
	k, _, _ := plugged(t, model{iso: true})
	seq := k.submit(true, 0, 10, 0, []byte{0x80, getDescriptor, 0, 6, 0, 0, 10, 0}, nil)
	if a := k.read(true); a.seq != seq || a.status != statusStall || len(a.data) != 0 {
		t.Errorf("device qualifier: %+v", a)
	}
	seq = k.submit(true, 0, 255, 0, []byte{0x80, getDescriptor, 3, 3, 9, 4, 255, 0}, nil)
	if a := k.read(true); a.seq != seq || a.status != statusOK || len(a.data) < 2 || int(a.data[0]) != len(a.data) {
		t.Errorf("serial number: %+v", a)
	}
}

func TestWithdrawnRequestIsNotAnswered(t *testing.T) {
	m := model{iso: true}
	k, _, cam := plugged(t, m)
	k.commit(probe{formatMJPG, 1, 333333}, m)
	cam.apply(command{verb: "stall"})
	// What is under way when the camera stalls comes first.
	var waiting uint32
	for range 3 {
		waiting = k.submit(true, 1, 32*isoPayload, 32, nil, nil)
	}
	k.unlink(waiting)
	for {
		a := k.read(true)
		if a.kind == retUnlink {
			if a.status != statusConnreset {
				t.Errorf("unlink of a waiting request: status %d, want %d", a.status, statusConnreset)
			}
			break
		}
		if a.seq == waiting {
			t.Fatal("the request was answered before it was withdrawn, while stalled")
		}
	}
	k.unlink(9999)
	if a := k.read(true); a.kind != retUnlink || a.status != statusOK {
		t.Errorf("unlink of what was answered already: %+v", a)
	}
	cam.apply(command{verb: "go"})
	if a := k.read(true); a.kind != retSubmit || a.seq >= waiting {
		t.Errorf("after go: %+v", a)
	}
}

func TestSessionEndsWhenTheKernelHangsUp(t *testing.T) {
	m := model{iso: true}
	k, s, _ := plugged(t, m)
	k.commit(probe{formatMJPG, 2, 333333}, m)
	k.frame(m)
	_ = k.conn.Close()
	<-s.done
}

func TestSessionEndsWhenTheKernelTalksNonsense(t *testing.T) {
	k, s, _ := plugged(t, model{})
	k.write(bytes.Repeat([]byte{0xee}, headerLen))
	<-s.done
}

func FuzzReadRequest(f *testing.F) {
	header := make([]byte, headerLen)
	binary.BigEndian.PutUint32(header, cmdSubmit)
	f.Add(header)
	binary.BigEndian.PutUint32(header[24:], 4)
	f.Add(append(bytes.Clone(header), 1, 2, 3, 4))
	binary.BigEndian.PutUint32(header[32:], 1)
	f.Add(append(bytes.Clone(header), make([]byte, 4+packetLen)...))
	f.Fuzz(func(t *testing.T, b []byte) {
		q, err := readRequest(bytes.NewReader(b))
		if err != nil {
			return
		}
		if len(q.data)+len(q.packets)+headerLen > len(b) || q.length > maxTransfer {
			t.Errorf("%d bytes gave a request of %d, %d and %d", len(b), q.length, len(q.data), len(q.packets))
		}
		if len(q.packets) > 0 {
			data, rest := fillPackets(nil, q.packets, make([]byte, 100), 1)
			if len(rest) > 100 || len(data) > 100+payloadHeaderLen*len(q.packets)/packetLen {
				t.Errorf("100 bytes became %d, %d left", len(data), len(rest))
			}
		}
	})
}

func BenchmarkFillPackets(b *testing.B) { // go test -run - -bench FillPackets ./device/lab/camsim
	packets := make([]byte, 32*packetLen)
	for i := range 32 {
		binary.BigEndian.PutUint32(packets[i*packetLen+4:], isoPayload)
	}
	frame, scratch := make([]byte, 90_000), make([]byte, 0, 100_000)
	b.SetBytes(int64(len(frame)))
	b.ReportAllocs()
	for b.Loop() {
		_, _ = fillPackets(scratch, packets, frame, 0)
	}
}
