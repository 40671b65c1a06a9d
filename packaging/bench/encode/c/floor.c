// The least a program can do to encode a camera's raw pictures with libjpeg: one
// thread, everything prepared beforehand, the result left where libjpeg put it.
//
//   floor FILE FORMAT WIDTH HEIGHT QUALITY FRAMES
//
// FILE holds pictures one after another, FORMAT is YUYV or YU12. Planar rows go to
// libjpeg in place; packed ones are taken apart into one row of blocks before. It
// prints the processor time per frame in milliseconds and the mean size of a file
// in bytes. Width and height have to be multiples of 16.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <jpeglib.h>

static double cpu_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static void split(unsigned char *restrict y, unsigned char *restrict cb, unsigned char *restrict cr,
		  const unsigned char *restrict s, int pairs)
{
	for (int i = 0; i < pairs; i++) {
		y[2 * i] = s[4 * i];
		cb[i] = s[4 * i + 1];
		y[2 * i + 1] = s[4 * i + 2];
		cr[i] = s[4 * i + 3];
	}
}

static unsigned char scratch[3][8][16384];

static void encode(struct jpeg_compress_struct *j, const unsigned char *picture, int packed)
{
	const size_t w = j->image_width, h = j->image_height;
	JSAMPROW y[16], cb[8], cr[8];
	JSAMPARRAY planes[3] = { y, cb, cr };
	const int rows = packed ? 8 : 16;

	jpeg_start_compress(j, TRUE);
	for (size_t top = 0; top < h; top += (size_t)rows) {
		for (int i = 0; i < rows && packed; i++) {
			y[i] = scratch[0][i];
			cb[i] = scratch[1][i];
			cr[i] = scratch[2][i];
			split(y[i], cb[i], cr[i], picture + (top + (size_t)i) * w * 2, (int)(w / 2));
		}
		for (int i = 0; i < rows && !packed; i++) {
			y[i] = (JSAMPROW)picture + (top + (size_t)i) * w;
			cb[i / 2] = (JSAMPROW)picture + w * h + (top + (size_t)i) / 2 * (w / 2);
			cr[i / 2] = cb[i / 2] + w * h / 4;
		}
		jpeg_write_raw_data(j, planes, (JDIMENSION)rows);
	}
	jpeg_finish_compress(j);
}

int main(int argc, char **argv)
{
	if (argc != 7)
		return 2;
	const int packed = strcmp(argv[2], "YUYV") == 0;
	const size_t w = (size_t)atoi(argv[3]), h = (size_t)atoi(argv[4]);
	const int quality = atoi(argv[5]), frames = atoi(argv[6]);
	const size_t size = packed ? w * h * 2 : w * h * 3 / 2;
	FILE *f = fopen(argv[1], "rb");
	unsigned char *pictures = NULL;
	size_t count = 0;

	if (f == NULL || size == 0 || w > sizeof(scratch[0][0]) || frames < 1)
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

	struct jpeg_compress_struct j;
	struct jpeg_error_mgr err;
	const unsigned long room = w * h * 3 + 4096;
	unsigned char *out = malloc(room);
	double bytes = 0, began = 0;

	j.err = jpeg_std_error(&err);
	jpeg_create_compress(&j);
	j.image_width = (JDIMENSION)w;
	j.image_height = (JDIMENSION)h;
	j.input_components = 3;
	j.in_color_space = JCS_YCbCr;
	jpeg_set_defaults(&j);
	jpeg_set_quality(&j, quality, TRUE);
	j.comp_info[0].v_samp_factor = packed ? 1 : 2;
	j.raw_data_in = TRUE;
	for (int i = -(int)count; i < frames; i++) { // all pictures once, to warm up
		unsigned char *to = out;
		unsigned long used = room;

		if (i == 0)
			began = cpu_ms();
		jpeg_mem_dest(&j, &to, &used);
		encode(&j, pictures + (size_t)(i + (int)count) % count * size, packed);
		if (i >= 0)
			bytes += (double)used;
	}
	printf("%f %f\n", (cpu_ms() - began) / frames, bytes / frames);
	return 0;
}
