package main

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
)

// form is what follows an option.
type form uint8

const (
	flag     form = iota // nothing, or "=1"
	integer              // a whole number
	unsigned             // one that is not negative
	decimal              // a number
	text                 // anything
	maybe                // a number behind "=", or nothing
	maybeText
)

// declared is one option and the version that brought it.
type declared struct {
	name  string
	short string
	form  form
	since string
}

// all are the options of rpicam-vid that matter here (core/options.cpp and
// core/video_options.hpp of rpicam-apps).
func all() []declared {
	return []declared{
		{"help", "h", flag, "1.0"},
		{"version", "", flag, "1.0"},
		{"list-cameras", "", flag, "1.0"},
		{"camera", "", unsigned, "1.0"},
		{"verbose", "v", maybe, "1.0"},
		{"config", "c", maybeText, "1.0"},
		{"info-text", "", text, "1.0"},
		{"width", "", unsigned, "1.0"},
		{"height", "", unsigned, "1.0"},
		{"timeout", "t", text, "1.0"},
		{"output", "o", text, "1.0"},
		{"nopreview", "n", flag, "1.0"},
		{"preview", "p", text, "1.0"},
		{"hflip", "", flag, "1.0"},
		{"vflip", "", flag, "1.0"},
		{"rotation", "", integer, "1.0"},
		{"roi", "", text, "1.0"},
		{"shutter", "", decimal, "1.0"},
		{"analoggain", "", decimal, "1.0"},
		{"gain", "", decimal, "1.0"},
		{"metering", "", text, "1.0"},
		{"exposure", "", text, "1.0"},
		{"ev", "", decimal, "1.0"},
		{"awb", "", text, "1.0"},
		{"awbgains", "", text, "1.0"},
		{"flush", "", flag, "1.0"},
		{"brightness", "", decimal, "1.0"},
		{"contrast", "", decimal, "1.0"},
		{"saturation", "", decimal, "1.0"},
		{"sharpness", "", decimal, "1.0"},
		{"framerate", "", decimal, "1.0"},
		{"denoise", "", text, "1.0"},
		{"tuning-file", "", text, "1.0"},
		{"mode", "", text, "1.0"},
		{"metadata", "", text, "1.0"},
		{"metadata-format", "", text, "1.0"},
		{"codec", "", text, "1.0"},
		{"quality", "q", integer, "1.0"},
		{"signal", "s", flag, "1.0"},
		{"save-pts", "", text, "1.0"},
		{"buffer-count", "", unsigned, "1.2"},
		{"autofocus-mode", "", text, "1.2"},
		{"autofocus-range", "", text, "1.2"},
		{"autofocus-speed", "", text, "1.2"},
		{"autofocus-window", "", text, "1.2"},
		{"lens-position", "", text, "1.2"},
		{"hdr", "", maybeText, "1.2"},
		{"no-raw", "", flag, "1.4"},
		{"flicker-period", "", text, "1.4"},
		{"ccm", "", text, "1.9"},
	}
}

// options are those of one version of the program.
func options(version string) []declared {
	have := slices.DeleteFunc(all(), func(d declared) bool { return d.since > version })
	for i, d := range have {
		switch {
		case d.name == "hdr" && version == "1.2":
			have[i].form = flag // it became a choice later
		case d.name == "shutter" && version >= "1.4":
			have[i].form = text // it takes units since
		}
	}
	return have
}

// parsed are the options that were given.
type parsed map[string]string

func (p parsed) has(name string) bool { return p[name] == "1" }

func (p parsed) number(name string) int {
	n, err := strconv.Atoi(p[name])
	if err != nil {
		return 0
	}
	return n
}

// parse takes a command line apart as Boost.Program_options does, with its words
// for what is wrong.
func parse(args []string, version string) (parsed, error) {
	have := options(version)
	p := parsed{
		"camera": "0", "width": "640", "height": "480", "timeout": "5000", "codec": "h264", "quality": "50", "framerate": "30",
		"metadata-format": "json", "metering": "centre", "exposure": "normal", "awb": "auto", "denoise": "auto", "hdr": "off",
	}
	for i := 0; i < len(args); i++ {
		d, value, given, err := find(have, args[i])
		if err != nil {
			return nil, err
		}
		shown := args[i]
		if d.short == "" || strings.HasPrefix(shown, "--") {
			shown = "--" + d.name
		}
		switch {
		case given:
		case d.form == flag || d.form == maybe || d.form == maybeText:
			value = "1" // the implicit value; what follows is no value
			if d.form == maybeText {
				value = "auto"
			}
		case i+1 == len(args):
			return nil, fmt.Errorf("the required argument for option '%s' is missing", shown)
		default:
			i++
			value = args[i]
		}
		if !d.form.fits(value) {
			return nil, fmt.Errorf("the argument ('%s') for option '%s' is invalid", value, shown)
		}
		p[d.name] = value
	}
	return p, nil
}

