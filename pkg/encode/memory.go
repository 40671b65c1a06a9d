package encode

// ReleaseMemory gives what encoders used before, and nobody uses now, back to the
// operating system, where the C library kept it between what is still in use. It is
// for quiet moments: encoders that need memory meanwhile wait. Any goroutine may
// call it.
func ReleaseMemory() { releaseMemory() }
