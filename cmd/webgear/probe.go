package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"log/slog"
	"strings"

	"github.com/webgear-pi/webgear/device"
	"github.com/webgear-pi/webgear/device/libcamera"
	"github.com/webgear-pi/webgear/device/m2m"
	"github.com/webgear-pi/webgear/device/v4l2"
	"github.com/webgear-pi/webgear/pkg/status"
	"github.com/webgear-pi/webgear/pkg/webgear"
)

// probeResult is what webgear probe --json prints.
type probeResult struct {
	// Nodes are all video devices, cameras or not, in the order of their numbers.
	Nodes []probeNode `json:"nodes"`
	// Encoders are the ways to make JPEG of raw pictures, best first, tried with a
	// picture of 1280x720 until one worked.
	Encoders []status.EncoderCandidate `json:"encoders"`
	// Chosen is what webgear run --source auto would use.
	Chosen probeChoice `json:"chosen"`
}

type probeNode struct {
	device.Info
	// Index is what --source takes for this camera; absent for other nodes.
	Index *int `json:"index,omitempty"`
	// Usable says whether webgear can show it, Reason why or why not.
	Usable bool          `json:"usable"`
	Reason string        `json:"reason"`
	Modes  []device.Mode `json:"modes,omitempty"`
	// Controls are what can be adjusted, when asked for.
	Controls []device.Control `json:"controls,omitempty"`
}

type probeChoice struct {
	// Path is the camera's node, or "test" for the synthetic camera.
	Path string `json:"path"`
	// Format is what would be asked for; the driver may grant another.
	Format device.Format `json:"format,omitzero"`
	Reason string        `json:"reason"`
}

// probeCommand is webgear probe.
func probeCommand(ctx context.Context, args []string, w world) error {
	fs := flag.NewFlagSet("probe", flag.ContinueOnError)
	asJSON := fs.Bool("json", false, "print JSON for programs")
	controls := fs.Bool("controls", false, "list the controls of each camera as well")
	if err := parseFlags(fs, args, w, "webgear probe lists cameras, what they can do, and which one would be chosen."); err != nil {
		return err
	}
	drv := v4l2.New(v4l2.Config{Root: w.root, Logger: slog.New(slog.DiscardHandler)})
	found, err := drv.List(ctx)
	if err != nil {
		return err
	}
	pi := libcamera.New(libcamera.Config{})
	var cameras []libcamera.Found
	if pi.Available() {
		if cameras, err = pi.List(ctx); err != nil {
			_, _ = fmt.Fprintf(w.stderr, "webgear: the cameras of libcamera cannot be listed: %v\n", err)
		}
	}
	r := probe(found, cameras)
	for i := range r.Nodes {
		if n := &r.Nodes[i]; *controls && n.Index != nil {
			if n.Controls, err = drv.Controls(ctx, n.Path); err != nil {
				_, _ = fmt.Fprintf(w.stderr, "webgear: controls of %s cannot be listed: %v\n", n.Path, err)
			}
		}
	}
	hardware, err := m2m.New(m2m.Config{Root: w.root}).Find(ctx)
	if err != nil {
		_, _ = fmt.Fprintf(w.stderr, "webgear: hardware encoders cannot be looked for: %v\n", err)
	}
	if r.Encoders, err = webgear.ProbeEncoders(ctx, hardware, device.Format{FourCC: device.YU12, Width: 1280, Height: 720}); err != nil {
		_, _ = fmt.Fprintf(w.stderr, "webgear: no encoder works: %v\n", err)
	}
	if *asJSON {
		enc := json.NewEncoder(w.stdout)
		enc.SetIndent("", "  ")
		return enc.Encode(r)
	}
	printProbe(w, r)
	return nil
}

