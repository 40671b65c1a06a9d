//go:build cgo

#include "transcode.h"

#include <stdlib.h>
#include <string.h>

#include "codec.h"

/* Most rows of a plane in one row of MCUs: four blocks. */
#define MAX_ROWS (4 * DCTSIZE)

#if JPEG_LIB_VERSION >= 70
#define SCALED_SIZE(c) ((c)->DCT_v_scaled_size)
#define SCALED_WIDTH(c) ((c)->DCT_h_scaled_size)
#else
#define SCALED_SIZE(c) ((c)->DCT_scaled_size)
#define SCALED_WIDTH(c) ((c)->DCT_scaled_size)
#endif

/* What the memory and the encoder are made for. */
struct shape {
	int width, height;         /* of the input */
	int out_width, out_height;
	int planes;                /* that are decoded */
	int direct;                /* rows go from decoder to encoder as they are */
	int mix;                   /* three planes R, G, B become grey */
	int rgb, gray, hs, vs;     /* as in turbo_config */
	int fast_dct, smooth;
	int in_width[3], in_height[3]; /* of the decoded planes */
	int pitch[3], rows[3];     /* of what the decoder writes at a time */
};

struct transcoder {
	struct jpeg_decompress_struct cinfo;
	struct jpeg_progress_mgr progress;
	struct failure fail;
	const char *error;

	struct shape shape;
	struct turbo *enc;
	uint8_t *block[3];         /* one MCU row, as decoded */
	struct scaler scaler[3];
	uint8_t *plane[3];         /* resized */
	size_t plane_stride[3];
};

static void on_progress(j_common_ptr cinfo)
{
	struct transcoder *x = cinfo->client_data;

	if (x->cinfo.input_scan_number <= MAX_SCANS)
		return;
	snprintf(x->fail.text, sizeof(x->fail.text), "more than %d scans", MAX_SCANS);
	longjmp(x->fail.jump, 1);
}

static void refuse(struct transcoder *x, const char *text)
{
	snprintf(x->fail.text, sizeof(x->fail.text), "%s", text);
	longjmp(x->fail.jump, 1);
}

static int ceil_div(int a, int b)
{
	return (a + b - 1) / b;
}

/* The smallest eighths of a size that are not below another one; at most 8. */
static int eighths(int in, int out)
{
	int n = 1;

	while (n < 8 && ceil_div(in * n, 8) < out)
		n++;
	return n;
}

/* Checks the components and finds the ratio of luma to chroma samples. */
static void read_sampling(struct transcoder *x, struct shape *s)
{
	const jpeg_component_info *c = x->cinfo.comp_info;

	s->hs = s->vs = 1;
	if (x->cinfo.num_components == 1)
		return;
	if (x->cinfo.num_components != 3 || x->cinfo.jpeg_color_space == JCS_GRAYSCALE)
		refuse(x, "unsupported number of components");
	if (c[1].h_samp_factor != c[2].h_samp_factor || c[1].v_samp_factor != c[2].v_samp_factor ||
	    c[0].h_samp_factor % c[1].h_samp_factor != 0 || c[0].v_samp_factor % c[1].v_samp_factor != 0)
		refuse(x, "unsupported sampling factors");
	s->hs = c[0].h_samp_factor / c[1].h_samp_factor;
	s->vs = c[0].v_samp_factor / c[1].v_samp_factor;
	if (s->hs > 4 || s->hs == 3 || s->vs > 2)
		refuse(x, "unsupported sampling factors");
}

/* Finds what the picture needs, once its header was read. */
static void plan(struct transcoder *x, const struct transcode_options *o, struct shape *s)
{
	j_decompress_ptr d = &x->cinfo;
	int n = eighths(o->width, o->out_width);
	const int m = eighths(o->height, o->out_height);

	memset(s, 0, sizeof(*s)); /* it is compared as a whole */
	if (d->image_width != (JDIMENSION)o->width || d->image_height != (JDIMENSION)o->height)
		refuse(x, "the headers contradict each other");
	read_sampling(x, s);
	s->width = o->width;
	s->height = o->height;
	s->out_width = o->out_width;
	s->out_height = o->out_height;
	s->fast_dct = o->fast_dct;
	s->smooth = !o->fast_upsample;
	s->gray = o->gray || d->num_components == 1;
	s->rgb = d->jpeg_color_space == JCS_RGB && !s->gray;
	s->mix = d->jpeg_color_space == JCS_RGB && s->gray;
	s->planes = s->gray && !s->mix ? 1 : 3;
	s->direct = s->width == s->out_width && s->height == s->out_height && !s->mix;
	if (n < m)
		n = m;

	d->scale_num = (unsigned int)n;
	d->scale_denom = 8;
	d->raw_data_out = TRUE;
	d->dct_method = o->fast_dct ? JDCT_IFAST : JDCT_ISLOW;
	d->do_fancy_upsampling = !o->fast_upsample;
	d->do_block_smoothing = FALSE; /* guesses for unfinished progressive files cost time */
	jpeg_calc_output_dimensions(d);
	for (int i = 0; i < d->num_components; i++) {
		jpeg_component_info *c = &d->comp_info[i];

		if (i >= s->planes) { /* spares the work on its blocks */
			c->component_needed = FALSE;
			continue;
		}
		s->in_width[i] = (int)c->downsampled_width;
		s->in_height[i] = (int)c->downsampled_height;
		s->pitch[i] = (int)c->width_in_blocks * SCALED_WIDTH(c);
		s->rows[i] = c->v_samp_factor * SCALED_SIZE(c);
		if (s->rows[i] > MAX_ROWS)
			refuse(x, "unsupported sampling factors");
	}
}

