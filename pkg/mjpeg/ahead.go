package mjpeg

import "math/bits"

// Ahead makes the stream of one viewer that gets the header of each part in
// advance, with a Content-Length all the same. The length of a picture that does
// not exist yet is not known, so room for it is promised: some more than the
// picture before took. What the picture leaves of it is filled with zeros, which
// stand after its end marker, where no decoder looks. A picture that is larger
// than its room is preceded by the one before, once more: that fits, and the
// header that follows it knows the size. Nobody sees a difference, every part is a
// picture with its length, and Chrome shows each as soon as it is there.
//
// The zero value, with a Filler, is for a viewer that got no part yet. It belongs
// to one goroutine.
type Ahead struct {
	// Filler has the zeros; many viewers of one goroutine may share it.
	Filler *Filler

	room int // what the header promised that was sent last; 0 when none was
	last *Encoded
	now  turn
}

// turn is what a viewer gets in one go.
type turn struct {
	repeat    *Encoded // sent first, or nil
	repeatPad int
	header    bool // before the picture: there was none in advance
	e         *Encoded
	pad       int
	final     bool
}

// Take makes e what AppendTo gives. It reports whether the picture before has to
// be sent once more.
func (a *Ahead) Take(e *Encoded, final bool) (repeated bool) {
	size := len(e.Frame.Data)
	a.now = turn{e: e, header: a.room == 0, final: final}
	switch {
	case a.room == 0:
	case size > a.room:
		a.now.repeat, a.now.repeatPad, a.now.header = a.last, a.room-len(a.last.Frame.Data), true
	default:
		a.now.pad = a.room - size
	}
	a.last, a.room = e, Room(size)
	return a.now.repeat != nil
}

// AppendTo appends the pieces of what was taken last and the header of the part
// that follows, seven at most.
func (a *Ahead) AppendTo(dst [][]byte) [][]byte {
	t := &a.now
	if t.repeat != nil {
		dst = append(dst, t.repeat.Frame.Data, a.Filler.zeros(t.repeatPad), t.e.delimiter)
	}
	if t.header {
		dst = append(dst, t.e.header)
	}
	dst = append(dst, t.e.Frame.Data)
	if t.pad > 0 {
		dst = append(dst, a.Filler.zeros(t.pad))
	}
	if t.final {
		return append(dst, t.e.closing)
	}
	return append(dst, t.e.ahead)
}

// Room is how many bytes are promised to the picture after one of size bytes:
// between a sixteenth and a fifth more. It is a multiple of an eighth of the power
// of two below, so that most pictures of a stream are promised the same.
func Room(size int) int {
	size = max(size+size/16, 1024)
	step := 1 << (bits.Len(uint(size)) - 4) //nolint:gosec // it is positive
	return (size + step - 1) / step * step
}

// Filler is a supply of zeros. Its zero value is ready.
type Filler struct{ b []byte }

func (f *Filler) zeros(n int) []byte {
	if n > len(f.b) {
		f.b = make([]byte, n+n/2)
	}
	return f.b[:n]
}
