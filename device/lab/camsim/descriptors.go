package main

import (
	"bytes"
	"encoding/binary"
	"unicode/utf16"
)

// model is what differs between two simulated cameras.
type model struct {
	iso    bool
	serial string
}

type size struct{ w, h int }

// What the camera offers. Index + 1 is the number that the UVC descriptors and
// the probe/commit block use.
var (
	sizes = []size{{640, 480}, {1280, 720}, {1920, 1080}} //nolint:gochecknoglobals // a constant table
	rates = []int{30, 15, 5}                              //nolint:gochecknoglobals // a constant table, frames per second, fastest first
)

// Numbers of formats in the descriptors.
const (
	formatMJPG = 1
	formatYUYV = 2
)

const (
	// bulkPayload is the largest payload sent in bulk mode: one URB, one payload. Chosen.
	bulkPayload = 16384
	// isoPayload is what a high-bandwidth high-speed endpoint moves in one
	// microframe of 125 µs: 3 transactions of 1024 bytes, USB 2.0 section 5.6.3.
	isoPayload = 3 * 1024
)

// Endpoint, interface and entity numbers, free to choose.
const (
	endpointVideo  = 0x81
	interfaceVC    = 0
	interfaceVS    = 1
	entityCamera   = 1
	entityProc     = 2
	entityTerminal = 3
)

func (m model) maxPayload() int {
	if m.iso {
		return isoPayload
	}
	return bulkPayload
}

// interval is a frame rate in UVC's unit of 100 ns.
func interval(rate int) uint32 { return uint32(10_000_000 / rate) }

// maxFrame bounds the bytes of a picture, raw or compressed.
func maxFrame(s size) int { return s.w * s.h * 2 }

func le16(v int) []byte       { return binary.LittleEndian.AppendUint16(nil, uint16(v)) }
func le32(v int) []byte       { return binary.LittleEndian.AppendUint32(nil, uint32(v)) }
func cat(bs ...[]byte) []byte { return bytes.Join(bs, nil) }

// device is the device descriptor, USB 2.0 table 9-8. Vendor and product are
// those of the Linux Foundation's webcam gadget.
func (m model) device() []byte {
	return cat([]byte{18, 1, 0, 2, 0xef, 2, 1, 64}, le16(0x1d6b), le16(0x0102), le16(0x0100), []byte{1, 2, 3, 1})
}

// text answers for a string descriptor.
func (m model) text(index int) ([]byte, bool) {
	var s string
	switch index {
	case 0:
		return []byte{4, 3, 0x09, 0x04}, true // languages: US English
	case 1:
		s = "webgear"
	case 2:
		s = "Lab Camera"
	case 3:
		s = m.serial
	default:
		return nil, false
	}
	b := []byte{0, 3}
	for _, u := range utf16.Encode([]rune(s)) {
		b = append(b, le16(int(u))...)
	}
	b[0] = byte(len(b))
	return b, true
}

// frames are the frame descriptors of one format, UVC 1.5 MJPEG payload table
// 3-2 and uncompressed payload table 3-2.
func frames(subtype byte) []byte {
	var out []byte
	for i, s := range sizes {
		bits := s.w * s.h * 16
		out = append(out, cat(
			[]byte{byte(26 + 4*len(rates)), 0x24, subtype, byte(i + 1), 0}, le16(s.w), le16(s.h),
			le32(bits*rates[len(rates)-1]), le32(bits*rates[0]), le32(maxFrame(s)),
			le32(int(interval(rates[0]))), []byte{byte(len(rates))},
		)...)
		for _, r := range rates {
			out = append(out, le32(int(interval(r)))...)
		}
	}
	return out
}

// config is the configuration descriptor with all that belongs to it: a
// control interface (camera -> processing unit -> USB) and a streaming one.
func (m model) config() []byte {
	camera := cat([]byte{18, 0x24, 2, entityCamera}, le16(0x0201), []byte{0, 0, 0, 0, 0, 0, 0, 0, 3, 0x02, 0, 0}) // exposure mode
	proc := []byte{11, 0x24, 5, entityProc, entityCamera, 0, 0, 2, 0x03, 0, 0}                                    // brightness, contrast
	terminal := []byte{9, 0x24, 3, entityTerminal, 1, 1, 0, entityProc, 0}
	units := cat(camera, proc, terminal)
	vc := cat([]byte{9, 4, interfaceVC, 0, 0, 0x0e, 1, 0, 2},
		[]byte{13, 0x24, 1, 0, 1}, le16(13+len(units)), le32(48_000_000), []byte{1, interfaceVS}, units)

	count := byte(len(sizes))
	guid := []byte("YUY2\x00\x00\x10\x00\x80\x00\x00\xaa\x00\x38\x9b\x71")
	color := []byte{6, 0x24, 0x0d, 1, 1, 4} // BT.709 primaries, its transfer function, SMPTE 170M (BT.601) matrix
	formats := cat(
		[]byte{11, 0x24, 6, formatMJPG, count, 1, 1, 0, 0, 0, 0}, frames(7), color,
		[]byte{27, 0x24, 4, formatYUYV, count}, guid, []byte{16, 1, 0, 0, 0, 0}, frames(5), color)
	input := cat([]byte{15, 0x24, 1, 2}, le16(15+len(formats)), []byte{endpointVideo, 0, entityTerminal, 0, 0, 0, 1, 0, 0})
	var vs []byte
	if m.iso {
		// Setting 0 has no bandwidth, setting 1 all there is.
		vs = cat([]byte{9, 4, interfaceVS, 0, 0, 0x0e, 2, 0, 0}, input, formats,
			[]byte{9, 4, interfaceVS, 1, 1, 0x0e, 2, 0, 0},
			[]byte{7, 5, endpointVideo, 5}, le16(2<<11|1024), []byte{1})
	} else {
		vs = cat([]byte{9, 4, interfaceVS, 0, 1, 0x0e, 2, 0, 0}, input, formats,
			[]byte{7, 5, endpointVideo, 2}, le16(512), []byte{0})
	}
	body := cat([]byte{8, 11, 0, 2, 0x0e, 3, 0, 2}, vc, vs)
	return cat([]byte{9, 2}, le16(9+len(body)), []byte{2, 1, 0, 0x80, 250}, body)
}
