//go:build !cgo

package encode

// newEngine falls back on the standard library.
func newEngine(j job) (engine, string, error) { return newStandard(j), standardName, nil }

// newTranscoding falls back on the standard library.
func newTranscoding(o Options) (transcoding, string, error) {
	return newStandardTranscoding(o), standardName, nil
}
