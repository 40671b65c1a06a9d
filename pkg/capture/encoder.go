package capture

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"strings"
	"sync"

	"github.com/webgear-pi/webgear/device"
	"github.com/webgear-pi/webgear/pkg/jpeg"
	"github.com/webgear-pi/webgear/pkg/status"
)

const (
	// maxFailures is how many pictures in a row an encoder may fail to make.
	// Chosen: hardware that hiccups gets a chance, and three time-outs of a second
	// pass before a viewer is told of a stall.
	maxFailures = 3
	// A picture that is all the same, as of a camera in the dark, proves little.
	// Then every proveAgain-th one is a test as well, up to maxProofs in all.
	proveAgain = 30
	maxProofs  = 10
)

// errNoEncoder says that no candidate is left.
var errNoEncoder = errors.New("there is no encoder for these pictures")

// encoders knows what became of each way to encode. It lives as long as the
// supervisor, so that what failed once is not trusted again. Its methods may be
// called from any goroutine.
type encoders struct {
	quality int
	log     *slog.Logger

	mu     sync.Mutex
	list   []candidate // guarded by mu
	logged string      // guarded by mu; the choice that was logged last
}

// candidate is one way to encode.
type candidate struct {
	device.EncoderMaker
	state  status.EncoderState
	reason string
}

func newEncoders(makers []device.EncoderMaker, quality int, log *slog.Logger) *encoders {
	e := &encoders{quality: quality, log: log}
	for _, m := range makers {
		e.list = append(e.list, candidate{EncoderMaker: m, state: status.EncoderNotTried})
	}
	return e
}

// status lists the candidates.
func (e *encoders) status() []status.EncoderCandidate {
	e.mu.Lock()
	defer e.mu.Unlock()
	var all []status.EncoderCandidate
	for _, c := range e.list {
		all = append(all, status.EncoderCandidate{Name: c.Name, Hardware: c.Hardware, State: c.state, Reason: c.reason})
	}
	return all
}

// note records what became of a candidate.
func (e *encoders) note(at int, state status.EncoderState, reason string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.list[at].state, e.list[at].reason = state, reason
}

// announce logs the choice, once as long as it stays the same.
func (e *encoders) announce(at int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	var not []string
	for _, c := range e.list {
		if c.state == status.EncoderRefused || c.state == status.EncoderDemoted {
			not = append(not, c.Name+": "+c.reason)
		}
	}
	c, others := &e.list[at], strings.Join(not, "; ")
	if text := c.Name + "\n" + others; text != e.logged {
		e.logged = text
		e.log.Info("encoder chosen", "name", c.Name, "hardware", c.Hardware, "not_used", others)
	}
}

// choose prepares the best candidate for pictures of a format. changed is told
// when another one takes over.
func (e *encoders) choose(ctx context.Context, f device.Format, raw rawLayout, changed func(name string, hardware bool)) (*chosen, error) {
	e.mu.Lock()
	for i := range e.list {
		if c := &e.list[i]; c.state != status.EncoderDemoted {
			c.state, c.reason = status.EncoderNotTried, ""
		}
	}
	e.mu.Unlock()
	c := &chosen{all: e, raw: raw, format: f, changed: changed, open: func(m device.EncoderMaker) (device.Encoder, error) {
		return m.New(ctx, f, e.quality)
	}}
	at, enc := c.following(0)
	if enc == nil {
		return nil, e.none()
	}
	c.at, c.enc, c.hardware = at, enc, e.snapshot()[at].Hardware
	e.note(at, status.EncoderInUse, "")
	return c, nil
}

// none explains why there is no encoder.
func (e *encoders) none() error {
	err := errNoEncoder
	for _, c := range e.status() {
		if c.Reason != "" {
			err = fmt.Errorf("%w; %s: %s", err, c.Name, c.Reason)
		}
	}
	return err
}

// chosen is the encoder of one session: the first candidate that works, and the
// next one once that fails. Encode and Close belong to one goroutine at a time.
type chosen struct {
	all     *encoders
	raw     rawLayout
	format  device.Format
	open    func(m device.EncoderMaker) (device.Encoder, error)
	changed func(name string, hardware bool)

	mu  sync.Mutex     // guards what follows against the readers below
	at  int            // which candidate
	enc device.Encoder // changed by Encode only

	hardware bool // enc is; of Encode, as what follows
	proven   bool
	proofs   int // made so far
	due      int // pictures until the next proof
	failures int // in a row
}

