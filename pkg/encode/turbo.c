//go:build cgo

#include "turbo.h"

#include <stdlib.h>
#include <string.h>

#include "codec.h"
#include "rows.h"

/* Rows of luma and chroma in the largest MCU row (4:2:0). */
#define Y_ROWS 16
#define C_ROWS 8

static int is_422(enum turbo_kind kind)
{
	return kind == TURBO_YUYV || kind == TURBO_UYVY;
}

/* Fills a row up to whole blocks with its last sample. */
static void pad(uint8_t *row, size_t used, size_t all)
{
	memset(row + used, row[used - 1], all - used);
}

/* The n-th luma row of an MCU row: in place when nothing is to be done to it,
 * else through scratch memory. */
static JSAMPROW luma(struct turbo *t, const uint8_t *src, int n)
{
	const struct turbo_convert *c = &t->config.convert;
	uint8_t *dst = t->y + (size_t)n * t->y_pad;

	if (is_422(t->kind)) /* grey output */
		row_luma_422(dst, src, t->width, t->kind == TURBO_YUYV);
	else if (c->none && (size_t)t->width == t->y_pad)
		return (JSAMPROW)src; /* libjpeg only reads it */
	else
		memcpy(dst, src, (size_t)t->width);
	if (c->cross)
		row_convert_y_cross(c, dst, t->cross, t->width);
	else if (!c->none)
		row_convert_y(c, dst, t->width);
	pad(dst, (size_t)t->width, t->y_pad);
	return dst;
}

/* The n-th rows of chroma, for planes and NV12. */
static void chroma(struct turbo *t, const struct source *s, int row, int n, JSAMPROW *cb, JSAMPROW *cr)
{
	const struct turbo_convert *c = &t->config.convert;
	const size_t w = (size_t)t->c_width;
	const size_t off = (size_t)row * s->c_stride;

	*cb = t->cb + (size_t)n * t->c_pad;
	*cr = t->cr + (size_t)n * t->c_pad;
	if (t->kind == TURBO_NV12) {
		row_split_nv12(*cb, *cr, s->cb + off, t->c_width);
	} else if (c->none && w == t->c_pad) {
		*cb = (JSAMPROW)(s->cb + off);
		*cr = (JSAMPROW)(s->cr + off);
		return;
	} else {
		memcpy(*cb, s->cb + off, w);
		memcpy(*cr, s->cr + off, w);
	}
	if (!c->none) {
		if (c->cross)
			row_find_cross(c, t->cross, *cb, *cr, t->c_width);
		row_convert_c(c, *cb, *cr, t->c_width);
	}
	pad(*cb, w, t->c_pad);
	pad(*cr, w, t->c_pad);
}

/* Takes a row of a packed 4:2:2 picture apart. The chroma is not converted yet. */
static void packed(struct turbo *t, const struct source *s, int row, uint8_t *y, uint8_t *cb, uint8_t *cr)
{
	const struct turbo_convert *c = &t->config.convert;

	row_split_422(y, cb, cr, s->y + (size_t)row * s->stride, s->row, t->width, t->kind == TURBO_YUYV);
	if (c->cross) {
		row_find_cross(c, t->cross, cb, cr, t->c_width);
		row_convert_y_cross(c, y, t->cross, t->width);
	} else if (!c->none) {
		row_convert_y(c, y, t->width);
	}
	pad(y, (size_t)t->width, t->y_pad);
}

