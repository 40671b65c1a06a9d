//go:build cgo

#include "rows.h"

/* Colour conversion, in place and in 16 bits: compilers make vector code of
 * these loops on any processor. See conversion in colour.go. */

static inline int16_t term(uint8_t v, int16_t k)
{
	return (int16_t)((int16_t)(v * k) >> 4);
}

/* A sample itself, with 5 fraction bits. */
static inline int16_t whole(uint8_t v)
{
	return (int16_t)(v << 5);
}

static inline uint8_t clamp(int16_t v)
{
	v = (int16_t)(v >> 5);
	v = v < 0 ? 0 : v;
	v = v > 255 ? 255 : v;
	return (uint8_t)v;
}

static void scale(uint8_t *v, int n, int16_t k, int16_t offset)
{
	for (int i = 0; i < n; i++)
		v[i] = clamp((int16_t)(whole(v[i]) + term(v[i], k) + offset));
}

void row_convert_y(const struct turbo_convert *c, uint8_t *y, int n)
{
	scale(y, n, c->yy, c->y0);
}

void row_convert_y_cross(const struct turbo_convert *c, uint8_t *restrict y,
			 const int16_t *restrict cross, int n)
{
	const int16_t yy = c->yy;

	for (int i = 0; i < n; i++)
		y[i] = clamp((int16_t)(whole(y[i]) + term(y[i], yy) + cross[i]));
}

void row_find_cross(const struct turbo_convert *c, int16_t *restrict cross,
		    const uint8_t *restrict cb, const uint8_t *restrict cr, int n)
{
	const int16_t yb = c->yb, yr = c->yr, y0 = c->y0;

	for (int i = 0; i < n; i++) {
		const int16_t v = (int16_t)(term(cb[i], yb) + term(cr[i], yr) + y0);

		cross[2 * i] = v;
		cross[2 * i + 1] = v;
	}
}

void row_convert_c(const struct turbo_convert *c, uint8_t *restrict cb, uint8_t *restrict cr, int n)
{
	const int16_t bb = c->bb, br = c->br, b0 = c->b0;
	const int16_t rb = c->rb, rr = c->rr, r0 = c->r0;

	if (!c->cross) {
		scale(cb, n, bb, b0);
		scale(cr, n, rr, r0);
		return;
	}
	for (int i = 0; i < n; i++) {
		const uint8_t b = cb[i], r = cr[i];

		cb[i] = clamp((int16_t)(whole(b) + term(b, bb) + term(r, br) + b0));
		cr[i] = clamp((int16_t)(whole(r) + term(b, rb) + term(r, rr) + r0));
	}
}

/* Taking rows apart. */

static void split_yuyv(uint8_t *restrict y, uint8_t *restrict cb, uint8_t *restrict cr,
		       const uint8_t *restrict s, int pairs)
{
	for (int i = 0; i < pairs; i++) {
		y[2 * i] = s[4 * i];
		cb[i] = s[4 * i + 1];
		y[2 * i + 1] = s[4 * i + 2];
		cr[i] = s[4 * i + 3];
	}
}

static void split_uyvy(uint8_t *restrict y, uint8_t *restrict cb, uint8_t *restrict cr,
		       const uint8_t *restrict s, int pairs)
{
	for (int i = 0; i < pairs; i++) {
		cb[i] = s[4 * i];
		y[2 * i] = s[4 * i + 1];
		cr[i] = s[4 * i + 2];
		y[2 * i + 1] = s[4 * i + 3];
	}
}

void row_split_nv12(uint8_t *restrict cb, uint8_t *restrict cr, const uint8_t *restrict s, int n)
{
	for (int i = 0; i < n; i++) {
		cb[i] = s[2 * i];
		cr[i] = s[2 * i + 1];
	}
}

/* The half pair at the end of an odd row that was cut: its second chroma sample
 * is missing and repeats the one before. */
static void split_half(uint8_t *y, uint8_t *cb, uint8_t *cr, const uint8_t *s, int pairs, int y_first)
{
	const uint8_t *half = s + 4 * (size_t)pairs;

	y[2 * pairs] = half[y_first ? 0 : 1];
	cb[pairs] = half[y_first ? 1 : 0];
	cr[pairs] = pairs > 0 ? cr[pairs - 1] : 128;
}

void row_split_422(uint8_t *y, uint8_t *cb, uint8_t *cr, const uint8_t *s, size_t bytes, int width, int y_first)
{
	const int pairs = (int)(bytes / 4);

	if (y_first)
		split_yuyv(y, cb, cr, s, pairs);
	else
		split_uyvy(y, cb, cr, s, pairs);
	if (pairs < (width + 1) / 2)
		split_half(y, cb, cr, s, pairs, y_first);
}

void row_luma_422(uint8_t *restrict y, const uint8_t *restrict s, int width, int y_first)
{
	if (!y_first)
		s++;
	for (int i = 0; i < width; i++)
		y[i] = s[2 * i];
}

void row_average(uint8_t *restrict a, const uint8_t *restrict b, int n)
{
	for (int i = 0; i < n; i++)
		a[i] = (uint8_t)((a[i] + b[i] + 1) >> 1);
}

/* Amounts of ink, 255 being all of it, to the light that is left. */
void row_cmyk_to_rgb(uint8_t *restrict rgb, const uint8_t *restrict cmyk, int n)
{
	for (int i = 0; i < n; i++) {
		const int light = 255 - cmyk[4 * i + 3];

		for (int c = 0; c < 3; c++)
			rgb[3 * i + c] = (uint8_t)(((255 - cmyk[4 * i + c]) * light + 127) / 255);
	}
}