// following opens the next candidate that can be opened, from at on.
func (c *chosen) following(at int) (int, device.Encoder) {
	list := c.all.snapshot()
	for i := at; i < len(list); i++ {
		m := &list[i]
		switch {
		case m.state == status.EncoderDemoted:
		case m.Accepts != nil && !m.Accepts(c.format):
			c.all.note(i, status.EncoderRefused, "does not take "+c.format.String())
		default:
			enc, err := c.open(m.EncoderMaker)
			if err == nil {
				return i, enc
			}
			c.all.note(i, status.EncoderRefused, err.Error())
		}
	}
	return 0, nil
}

// snapshot copies the list.
func (e *encoders) snapshot() []candidate {
	e.mu.Lock()
	defer e.mu.Unlock()
	return append([]candidate(nil), e.list...)
}

// Encode makes a JPEG of a picture, if need be with the next candidate.
func (c *chosen) Encode(b *device.Buffer) ([]byte, error) {
	for {
		out, err := c.enc.Encode(b)
		if err == nil {
			out, err = c.tidy(out)
		}
		if err == nil {
			err = c.prove(b, out)
		}
		if err == nil {
			c.failures = 0
			return out, nil
		}
		c.failures++
		if c.proven && c.failures < maxFailures && !hopeless(err) || !c.replace(err) {
			return nil, err
		}
	}
}

// tidy makes what hardware gave a file that everybody can open: video encoders
// leave Huffman tables out as some cameras do. An intact one costs a look at its
// header, and software makes no other.
func (c *chosen) tidy(out []byte) ([]byte, error) {
	if !c.hardware {
		return out, nil
	}
	p, err := jpeg.Adopt(out)
	if err != nil {
		return nil, fmt.Errorf("result of the encoder: %w", err)
	}
	return p.Data, nil
}

// hopeless says that trying again is no use.
func hopeless(err error) bool {
	return errors.Is(err, device.ErrUnplugged) || errors.Is(err, device.ErrUnsupported) || errors.Is(err, errUnproven)
}

// prove looks at what the encoder made of the first picture, and of some more
// when that one tells little.
func (c *chosen) prove(b *device.Buffer, out []byte) error {
	if c.due > 0 {
		c.due--
		return nil
	}
	width, height := c.enc.Size()
	telling, err := proof(b, c.raw, out, width, height)
	if err != nil {
		return err
	}
	c.proofs++
	c.due = proveAgain - 1
	if telling || c.proofs >= maxProofs {
		c.due = math.MaxInt
	}
	if !c.proven {
		c.proven = true
		c.all.announce(c.at)
	}
	return nil
}

// replace lets the next candidate take over. It reports false when there is
// none; then the present one may go on trying.
func (c *chosen) replace(cause error) bool {
	at, enc := c.following(c.at + 1)
	if enc == nil {
		return false
	}
	old := c.enc
	c.all.note(c.at, status.EncoderDemoted, cause.Error())
	list := c.all.snapshot()
	c.all.log.Warn("encoder demoted", "name", list[c.at].Name, "next", list[at].Name, "err", cause)
	c.all.note(at, status.EncoderInUse, "")
	c.mu.Lock()
	c.at, c.enc = at, enc
	c.mu.Unlock()
	c.hardware = list[at].Hardware
	c.proven, c.proofs, c.due, c.failures = false, 0, 0, 0
	c.changed(enc.Name(), list[at].Hardware)
	old.Close()
	return true
}

// another makes one more encoder of the present kind.
func (c *chosen) another(context.Context) (device.Encoder, error) {
	c.mu.Lock()
	at := c.at
	c.mu.Unlock()
	m := c.all.snapshot()[at].EncoderMaker
	if m.Hardware {
		return nil, errors.New("there is one of this hardware")
	}
	return c.open(m)
}

// which says what encodes now.
func (c *chosen) which() (name string, hardware bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.enc.Name(), c.all.snapshot()[c.at].Hardware
}

// Name says what encodes now.
func (c *chosen) Name() string {
	name, _ := c.which()
	return name
}

// Size is that of the results, in pixels.
func (c *chosen) Size() (width, height int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.enc.Size()
}

// SetQuality sets the quality of later pictures.
func (c *chosen) SetQuality(quality int) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.enc.SetQuality(quality)
}

// Close frees the encoder.
func (c *chosen) Close() { c.enc.Close() }

// ProbeEncoders finds out which candidate would encode pictures like b. The error
// says that none does.
func ProbeEncoders(ctx context.Context, makers []device.EncoderMaker, quality int, b *device.Buffer, log *slog.Logger) ([]status.EncoderCandidate, error) {
	raw, err := newRawLayout(b.Format)
	if err != nil {
		return nil, err
	}
	all := newEncoders(makers, quality, log)
	c, err := all.choose(ctx, b.Format, raw, func(string, bool) {})
	if err != nil {
		return all.status(), err
	}
	defer c.Close()
	if _, err = c.Encode(b); err != nil {
		all.note(c.at, status.EncoderRefused, err.Error())
	}
	return all.status(), err
}
