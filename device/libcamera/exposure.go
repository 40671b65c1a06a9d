package libcamera

import "time"

// Exposure is what automatic exposure and white balance had found when a
// capture ended. rpicam-vid cannot be told to begin with it: it has options to
// fix these values, which would stay fixed, and none to start from them. A camera
// that was stopped to save work therefore adapts again, which takes some
// pictures; what is kept tells how far the light has changed, and may be shown
// with the last picture.
type Exposure struct {
	Time         time.Duration `json:"time_nanoseconds"`
	AnalogueGain float64       `json:"analogue_gain"`
	ColourGains  [2]float64    `json:"colour_gains"`
	Lux          float64       `json:"lux"`
	// At is when that was.
	At time.Time `json:"at"`
}

// LastExposure gives what automatic exposure had found when this camera was
// stopped last, also if another Camera of the same Driver was it then. ok is
// false when it never was, or nothing was told.
func (c *Camera) LastExposure() (e Exposure, ok bool) {
	c.drv.mu.Lock()
	defer c.drv.mu.Unlock()
	e, ok = c.drv.exposure[c.listed.id]
	return e, ok
}

// keepExposure notes it at the end of a capture.
func (c *Camera) keepExposure() {
	m, ok := c.Metadata()
	if !ok {
		return
	}
	e := Exposure{Time: m.ExposureTime, AnalogueGain: m.AnalogueGain, ColourGains: m.ColourGains, Lux: m.Lux, At: time.Now()}
	c.drv.mu.Lock()
	defer c.drv.mu.Unlock()
	c.drv.exposure[c.listed.id] = e
}
