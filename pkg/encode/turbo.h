/*
 * Raw pictures to JPEG through libjpeg-turbo.
 * One turbo belongs to one thread at a time. It keeps no pointer to a picture
 * between calls.
 */
#ifndef WEBGEAR_TURBO_H
#define WEBGEAR_TURBO_H

#include <stddef.h>
#include <stdint.h>

enum turbo_kind {
	TURBO_GREY,
	TURBO_PACKED, /* one of turbo_pixel */
	TURBO_YUYV,
	TURBO_UYVY,
	TURBO_NV12,
	TURBO_PLANAR, /* Y, Cb, Cr */
};

/* Orders of bytes in a pixel. The fourth byte of four is ignored, except for
 * that of CMYK. */
enum turbo_pixel {
	TURBO_RGB,
	TURBO_BGR,
	TURBO_RGBX,
	TURBO_BGRX,
	TURBO_XBGR,
	TURBO_XRGB,
	TURBO_CMYK,
};

/* Colour conversion in fixed point; see conversion in colour.go. */
struct turbo_convert {
	int none, cross;
	int16_t yy, yb, yr, y0;
	int16_t bb, br, b0;
	int16_t rb, rr, r0;
};

struct turbo_config {
	enum turbo_kind kind;
	enum turbo_pixel pixel;    /* for TURBO_PACKED */
	int width, height;         /* pixels */
	int out_width, out_height; /* pixels of the file */
	int hs, vs;                /* luma columns and rows per chroma sample: 1, 2 or 4; 1 or 2 */
	int halve;                 /* packed 4:2:2 becomes 4:2:0 */
	int gray;                  /* one component only */
	int rgb;                   /* planes are R, G, B and stay so */
	int fast_dct;              /* JDCT_IFAST instead of JDCT_ISLOW */
	struct turbo_convert convert;
};

struct turbo;

/* Returns NULL when there is no memory. */
struct turbo *turbo_new(const struct turbo_config *config);

/* Encodes one picture and returns the size of the JPEG file, 0 on error. cb and
 * cr may be NULL where the kind has no such plane; in NV12 cr is not used.
 * Strides are in bytes; row is what may be read of a row of the first plane.
 * quality goes from 1 to 100. */
size_t turbo_encode(struct turbo *t, const uint8_t *y, const uint8_t *cb, const uint8_t *cr,
		    size_t stride, size_t row, size_t c_stride, int quality);

/* The file of the last turbo_encode, valid until the next one. */
void *turbo_output(struct turbo *t);

/* What went wrong in the last turbo_encode that returned 0. */
const char *turbo_error(const struct turbo *t);

void turbo_free(struct turbo *t);

/* Gives free memory between what is in use back to the operating system. Returns
 * whether there was any. */
int memory_trim(void);

#endif
