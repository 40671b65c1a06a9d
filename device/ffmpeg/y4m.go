package ffmpeg

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/webgear-pi/webgear/device"
)

const (
	// maxHeader bounds a line of text between pictures, in bytes. FFmpeg's own
	// reader allows 96 for the first and 80 for the others (yuv4mpegdec.c);
	// GStreamer's are shorter.
	maxHeader = 512
	y4mMagic  = "YUV4MPEG2 "
	y4mFrame  = "FRAME"
)

// errFraming: the program's output is not what it was asked for.
var errFraming = errors.New("not the pictures that were asked for")

// y4mReader reads YUV4MPEG2, as yuv4mpeg(5) of mjpegtools has it.
type y4mReader struct {
	r      *bufio.Reader
	format device.Format
	ranged bool // the header tells the range of the samples

	// size of a picture without padding, and whether rows have to be moved.
	packed int
	// unsure is set until a picture has shown whether the writer pads rows:
	// GStreamer's y4menc before 1.24 writes its own padded layout.
	unsure bool
	padded bool
	raw    []byte
}

func newY4M(r *bufio.Reader, mayPad bool) *y4mReader { return &y4mReader{r: r, unsure: mayPad} }

// header reads the first line.
func (y *y4mReader) header() (device.Format, error) {
	line, err := readLine(y.r, maxHeader)
	if err != nil {
		return device.Format{}, err
	}
	y.format, y.ranged, err = parseY4M(line)
	if err != nil {
		return device.Format{}, err
	}
	w, h := y.format.Width, y.format.Height
	y.format.Stride = w + w&1
	y.packed = w*h + 2*((w+1)/2)*((h+1)/2)
	if gst := gstLayout(w, h); gst.size == y.packed {
		y.unsure = false
	}
	return y.format, nil
}

// parseY4M reads the first line, without its end.
func parseY4M(line string) (f device.Format, ranged bool, err error) {
	rest, ok := strings.CutPrefix(line, y4mMagic)
	if !ok {
		return f, false, fmt.Errorf("%w: begins with %.20q", errFraming, line)
	}
	f.FourCC, f.Quantization = device.YU12, device.LimitedRange
	for p := range strings.FieldsSeq(rest) {
		value := p[1:]
		switch p[0] {
		case 'W':
			f.Width, err = strconv.Atoi(value)
		case 'H':
			f.Height, err = strconv.Atoi(value)
		case 'F':
			f.Rate = parseRatio(value, ":")
		case 'C':
			switch value {
			case "420", "420jpeg", "420mpeg2", "420paldv": // they differ by less than a pixel
			default:
				err = fmt.Errorf("colours are %q", value)
			}
		case 'X':
			if name, ok := strings.CutPrefix(value, "COLORRANGE="); ok {
				ranged = true
				if name == "FULL" {
					f.Quantization = device.FullRange
				}
			}
		}
		if err != nil {
			return f, false, fmt.Errorf("%w: %w", errFraming, err)
		}
	}
	if err := checkSize(f.Width, f.Height); err != nil {
		return f, false, fmt.Errorf("%w: %w", errFraming, err)
	}
	return f, ranged, nil
}

// next reads a picture into buf, growing it as needed. io.EOF is the end
// between two pictures, io.ErrUnexpectedEOF the one inside of one.
func (y *y4mReader) next(buf []byte) ([]byte, error) {
	line, err := readLine(y.r, maxHeader)
	if err != nil {
		return buf, err
	}
	if line != y4mFrame && !strings.HasPrefix(line, y4mFrame+" ") {
		return buf, fmt.Errorf("%w: %.20q instead of a picture", errFraming, line)
	}
	w, h := y.format.Width, y.format.Height
	if !y.unsure && !y.padded && w%2 == 0 {
		buf = sized(buf, y.packed)
		return buf, whole(y.r, buf)
	}

	layout := planes{stride: w, chroma: (w + 1) / 2, rows: h, chromaRows: (h + 1) / 2, size: y.packed}
	gst := gstLayout(w, h)
	if y.padded {
		layout = gst
	}
	y.raw = sized(y.raw, max(gst.size, y.packed))
	if err := whole(y.r, y.raw[:layout.size]); err != nil {
		return buf, err
	}
	if y.unsure {
		// The padding of a picture is there together with it; what else may
		// follow is the next picture's line, or the end.
		y.unsure = false
		next, err := y.r.Peek(len(y4mFrame))
		if err == nil && !bytes.Equal(next, []byte(y4mFrame)) {
			if err := whole(y.r, y.raw[layout.size:gst.size]); err != nil {
				return buf, err
			}
			y.padded, layout = true, gst
		}
	}
	dense := planes{stride: y.format.Stride, chroma: y.format.Stride / 2, rows: h, chromaRows: (h + 1) / 2}
	buf = sized(buf, dense.stride*h+2*dense.chroma*dense.chromaRows)
	repack(buf, dense, y.raw, layout, h, (h+1)/2, w, (w+1)/2)
	return buf, nil
}

// planes is where the rows of a 4:2:0 picture are, in bytes and rows.
type planes struct {
	stride, chroma   int
	rows, chromaRows int
	size             int
}

// gstLayout is GStreamer's own layout of I420: rows are padded to 4 bytes, their
// number is even (video-info.c, fill_planes).
func gstLayout(w, h int) planes {
	p := planes{stride: (w + 3) &^ 3, chroma: ((w+1)/2 + 3) &^ 3, rows: (h + 1) &^ 1}
	p.chromaRows = p.rows / 2
	p.size = p.stride*p.rows + 2*p.chroma*p.chromaRows
	return p
}

// repack moves rows from one layout to another. A last sample that is missing
// in a row is a copy of the one before.
func repack(dst []byte, to planes, src []byte, from planes, rows, chromaRows, width, chromaWidth int) {
	plane := func(d, s, dStride, sStride, rows, width int) {
		for y := range rows {
			row := dst[d+y*dStride : d+y*dStride+dStride]
			n := copy(row, src[s+y*sStride:s+y*sStride+width])
			for ; n < len(row); n++ {
				row[n] = row[n-1]
			}
		}
	}
	plane(0, 0, to.stride, from.stride, rows, width)
	d, s := to.stride*to.rows, from.stride*from.rows
	plane(d, s, to.chroma, from.chroma, chromaRows, chromaWidth)
	plane(d+to.chroma*to.chromaRows, s+from.chroma*from.chromaRows, to.chroma, from.chroma, chromaRows, chromaWidth)
}

// sized gives a slice of n bytes, buf's memory if it is large enough.
func sized(buf []byte, n int) []byte {
	if cap(buf) < n {
		return make([]byte, n)
	}
	return buf[:n]
}

// whole fills buf; the end in its midst is io.ErrUnexpectedEOF even before its
// first byte.
func whole(r io.Reader, buf []byte) error {
	_, err := io.ReadFull(r, buf)
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// readLine gives a line without its end. io.EOF is the end before its first byte.
func readLine(r *bufio.Reader, limit int) (string, error) {
	var line []byte
	for {
		part, err := r.ReadSlice('\n')
		line = append(line, part...)
		switch {
		case len(line) > limit:
			return "", fmt.Errorf("%w: a line is longer than %d bytes", errFraming, limit)
		case err == nil:
			return strings.TrimRight(string(line), "\r\n"), nil
		case errors.Is(err, bufio.ErrBufferFull):
			continue
		case errors.Is(err, io.EOF) && len(line) > 0:
			return "", io.ErrUnexpectedEOF
		default:
			return "", err
		}
	}
}
