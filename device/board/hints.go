package board

import "fmt"

// Hint is something about the computer that keeps a camera from working well.
type Hint struct {
	// Code is for programs, and stays the same.
	Code string `json:"code"`
	// Text says what is the matter, Remedy what to do about it.
	Text   string `json:"text"`
	Remedy string `json:"remedy"`
}

const (
	// leastGPUMemory is the firmware's share, in MiB, with which it has codecs:
	// with 16 a cut-down firmware is started (Raspberry Pi documentation, gpu_mem).
	leastGPUMemory = 17
	// leastCMA is what cameras and the JPEG hardware need at 1920x1080, in bytes:
	// six pictures of 3.1 MB, as many raw ones of 4 MB, and 15 MB for the encoder.
	leastCMA = 60 << 20
	// hot is the temperature at which chips up to BCM2711 begin to slow down, in
	// degrees Celsius; the BCM2712 does at 85.
	hot = 80
	// leastMemory is what should be available, in bytes. Chosen: some pictures for
	// some viewers.
	leastMemory = 48 << 20
)

const (
	supplyRemedy = "Use the power supply made for this board and a short, thick cable; take power from USB devices that need much."
	coolRemedy   = "Give the board air or a heat sink, or choose a smaller size or rate."
)

// hints says what could be better, the worst first.
func hints(f *Facts, c config) []Hint {
	var all []Hint
	add := func(when bool, code, text, remedy string) {
		if when {
			all = append(all, Hint{code, text, remedy})
		}
	}
	p := Power{}
	if f.Power != nil {
		p = *f.Power
	}
	add(p.UnderVoltage, "under_voltage", "The supply voltage is too low now.", supplyRemedy)
	add(p.Throttled, "throttled", "The processor is slowed down now.", coolRemedy+" "+supplyRemedy)
	add(p.FrequencyCapped && !p.Throttled, "frequency_capped", "The processor's clock is held down now.", supplyRemedy)
	add(p.UnderVoltageSince && !p.UnderVoltage, "under_voltage_since_boot", "The supply voltage was too low since the start.", supplyRemedy)
	add(p.ThrottledSince && !p.Throttled, "throttled_since_boot", "The processor was slowed down since the start.", coolRemedy+" "+supplyRemedy)
	add(p.SoftTemperatureLimit && !p.Throttled, "soft_temperature_limit", "The chip is warm, and its clock a little lower.", coolRemedy)
	if f.Temperature != nil {
		add(*f.Temperature >= hot && !p.Throttled, "hot", fmt.Sprintf("The chip has %.0f °C.", *f.Temperature), coolRemedy)
	}
	add(f.JPEG == JPEGExpected && f.GPUMemory != 0 && f.GPUMemory < leastGPUMemory, "gpu_memory_too_small",
		fmt.Sprintf("gpu_mem=%d selects a firmware without codecs, so that JPEG is made in software.", f.GPUMemory),
		"Write gpu_mem=64 or more into config.txt, or remove the line, and start again.")
	add(f.RaspberryPi && f.CMATotal != 0 && f.CMATotal < leastCMA, "cma_too_small",
		fmt.Sprintf("%s of memory for pictures (CMA) is too little for 1920x1080.", mebibytes(f.CMATotal)),
		"Choose a smaller size, or write cma=128M into cmdline.txt and start again.")
	add(f.MemoryAvailable != 0 && f.MemoryAvailable < leastMemory, "memory_low",
		fmt.Sprintf("Only %s of memory are available.", mebibytes(f.MemoryAvailable)), "Stop other programs, or choose a smaller size.")
	add(f.RaspberryPi && c.noAutoDetect, "camera_auto_detect_off",
		"camera_auto_detect=0 in config.txt: a camera on the ribbon cable is only found with a dtoverlay line for it.",
		"Write camera_auto_detect=1, unless the camera has a line of its own, and start again.")
	add(f.RaspberryPi && f.CPUs > 0 && !f.NEON, "no_neon",
		"This processor has no NEON: JPEG made in software is slow.", "Use a camera that makes JPEG, or a small size and rate.")
	return all
}
