/*
 * Resizing of one plane: area averaging along an axis that shrinks, linear
 * interpolation along one that grows. Rows are pushed in from top to bottom;
 * finished rows appear in the destination. scale.go does the same in Go.
 */
#ifndef WEBGEAR_SCALE_H
#define WEBGEAR_SCALE_H

#include <stddef.h>
#include <stdint.h>

/* What each output sample along one axis is made of. Weights add up to 256. */
struct axis {
	int in, out;      /* samples */
	int taps;         /* weights kept per output sample */
	int *start;       /* first input sample */
	int *count;       /* input samples, at most taps */
	uint16_t *weight; /* taps for each output sample */
};

struct scaler {
	struct axis x, y;
	int channels;     /* interleaved samples per pixel, 1, 3 or 4 */
	int pattern;      /* a common ratio that has code of its own */
	int open;         /* output rows in the making at once, at most */
	uint16_t *sums;   /* open rows of input width; 8 fraction bits */
	int row;          /* next input row */
	int first;        /* first output row that is not finished */
	uint8_t *dst;
	size_t dst_stride;
};

/* Makes s ready for pictures of one size; smooth takes the input as points on a
 * line to shrink, rather than as steps. Returns 0 when there is no memory; s can
 * be freed in any case, and again. */
int scaler_init(struct scaler *s, int channels, int in_width, int in_height,
		int out_width, int out_height, int smooth);

/* Begins a picture. */
void scaler_start(struct scaler *s, uint8_t *dst, size_t dst_stride);

/* Takes the next row. Rows behind the last one are ignored. */
void scaler_push(struct scaler *s, const uint8_t *row);

void scaler_free(struct scaler *s);

#endif
