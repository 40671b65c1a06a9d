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
	"github.com/webgear-pi/webgear/device/v4l2"
)

// probeResult is what webgear probe --json prints.
type probeResult struct {
	// Nodes are all video devices, cameras or not, in the order of their numbers.
	Nodes []probeNode `json:"nodes"`
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
