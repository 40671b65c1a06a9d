package main

import (
	"encoding/binary"
)

// probe is the part of the UVC probe/commit block that the camera decides by.
type probe struct {
	format, frame int    // numbers from the descriptors, from 1
	interval      uint32 // 100 ns
}

func (p probe) size() size { return sizes[p.frame-1] }

// defaults is what the camera proposes: MJPG, first size, fastest.
func defaults() probe { return probe{format: formatMJPG, frame: 1, interval: interval(rates[0])} }

// negotiate reads a probe/commit block of the host, of any UVC version, and
// makes it say what this camera can do.
func negotiate(block []byte) probe {
	b := make([]byte, 26)
	copy(b, block)
	p := probe{format: int(b[2]), frame: int(b[3])}
	if p.format != formatMJPG && p.format != formatYUYV {
		p.format = formatMJPG
	}
	if p.frame < 1 || p.frame > len(sizes) {
		p.frame = 1
	}
	want := int64(binary.LittleEndian.Uint32(b[4:]))
	p.interval = interval(rates[0])
	for _, r := range rates {
		if distance(int64(interval(r)), want) < distance(int64(p.interval), want) {
			p.interval = interval(r)
		}
	}
	return p
}

func distance(a, b int64) int64 { return max(a-b, b-a) }

// block is the answer to GET_CUR and the like, UVC 1.0 length (26 bytes).
func (p probe) block(m model) []byte {
	b := make([]byte, 26)
	b[2], b[3] = byte(p.format), byte(p.frame)
	binary.LittleEndian.PutUint32(b[4:], p.interval)
	binary.LittleEndian.PutUint32(b[18:], uint32(maxFrame(p.size())))
	binary.LittleEndian.PutUint32(b[22:], uint32(m.maxPayload()))
	return b
}

// setup is a control request, USB 2.0 table 9-2.
type setup struct {
	kind, request        byte
	value, index, length int
}

func parseSetup(b []byte) setup {
	le := binary.LittleEndian
	return setup{b[0], b[1], int(le.Uint16(b[2:])), int(le.Uint16(b[4:])), int(le.Uint16(b[6:]))}
}

// Requests of the USB standard (table 9-4) and of the video class (UVC 1.5
// table A-8).
const (
	getStatus        = 0
	getDescriptor    = 6
	getConfiguration = 8
	getInterface     = 10

	setCur  = 0x01
	getCur  = 0x81
	getMin  = 0x82
	getMax  = 0x83
	getRes  = 0x84
	getLen  = 0x85
	getInfo = 0x86
	getDef  = 0x87
)

// Selectors of the streaming interface, UVC 1.5 table A-17.
const (
	vsProbe  = 1
	vsCommit = 2
)

// function answers control requests. It is used by one goroutine.
type function struct {
	model  model
	probe  probe
	values map[[2]int]int // user controls, by entity and selector
	commit func(probe)
}

func newFunction(m model, commit func(probe)) *function {
	return &function{model: m, probe: defaults(), values: map[[2]int]int{}, commit: commit}
}

// answer executes one request. ok is false when the camera refuses, which
// USB calls a stall.
func (f *function) answer(s setup, data []byte) (reply []byte, ok bool) {
	switch s.kind & 0x60 {
	case 0x00:
		reply, ok = f.standard(s)
	case 0x20:
		entity, intf := s.index>>8, s.index&0xff
		switch {
		case intf == interfaceVS && entity == 0:
			reply, ok = f.streaming(s, data)
		case intf == interfaceVC:
			reply, ok = f.userControl(s, [2]int{entity, s.value >> 8}, data)
		}
	}
	return reply[:min(len(reply), s.length)], ok
}

func (f *function) standard(s setup) (reply []byte, ok bool) {
	switch s.request {
	case getDescriptor:
		switch s.value >> 8 {
		case 1:
			return f.model.device(), true
		case 2:
			return f.model.config(), true
		case 3:
			return f.model.text(s.value & 0xff)
		}
		return nil, false
	case getStatus:
		return []byte{0, 0}, true
	case getConfiguration, getInterface:
		return []byte{1}, true
	}
	return nil, true // SET_ADDRESS, SET_CONFIGURATION, SET_INTERFACE, CLEAR_FEATURE: nothing to do
}

func (f *function) streaming(s setup, data []byte) (reply []byte, ok bool) {
	selector := s.value >> 8
	if selector != vsProbe && selector != vsCommit {
		return nil, false
	}
	switch s.request {
	case setCur:
		f.probe = negotiate(data)
		if selector == vsCommit {
			f.commit(f.probe)
		}
		return nil, true
	case getCur:
		return f.probe.block(f.model), true
	case getMin, getMax, getDef:
		return defaults().block(f.model), true
	case getLen:
		return le16(26), true
	case getInfo:
		return []byte{3}, true // get and set
	}
	return nil, false
}

func (f *function) userControl(s setup, key [2]int, data []byte) (reply []byte, ok bool) {
	// Length in bytes and the values of GET_MIN and so on, per control.
	length, low, high, step, def := 2, 0, 255, 1, 128
	switch key {
	case [2]int{entityProc, 2}, [2]int{entityProc, 3}: // brightness, contrast
	case [2]int{entityCamera, 2}: // exposure mode, a bit map: manual and automatic
		length, low, high, step, def = 1, 1, 2, 0x03, 2
	default:
		return nil, false
	}
	value := def
	switch s.request {
	case setCur:
		b := make([]byte, 2)
		copy(b, data)
		f.values[key] = int(binary.LittleEndian.Uint16(b))
		return nil, true
	case getLen:
		return le16(length), true
	case getInfo:
		return []byte{3}, true
	case getCur:
		if v, set := f.values[key]; set {
			value = v
		}
	case getMin:
		value = low
	case getMax:
		value = high
	case getRes:
		value = step
	case getDef:
	default:
		return nil, false
	}
	return le16(value)[:length], true
}
