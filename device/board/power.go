package board

import (
	"strconv"
	"strings"
)

// Power is what the firmware says about voltage, temperature and clocks, now and
// at any time since the computer was switched on. Without the
// firmware's word, kernels tell of too low a voltage alone.
type Power struct {
	// UnderVoltage: the supply gives less than 4.63 V.
	UnderVoltage bool `json:"under_voltage"`
	// FrequencyCapped: the clock is held down because of the voltage.
	FrequencyCapped bool `json:"frequency_capped"`
	// Throttled: the clock is held down because of the temperature or the voltage.
	Throttled bool `json:"throttled"`
	// SoftTemperatureLimit: the chip is at 60 °C or above and slows down a little.
	SoftTemperatureLimit bool `json:"soft_temperature_limit"`

	// The same for the time since the start.
	UnderVoltageSince         bool `json:"under_voltage_since_boot"`
	FrequencyCappedSince      bool `json:"frequency_capped_since_boot"`
	ThrottledSince            bool `json:"throttled_since_boot"`
	SoftTemperatureLimitSince bool `json:"soft_temperature_limit_since_boot"`

	// Source is "firmware", "get_throttled" or "hwmon"; the last one knows voltage
	// only, and not what was before.
	Source string `json:"source"`
}

// powerOf takes the bits apart (Raspberry Pi documentation, vcgencmd
// get_throttled).
func powerOf(bits uint64, source string) *Power {
	on := func(n int) bool { return bits>>n&1 == 1 }
	return &Power{
		UnderVoltage: on(0), FrequencyCapped: on(1), Throttled: on(2), SoftTemperatureLimit: on(3),
		UnderVoltageSince: on(16), FrequencyCappedSince: on(17), ThrottledSince: on(18), SoftTemperatureLimitSince: on(19),
		Source: source,
	}
}

// power asks whoever knows most: the firmware, its driver, the voltage sensor
// that the kernel makes of it. The driver's file comes second because some
// kernels warn in their log that it is going away.
func (r reader) power(m mailbox) *Power {
	if m.asked {
		return powerOf(uint64(m.throttled), "firmware")
	}
	for _, pattern := range []string{"sys/devices/platform/*/*firmware/get_throttled", "sys/devices/platform/*firmware/get_throttled"} {
		for _, path := range r.find(pattern) {
			if bits, ok := parseThrottled(r.text(path)); ok {
				return powerOf(bits, "get_throttled")
			}
		}
	}
	for _, dir := range r.find("sys/class/hwmon/hwmon*") {
		if r.text(dir+"/name") != "rpi_volt" {
			continue
		}
		if alarm := r.text(dir + "/in0_lcrit_alarm"); alarm == "0" || alarm == "1" {
			return &Power{UnderVoltage: alarm == "1", Source: "hwmon"}
		}
	}
	return nil
}

// parseThrottled reads "50005", "0x50005" or "throttled=0x50005".
func parseThrottled(text string) (bits uint64, ok bool) {
	text = strings.TrimPrefix(text, "throttled=")
	bits, err := strconv.ParseUint(strings.TrimPrefix(text, "0x"), 16, 32)
	return bits, err == nil
}
