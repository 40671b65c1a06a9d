package metrics

import (
	"strings"
	"testing"
	"time"
)

func TestPageIsPrometheusText(t *testing.T) {
	var p Page
	p.Family("a_total", "counter", "What\nit is.")
	p.Value("a_total", 3)
	p.Value("a_total", 1.5, Label{"cause", `say "no" \`}, Label{"x", "y\nz"})
	want := "# HELP a_total What\\nit is.\n# TYPE a_total counter\na_total 3\na_total{cause=\"say \\\"no\\\" \\\\\",x=\"y\\nz\"} 1.5\n"
	if got := string(p.Bytes()); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestHistogramAddsUp(t *testing.T) {
	var h Histogram
	for _, d := range []time.Duration{-time.Second, 0, 500 * time.Microsecond, 501 * time.Microsecond, time.Second, time.Hour} {
		h.Observe(d)
	}
	var p Page
	p.Histogram("d_seconds", &h)
	got := string(p.Bytes())
	for _, want := range []string{
		`d_seconds_bucket{le="0.0005"} 3`, `d_seconds_bucket{le="0.001"} 4`, `d_seconds_bucket{le="0.5"} 4`,
		`d_seconds_bucket{le="1"} 5`, `d_seconds_bucket{le="2"} 5`, `d_seconds_bucket{le="+Inf"} 6`, "d_seconds_count 6", "d_seconds_sum 3601.001001",
	} {
		if !strings.Contains(got, want+"\n") {
			t.Errorf("%q is missing in\n%s", want, got)
		}
	}
}

func TestObservingDoesNotAllocate(t *testing.T) {
	var h Histogram
	if n := testing.AllocsPerRun(100, func() { h.Observe(time.Millisecond) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
