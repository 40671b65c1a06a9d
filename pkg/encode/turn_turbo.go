//go:build cgo

package encode

/*
#include "turn.h"
*/
import "C"

import (
	"errors"
	"fmt"
	"unsafe"
)

// turboTurning holds the turner in C memory.
type turboTurning struct {
	t *C.struct_turner
	o C.struct_turn_options // a field, to be allocated once
}

func newTurning(t Transform) (turning, string, error) {
	c := C.turner_new()
	if c == nil {
		return nil, "", errors.New("libjpeg-turbo: no memory")
	}
	return &turboTurning{c, C.struct_turn_options{
		transpose: flag(t&transposed != 0), flip_x: flag(t&flippedX != 0), flip_y: flag(t&flippedY != 0),
	}}, turboName, nil
}

// turn lends src to C for the length of the call and copies the result out of
// C's memory.
func (t *turboTurning) turn(src []byte, width, height, _ int) (turned, error) {
	t.o.width, t.o.height = C.int(width), C.int(height)
	n := C.turner_run(t.t, (*C.uint8_t)(unsafe.SliceData(src)), C.size_t(len(src)), &t.o)
	r := turned{damaged: C.turner_warnings(t.t) != 0}
	if n == 0 {
		return r, fmt.Errorf("libjpeg-turbo: %s", C.GoString(C.turner_error(t.t)))
	}
	r.data = quiet(C.GoBytes(C.turner_output(t.t), C.int(n)))
	r.width, r.height = int(C.turner_width(t.t)), int(C.turner_height(t.t))
	return r, nil
}

func (t *turboTurning) close() {
	C.turner_free(t.t)
	t.t = nil
}
