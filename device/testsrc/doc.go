// Package testsrc holds cameras without hardware: [Pattern] draws a moving test
// picture, [Replay] plays recorded JPEG pictures from a file or a folder. Both
// ship in the product, as the source to try it with and as the picture shown
// where no camera is.
//
// The package decodes and encodes nothing: Pattern delivers raw YU12, Replay
// the recorded bytes. Both follow the concurrency rules of device.Camera: one
// goroutine captures, Close may come from any. Neither starts goroutines, and
// time comes from package time, so tests run in testing/synctest bubbles.
package testsrc
