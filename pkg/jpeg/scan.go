package jpeg

// Markers, ITU-T T.81 table B.1.
const (
	mSOF0  = 0xc0 // baseline
	mSOF2  = 0xc2 // progressive
	mDHT   = 0xc4 // Huffman tables
	mSOF15 = 0xcf
	mRST0  = 0xd0
	mSOI   = 0xd8 // start of image
	mEOI   = 0xd9 // end of image
	mSOS   = 0xda // start of scan
	mDQT   = 0xdb // quantisation tables
	mDNL   = 0xdc // number of lines
	mDRI   = 0xdd // restart interval
	mEXP   = 0xdf // hierarchical
	mAPP0  = 0xe0
	mAPP15 = 0xef
	mCOM   = 0xfe
)

// maxBlocks is the limit for blocks in one interleaved MCU, T.81 B.2.3.
const maxBlocks = 10

// header is what scan finds.
type header struct {
	info      Info
	sofStart  int // offset of the frame header's marker
	scanStart int // offset of the first byte of picture data
	ids       [3]byte
	quant     [3]byte // quantisation table per component
	tables    byte    // one bit per quantisation table that was defined
}

// scan walks the segments by their lengths up to the first scan, so that a
// thumbnail inside an APP segment is never taken for the picture.
func scan(data []byte) (header, error) {
	var h header
	if len(data) < MinSize {
		return h, fail(ErrEmpty, data, 0, "a picture has at least %d bytes", MinSize)
	}
	if data[0] != 0xff || data[1] != mSOI {
		return h, fail(ErrNotJPEG, data, 0, "begins with %02x %02x instead of ff d8", data[0], data[1])
	}
	for pos := 2; ; {
		start := pos
		if pos < len(data) && data[pos] != 0xff {
			return h, fail(ErrMalformed, data, pos, "%02x where a marker should be", data[pos])
		}
		for pos < len(data) && data[pos] == 0xff { // any number of fill bytes
			pos++
		}
		if pos+3 > len(data) {
			return h, fail(ErrTruncated, data, start, "ends before the picture data")
		}
		marker := data[pos]
		if err := checkMarker(data, start, marker); err != nil {
			return h, err
		}
		length := int(data[pos+1])<<8 | int(data[pos+2])
		if length < 2 {
			return h, fail(ErrMalformed, data, start, "segment %02x has length %d", marker, length)
		}
		next := pos + 1 + length
		if next > len(data) {
			return h, fail(ErrTruncated, data, start, "segment %02x needs %d bytes more than there are", marker, next-len(data))
		}
		if err := h.segment(data, start, marker, data[pos+3:next]); err != nil {
			return h, err
		}
		pos = next
		if marker == mSOS {
			h.scanStart = pos
			return h, nil
		}
	}
}

// checkMarker refuses markers that have no place before the first scan.
func checkMarker(data []byte, pos int, m byte) error {
	switch {
	case m == mSOI:
		return fail(ErrMalformed, data, pos, "second picture begins inside the header")
	case m == mEOI:
		return fail(ErrMalformed, data, pos, "picture ends before its data")
	case m < mSOF0, m >= mRST0 && m < mSOI:
		return fail(ErrMalformed, data, pos, "marker %02x inside the header", m)
	case m == mDHT, m == mSOS, m == mDQT, m == mDRI, m == mCOM, m >= mAPP0 && m <= mAPP15, m <= mSOF2:
		return nil
	case m <= mSOF15:
		return fail(ErrUnsupported, data, pos, "lossless, arithmetic or hierarchical coding (marker %02x)", m)
	case m >= mDNL && m <= mEXP:
		return fail(ErrUnsupported, data, pos, "marker %02x", m)
	default:
		return fail(ErrMalformed, data, pos, "reserved marker %02x", m)
	}
}

// segment reads one segment; body is what follows its length.
func (h *header) segment(data []byte, pos int, marker byte, body []byte) error {
	switch {
	case marker >= mSOF0 && marker <= mSOF2:
		h.info.Progressive = marker == mSOF2
		return h.frameHeader(data, pos, body)
	case marker == mDHT:
		h.info.HasHuffman = true
		return checkHuffman(data, pos, body)
	case marker == mDQT:
		return h.quantTables(data, pos, body)
	case marker == mDRI && len(body) != 2:
		return fail(ErrMalformed, data, pos, "restart interval of %d bytes", len(body))
	case marker == mSOS:
		return h.scanHeader(data, pos, body)
	}
	return nil
}

