package mdns

import (
	"encoding/binary"
	"errors"
	"net/netip"
	"slices"
	"strings"
)

// Types and classes of records (RFC 1035 section 3.2, RFC 3596, RFC 2782).
const (
	typeA    = 1
	typePTR  = 12
	typeTXT  = 16
	typeAAAA = 28
	typeSRV  = 33

	classIN = 1
	// classMask leaves out the top bit, which means "forget what you knew" in
	// answers (RFC 6762, section 10.2).
	classMask = 0x7fff
)

// Lengths (RFC 1035, section 2.3.4), in bytes.
const (
	headerSize = 12
	maxLabel   = 63
	maxName    = 255
)

// maxRecords bounds the records of one packet that are looked at; chosen: a
// packet of 9000 bytes has room for 800 of the shortest.
const maxRecords = 1000

// name is a domain name as its labels, which may hold any byte.
type name []string

// key compares names as RFC 6762 section 16 has it: letters of ASCII in lower
// case, and the labels with their lengths in front, as on the wire.
func (n name) key() string {
	var b strings.Builder
	for _, label := range n {
		b.WriteByte(byte(len(label))) // at most 63, see parse and append
		for _, c := range []byte(label) {
			if 'A' <= c && c <= 'Z' {
				c += 'a' - 'A'
			}
			b.WriteByte(c)
		}
	}
	return b.String()
}

// under says whether n is one label in front of parent.
func (n name) under(parent name) bool {
	return len(n) == len(parent)+1 && n[1:].key() == parent.key()
}

// splitName makes a name of text without dots in labels.
func splitName(s string) name { return strings.Split(s, ".") }

// question is what is asked.
type question struct {
	name name
	kind uint16
}

var errName = errors.New("a name is too long")

// query makes a packet that asks.
func query(questions []question) ([]byte, error) {
	// RFC 6762, section 18: all flags 0; the identifier comes back in answers to
	// our own port, and nothing depends on it.
	buf := make([]byte, headerSize, 512)
	binary.BigEndian.PutUint16(buf[4:], uint16(len(questions))) //nolint:gosec // a few
	for _, q := range questions {
		size := 1
		for _, label := range q.name {
			if label == "" || len(label) > maxLabel {
				return nil, errName
			}
			buf = append(append(buf, byte(len(label))), label...)
			size += 1 + len(label)
		}
		if size > maxName {
			return nil, errName
		}
		buf = append(buf, 0)
		buf = binary.BigEndian.AppendUint16(buf, q.kind)
		buf = binary.BigEndian.AppendUint16(buf, classIN)
	}
	return buf, nil
}

// record is an answer. Only the fields of its kind are set.
type record struct {
	name name
	kind uint16
	// target is of PTR and SRV, port of SRV.
	target name
	port   uint16
	text   []string
	addr   netip.Addr
}

var errShort = errors.New("the packet ends too early")

// parser walks over a packet.
type parser struct {
	data []byte
	at   int
}

// take gives the next n bytes.
func (p *parser) take(n int) ([]byte, error) {
	if n < 0 || len(p.data)-p.at < n {
		return nil, errShort
	}
	b := p.data[p.at : p.at+n]
	p.at += n
	return b, nil
}

func (p *parser) uint16() (uint16, error) {
	b, err := p.take(2)
	if err != nil {
		return 0, err
	}
	return binary.BigEndian.Uint16(b), nil
}

var errPointer = errors.New("a name points to the wrong place")

// name reads a name. Each pointer has to lead to what comes before everything
// read of the name so far, so that reading ends.
func (p *parser) name() (name, error) {
	var n name
	at, end, size := p.at, -1, 1
	floor := p.at
	for {
		if at >= len(p.data) {
			return nil, errShort
		}
		length := int(p.data[at])
		switch {
		case length == 0:
			if end < 0 {
				end = at + 1
			}
			p.at = end
			return n, nil
		case length&0xc0 == 0xc0:
			if at+1 >= len(p.data) {
				return nil, errShort
			}
			to := length&0x3f<<8 | int(p.data[at+1])
			if end < 0 {
				end = at + 2
			}
			if to >= floor || to < headerSize {
				return nil, errPointer
			}
			at, floor = to, to
		case length > maxLabel:
			return nil, errPointer
		default:
			if at+1+length > len(p.data) {
				return nil, errShort
			}
			if size += 1 + length; size > maxName {
				return nil, errName
			}
			n = append(n, string(p.data[at+1:at+1+length]))
			at += 1 + length
		}
	}
}

var errNoAnswer = errors.New("the packet is no answer")

// parse reads the records of an answer: those of known kinds that are still
// valid. What comes before a mistake counts, because packets may be cut off.
func parse(data []byte) ([]record, error) {
	p := &parser{data: data}
	head, err := p.take(headerSize)
	if err != nil {
		return nil, err
	}
	// The flag that says answer, and the codes for operation and failure (RFC 6762
	// section 18: packets with others are ignored).
	if head[2]&0x80 == 0 || head[2]&0x78 != 0 || head[3]&0x0f != 0 {
		return nil, errNoAnswer
	}
	for range binary.BigEndian.Uint16(head[4:]) {
		if _, err := p.name(); err != nil {
			return nil, err
		}
		if _, err := p.take(4); err != nil {
			return nil, err
		}
	}
	count := 0
	for i := 6; i < headerSize; i += 2 {
		count += int(binary.BigEndian.Uint16(head[i:]))
	}
	var all []record
	for range min(count, maxRecords) {
		r, ok, err := p.record()
		if err != nil {
			return all, err
		}
		if ok {
			all = append(all, r)
		}
	}
	return all, nil
}

// record reads one record; ok is false when it is of no use.
func (p *parser) record() (r record, ok bool, err error) {
	if r.name, err = p.name(); err != nil {
		return r, false, err
	}
	head, err := p.take(10)
	if err != nil {
		return r, false, err
	}
	r.kind = binary.BigEndian.Uint16(head)
	class := binary.BigEndian.Uint16(head[2:]) & classMask
	life := binary.BigEndian.Uint32(head[4:])
	size := int(binary.BigEndian.Uint16(head[8:]))
	if len(p.data)-p.at < size {
		return r, false, errShort
	}
	end := p.at + size
	// Names in it may point back to all of the packet, and end within the record.
	inner := &parser{data: p.data[:end], at: p.at}
	p.at = end
	// A life of 0 says goodbye (RFC 6762, section 10.1).
	if class != classIN || life == 0 {
		return r, false, nil
	}
	ok, err = r.fill(inner)
	return r, ok, err
}

// fill reads what is said about the name.
func (r *record) fill(p *parser) (ok bool, err error) {
	switch r.kind {
	case typePTR:
		r.target, err = p.name()
	case typeSRV:
		if _, err = p.take(4); err != nil { // priority and weight: there is one
			return false, err
		}
		if r.port, err = p.uint16(); err != nil {
			return false, err
		}
		r.target, err = p.name()
	case typeTXT:
		for p.at < len(p.data) {
			var b []byte
			n := int(p.data[p.at])
			p.at++
			if b, err = p.take(n); err != nil {
				return false, err
			}
			r.text = append(r.text, string(b))
		}
	case typeA, typeAAAA:
		var known bool
		r.addr, known = netip.AddrFromSlice(p.data[p.at:])
		return known && r.addr.Is4() == (r.kind == typeA), nil
	default:
		return false, nil
	}
	return err == nil, err
}

// sameQuestion is for lists of questions.
func sameQuestion(all []question, q question) bool {
	return slices.ContainsFunc(all, func(o question) bool { return o.kind == q.kind && o.name.key() == q.name.key() })
}
