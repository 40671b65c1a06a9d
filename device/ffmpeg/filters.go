package ffmpeg

import (
	"fmt"
	"strings"
)

// maxBorder bounds Stabilize.BorderSize, in pixels. Chosen: a quarter of the
// width of full HD, far more than the filter can move a picture.
const maxBorder = 512

// colourFilters is what an OpenCV conversion of a BGR picture looks like when
// its result is shown as BGR again, which is how WebGear shows it. An empty
// filter changes nothing.
var colourFilters = map[string]string{ //nolint:gochecknoglobals // a constant table; Go has no constant maps
	"GRAY":   "hue=s=0",
	"GREY":   "hue=s=0",
	"RGB":    "format=gbrp,shuffleplanes=0:2:1",
	"RGBA":   "format=gbrp,shuffleplanes=0:2:1",
	"BGR":    "",
	"BGRA":   "",
	"BGR565": "format=rgb565,format=rgb24",
	"BGR555": "format=rgb555,format=rgb24",
}

// colourName takes "COLOR_BGR2GRAY", "BGR2GRAY" and "gray" for "GRAY".
func colourName(name string) string {
	name = strings.ToUpper(strings.TrimSpace(name))
	name = strings.TrimPrefix(strings.TrimPrefix(name, "CV2."), "COLOR_")
	return strings.TrimPrefix(name, "BGR2")
}

// colourFilter gives the filter for a conversion; ok is false when there is none.
func colourFilter(name string) (filter string, ok bool) {
	if strings.TrimSpace(name) == "" {
		return "", true
	}
	filter, ok = colourFilters[colourName(name)]
	return filter, ok
}

// edges is what deshake calls the border types.
var edges = map[string]string{ //nolint:gochecknoglobals // a constant table; Go has no constant maps
	"": "blank", "black": "blank", "reflect": "mirror", "reflect_101": "mirror", "replicate": "clamp",
	"wrap": "mirror",
}

// filters gives the filter chain for the settings, and what of them is odd.
func (s *Stabilize) filters() (chain []string, odd []string, err error) {
	if s.BorderSize < 0 || s.BorderSize > maxBorder {
		return nil, nil, fmt.Errorf("border of %d pixels: must be 0 to %d", s.BorderSize, maxBorder)
	}
	kind := strings.ToLower(strings.TrimSpace(s.BorderType))
	edge, ok := edges[kind]
	switch {
	case !ok:
		odd = append(odd, fmt.Sprintf("border type %q is not known: black is used", s.BorderType))
		edge = "blank"
	case kind == "wrap":
		odd = append(odd, "border type wrap is not possible: reflect is used")
	}
	if s.CropNZoom {
		edge = "blank"
	}
	border := 2 * s.BorderSize
	if border > 0 && !s.CropNZoom {
		chain = append(chain, fmt.Sprintf("pad=iw+%d:ih+%d:%d:%d:black", border, border, s.BorderSize, s.BorderSize))
	}
	chain = append(chain, "deshake=edge="+edge)
	if border > 0 && s.CropNZoom {
		chain = append(chain, fmt.Sprintf("crop=iw-%d:ih-%d", border, border), fmt.Sprintf("scale=iw+%d:ih+%d", border, border))
	}
	return chain, odd, nil
}

// filterChain joins what the options want done to decoded pictures, in the
// order of WebGear: the user's filter, colours, stabilizer.
func filterChain(opt Options, x *extra) (chain string, odd []string, err error) {
	var all []string
	if x.filter != "" {
		all = append(all, x.filter)
	}
	colour, ok := colourFilter(opt.Colorspace)
	if !ok {
		odd = append(odd, fmt.Sprintf("colour space %q cannot be shown: it is ignored", opt.Colorspace))
	}
	if colour != "" {
		all = append(all, colour)
	}
	if opt.Stabilize != nil {
		chain, more, err := opt.Stabilize.filters()
		if err != nil {
			return "", nil, err
		}
		all, odd = append(all, chain...), append(odd, more...)
	}
	return strings.Join(all, ","), odd, nil
}
