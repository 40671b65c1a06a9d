package mdns

import (
	"errors"
	"slices"
	"strings"
	"testing"
)

func TestNamesAreReadThroughPointersThatLeadBack(t *testing.T) {
	head := make([]byte, headerSize)
	for _, tt := range []struct {
		what string
		data string
		at   int
		want name
		err  error
	}{
		{"plain", "\x01a\x02bc\x00", headerSize, name{"a", "bc"}, nil},
		{"root", "\x00", headerSize, nil, nil},
		{"pointer", "\x05local\x00\x01a\xc0\x0c", headerSize + 7, name{"a", "local"}, nil},
		{"two pointers", "\x05local\x00\x01b\xc0\x0c\x01a\xc0\x13", headerSize + 11, name{"a", "b", "local"}, nil},
		{"to itself", "\xc0\x0c", headerSize, nil, errPointer},
		{"forward", "\xc0\x0e\x00", headerSize, nil, errPointer},
		{"in a circle", "\x01a\xc0\x10\x01b\xc0\x0c", headerSize + 4, nil, errPointer},
		{"into the header", "\xc0\x00", headerSize, nil, errPointer},
		{"odd length", "\x80a", headerSize, nil, errPointer},
		{"cut in a label", "\x05loc", headerSize, nil, errShort},
		{"cut before the end", "\x01a", headerSize, nil, errShort},
		{"cut pointer", "\x01a\xc0", headerSize, nil, errShort},
		{"too long", strings.Repeat("\x3f"+strings.Repeat("x", 63), 4) + "\x00", headerSize, nil, errName},
	} {
		t.Run(tt.what, func(t *testing.T) {
			p := &parser{data: append(slices.Clone(head), tt.data...), at: tt.at}
			got, err := p.name()
			if !slices.Equal(got, tt.want) || !errors.Is(err, tt.err) {
				t.Errorf("got %q, %v", got, err)
			}
			if err == nil && p.at != len(p.data) {
				t.Errorf("stopped at %d of %d", p.at, len(p.data))
			}
		})
	}
}

func TestNamesAreComparedWithoutCaseAndWithTheirDots(t *testing.T) {
	if (name{"Garten", "LOCAL"}).key() != (name{"gARTEN", "local"}).key() {
		t.Error("case counts")
	}
	if (name{"a.b"}).key() == (name{"a", "b"}).key() {
		t.Error("a dot in a label is taken for one between labels")
	}
	if (name{"Ä"}).key() == (name{"ä"}).key() {
		t.Error("letters outside of ASCII have no case in names")
	}
}

func TestNamesThatCannotBeAskedForAreRefused(t *testing.T) {
	for _, n := range []name{{""}, {strings.Repeat("x", 64)}, {strings.Repeat("x", 63), strings.Repeat("x", 63), strings.Repeat("x", 63), strings.Repeat("x", 63)}} {
		if _, err := query([]question{{n, typePTR}}); !errors.Is(err, errName) {
			t.Errorf("%q: %v", n, err)
		}
	}
}

// FuzzParse wants an end without a crash of whatever is on the network, and that
// what was read can be asked for.
func FuzzParse(f *testing.F) {
	f.Add(answer(ptr(service, first), srv(first, garten, 8000), txt(first, "a=b"), address(garten, "10.0.0.7"), address(garten, "fd00::7")))
	f.Add([]byte("\x00\x00\x84\x00\x00\x01\x00\x01\x00\x00\x00\x00\x01a\x05local\x00\x00\x0c\x00\x01\xc0\x0c\x00\x21\x80\x01\x00\x00\x00\x0a\x00\x08\x00\x00\x00\x00\x1f\x40\xc0\x0e"))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, data []byte) {
		all, _ := parse(data)
		if len(all) > maxRecords {
			t.Errorf("%d records", len(all))
		}
		s := &search{service: service, hosts: map[string]*host{}}
		for _, r := range all {
			s.take(r)
			for _, n := range []name{r.name, r.target} {
				if _, err := query([]question{{n, typeA}}); err != nil {
					t.Errorf("%q cannot be asked for: %v", n, err)
				}
			}
		}
		for _, i := range s.result() {
			if strings.ContainsAny(i.Name+i.Host, "\x1b\r\n\x00") {
				t.Errorf("%q, %q cannot be printed", i.Name, i.Host)
			}
		}
		for _, q := range s.missing() {
			if _, err := query([]question{q}); err != nil {
				t.Error(err)
			}
		}
	})
}
