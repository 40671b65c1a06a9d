package main

import "strings"

// What boards with one and two cameras print. The lines are those of
// rpicam-apps, the values those of the sensors named.
const (
	header = "Available cameras\n-----------------\n"

	imx708 = `0 : imx708 [4608x2592 10-bit RGGB] (/base/soc/i2c0mux/i2c@1/imx708@1a)
    Modes: 'SRGGB10_CSI2P' : 1536x864 [120.13 fps - (768, 432)/3072x1728 crop]
                             2304x1296 [56.03 fps - (0, 0)/4608x2592 crop]
                             4608x2592 [14.35 fps - (0, 0)/4608x2592 crop]

`
	imx708pisp = `0 : imx708_wide [4608x2592 10-bit RGGB] (/base/axi/pcie@120000/rp1/i2c@88000/imx708@1a)
    Modes: 'SRGGB10_CSI2P' : 1536x864 [30.00 fps - (65535, 65535)/65535x65535 crop]
                             2304x1296 [30.00 fps - (65535, 65535)/65535x65535 crop]
                             4608x2592 [30.00 fps - (65535, 65535)/65535x65535 crop]

`
	imx219pisp = `1 : imx219 [3280x2464 10-bit RGGB] (/base/axi/pcie@1000120000/rp1/i2c@80000/imx219@10)
    Modes: 'SRGGB10_CSI2P' : 640x480 [206.65 fps - (1000, 752)/1280x960 crop]
                             3280x2464 [21.19 fps - (0, 0)/3280x2464 crop]
           'SRGGB8' : 640x480 [206.65 fps - (1000, 752)/1280x960 crop]
                      3280x2464 [21.19 fps - (0, 0)/3280x2464 crop]

`
	// Before libcamera-apps 1.1: no bits, no colour filter.
	imx219old = `0 : imx219 [3280x2464] (/base/soc/i2c0mux/i2c@1/imx219@10)
    Modes: 'SRGGB10_CSI2P' : 640x480 [206.65 fps - (1000, 752)/1280x960 crop]
                             1640x1232 [nan fps - (0, 0)/3280x2464 crop]
                             1920x1080 [47.57 fps - (680, 692)/1920x1080 crop]
                             3280x2464 [21.19 fps - (0, 0)/3280x2464 crop]
           'SRGGB8' : 640x480 [206.65 fps - (1000, 752)/1280x960 crop]
`
	// Of 2021: no rates either, and all sizes in a line.
	ov5647bare = `0 : ov5647 (/base/soc/i2c0mux/i2c@1/ov5647@36)
    Modes: 'SGBRG10_CSI2P' : 640x480 1296x972 1920x1080 2592x1944 
`
	usbCamera = `1 : HD Webcam (/base/soc/usb@7e980000/usb-port@1-1.2:1.0-046d:0825)
    Modes: 'MJPEG' : 640x480 [30.00 fps - (0, 0)/0x0 crop]
`
)

// listing is what --list-cameras prints.
func listing(style string) string {
	switch style {
	case "none":
		return "No cameras available!"
	case "pisp":
		return header + imx708pisp
	case "two":
		return header + imx708pisp + imx219pisp
	case "old":
		return header + imx219old
	case "bare":
		return header + ov5647bare
	case "usb":
		return header + imx708 + usbCamera
	case "broken": // a sensor that tells nothing about itself
		return header + "0 : arducam_64mp ] (/base/soc/i2c0mux/i2c@1/arducam_64mp@1a)"
	}
	return header + imx708
}

// ids gives the cameras of a style by their numbers.
func ids(style string) []string {
	var all []string
	for line := range strings.Lines(listing(style)) {
		if i := strings.LastIndex(line, " (/base/"); i > 0 && strings.Contains(line, " : ") {
			all = append(all, strings.Trim(line[i+2:], ")\n"))
		}
	}
	return all
}