/* The MCU row of a packed 4:2:2 picture that begins at luma row top. */
static void packed_rows(struct turbo *t, const struct source *s, int top, JSAMPROW *y, JSAMPROW *cb, JSAMPROW *cr)
{
	const struct turbo_convert *c = &t->config.convert;
	/* Behind the rows of the file there is one for what is averaged. */
	uint8_t *b2 = t->cb + (size_t)t->c_rows * t->c_pad, *r2 = t->cr + (size_t)t->c_rows * t->c_pad;

	for (int i = 0; i < t->c_rows; i++) {
		const int n = i * t->vs, row = top + n;

		if (row >= t->height) { /* the pointers of the row above once more */
			cb[i] = cb[i - 1];
			cr[i] = cr[i - 1];
			for (int k = n; k < n + t->vs; k++)
				y[k] = y[k - 1];
			continue;
		}
		y[n] = t->y + (size_t)n * t->y_pad;
		cb[i] = t->cb + (size_t)i * t->c_pad;
		cr[i] = t->cr + (size_t)i * t->c_pad;
		packed(t, s, row, y[n], cb[i], cr[i]);
		if (t->vs == 2) {
			y[n + 1] = y[n];
			if (row + 1 < t->height) {
				y[n + 1] = t->y + (size_t)(n + 1) * t->y_pad;
				packed(t, s, row + 1, y[n + 1], b2, r2);
				row_average(cb[i], b2, t->c_width);
				row_average(cr[i], r2, t->c_width);
			}
		}
		if (!c->none)
			row_convert_c(c, cb[i], cr[i], t->c_width);
		pad(cb[i], (size_t)t->c_width, t->c_pad);
		pad(cr[i], (size_t)t->c_width, t->c_pad);
	}
}

/* Points y, cb, cr at the MCU row that begins at luma row top. Rows below the
 * picture repeat the last one: the same pointer again. */
static void mcu_row(struct turbo *t, const struct source *s, int top, JSAMPROW *y, JSAMPROW *cb, JSAMPROW *cr)
{
	const int vs = t->vs;

	if (is_422(t->kind) && t->c_rows > 0) {
		packed_rows(t, s, top, y, cb, cr);
		return;
	}
	for (int n = 0; n < t->y_rows; n++) {
		const int row = top + n;

		if (t->c_rows > 0 && n % vs == 0) {
			if (row < t->height) {
				chroma(t, s, row / vs, n / vs, &cb[n / vs], &cr[n / vs]);
			} else {
				cb[n / vs] = cb[n / vs - 1];
				cr[n / vs] = cr[n / vs - 1];
			}
		}
		if (row < t->height)
			y[n] = luma(t, s->y + (size_t)row * s->stride, n);
		else
			y[n] = y[n - 1];
	}
}

/* Up to one MCU row of packed pixels; libjpeg fills up to whole blocks. */
static int pixel_rows(struct turbo *t, const struct source *s, int top, JSAMPROW *rows)
{
	const int left = t->height - top;
	const int n = left < Y_ROWS ? left : Y_ROWS;

	for (int i = 0; i < n; i++) {
		const uint8_t *src = s->y + (size_t)(top + i) * s->stride;

		rows[i] = (JSAMPROW)src;
		if (t->config.pixel == TURBO_CMYK) {
			rows[i] = t->y + (size_t)i * t->y_pad;
			row_cmyk_to_rgb(rows[i], src, t->width);
		}
	}
	return n;
}

static void compress(struct turbo *t, const struct source *s)
{
	JSAMPROW y[Y_ROWS], cb[Y_ROWS], cr[Y_ROWS];
	JSAMPARRAY planes[3] = { y, cb, cr };

	jpeg_start_compress(&t->cinfo, TRUE);
	while (t->cinfo.next_scanline < t->cinfo.image_height) {
		const int top = (int)t->cinfo.next_scanline;

		if (t->kind == TURBO_PACKED) {
			jpeg_write_scanlines(&t->cinfo, y, (JDIMENSION)pixel_rows(t, s, top, y));
		} else {
			mcu_row(t, s, top, y, cb, cr);
			jpeg_write_raw_data(&t->cinfo, planes, (JDIMENSION)t->y_rows);
		}
	}
	jpeg_finish_compress(&t->cinfo);
}

