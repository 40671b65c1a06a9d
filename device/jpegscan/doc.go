// Package jpegscan finds whole JPEG pictures in bytes that arrive piece by
// piece: [Walker] measures the one picture its data begins with, [Splitter]
// takes a stream of them apart, [Size] reads the size of one. [Window] holds the
// bytes of a stream that were not consumed yet.
//
// It walks the segments by their lengths (ITU-T T.81, annex B), so neither a
// thumbnail nor anything else inside of a segment ends a picture. It checks no
// more than it needs for that: whether a picture can be shown is decided
// elsewhere, and nothing is decoded.
//
// The package keeps no state besides its values; each is for one goroutine.
package jpegscan
