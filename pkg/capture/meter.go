package capture

import "time"

// meter measures a rate over the last few seconds in constant space.
type meter struct {
	// count per second slot; slot is the Unix second of the newest.
	slots [meterSeconds]int
	slot  int64
	first time.Time
}

// meterSeconds is the window, chosen to be calm for the eye and still prompt.
const meterSeconds = 4

// add counts one event.
func (m *meter) add(now time.Time) {
	if m.first.IsZero() {
		m.first = now
	}
	m.advance(now)
	m.slots[m.slot%meterSeconds]++
}

// advance clears the slots that passed without an event.
func (m *meter) advance(now time.Time) {
	sec := now.Unix()
	if sec-m.slot >= meterSeconds || sec < m.slot {
		m.slots, m.slot = [meterSeconds]int{}, sec
	}
	for m.slot < sec {
		m.slot++
		m.slots[m.slot%meterSeconds] = 0
	}
}

// fps returns events per second over the window, rounded to a tenth.
func (m *meter) fps(now time.Time) float64 {
	if m.first.IsZero() {
		return 0
	}
	m.advance(now)
	sum := 0
	for _, n := range m.slots {
		sum += n
	}
	// The newest slot is only partly over; the window may not be filled yet.
	window := float64(meterSeconds-1) + float64(now.Nanosecond())/1e9
	window = min(window, max(now.Sub(m.first).Seconds(), 0.1))
	return float64(int(float64(sum)/window*10+0.5)) / 10
}
