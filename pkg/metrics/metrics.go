// Package metrics counts durations and writes figures in the text format of
// Prometheus (version 0.0.4). It knows nothing of what the figures mean, and keeps
// none but its histograms: whoever is asked collects the rest at that moment.
//
// A [Histogram] may be used from any goroutine. A [Page] is for one.
package metrics

import (
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// ContentType is the media type of a Page.
const ContentType = "text/plain; version=0.0.4; charset=utf-8"

// bounds are the upper ends of the buckets, in seconds. Chosen: from a system call
// to what a person takes for a stalled picture.
func bounds() [12]float64 {
	return [...]float64{0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2}
}

// Histogram counts durations by size. Its zero value is ready.
type Histogram struct {
	counts [13]atomic.Uint64 // one per bound, and what is above all
	sum    atomic.Int64      // nanoseconds
}

// Observe counts d; a negative one, from clocks that disagree, as zero.
func (h *Histogram) Observe(d time.Duration) {
	d = max(d, 0)
	i := 0
	for _, b := range bounds() {
		if d.Seconds() <= b {
			break
		}
		i++
	}
	h.counts[i].Add(1)
	h.sum.Add(int64(d))
}

// Page is a text with metrics. Its zero value is empty.
type Page struct {
	b []byte
}

// Label is one dimension of a figure.
type Label struct {
	Name, Value string
}

// Family begins a metric: its name, its kind (counter, gauge, histogram), and
// what it is. Its figures follow.
func (p *Page) Family(name, kind, help string) {
	p.b = append(p.b, "# HELP "...)
	p.b = append(p.b, name...)
	p.b = append(p.b, ' ')
	p.b = append(p.b, strings.NewReplacer(`\`, `\\`, "\n", `\n`).Replace(help)...)
	p.b = append(p.b, "\n# TYPE "...)
	p.b = append(p.b, name...)
	p.b = append(p.b, ' ')
	p.b = append(p.b, kind...)
	p.b = append(p.b, '\n')
}

// Value adds one figure.
func (p *Page) Value(name string, value float64, labels ...Label) {
	p.b = append(p.b, name...)
	for i, l := range labels {
		p.b = append(p.b, "{,"[min(i, 1)])
		p.b = append(p.b, l.Name...)
		p.b = append(p.b, `="`...)
		p.b = append(p.b, strings.NewReplacer(`\`, `\\`, "\n", `\n`, `"`, `\"`).Replace(l.Value)...)
		p.b = append(p.b, '"')
	}
	if len(labels) > 0 {
		p.b = append(p.b, '}')
	}
	p.b = append(p.b, ' ')
	p.b = strconv.AppendFloat(p.b, value, 'g', -1, 64)
	p.b = append(p.b, '\n')
}

// Histogram adds all figures of h.
func (p *Page) Histogram(name string, h *Histogram) {
	var total uint64
	for i, b := range bounds() {
		total += h.counts[i].Load()
		p.Value(name+"_bucket", float64(total), Label{"le", strconv.FormatFloat(b, 'g', -1, 64)})
	}
	total += h.counts[len(h.counts)-1].Load()
	p.Value(name+"_bucket", float64(total), Label{"le", "+Inf"})
	p.Value(name+"_sum", time.Duration(h.sum.Load()).Seconds())
	p.Value(name+"_count", float64(total))
}

// Bytes returns the text.
func (p *Page) Bytes() []byte { return p.b }
