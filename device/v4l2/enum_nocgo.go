//go:build !cgo

package v4l2

import "github.com/webgear-pi/webgear/device"

func (n *fdNode) queryCap() (capability, error) { return n.queryCapIoctl() }

func (n *fdNode) enumFormat(index uint32) (formatDesc, error) { return n.enumFormatIoctl(index) }

func (n *fdNode) enumSize(index uint32, f device.FourCC) (sizeRange, error) {
	return n.enumSizeIoctl(index, f)
}

func (n *fdNode) enumInterval(index uint32, f device.FourCC, width, height uint32) (intervalRange, error) {
	return n.enumIntervalIoctl(index, f, width, height)
}
