package main

import (
	"encoding/binary"
	"fmt"
	"io"
)

// The wire protocol between vhci-hcd and us, Documentation/usb/usbip_protocol.rst
// of Linux 6.12: headers of 48 bytes, big-endian.
const (
	headerLen = 48

	cmdSubmit = 1
	cmdUnlink = 2
	retSubmit = 3
	retUnlink = 4

	// packetLen is the length of an isochronous packet descriptor: offset,
	// length, actual length and status, 4 bytes each.
	packetLen = 16

	// Bounds on what a sane host asks for; chosen. uvcvideo uses 32 packets.
	maxTransfer = 4 << 20
	maxPackets  = 1024
)

// Results of a request, as negative error numbers of Linux.
const (
	statusOK        = 0
	statusStall     = -32  // -EPIPE: refused
	statusConnreset = -104 // -ECONNRESET: withdrawn before it was answered
)

// request is a CMD_SUBMIT or CMD_UNLINK.
type request struct {
	unlink   bool
	seq      uint32
	victim   uint32 // for unlink: the request to withdraw
	in       bool   // device to host
	endpoint uint32
	length   int
	setup    []byte // 8 bytes
	data     []byte // host to device
	packets  []byte // isochronous packet descriptors as received
}

// readRequest reads one request. What an isochronous request looks like is
// told by its packet count, which is 0 or -1 for others.
func readRequest(r io.Reader) (request, error) {
	h := make([]byte, headerLen)
	if _, err := io.ReadFull(r, h); err != nil {
		return request{}, err
	}
	be := binary.BigEndian
	q := request{
		seq: be.Uint32(h[4:]), in: be.Uint32(h[12:]) == 1, endpoint: be.Uint32(h[16:]),
		length: int(int32(be.Uint32(h[24:]))), setup: h[40:48],
	}
	switch cmd := be.Uint32(h); cmd {
	case cmdSubmit:
	case cmdUnlink: // what follows the victim has no meaning
		return request{unlink: true, seq: q.seq, victim: be.Uint32(h[20:])}, nil
	default:
		return request{}, fmt.Errorf("usbip: unknown command %#x", cmd)
	}
	packets := int(int32(be.Uint32(h[32:])))
	if q.length < 0 || q.length > maxTransfer || packets > maxPackets {
		return request{}, fmt.Errorf("usbip: request %d: implausible: %d bytes in %d packets", q.seq, q.length, packets)
	}
	if !q.in && q.length > 0 {
		q.data = make([]byte, q.length)
		if _, err := io.ReadFull(r, q.data); err != nil {
			return request{}, err
		}
	}
	if packets > 0 {
		q.packets = make([]byte, packetLen*packets)
		if _, err := io.ReadFull(r, q.packets); err != nil {
			return request{}, err
		}
	}
	return q, nil
}

// writeSubmitReply answers a CMD_SUBMIT. actual counts the bytes moved; data is
// what goes to the host and packets how it is spread.
func writeSubmitReply(w io.Writer, seq uint32, status int32, actual int, data, packets []byte) error {
	be := binary.BigEndian
	var h [headerLen]byte
	be.PutUint32(h[0:], retSubmit)
	be.PutUint32(h[4:], seq)
	be.PutUint32(h[20:], uint32(status))
	be.PutUint32(h[24:], uint32(actual))
	be.PutUint32(h[32:], uint32(len(packets)/packetLen))
	for _, b := range [][]byte{h[:], data, packets} {
		if _, err := w.Write(b); err != nil {
			return err
		}
	}
	return nil
}

// writeUnlinkReply answers a CMD_UNLINK: statusConnreset when the request was
// withdrawn, statusOK when its answer was on the way already.
func writeUnlinkReply(w io.Writer, seq uint32, status int32) error {
	var h [headerLen]byte
	binary.BigEndian.PutUint32(h[0:], retUnlink)
	binary.BigEndian.PutUint32(h[4:], seq)
	binary.BigEndian.PutUint32(h[20:], uint32(status))
	_, err := w.Write(h[:])
	return err
}

// fillPackets spreads as much of a payload as fits over the packets of one
// isochronous request: each gets a UVC payload header and its share. It appends
// to data, updates the descriptors in place and returns what is left over.
func fillPackets(data, packets, payload []byte, toggle byte) (out, rest []byte) {
	be := binary.BigEndian
	for d := packets; len(d) >= packetLen; d = d[packetLen:] {
		room, used := int(be.Uint32(d[4:])), 0
		if len(payload) > 0 && room > payloadHeaderLen {
			n := min(len(payload), room-payloadHeaderLen)
			data = appendPayloadHeader(data, toggle, n == len(payload))
			data = append(data, payload[:n]...)
			payload, used = payload[n:], payloadHeaderLen+n
		}
		be.PutUint32(d[8:], uint32(used))
		be.PutUint32(d[12:], statusOK)
	}
	return data, payload
}

// payloadHeaderLen is the shortest UVC payload header, UVC 1.5 section 2.4.3.3.
const payloadHeaderLen = 2

// appendPayloadHeader writes a UVC payload header. toggle changes with every
// frame, end is set in the last payload of one.
func appendPayloadHeader(b []byte, toggle byte, end bool) []byte {
	flags := 0x80 | toggle&1 // end of header
	if end {
		flags |= 2 // end of frame
	}
	return append(b, payloadHeaderLen, flags)
}

// setFirstPacket gives the first packet of an isochronous request n bytes.
func setFirstPacket(packets []byte, n int) {
	if len(packets) >= packetLen {
		binary.BigEndian.PutUint32(packets[8:], uint32(n))
	}
}
