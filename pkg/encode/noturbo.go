//go:build !cgo

package encode

// fastName is empty: there is nothing better than the standard library.
const fastName = ""

// newEngine falls back on the standard library.
func newEngine(j job) (engine, string, error) { return newStandard(j), standardName, nil }

// newTranscoding falls back on the standard library.
func newTranscoding(o Options) (transcoding, string, error) {
	return newStandardTranscoding(o), standardName, nil
}

// newTurning falls back on the standard library.
func newTurning(t Transform) (turning, string, error) {
	return newStandardTurning(t), standardName, nil
}

// releaseMemory has nothing to give: there is no C library.
func releaseMemory() {}
