//go:build !386 && !arm && !mips && !mipsle

package netsend

import "golang.org/x/sys/unix"

const sysSendfile = unix.SYS_SENDFILE

// punch makes a hole in a file in memory.
func punch(fd int, offset, length int64) error {
	_, _, errno := unix.RawSyscall6(unix.SYS_FALLOCATE, uintptr(fd), unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, uintptr(offset), uintptr(length), 0, 0)
	if errno != 0 {
		return errno
	}
	return nil
}