static void release(struct transcoder *x)
{
	turbo_free(x->enc);
	x->enc = NULL;
	for (int i = 0; i < 3; i++) {
		free(x->block[i]);
		free(x->plane[i]);
		x->block[i] = x->plane[i] = NULL;
		scaler_free(&x->scaler[i]);
	}
	memset(&x->shape, 0, sizeof(x->shape));
}

/* Memory for a resized plane and what fills it. */
static int make_plane(struct transcoder *x, const struct shape *s, int i)
{
	const int hs = i > 0 && !s->mix ? s->hs : 1, vs = i > 0 && !s->mix ? s->vs : 1;
	const int w = ceil_div(s->out_width, hs), h = ceil_div(s->out_height, vs);
	const int smooth = s->smooth && s->in_width[i] * s->in_height[i] < s->in_width[0] * s->in_height[0];

	x->plane_stride[i] = (size_t)w;
	x->plane[i] = malloc((size_t)w * (size_t)h);
	return x->plane[i] != NULL &&
	       scaler_init(&x->scaler[i], 1, s->in_width[i], s->in_height[i], w, h, smooth);
}

/* Makes memory and encoder, unless the last picture had the same shape. */
static int prepare(struct transcoder *x, const struct shape *s)
{
	struct turbo_config g = {
		.kind = s->gray ? TURBO_GREY : TURBO_PLANAR,
		.width = s->out_width, .height = s->out_height,
		.out_width = s->out_width, .out_height = s->out_height,
		.hs = s->gray ? 1 : s->hs, .vs = s->gray ? 1 : s->vs,
		.gray = s->gray, .rgb = s->rgb, .fast_dct = s->fast_dct,
		.convert = { .none = 1 },
	};

	if (x->enc != NULL && memcmp(&x->shape, s, sizeof(*s)) == 0)
		return 1;
	release(x);
	x->enc = turbo_new(&g);
	if (x->enc == NULL)
		return 0;
	for (int i = 0; i < s->planes; i++) {
		x->block[i] = calloc((size_t)s->pitch[i], (size_t)s->rows[i]);
		if (x->block[i] == NULL || (!s->direct && !make_plane(x, s, i))) {
			release(x);
			return 0;
		}
	}
	x->shape = *s;
	return 1;
}

/* Decodes one row of MCUs into x->block and points rows at it. */
static void decode_rows(struct transcoder *x, JSAMPROW rows[3][MAX_ROWS])
{
	const struct shape *s = &x->shape;
	JSAMPARRAY planes[3];

	for (int i = 0; i < 3; i++) {
		const int from = i < s->planes ? i : 0; /* what is not needed is not written */

		for (int r = 0; r < MAX_ROWS; r++)
			rows[i][r] = x->block[from] + (size_t)s->pitch[from] * (size_t)(r % s->rows[from]);
		planes[i] = rows[i];
	}
	if (jpeg_read_raw_data(&x->cinfo, planes, MAX_ROWS) == 0)
		refuse(x, "the data ends too early");
}

/* Another quality for the same samples: nothing but the two transforms. */
static void pass(struct transcoder *x)
{
	JSAMPROW rows[3][MAX_ROWS];
	struct turbo *e = x->enc;
	j_compress_ptr c = &e->cinfo;

	jpeg_start_compress(c, TRUE);
	while (x->cinfo.output_scanline < x->cinfo.output_height) {
		decode_rows(x, rows);
		/* The decoder's rows of MCUs may be higher, with grey output or
		 * sampling factors that have a common divisor. */
		for (int n = 0; n < x->shape.rows[0] / e->y_rows && c->next_scanline < c->image_height; n++) {
			JSAMPARRAY planes[3] = { rows[0] + n * e->y_rows, rows[1] + n * e->c_rows, rows[2] + n * e->c_rows };

			jpeg_write_raw_data(c, planes, (JDIMENSION)e->y_rows);
		}
	}
	jpeg_finish_decompress(&x->cinfo);
	jpeg_finish_compress(c);
}

