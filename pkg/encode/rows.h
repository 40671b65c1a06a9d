/*
 * Work on single rows of samples: colour conversion and taking packed pixels
 * apart.
 */
#ifndef WEBGEAR_ROWS_H
#define WEBGEAR_ROWS_H

#include "turbo.h"

/* Conversion in place. cross is what a row of chroma adds to the luma, one value
 * per column; it is found before the chroma is converted. */
void row_convert_y(const struct turbo_convert *c, uint8_t *y, int n);
void row_convert_y_cross(const struct turbo_convert *c, uint8_t *restrict y,
			 const int16_t *restrict cross, int n);
void row_find_cross(const struct turbo_convert *c, int16_t *restrict cross,
		    const uint8_t *restrict cb, const uint8_t *restrict cr, int n);
void row_convert_c(const struct turbo_convert *c, uint8_t *restrict cb, uint8_t *restrict cr, int n);

/* A packed 4:2:2 row of bytes bytes, YUYV when y_first is set, else UYVY. y has
 * room for an even number of samples. */
void row_split_422(uint8_t *y, uint8_t *cb, uint8_t *cr, const uint8_t *s, size_t bytes, int width, int y_first);
void row_luma_422(uint8_t *restrict y, const uint8_t *restrict s, int width, int y_first);

/* A row of interleaved chroma; n pairs. */
void row_split_nv12(uint8_t *restrict cb, uint8_t *restrict cr, const uint8_t *restrict s, int n);

/* The mean of two rows, in place of the first one. */
void row_average(uint8_t *restrict a, const uint8_t *restrict b, int n);

void row_cmyk_to_rgb(uint8_t *restrict rgb, const uint8_t *restrict cmyk, int n);

#endif
