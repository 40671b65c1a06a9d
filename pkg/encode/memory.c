//go:build cgo

#include "turbo.h"

#include <stdlib.h> /* says __GLIBC__ */

#ifdef __GLIBC__
#include <malloc.h>
#endif

int memory_trim(void)
{
#ifdef __GLIBC__
	return malloc_trim(0);
#else
	return 0;
#endif
}