/* Resizes a picture into t->plane and lets s describe those. */
static void resize(struct turbo *t, struct source *s)
{
	const struct turbo_config *g = &t->config;

	for (int i = 0; i < t->planes; i++)
		scaler_start(&t->scaler[i], t->plane[i], t->plane_stride[i]);
	for (int row = 0; row < g->height; row++) {
		const uint8_t *y = s->y + (size_t)row * s->stride;
		const uint8_t *cb = t->line[1], *cr = t->line[2];

		if (is_422(g->kind)) {
			if (t->planes == 3)
				row_split_422(t->line[0], t->line[1], t->line[2], y, s->row, g->width, g->kind == TURBO_YUYV);
			else
				row_luma_422(t->line[0], y, g->width, g->kind == TURBO_YUYV);
			y = t->line[0];
		}
		scaler_push(&t->scaler[0], y);
		if (t->planes < 3 || row % g->vs != 0)
			continue;
		if (g->kind == TURBO_NV12) {
			row_split_nv12(t->line[1], t->line[2], s->cb + (size_t)(row / g->vs) * s->c_stride, (g->width + 1) / 2);
		} else if (g->kind == TURBO_PLANAR) {
			cb = s->cb + (size_t)(row / g->vs) * s->c_stride;
			cr = s->cr + (size_t)(row / g->vs) * s->c_stride;
		}
		scaler_push(&t->scaler[1], cb);
		scaler_push(&t->scaler[2], cr);
	}
	*s = (struct source){ t->plane[0], t->plane[1], t->plane[2], t->plane_stride[0], t->plane_stride[0], t->plane_stride[1] };
}

/* What libjpeg may jump out of. */
static size_t guarded(struct turbo *t, const struct source *s, int quality)
{
	if (setjmp(t->fail.jump)) {
		jpeg_abort_compress(&t->cinfo);
		return 0;
	}
	turbo_set_quality(t, quality);
	compress(t, s);
	return t->sink.len;
}

size_t turbo_encode(struct turbo *t, const uint8_t *y, const uint8_t *cb, const uint8_t *cr,
		    size_t stride, size_t row, size_t c_stride, int quality)
{
	struct source s = { y, cb, cr, stride, row, c_stride };

	t->fail.text[0] = '\0';
	if (t->planes > 0)
		resize(t, &s);
	return guarded(t, &s, quality);
}

void turbo_set_quality(struct turbo *t, int quality)
{
	if (t->quality != quality)
		jpeg_set_quality(&t->cinfo, quality, TRUE);
	t->quality = quality;
}

void *turbo_output(struct turbo *t)
{
	return t->sink.out;
}

const char *turbo_error(const struct turbo *t)
{
	return t->fail.text;
}

static J_COLOR_SPACE color_space(const struct turbo *t)
{
	if (t->kind != TURBO_PACKED)
		return t->c_rows == 0 ? JCS_GRAYSCALE : t->config.rgb ? JCS_RGB : JCS_YCbCr;
	switch (t->config.pixel) {
	case TURBO_BGR: return JCS_EXT_BGR;
	case TURBO_RGBX: return JCS_EXT_RGBX;
	case TURBO_BGRX: return JCS_EXT_BGRX;
	case TURBO_XBGR: return JCS_EXT_XBGR;
	case TURBO_XRGB: return JCS_EXT_XRGB;
	default: return JCS_RGB; /* CMYK is converted to it */
	}
}

static int channels(const struct turbo_config *g)
{
	if (g->kind != TURBO_PACKED)
		return 1;
	return g->pixel == TURBO_RGB || g->pixel == TURBO_BGR ? 3 : 4;
}

/* Everything about the file that is the same for all pictures. */
static void set_up(struct turbo *t)
{
	const struct turbo_config *g = &t->config;

	t->cinfo.image_width = (JDIMENSION)t->width;
	t->cinfo.image_height = (JDIMENSION)t->height;
	t->cinfo.in_color_space = color_space(t);
	t->cinfo.input_components = t->cinfo.in_color_space == JCS_GRAYSCALE ? 1 : 3;
	if (t->kind == TURBO_PACKED && g->pixel != TURBO_CMYK)
		t->cinfo.input_components = channels(g);
	jpeg_set_defaults(&t->cinfo);
	if (g->gray)
		jpeg_set_colorspace(&t->cinfo, JCS_GRAYSCALE);
	else if (g->rgb)
		jpeg_set_colorspace(&t->cinfo, JCS_RGB);
	t->cinfo.dct_method = g->fast_dct ? JDCT_IFAST : JDCT_ISLOW;
	t->cinfo.raw_data_in = t->kind != TURBO_PACKED;
	if (t->cinfo.num_components == 3) {
		for (int i = 1; i < 3; i++) {
			t->cinfo.comp_info[i].h_samp_factor = 1;
			t->cinfo.comp_info[i].v_samp_factor = 1;
		}
		t->cinfo.comp_info[0].h_samp_factor = g->hs;
		t->cinfo.comp_info[0].v_samp_factor = t->vs;
	}
}

