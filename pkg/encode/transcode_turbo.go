//go:build cgo

package encode

/*
#include "transcode.h"
*/
import "C"

import (
	"errors"
	"fmt"
	"unsafe"
)

// turboTranscoding holds the transcoder in C memory.
type turboTranscoding struct {
	x *C.struct_transcoder
	o C.struct_transcode_options // a field, to be allocated once
}

func newTranscoding(o Options) (transcoding, string, error) {
	x := C.transcoder_new()
	if x == nil {
		return nil, "", errors.New("libjpeg-turbo: no memory")
	}
	return &turboTranscoding{x, C.struct_transcode_options{
		gray:          flag(o.Gray),
		fast_dct:      flag(o.FastDCT),
		fast_upsample: flag(o.FastUpsample),
	}}, turboName, nil
}

// transcode lends src to C for the length of the call and copies the result out
// of C's memory.
func (t *turboTranscoding) transcode(src []byte, s sizes, quality int) (out []byte, damaged bool, err error) {
	t.o.width, t.o.height = C.int(s.width), C.int(s.height)
	t.o.out_width, t.o.out_height = C.int(s.outWidth), C.int(s.outHeight)
	t.o.quality = C.int(quality)
	n := C.transcoder_run(t.x, (*C.uint8_t)(unsafe.SliceData(src)), C.size_t(len(src)), &t.o)
	damaged = C.transcoder_warnings(t.x) != 0
	if n == 0 {
		return nil, damaged, fmt.Errorf("libjpeg-turbo: %s", C.GoString(C.transcoder_error(t.x)))
	}
	return quiet(C.GoBytes(C.transcoder_output(t.x), C.int(n))), damaged, nil
}

func (t *turboTranscoding) close() {
	C.transcoder_free(t.x)
	t.x = nil
}
