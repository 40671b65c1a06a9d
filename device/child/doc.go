// Package child runs one helper program and owns everything that comes with it:
// its process group, its pipes, its last words and its end. Camera drivers read
// pictures from it.
//
// The package knows no formats and starts nothing again: what a program's
// output means, and whether to try once more, is up to the caller. No shell is
// involved anywhere; arguments reach the program as they are.
//
// A Child has two goroutines of its own, one that collects what the program
// says and one that waits for it. Both are gone when Done is closed, which Stop
// waits for. One goroutine reads; every other method may be called from any.
package child
