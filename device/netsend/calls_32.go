//go:build 386 || arm || mips || mipsle

package netsend

import "golang.org/x/sys/unix"

// sysSendfile is the call with 64-bit offsets.
const sysSendfile = unix.SYS_SENDFILE64

// punch makes a hole in a file in memory. How two 64-bit numbers are passed differs
// between these machines, so that is left to the library.
func punch(fd int, offset, length int64) error {
	return unix.Fallocate(fd, unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, offset, length)
}
