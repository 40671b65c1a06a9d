/*
 * JPEG to JPEG through libjpeg-turbo: other size, other quality, grey.
 * One transcoder belongs to one thread at a time. It keeps no pointer to a file
 * between calls.
 */
#ifndef WEBGEAR_TRANSCODE_H
#define WEBGEAR_TRANSCODE_H

#include <stddef.h>
#include <stdint.h>

struct transcode_options {
	int width, height;  /* the input's size, as its header tells */
	int out_width, out_height;
	int quality;        /* 1 to 100 */
	int gray;           /* one component only */
	int fast_dct;       /* JDCT_IFAST instead of JDCT_ISLOW, both ways */
	int fast_upsample;  /* chroma samples are steps rather than points on a line */
};

struct transcoder;

/* Returns NULL when there is no memory. */
struct transcoder *transcoder_new(void);

/* Returns the size of the new JPEG file, 0 on error. */
size_t transcoder_run(struct transcoder *x, const uint8_t *data, size_t size,
		      const struct transcode_options *options);

/* The file of the last transcoder_run, valid until the next one. */
void *transcoder_output(struct transcoder *x);

/* What went wrong in the last transcoder_run that returned 0. */
const char *transcoder_error(const struct transcoder *x);

/* How often libjpeg had to put up with damaged data in the last one. */
long transcoder_warnings(const struct transcoder *x);

void transcoder_free(struct transcoder *x);

#endif
