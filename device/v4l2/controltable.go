package v4l2

// Numbers of the controls that have a unit, V4L2_CID_* of
// include/uapi/linux/v4l2-controls.h.
const (
	cidWhiteBalanceTemperature = 0x98091a
	cidRotate                  = 0x980922
	cidBitrate                 = 0x9909cf
	cidExposureAbsolute        = 0x9a0902
	cidPanAbsolute             = 0x9a0908
	cidTiltAbsolute            = 0x9a0909
	cidAutoExposureBias        = 0x9a0913
	cidISOSensitivity          = 0x9a0917
	cidSensorRotation          = 0x9a0923
	cidFlashTimeout            = 0x9c0906
	cidFlashIntensity          = 0x9c0907
	cidTorchIntensity          = 0x9c0908
	cidIndicatorIntensity      = 0x9c0909
	cidJPEGRestartInterval     = 0x9d0902
	cidVBlank                  = 0x9e0901
	cidHBlank                  = 0x9e0902
	cidLinkFreq                = 0x9f0901
	cidPixelRate               = 0x9f0902
)

// controlUnits are the units that the kernel's documentation gives (Control
// Reference of the Video for Linux API). A control that is not here has none,
// or one that each driver chooses.
var controlUnits = map[uint32]string{ //nolint:gochecknoglobals // a constant table; Go has no constant maps
	cidWhiteBalanceTemperature: "K",
	cidRotate:                  "°",
	cidBitrate:                 "bit/s",
	cidExposureAbsolute:        "100 µs",
	cidPanAbsolute:             "arc seconds",
	cidTiltAbsolute:            "arc seconds",
	cidAutoExposureBias:        "0.001 EV",
	cidISOSensitivity:          "0.001 ISO",
	cidSensorRotation:          "°",
	cidFlashTimeout:            "µs",
	cidFlashIntensity:          "mA",
	cidTorchIntensity:          "mA",
	cidIndicatorIntensity:      "mA",
	cidJPEGRestartInterval:     "MCU",
	cidVBlank:                  "lines",
	cidHBlank:                  "pixels",
	cidLinkFreq:                "Hz",
	cidPixelRate:               "pixels/s",
}

// controlGroups are the kernel's classes of controls, V4L2_CTRL_CLASS_*. Those
// that drivers invent are called what the driver calls them.
var controlGroups = map[uint32]string{ //nolint:gochecknoglobals // a constant table; Go has no constant maps
	0x980000: "user",
	0x990000: "codec",
	0x9a0000: "camera",
	0x9b0000: "fm_tx",
	0x9c0000: "flash",
	0x9d0000: "jpeg",
	0x9e0000: "image_source",
	0x9f0000: "image_processing",
	0xa00000: "digital_video",
	0xa10000: "fm_rx",
	0xa20000: "rf_tuner",
	0xa30000: "detection",
	0xa40000: "codec_stateless",
	0xa50000: "colorimetry",
}
