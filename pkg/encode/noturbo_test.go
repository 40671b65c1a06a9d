//go:build !cgo

package encode_test

const defaultName = "image/jpeg"
