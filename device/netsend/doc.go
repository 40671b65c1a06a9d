// Package netsend gives bytes to many sockets without waiting for any of them.
//
// A [Socket] is a connection that was taken over from package net. Its writes
// are one system call each and never block: what the kernel does not take is the
// caller's to offer again when a [Poller] says that there is room. [Memory] holds
// bytes in a file that exists in memory only, from where the kernel hands them to
// any number of sockets without copying them.
//
// The package knows nothing about what is sent. It owns no goroutine. The methods
// of a Socket and of a Memory are for one goroutine; those of a Poller may be
// called from any.
package netsend
