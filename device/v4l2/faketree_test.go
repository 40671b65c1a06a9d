package v4l2

import (
	"os"
	"path/filepath"
	"testing"
)

// newFake makes a tree with the devices as nodes and a Driver for it. The test
// fails when something stays open or mapped.
func newFake(tb testing.TB, devices map[string]*fakeDevice) *Driver {
	tb.Helper()
	root := tb.TempDir()
	for name := range devices {
		writeFile(tb, root, "dev/"+name, "")
	}
	tb.Cleanup(func() {
		for name, d := range devices {
			d.mu.Lock()
			if d.nodes != 0 || d.owner != nil || d.exported != 0 {
				tb.Errorf("%s: %d nodes and %d exported buffers open at the end, buffers owned: %v", name, d.nodes, d.exported, d.owner != nil)
			}
			d.mu.Unlock()
		}
	})
	return newDriver(Config{Root: root}, &fakeKernel{devices: devices})
}

func writeFile(tb testing.TB, root, path, text string) {
	tb.Helper()
	path = filepath.Join(root, path)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		tb.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		tb.Fatal(err)
	}
}

func symlink(tb testing.TB, root, target, path string) {
	tb.Helper()
	path = filepath.Join(root, path)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		tb.Fatal(err)
	}
	if err := os.Symlink(target, path); err != nil {
		tb.Fatal(err)
	}
}
