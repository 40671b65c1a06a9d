// Package libcamera is the driver for Raspberry Pi cameras on the ribbon cable.
// It runs rpicam-vid (libcamera-vid on older systems) as a child process, reads
// pictures from its output and facts about them from a second pipe. Nothing is
// linked: libcamera has no stable binary interface, the program's command line
// has been stable since 2022.
//
// [Driver] knows which cameras there are and what the installed program can do;
// it asks once and remembers. [Camera] is one camera and at most one process.
// What the board has decides the pictures: boards with the VC4 camera pipeline
// (up to Pi 4) deliver raw YU12 for their JPEG hardware, boards with PiSP (Pi 5)
// have none, and rpicam-vid makes the JPEG pictures itself, in software.
//
// The program cannot change controls while it runs. [Camera.SetControls] starts
// it anew: whoever waits in Next waits a second or two longer, and nothing else
// changes. Otherwise the package starts nothing again by itself. A sensor that
// falls silent is started again by the program, and given up when that was in vain
// three times; the package watches for no other silence once pictures have come,
// and encodes nothing. Automatic exposure begins anew with each start, for the
// program has no option for its first values but those that fix them.
//
// Every method of Driver may be called from any goroutine; those of Camera as
// [device.Camera] and [device.Controller] say, and all others from any. A capture
// has three goroutines besides those of its process; Stop and Close wait for all
// of them.
package libcamera
