package v4l2

import "github.com/webgear-pi/webgear/device"

// Values of enum v4l2_colorspace that change how samples are read.
const (
	colorspaceSMPTE240M = 2
	colorspaceREC709    = 3
	colorspaceJPEG      = 7
	colorspaceBT2020    = 10
	colorspaceDCIP3     = 12
)

// Values of enum v4l2_ycbcr_encoding and v4l2_quantization; 0 is the default
// of the colorspace.
const (
	encDefault        = 0
	enc601            = 1
	enc709            = 2
	encXV709          = 4
	encBT2020         = 6
	encBT2020ConstLum = 7
	encSMPTE240M      = 8

	quantFull    = 1
	quantLimited = 2
)

// matrix maps V4L2's encoding to the nearest of ours. Defaults are those of
// V4L2_MAP_YCBCR_ENC_DEFAULT. BT.2020 and SMPTE 240M have luma weights closer
// to BT.709 than to BT.601.
func matrix(colorspace, enc uint32) device.Matrix {
	if enc == encDefault {
		switch colorspace {
		case colorspaceREC709, colorspaceDCIP3:
			enc = enc709
		case colorspaceBT2020:
			enc = encBT2020
		case colorspaceSMPTE240M:
			enc = encSMPTE240M
		default:
			enc = enc601
		}
	}
	switch enc {
	case enc709, encXV709, encBT2020, encBT2020ConstLum, encSMPTE240M:
		return device.BT709
	}
	return device.BT601
}

// quantization maps V4L2's range to ours. Defaults are those of
// V4L2_MAP_QUANTIZATION_DEFAULT: full for RGB and the JPEG colorspace, limited
// for all other YUV.
func quantization(f device.FourCC, colorspace, quant uint32) device.Quantization {
	if f.Compressed() {
		return device.FullRange
	}
	if quant == quantLimited || (quant != quantFull && f != device.RGB24 && colorspace != colorspaceJPEG) {
		return device.LimitedRange
	}
	return device.FullRange
}
