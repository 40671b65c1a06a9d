package webgear

import "time"

// Alive says whether the capture side still works, for whoever restarts a
// program that hangs; a camera that is missing or silent is no reason for false.
// slack is how much longer than others the source may take to open. The Gears
// that are mounted count, too.
func (g *Gear) Alive(slack time.Duration) bool {
	g.mu.Lock()
	mounts := g.mounts
	g.mu.Unlock()
	for _, m := range mounts {
		if !m.gear.sup.Alive(slack) {
			return false
		}
	}
	return g.sup.Alive(slack)
}
