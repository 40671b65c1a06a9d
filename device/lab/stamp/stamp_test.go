package stamp_test

import (
	"bytes"
	"errors"
	"image"
	"image/jpeg"
	"testing"

	"github.com/webgear-pi/webgear/device/lab/stamp"
)

func picture(tb testing.TB) []byte {
	tb.Helper()
	var b bytes.Buffer
	if err := jpeg.Encode(&b, image.NewGray(image.Rect(0, 0, 64, 48)), nil); err != nil {
		tb.Fatal(err)
	}
	return b.Bytes()
}

// cutTables removes the DHT segments of a JPEG made by image/jpeg.
func cutTables(tb testing.TB, j []byte) (without, tables []byte) {
	tb.Helper()
	without = append(without, j[:2]...)
	for b := j[2:]; ; {
		n := 2 + int(b[2])<<8 + int(b[3])
		switch b[1] {
		case 0xc4:
			tables = append(tables, b[:n]...)
		case 0xda:
			if tables == nil {
				tb.Fatal("the encoder wrote no Huffman tables")
			}
			return append(without, b...), tables
		default:
			without = append(without, b[:n]...)
		}
		b = b[n:]
	}
}

func stamped(tb testing.TB, j []byte, n uint32) []byte {
	tb.Helper()
	s, err := stamp.Put(j, n)
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

func TestCheckReturnsTheNumberThatWasPut(t *testing.T) {
	for _, n := range []uint32{0, 1, 123456, 1<<32 - 1} {
		got, err := stamp.Check(stamped(t, picture(t), n))
		if err != nil || got != n {
			t.Errorf("Check = %d, %v; want %d", got, err, n)
		}
	}
}

func TestStampedPictureStillDecodes(t *testing.T) {
	img, err := jpeg.Decode(bytes.NewReader(stamped(t, picture(t), 7)))
	if err != nil || img.Bounds().Dx() != 64 {
		t.Fatalf("Decode = %v, %v", img, err)
	}
}

func TestCheckFindsAnyChangedByte(t *testing.T) {
	s := stamped(t, picture(t), 7)
	for i := range s {
		bad := bytes.Clone(s)
		bad[i] ^= 0x55
		n, err := stamp.Check(bad)
		if err == nil && n == 7 {
			t.Fatalf("a change of byte %d of %d was not found", i, len(s))
		}
	}
}

func TestCheckFindsTruncationAndPadding(t *testing.T) {
	s := stamped(t, picture(t), 7)
	for name, bad := range map[string][]byte{"cut": s[:len(s)-1], "half": s[:len(s)/2], "padded": append(bytes.Clone(s), 0)} {
		if n, err := stamp.Check(bad); !errors.Is(err, stamp.ErrDamaged) || n != 7 {
			t.Errorf("%s: Check = %d, %v; want 7, %v", name, n, err, stamp.ErrDamaged)
		}
	}
}

func TestCheckRefusesWhatHasNoStamp(t *testing.T) {
	s := stamped(t, picture(t), 7)
	for name, b := range map[string][]byte{"nothing": nil, "bare": picture(t), "noise": []byte("hello, world"), "cut in stamp": s[:20]} {
		if _, err := stamp.Check(b); !errors.Is(err, stamp.ErrNoStamp) {
			t.Errorf("%s: Check = %v, want %v", name, err, stamp.ErrNoStamp)
		}
	}
}

func TestPictureWithoutTablesMayHaveThemAddedLater(t *testing.T) {
	bare, tables := cutTables(t, picture(t))
	s := stamped(t, bare, 9)
	if n, err := stamp.Check(s); n != 9 || err != nil {
		t.Fatalf("without tables: Check = %d, %v", n, err)
	}
	// Where the tables go: straight after the stamp, and just before SOS.
	after := 4 + int(s[4])<<8 + int(s[5])
	before := bytes.LastIndex(s, []byte{0xff, 0xda})
	for _, at := range []int{after, before} {
		whole := append(append(bytes.Clone(s[:at]), tables...), s[at:]...)
		if n, err := stamp.Check(whole); n != 9 || err != nil {
			t.Errorf("tables at %d: Check = %d, %v", at, n, err)
		}
		whole[len(whole)-4] ^= 1
		if _, err := stamp.Check(whole); !errors.Is(err, stamp.ErrDamaged) {
			t.Errorf("tables at %d, damaged: Check = %v, want %v", at, err, stamp.ErrDamaged)
		}
	}
}

func TestPutRefusesWhatIsNoJPEG(t *testing.T) {
	if _, err := stamp.Put([]byte("GIF89a"), 1); err == nil {
		t.Error("Put accepted something else than a JPEG")
	}
}

func FuzzCheck(f *testing.F) {
	f.Add(stamped(f, picture(f), 7))
	bare, _ := cutTables(f, picture(f))
	f.Add(stamped(f, bare, 8))
	f.Add([]byte("\xff\xd8\xff\xfe\x00\x02"))
	f.Add([]byte("\xff\xd8\xff\xfe\x00\x2awebgear-camsim frame=1 crc32=00000000 nodht\xff\xc4\x00\x01"))
	f.Fuzz(func(t *testing.T, b []byte) {
		n, err := stamp.Check(b)
		if err != nil {
			return
		}
		// Whatever passes can be stamped again, with the same outcome.
		again, err := stamp.Put(append([]byte{0xff, 0xd8}, b[4+int(b[4])<<8+int(b[5]):]...), n)
		if err != nil {
			return // nothing but a stamp: no JPEG to stamp
		}
		if m, err := stamp.Check(again); m != n || err != nil {
			t.Errorf("stamped again: Check = %d, %v; want %d", m, err, n)
		}
	})
}