// find tells which option an argument is, and its value if that is in it.
func find(have []declared, arg string) (d declared, value string, given bool, err error) {
	if name, ok := strings.CutPrefix(arg, "--"); ok {
		name, value, given = strings.Cut(name, "=")
		var near []declared
		for _, d := range have {
			if d.name == name {
				return d, value, given, nil
			}
			if strings.HasPrefix(d.name, name) { // Boost guesses
				near = append(near, d)
			}
		}
		switch len(near) {
		case 0:
			return declared{}, "", false, fmt.Errorf("unrecognised option '%s'", "--"+name)
		case 1:
			return near[0], value, given, nil
		}
		return declared{}, "", false, fmt.Errorf("option '--%s' is ambiguous", name)
	}
	if short, ok := strings.CutPrefix(arg, "-"); ok && short != "" {
		for _, d := range have {
			if d.short == short[:1] {
				return d, short[1:], len(short) > 1, nil
			}
		}
		return declared{}, "", false, fmt.Errorf("unrecognised option '%s'", arg)
	}
	return declared{}, "", false, errors.New("too many positional options have been specified on the command line")
}

func (f form) fits(value string) bool {
	var err error
	switch f {
	case integer:
		_, err = strconv.Atoi(value)
	case unsigned, maybe:
		_, err = strconv.ParseUint(value, 10, 32)
	case decimal:
		_, err = strconv.ParseFloat(value, 32)
	case flag:
		return slices.Contains([]string{"0", "1", "true", "false", "on", "off", "yes", "no"}, value)
	}
	return err == nil
}

// check refuses what the real program refuses.
func (p parsed) check() error {
	for _, c := range []struct {
		name, words, complaint string
	}{
		{"hdr", "off auto sensor single-exp 0 1", "Invalid HDR option provided: "},
		{"metering", "centre spot average matrix custom", "Invalid metering mode: "},
		{"exposure", "normal sport short long custom", "Invalid exposure mode:"},
		{"autofocus-mode", "default manual auto continuous", "Invalid AfMode:"},
		{"awb", "auto normal incandescent tungsten fluorescent indoor daylight cloudy custom", "Invalid AWB mode: "},
		{"denoise", "auto off cdn_off cdn_fast cdn_hq", "Invalid denoise mode "},
		{"codec", "h264 libav mjpeg yuv420", "unrecognised codec "},
		{"metadata-format", "txt json", "unrecognised metadata format "},
	} {
		if value, ok := p[c.name]; ok && !slices.Contains(strings.Fields(c.words), value) {
			return errors.New(c.complaint + value)
		}
	}
	switch p.number("rotation") {
	case 0, 180:
	case 90, 270:
		return errors.New("transforms requiring transpose not supported")
	default:
		return errors.New("illegal rotation value")
	}
	if lens, ok := p["lens-position"]; ok && lens != "default" && !decimal.fits(lens) {
		return errors.New("Invalid lens position: " + lens)
	}
	return nil
}

// help prints the options as Boost does.
func help(w io.Writer, version string) error {
	var b strings.Builder
	b.WriteString("Valid options are:\n")
	for _, d := range options(version) {
		name := "--" + d.name
		if d.short != "" {
			name = "-" + d.short + " [ " + name + " ]"
		}
		switch d.form {
		case flag:
			name += " [=arg(=1)] (=0)"
		case maybe, maybeText:
			name += " [=arg(=2)] (=1)"
		default:
			name += " arg"
		}
		fmt.Fprintf(&b, "  %-50s What it does. To list the available indexes, use the\n%53s--list-cameras option.\n", name, "")
	}
	_, err := io.WriteString(w, b.String())
	return err
}