/* Decodes and resizes into x->plane. */
static void reduce(struct transcoder *x)
{
	JSAMPROW rows[3][MAX_ROWS];
	const struct shape *s = &x->shape;

	for (int i = 0; i < s->planes; i++)
		scaler_start(&x->scaler[i], x->plane[i], x->plane_stride[i]);
	while (x->cinfo.output_scanline < x->cinfo.output_height) {
		decode_rows(x, rows);
		for (int i = 0; i < s->planes; i++) {
			for (int r = 0; r < s->rows[i] && x->scaler[i].row < s->in_height[i]; r++)
				scaler_push(&x->scaler[i], rows[i][r]);
		}
	}
	jpeg_finish_decompress(&x->cinfo);
}

/* R, G, B to luma, in place of R. Weights of BT.601 with 16 fraction bits. */
static void mix(struct transcoder *x)
{
	const size_t n = x->plane_stride[0] * (size_t)x->shape.out_height;
	uint8_t *r = x->plane[0], *g = x->plane[1], *b = x->plane[2];

	for (size_t i = 0; i < n; i++)
		r[i] = (uint8_t)((19595u * r[i] + 38470u * g[i] + 7471u * b[i] + 32768u) >> 16);
}

/* Everything that the decoder may jump out of. Returns 0 on error, otherwise 1;
 * with shape.direct the file is complete then. */
static int decode(struct transcoder *x, const uint8_t *data, size_t size, const struct transcode_options *o)
{
	struct shape s;

	if (setjmp(x->fail.jump)) {
		x->error = x->fail.text;
		return 0;
	}
	jpeg_mem_src(&x->cinfo, data, (unsigned long)size);
	jpeg_read_header(&x->cinfo, TRUE);
	plan(x, o, &s);
	if (!prepare(x, &s))
		refuse(x, "no memory");
	if (setjmp(x->enc->fail.jump)) {
		x->error = x->enc->fail.text;
		return 0;
	}
	turbo_set_quality(x->enc, o->quality);
	jpeg_start_decompress(&x->cinfo);
	if (x->shape.direct)
		pass(x);
	else
		reduce(x);
	return 1;
}

size_t transcoder_run(struct transcoder *x, const uint8_t *data, size_t size,
		      const struct transcode_options *options)
{
	int ok;
	size_t n;

	x->error = "";
	x->fail.mgr.num_warnings = 0;
	ok = decode(x, data, size, options);
	jpeg_abort_decompress(&x->cinfo); /* keeps num_warnings */
	if (x->cinfo.src != NULL) {
		x->cinfo.src->next_input_byte = NULL;
		x->cinfo.src->bytes_in_buffer = 0;
	}
	if (!ok) {
		if (x->enc != NULL)
			jpeg_abort_compress(&x->enc->cinfo);
		return 0;
	}
	if (x->shape.direct)
		return x->enc->sink.len;
	if (x->shape.mix)
		mix(x);
	n = turbo_encode(x->enc, x->plane[0], x->plane[1], x->plane[2], x->plane_stride[0],
			 x->plane_stride[0], x->plane_stride[1], options->quality);
	x->error = turbo_error(x->enc);
	return n;
}

void *transcoder_output(struct transcoder *x)
{
	return turbo_output(x->enc);
}

const char *transcoder_error(const struct transcoder *x)
{
	return x->error;
}

long transcoder_warnings(const struct transcoder *x)
{
	return x->fail.mgr.num_warnings;
}

static int create(struct transcoder *x)
{
	if (setjmp(x->fail.jump))
		return 0;
	jpeg_create_decompress(&x->cinfo);
	x->progress.progress_monitor = on_progress;
	x->cinfo.progress = &x->progress;
	return 1;
}

struct transcoder *transcoder_new(void)
{
	struct transcoder *x = calloc(1, sizeof(*x));

	if (x == NULL)
		return NULL;
	x->cinfo.err = failure_init(&x->fail);
	x->cinfo.client_data = x;
	if (create(x))
		return x;
	transcoder_free(x);
	return NULL;
}

void transcoder_free(struct transcoder *x)
{
	if (x == NULL)
		return;
	jpeg_destroy_decompress(&x->cinfo);
	release(x);
	free(x);
}
