// Package httpjpeg is the driver for cameras that send JPEG pictures over HTTP:
// IP cameras, ustreamer, mjpg-streamer, another webgear. [Camera] reads a
// multipart stream, or asks again and again for a snapshot, whichever the URL
// answers with, and passes each picture on as it came; nothing is decoded.
//
// The package owns the connection, the credentials of its URL, and the
// parsing. It does not reconnect: whoever opened the camera opens it anew.
//
// A started camera has one goroutine, which reads all the time and keeps only
// the newest picture; Stop and Close end it and wait for it. Camera follows the
// concurrency rules of device.Camera.
package httpjpeg