// probe decides what auto would choose, and says why.
func probe(found []v4l2.Found, pi []libcamera.Found) probeResult {
	r := probeResult{Nodes: []probeNode{}}
	for _, f := range pi {
		r.Nodes = append(r.Nodes, probeNode{Info: f.Info, Usable: true, Reason: "camera on the ribbon cable, through libcamera", Modes: f.Modes})
	}
	if len(pi) > 0 {
		r.Chosen = probeChoice{Path: pi[0].Info.Path, Reason: "the Pi's own camera comes before others; its pictures are read through rpicam-vid"}
	}
	cameras := 0
	for _, f := range found {
		n := probeNode{Info: f.Info, Usable: f.Usable, Reason: f.Reason, Modes: f.Modes}
		if f.Usable {
			index := cameras
			n.Index = &index
			if cameras == 0 && len(pi) == 0 {
				r.Chosen.Path = f.Info.Path
				var why string
				r.Chosen.Format, why, _ = v4l2.Choose(f.Modes, device.Format{})
				r.Chosen.Reason = "the first usable camera; " + why
			}
			cameras++
		}
		r.Nodes = append(r.Nodes, n)
	}
	if cameras == 0 && len(pi) == 0 {
		r.Chosen = probeChoice{Path: "test", Reason: "no usable camera was found, so the test picture is shown until one is plugged in"}
	}
	return r
}

// printControls prints controls for people, as the settings file takes them.
func printControls(p func(format string, args ...any), controls []device.Control) {
	for _, c := range controls {
		var notes []string
		switch c.Kind {
		case device.ControlBoolean, device.ControlButton:
		case device.ControlMenu, device.ControlIntegerMenu:
			for _, item := range c.Items {
				notes = append(notes, item.Name)
			}
		default:
			notes = append(notes, fmt.Sprintf("%v to %v", c.Min, c.Max))
		}
		if c.Unit != "" {
			notes = append(notes, "in "+c.Unit)
		}
		if c.Kind != device.ControlButton {
			notes = append(notes, "default "+c.Default.String())
		}
		for _, n := range []struct {
			is   bool
			note string
		}{{c.ReadOnly, "read only"}, {c.Inactive, "no effect now"}, {c.Busy, "in use"}} {
			if n.is {
				notes = append(notes, n.note)
			}
		}
		p("    %s: %s  (%s)\n", c.ID, c.Value, strings.Join(append([]string{string(c.Kind)}, notes...), "; "))
	}
}

// printProbe prints the result for people.
func printProbe(w world, r probeResult) {
	p := func(format string, args ...any) { _, _ = fmt.Fprintf(w.stdout, format, args...) }
	if len(r.Nodes) == 0 {
		p("No video devices.\n")
	}
	for _, n := range r.Nodes {
		title := n.Path
		if n.Index != nil {
			title = fmt.Sprintf("%s  (--source %d)", n.Path, *n.Index)
		}
		p("%s\n  %s, driver %s", title, n.Name, n.Driver)
		if n.Bus != "" {
			p(", at %s", n.Bus)
		}
		p("\n  %s\n", n.Reason)
		if n.ID != "" && n.ID != n.Path {
			p("  stable name %s\n", n.ID)
		}
		for _, m := range n.Modes {
			var rates []string
			for _, rate := range m.Rates {
				rates = append(rates, rate.String())
			}
			note := ""
			if m.Emulated {
				note = ", emulated"
			}
			if len(rates) > 0 {
				note = " at " + strings.Join(rates, ", ") + " fps" + note
			}
			p("    %-4s %dx%d%s\n", m.FourCC, m.Width, m.Height, note)
		}
		printControls(p, n.Controls)
	}
	p("Raw pictures become JPEG by:\n")
	for _, e := range r.Encoders {
		kind, reason := "software", ""
		if e.Hardware {
			kind = "hardware"
		}
		if e.Reason != "" {
			reason = ": " + e.Reason
		}
		p("  %s (%s), %s%s\n", e.Name, kind, e.State, reason)
	}
	if r.Chosen.Path == "test" {
		p("webgear run would show the test picture: %s.\n", r.Chosen.Reason)
		return
	}
	if r.Chosen.Format == (device.Format{}) {
		p("webgear run would use %s: %s.\n", r.Chosen.Path, r.Chosen.Reason)
		return
	}
	p("webgear run would use %s with %s: %s.\n", r.Chosen.Path, r.Chosen.Format, r.Chosen.Reason)
}
