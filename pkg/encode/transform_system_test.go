//go:build system && cgo

package encode_test

import (
	"bytes"
	"os/exec"
	"testing"

	"github.com/webgear-pi/webgear/pkg/encode"
)

// jpegtran, of libjpeg-turbo-progs, is what everybody else uses. Its files have
// the same picture data, bit by bit, where sampling factors stay as they are.
func TestTransformMakesTheFilesOfJpegtran(t *testing.T) {
	t.Parallel()
	for name, src := range fixtures(t) {
		if name == "422-2x2" || name == "444-1x2" {
			continue // larger factors than needed: ours become smaller
		}
		for way, args := range map[encode.Transform][]string{
			encode.Rotate90: {"-rotate", "90"}, encode.Rotate180: {"-rotate", "180"}, encode.Rotate270: {"-rotate", "270"},
			encode.FlipHorizontal: {"-flip", "horizontal"}, encode.FlipVertical: {"-flip", "vertical"},
			encode.Rotate90.Then(encode.FlipHorizontal): {"-transpose"}, encode.Rotate90.Then(encode.FlipVertical): {"-transverse"},
		} {
			if way.SwapsSides() && (name == "411" || name == "410") {
				continue // encoded anew
			}
			cmd := exec.CommandContext(t.Context(), "jpegtran", append([]string{"-copy", "none", "-trim"}, args...)...) //nolint:gosec // constant commands
			cmd.Stdin = bytes.NewReader(src)
			want, err := cmd.Output()
			if err != nil {
				t.Fatalf("jpegtran %v: %v", args, err)
			}
			got := transform(t, way, encode.Options{}, src)
			if !bytes.Equal(scanOf(got), scanOf(want)) {
				t.Errorf("%s %s: %d bytes of picture data, jpegtran makes %d or others", name, way, len(scanOf(got)), len(scanOf(want)))
			}
		}
	}
}

// scanOf is the file from its first scan.
func scanOf(file []byte) []byte {
	at := bytes.Index(file, []byte{0xff, 0xda})
	if at < 0 {
		return nil
	}
	return bytes.Replace(file[at:], []byte{0xff, 0xfe, 0x00, 0x02}, nil, 1) // the empty comment of flat pictures
}
