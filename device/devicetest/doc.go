// Package devicetest holds what tests of cameras share: the conformance suite
// that every driver must pass ([TestCamera], [TestController]), a scripted camera
// ([Fake], [FakeController]) that can do every failure the program handles, a
// place to open it from ([FakeSource]), and the video nodes of real computers
// ([Boards]). Only tests import it; it touches no hardware.
//
// The suite calls a camera the way the contract says: one goroutine at a time
// for everything except Close. Every method of Fake and FakeSource may be
// called from any goroutine. Neither starts goroutines nor does I/O, so both
// work inside testing/synctest bubbles, as long as they are made there too.
package devicetest