static int make_rows(struct turbo *t)
{
	const struct turbo_config *g = &t->config;
	const size_t w = (size_t)t->width;

	t->y_rows = DCTSIZE;
	if (t->kind == TURBO_PACKED) {
		t->y_rows = Y_ROWS;
	} else if (t->kind != TURBO_GREY && !g->gray) {
		t->y_rows = DCTSIZE * t->vs;
		t->c_rows = C_ROWS;
	}
	t->c_width = (t->width + g->hs - 1) / g->hs;
	t->y_pad = (w + DCTSIZE - 1) / DCTSIZE * DCTSIZE;
	if (t->kind == TURBO_PACKED)
		t->y_pad = 3 * w; /* for CMYK */
	t->c_pad = ((size_t)t->c_width + DCTSIZE - 1) / DCTSIZE * DCTSIZE;
	t->y = malloc((size_t)t->y_rows * t->y_pad);
	/* One row more, for what is averaged. */
	t->cb = malloc((size_t)(t->c_rows + 1) * t->c_pad);
	t->cr = malloc((size_t)(t->c_rows + 1) * t->c_pad);
	t->cross = malloc(2 * t->c_pad * sizeof(*t->cross));
	return t->y != NULL && t->cb != NULL && t->cr != NULL && t->cross != NULL;
}

/* Prepares resizing: packed pixels stay packed, everything else becomes planes. */
static int make_planes(struct turbo *t)
{
	const struct turbo_config *g = &t->config;
	const int ch = channels(g);

	t->planes = g->kind == TURBO_PACKED || g->kind == TURBO_GREY || g->gray ? 1 : 3;
	if (g->kind != TURBO_PACKED)
		t->kind = t->planes == 1 ? TURBO_GREY : TURBO_PLANAR;
	for (int i = 0; i < t->planes; i++) {
		const int hs = i > 0 ? g->hs : 1, vs = i > 0 ? g->vs : 1, out_vs = i > 0 ? t->vs : 1;
		const int w = (g->out_width + hs - 1) / hs, h = (g->out_height + out_vs - 1) / out_vs;

		if (!scaler_init(&t->scaler[i], ch, (g->width + hs - 1) / hs, (g->height + vs - 1) / vs, w, h, 0))
			return 0;
		t->plane_stride[i] = (size_t)w * (size_t)ch;
		t->plane[i] = malloc(t->plane_stride[i] * (size_t)h);
		t->line[i] = malloc((size_t)g->width + 1); /* even, for row_split_422 */
		if (t->plane[i] == NULL || t->line[i] == NULL)
			return 0;
	}
	return 1;
}

static int make_codec(struct turbo *t)
{
	t->cinfo.err = failure_init(&t->fail);
	if (setjmp(t->fail.jump))
		return 0;
	jpeg_create_compress(&t->cinfo);
	t->cinfo.dest = &t->sink.mgr;
	set_up(t);
	return 1;
}

struct turbo *turbo_new(const struct turbo_config *config)
{
	struct turbo *t = calloc(1, sizeof(*t));

	if (t == NULL)
		return NULL;
	t->config = *config;
	t->kind = config->kind;
	t->width = config->out_width;
	t->height = config->out_height;
	t->vs = config->halve ? 2 : config->vs;
	if (!sink_init(&t->sink, &t->fail) ||
	    ((config->width != t->width || config->height != t->height) && !make_planes(t)) ||
	    !make_rows(t) || !make_codec(t)) {
		turbo_free(t);
		return NULL;
	}
	return t;
}

void turbo_free(struct turbo *t)
{
	if (t == NULL)
		return;
	jpeg_destroy_compress(&t->cinfo);
	for (int i = 0; i < 3; i++) {
		scaler_free(&t->scaler[i]);
		free(t->plane[i]);
		free(t->line[i]);
	}
	free(t->y);
	free(t->cb);
	free(t->cr);
	free(t->cross);
	sink_free(&t->sink);
	free(t);
}