// frameHeader reads SOF: T.81 B.2.2.
func (h *header) frameHeader(data []byte, pos int, b []byte) error {
	if h.info.Components != 0 {
		return fail(ErrMalformed, data, pos, "second frame header")
	}
	if len(b) < 6 || len(b) != 6+3*int(b[5]) {
		return fail(ErrMalformed, data, pos, "frame header of %d bytes", len(b))
	}
	h.sofStart = pos
	h.info.Height, h.info.Width = int(b[1])<<8|int(b[2]), int(b[3])<<8|int(b[4])
	h.info.Components = int(b[5])
	switch {
	case b[0] != 8:
		return fail(ErrUnsupported, data, pos, "%d bits per sample", b[0])
	case h.info.Width == 0 || h.info.Height == 0:
		return fail(ErrMalformed, data, pos, "size %dx%d", h.info.Width, h.info.Height)
	case h.info.Components != 1 && h.info.Components != 3:
		return fail(ErrUnsupported, data, pos, "%d components", h.info.Components)
	}
	var hs, vs [3]int
	blocks := 0
	for i := range h.info.Components {
		c := b[6+3*i:]
		for _, id := range h.ids[:i] {
			if id == c[0] {
				return fail(ErrMalformed, data, pos, "component %d occurs twice", id)
			}
		}
		h.ids[i], h.quant[i] = c[0], c[2]
		hs[i], vs[i] = int(c[1]>>4), int(c[1]&15)
		if hs[i] < 1 || hs[i] > 4 || vs[i] < 1 || vs[i] > 4 {
			return fail(ErrMalformed, data, pos, "sampling factors %dx%d", hs[i], vs[i])
		}
		if hs[i] == 3 || vs[i] == 3 {
			return fail(ErrUnsupported, data, pos, "sampling factors %dx%d", hs[i], vs[i])
		}
		blocks += hs[i] * vs[i]
	}
	if h.info.Components == 1 {
		// Sampling factors are ratios, so a lone component has none (T.81 A.2.2).
		h.info.Sampling = "4:0:0"
		return nil
	}
	h.info.Sampling = sampling(hs, vs)
	if h.info.Sampling == "" || blocks > maxBlocks {
		return fail(ErrUnsupported, data, pos, "sampling factors %dx%d, %dx%d, %dx%d", hs[0], vs[0], hs[1], vs[1], hs[2], vs[2])
	}
	return nil
}

// sampling names the ratio of luminance to chrominance samples; it is empty for
// the ratios that image/jpeg cannot decode.
func sampling(h, v [3]int) string {
	if h[1] != h[2] || v[1] != v[2] || h[0]%h[1] != 0 || v[0]%v[1] != 0 || v[0] == 4 {
		return ""
	}
	switch [2]int{h[0] / h[1], v[0] / v[1]} {
	case [2]int{1, 1}:
		return "4:4:4"
	case [2]int{2, 1}:
		return "4:2:2"
	case [2]int{2, 2}:
		return "4:2:0"
	case [2]int{1, 2}:
		return "4:4:0"
	case [2]int{4, 1}:
		return "4:1:1"
	case [2]int{4, 2}:
		return "4:1:0"
	}
	return ""
}

// checkHuffman walks the tables of a DHT segment: T.81 B.2.4.2.
func checkHuffman(data []byte, pos int, b []byte) error {
	for len(b) > 0 {
		size := 17
		if len(b) >= size {
			for _, n := range b[1:17] {
				size += int(n)
			}
		}
		if size > 17+256 || size > len(b) || b[0]>>4 > 1 || b[0]&15 > 3 {
			return fail(ErrMalformed, data, pos, "broken Huffman table")
		}
		b = b[size:]
	}
	return nil
}

// quantTables walks the tables of a DQT segment: T.81 B.2.4.1.
func (h *header) quantTables(data []byte, pos int, b []byte) error {
	for len(b) > 0 {
		size := 1 + 64
		if b[0]>>4 == 1 { // 16-bit entries
			size += 64
		}
		if size > len(b) || b[0]>>4 > 1 || b[0]&15 > 3 {
			return fail(ErrMalformed, data, pos, "broken quantisation table")
		}
		h.tables |= 1 << (b[0] & 15)
		b = b[size:]
	}
	return nil
}

// scanHeader reads SOS (T.81 B.2.3) and checks that everything a decoder needs
// to begin was there, or can be added.
func (h *header) scanHeader(data []byte, pos int, b []byte) error {
	if h.info.Components == 0 {
		return fail(ErrMalformed, data, pos, "picture data without a frame header")
	}
	if len(b) < 6 || len(b) != 4+2*int(b[0]) || int(b[0]) > h.info.Components {
		return fail(ErrMalformed, data, pos, "scan header of %d bytes", len(b))
	}
	for i := range int(b[0]) {
		id, sel := b[1+2*i], b[2+2*i]
		known := false
		for _, c := range h.ids[:h.info.Components] {
			known = known || c == id
		}
		if !known || sel>>4 > 3 || sel&15 > 3 {
			return fail(ErrMalformed, data, pos, "scan of component %d with tables %02x", id, sel)
		}
	}
	for _, q := range h.quant[:h.info.Components] {
		if q > 3 || h.tables&(1<<q) == 0 {
			return fail(ErrMalformed, data, pos, "quantisation table %d is missing", q)
		}
	}
	if h.info.Progressive && !h.info.HasHuffman {
		return fail(ErrMalformed, data, pos, "progressive picture without Huffman tables")
	}
	return nil
}
