// Runs ustreamer's encoder on raw pictures from a file, to be compared with
// webgear's. It is compiled against ustreamer's source, which is GPL and no part
// of webgear: only the names of its functions stand here. See ../main.go.
//
//   ustreamer FILE FORMAT WIDTH HEIGHT QUALITY FRAMES
//
// FILE holds pictures one after another, FORMAT is YUYV or YU12. It prints the
// processor time per frame in milliseconds and the mean size of a file in bytes.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <linux/videodev2.h>

#include "libs/frame.h"
#include "ustreamer/encoders/cpu/encoder.h"

static double cpu_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

int main(int argc, char **argv)
{
	if (argc != 7)
		return 2;
	const unsigned width = (unsigned)atoi(argv[3]), height = (unsigned)atoi(argv[4]);
	const int quality = atoi(argv[5]), frames = atoi(argv[6]);
	const int packed = strcmp(argv[2], "YUYV") == 0;
	const size_t size = (size_t)width * height * (packed ? 4 : 3) / 2;
	FILE *f = fopen(argv[1], "rb");
	size_t count = 0;
	unsigned char *pictures = NULL;

	if (f == NULL || size == 0 || frames < 1)
		return 1;
	for (;; count++) {
		pictures = realloc(pictures, (count + 1) * size);
		if (pictures == NULL)
			return 1;
		if (fread(pictures + count * size, size, 1, f) != 1)
			break;
	}
	fclose(f);
	if (count == 0)
		return 1;

	us_frame_s *src = us_frame_init();
	us_frame_s *dest = us_frame_init();
	double bytes = 0, began = 0;

	src->width = width;
	src->height = height;
	src->format = packed ? V4L2_PIX_FMT_YUYV : V4L2_PIX_FMT_YUV420;
	src->stride = width * (packed ? 2 : 1);
	src->used = size;
	for (int i = -(int)count; i < frames; i++) { // all pictures once, to warm up
		if (i == 0)
			began = cpu_ms();
		// Lent, as a camera's buffer is.
		src->data = pictures + (size_t)(i + (int)count) % count * size;
		us_cpu_encoder_compress(src, dest, (unsigned)quality);
		if (i >= 0)
			bytes += (double)dest->used;
	}
	printf("%f %f\n", (cpu_ms() - began) / frames, bytes / frames);
	return 0;
}
