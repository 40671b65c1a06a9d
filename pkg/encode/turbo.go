//go:build cgo

package encode

/*
#cgo CFLAGS: -O3 -std=gnu11 -Wall -Wextra
#cgo LDFLAGS: -ljpeg
#include "turbo.h"
*/
import "C"

import (
	"errors"
	"fmt"
	"unsafe"
)

const turboName = "libjpeg-turbo"

// fastName is the name of the engine that is better than the standard library.
const fastName = turboName

// turbo holds the encoder in C memory.
type turbo struct{ t *C.struct_turbo }

func newEngine(j job) (engine, string, error) {
	t, err := newTurbo(j)
	if err != nil {
		return nil, "", err
	}
	return t, turboName, nil
}

func releaseMemory() { C.memory_trim() }

// newTurbo makes the C side.
func newTurbo(j job) (*turbo, error) {
	c := j.convert
	config := C.struct_turbo_config{
		kind:  turboKind(j.kind),
		pixel: turboPixel(j.pixel),
		width: C.int(j.width), height: C.int(j.height),
		out_width: C.int(j.outWidth), out_height: C.int(j.outHeight),
		hs: C.int(j.hs), vs: C.int(j.vs),
		halve:    flag(j.halve),
		gray:     flag(j.gray || j.kind == kindGrey),
		fast_dct: flag(j.fastDCT),
		convert: C.struct_turbo_convert{
			none: flag(c.none), cross: flag(c.cross),
			yy: C.int16_t(c.yy), yb: C.int16_t(c.yb), yr: C.int16_t(c.yr), y0: C.int16_t(c.y0),
			bb: C.int16_t(c.bb), br: C.int16_t(c.br), b0: C.int16_t(c.b0),
			rb: C.int16_t(c.rb), rr: C.int16_t(c.rr), r0: C.int16_t(c.r0),
		},
	}
	t := C.turbo_new(&config)
	if t == nil {
		return nil, errors.New("libjpeg-turbo: no memory")
	}
	return &turbo{t}, nil
}

func turboKind(k kind) C.enum_turbo_kind {
	switch k {
	case kindPacked:
		return C.TURBO_PACKED
	case kindYUYV:
		return C.TURBO_YUYV
	case kindUYVY:
		return C.TURBO_UYVY
	case kindNV12:
		return C.TURBO_NV12
	case kindPlanar:
		return C.TURBO_PLANAR
	default:
		return C.TURBO_GREY
	}
}

// turboPixel: alpha is ignored, so its place is all that counts.
func turboPixel(c Colorspace) C.enum_turbo_pixel {
	switch c {
	case RGB:
		return C.TURBO_RGB
	case RGBX, RGBA:
		return C.TURBO_RGBX
	case BGRX, BGRA:
		return C.TURBO_BGRX
	case XBGR, ABGR:
		return C.TURBO_XBGR
	case XRGB, ARGB:
		return C.TURBO_XRGB
	case CMYK:
		return C.TURBO_CMYK
	default:
		return C.TURBO_BGR
	}
}

// encode lends the picture to C for the length of the call and copies the result
// out of C's memory, which is used again for the next picture.
func (t *turbo) encode(p picture, quality int) ([]byte, error) {
	n := C.turbo_encode(t.t, first(p.y), first(p.cb), first(p.cr),
		C.size_t(p.stride), C.size_t(p.row), C.size_t(p.cStride), C.int(quality))
	if n == 0 {
		return nil, fmt.Errorf("libjpeg-turbo: %s", C.GoString(C.turbo_error(t.t)))
	}
	return C.GoBytes(C.turbo_output(t.t), C.int(n)), nil
}

func (t *turbo) close() {
	C.turbo_free(t.t)
	t.t = nil
}

// first is the address of b's first byte for C, NULL when there is none.
func first(b []byte) *C.uint8_t { return (*C.uint8_t)(unsafe.SliceData(b)) }

func flag(b bool) C.int {
	if b {
		return 1
	}
	return 0
}
