//go:build cgo

#include "turn.h"

#include <stdlib.h>
#include <string.h>

#include "codec.h"

/* The blocks of one component. libjpeg would ask the system for the memory
 * anew for every picture, which costs a third of the time: so it gets this
 * instead of its own "virtual arrays". */
struct plane {
	JBLOCK *blocks;
	JBLOCKROW *rows;   /* where each begins */
	size_t cap, row_cap;
	int across, down;
	int clean;         /* rows from here on are not zeroed yet */
};

struct turner {
	struct jpeg_decompress_struct in;
	struct jpeg_compress_struct out;
	struct jpeg_progress_mgr progress;
	struct sink sink;
	struct failure fail;       /* of both */
	struct turn_options todo;
	long warnings;
	int width, height;         /* of the result */
	int across[MAX_COMPONENTS], down[MAX_COMPONENTS]; /* blocks of the result */
	struct plane from[MAX_COMPONENTS]; /* the input, in libjpeg's order */
	int planes;                        /* that libjpeg asked for */
	struct plane to[MAX_COMPONENTS];   /* one row of MCUs of the result */
	JBLOCKROW *source[MAX_COMPONENTS]; /* the rows of from, by component */
};

static void refuse(struct turner *t, const char *text)
{
	snprintf(t->fail.text, sizeof(t->fail.text), "%s", text);
	longjmp(t->fail.jump, 1);
}

static void on_progress(j_common_ptr cinfo)
{
	struct turner *t = cinfo->client_data;

	if (t->in.input_scan_number > MAX_SCANS)
		refuse(t, "too many scans");
}

static void swap(int *a, int *b)
{
	const int was = *a;

	*a = *b;
	*b = was;
}

static int common_divisor(int a, int b)
{
	while (b != 0) {
		const int rest = a % b;

		a = b;
		b = rest;
	}
	return a;
}

/* Sampling factors of a component, after the turn. */
struct shape {
	int h, v;
	int max_h, max_v; /* of all components */
};

/* Factors are made as small as they can be: only their ratio counts, and smaller
 * MCUs lose less at the edges. So a lone component has 1 and 1. */
static struct shape shape_of(const struct turner *t, int i)
{
	const jpeg_component_info *c = t->in.comp_info;
	struct shape s = { c[i].h_samp_factor, c[i].v_samp_factor, t->in.max_h_samp_factor, t->in.max_v_samp_factor };
	int h = 0, v = 0;

	for (int k = 0; k < t->in.num_components; k++) {
		h = common_divisor(c[k].h_samp_factor, h);
		v = common_divisor(c[k].v_samp_factor, v);
	}
	s = (struct shape){ s.h / h, s.v / v, s.max_h / h, s.max_v / v };
	if (t->todo.transpose) {
		swap(&s.h, &s.v);
		swap(&s.max_h, &s.max_v);
	}
	return s;
}

/* Finds the size of the result. An MCU that is not full can only be at the right
 * and lower edge of a file: one that would come to the other side is cut off. */
static void measure(struct turner *t)
{
	const struct shape s = shape_of(t, 0);
	const int mcu_w = s.max_h * DCTSIZE, mcu_h = s.max_v * DCTSIZE;

	t->width = t->todo.width;
	t->height = t->todo.height;
	if (t->todo.transpose)
		swap(&t->width, &t->height);
	if (t->todo.flip_x)
		t->width -= t->width % mcu_w;
	if (t->todo.flip_y)
		t->height -= t->height % mcu_h;
	if (t->width == 0 || t->height == 0)
		refuse(t, "the picture is smaller than one block");
}

/* Makes p as large as asked for, whatever it was. */
static void resize(struct turner *t, struct plane *p, int across, int down)
{
	const size_t need = (size_t)across * (size_t)down;

	p->across = across;
	p->down = down;
	p->clean = 0;
	if (need > p->cap) {
		free(p->blocks);
		p->cap = need;
		p->blocks = aligned_alloc(64, need * sizeof(JBLOCK)); /* a block has 128 bytes */
	}
	if ((size_t)down > p->row_cap) {
		free(p->rows);
		p->row_cap = (size_t)down;
		p->rows = malloc(p->row_cap * sizeof(*p->rows));
	}
	if (p->blocks == NULL || p->rows == NULL) {
		p->cap = p->blocks == NULL ? 0 : p->cap;
		p->row_cap = p->rows == NULL ? 0 : p->row_cap;
		refuse(t, "no memory");
	}
	for (int i = 0; i < down; i++)
		p->rows[i] = p->blocks + (size_t)i * (size_t)across;
}

/* libjpeg asks for one array per component before it reads a file. */
static jvirt_barray_ptr on_request(j_common_ptr cinfo, int pool, boolean zero, JDIMENSION across, JDIMENSION down,
				   JDIMENSION at_once)
{
	struct turner *t = cinfo->client_data;
	struct plane *p;

	(void)pool;
	(void)zero;
	(void)at_once;
	if (t->planes == MAX_COMPONENTS)
		refuse(t, "too many components");
	p = &t->from[t->planes++];
	resize(t, p, (int)across, (int)down);
	return (jvirt_barray_ptr)p;
}

/* Rows of the input, zeroed when they are first used. */
static JBLOCKARRAY on_access(j_common_ptr cinfo, jvirt_barray_ptr array, JDIMENSION first, JDIMENSION count, boolean write)
{
	struct plane *p = (struct plane *)array;
	const int end = (int)(first + count);

	(void)write;
	if (first + count > (JDIMENSION)p->down)
		refuse(cinfo->client_data, "blocks out of bounds");
	if (end > p->clean) {
		memset(p->rows[p->clean], 0, (size_t)(end - p->clean) * (size_t)p->across * sizeof(JBLOCK));
		p->clean = end;
	}
	return p->rows + first;
}

/* Finds how many blocks the result has. */
static void count_blocks(struct turner *t)
{
	for (int i = 0; i < t->in.num_components; i++) {
		const struct shape s = shape_of(t, i);
		const int rows = s.max_v * DCTSIZE, columns = s.max_h * DCTSIZE;

		t->across[i] = (t->width * s.h + columns - 1) / columns;
		t->down[i] = (t->height * s.v + rows - 1) / rows;
		resize(t, &t->to[i], t->across[i], s.v);
	}
}

typedef int16_t row __attribute__((vector_size(16)));

/* Takes every other element of two rows. */
#define ZIP_LOW(a, b) __builtin_shuffle(a, b, (row){ 0, 8, 1, 9, 2, 10, 3, 11 })
#define ZIP_HIGH(a, b) __builtin_shuffle(a, b, (row){ 4, 12, 5, 13, 6, 14, 7, 15 })

/* Interleaving eight rows three times swaps rows and columns. */
static inline void transpose(row r[8])
{
	row s[8];

	for (int pass = 0; pass < 3; pass++) {
		for (int i = 0; i < 4; i++) {
			s[2 * i] = ZIP_LOW(r[i], r[i + 4]);
			s[2 * i + 1] = ZIP_HIGH(r[i], r[i + 4]);
		}
		memcpy(r, s, sizeof(s));
	}
}

/* Turns one block. Mirrored, the cosines of odd frequency change their sign. */
static inline void turn_block(JCOEF *dst, const JCOEF *src, int transposed, row even, row odd)
{
	row r[8];

	memcpy(r, src, sizeof(r));
	if (transposed)
		transpose(r);
	for (int i = 0; i < 8; i += 2) {
		r[i] *= even;
		r[i + 1] *= odd;
	}
	memcpy(dst, r, sizeof(r));
}

/* Makes row y of the result's blocks of component i. */
static void turn_row(const struct turner *t, int i, int y, JBLOCKROW dst)
{
	const struct turn_options *o = &t->todo;
	const int across = t->across[i];
	const row plain = { 1, 1, 1, 1, 1, 1, 1, 1 }, mirrored = { 1, -1, 1, -1, 1, -1, 1, -1 };
	const row even = o->flip_x ? mirrored : plain, odd = o->flip_y ? -even : even;
	JBLOCKROW *src = t->source[i];

	if (o->flip_y)
		y = t->down[i] - 1 - y;
	for (int x = 0; x < across; x++) {
		const int from = o->flip_x ? across - 1 - x : x;

		if (o->transpose)
			turn_block(dst[x], src[from][y], 1, even, odd);
		else
			turn_block(dst[x], src[y][from], 0, even, odd);
	}
}

/* libjpeg asks for one row of MCUs after the other to write a file. What is
 * below the last row of blocks it does not look at. */
static JBLOCKARRAY on_write(j_common_ptr cinfo, jvirt_barray_ptr array, JDIMENSION first, JDIMENSION count, boolean write)
{
	struct turner *t = cinfo->client_data;
	struct plane *p = (struct plane *)array;
	const int i = (int)(p - t->to);

	(void)write;
	if (count > (JDIMENSION)p->down)
		refuse(t, "blocks out of bounds");
	for (int k = 0; k < (int)count && (int)first + k < t->down[i]; k++)
		turn_row(t, i, (int)first + k, p->rows[k]);
	return p->rows;
}

static void transpose_table(JQUANT_TBL *q)
{
	for (int y = 0; y < DCTSIZE; y++) {
		for (int x = 0; x < y; x++) {
			const UINT16 was = q->quantval[y * DCTSIZE + x];

			q->quantval[y * DCTSIZE + x] = q->quantval[x * DCTSIZE + y];
			q->quantval[x * DCTSIZE + y] = was;
		}
	}
}

/* Describes the result to libjpeg. */
static void describe(struct turner *t)
{
	j_compress_ptr c = &t->out;

	jpeg_copy_critical_parameters(&t->in, c);
	c->image_width = (JDIMENSION)t->width;
	c->image_height = (JDIMENSION)t->height;
#if JPEG_LIB_VERSION >= 70
	c->jpeg_width = c->image_width;
	c->jpeg_height = c->image_height;
#endif
	for (int i = 0; i < c->num_components; i++) {
		const struct shape s = shape_of(t, i);

		c->comp_info[i].h_samp_factor = s.h;
		c->comp_info[i].v_samp_factor = s.v;
	}
	if (!t->todo.transpose)
		return;
	for (int i = 0; i < NUM_QUANT_TBLS; i++) {
		if (c->quant_tbl_ptrs[i] != NULL)
			transpose_table(c->quant_tbl_ptrs[i]);
	}
	const UINT16 was = c->X_density;

	c->X_density = c->Y_density;
	c->Y_density = was;
}

/* Everything that libjpeg may jump out of. Returns 0 on error. */
static int run(struct turner *t, const uint8_t *data, size_t size)
{
	jvirt_barray_ptr *from, to[MAX_COMPONENTS];

	if (setjmp(t->fail.jump))
		return 0;
	jpeg_mem_src(&t->in, data, (unsigned long)size);
	jpeg_read_header(&t->in, TRUE);
	if (t->in.image_width != (JDIMENSION)t->todo.width || t->in.image_height != (JDIMENSION)t->todo.height)
		refuse(t, "the headers contradict each other");
	measure(t);
	count_blocks(t);
	t->planes = 0;
	from = jpeg_read_coefficients(&t->in);
	t->warnings = t->fail.mgr.num_warnings; /* writing begins to count anew */
	describe(t);
	for (int i = 0; i < t->in.num_components; i++) {
		const struct plane *p = (struct plane *)from[i];

		on_access((j_common_ptr)&t->in, from[i], 0, (JDIMENSION)p->down, FALSE);
		t->source[i] = p->rows;
		to[i] = (jvirt_barray_ptr)&t->to[i];
	}
	jpeg_write_coefficients(&t->out, to);
	jpeg_finish_compress(&t->out);
	return 1;
}

size_t turner_run(struct turner *t, const uint8_t *data, size_t size, const struct turn_options *options)
{
	int ok;

	t->todo = *options;
	t->warnings = 0;
	t->fail.mgr.num_warnings = 0;
	t->fail.text[0] = '\0';
	ok = run(t, data, size);
	jpeg_abort_compress(&t->out);
	jpeg_abort_decompress(&t->in);
	if (t->in.src != NULL) {
		t->in.src->next_input_byte = NULL;
		t->in.src->bytes_in_buffer = 0;
	}
	return ok ? t->sink.len : 0;
}

void *turner_output(struct turner *t)
{
	return t->sink.out;
}

int turner_width(const struct turner *t)
{
	return t->width;
}

int turner_height(const struct turner *t)
{
	return t->height;
}

const char *turner_error(const struct turner *t)
{
	return t->fail.text;
}

long turner_warnings(const struct turner *t)
{
	return t->warnings;
}

static int create(struct turner *t)
{
	t->in.err = t->out.err = failure_init(&t->fail);
	t->in.client_data = t->out.client_data = t;
	if (!sink_init(&t->sink, &t->fail) || setjmp(t->fail.jump))
		return 0;
	jpeg_create_decompress(&t->in);
	jpeg_create_compress(&t->out);
	t->in.mem->request_virt_barray = on_request;
	t->in.mem->access_virt_barray = on_access;
	t->out.mem->access_virt_barray = on_write;
	t->progress.progress_monitor = on_progress;
	t->in.progress = &t->progress;
	t->out.dest = &t->sink.mgr;
	return 1;
}

struct turner *turner_new(void)
{
	struct turner *t = calloc(1, sizeof(*t));

	if (t == NULL)
		return NULL;
	if (create(t))
		return t;
	turner_free(t);
	return NULL;
}

void turner_free(struct turner *t)
{
	if (t == NULL)
		return;
	jpeg_destroy_decompress(&t->in);
	jpeg_destroy_compress(&t->out);
	for (int i = 0; i < MAX_COMPONENTS; i++) {
		free(t->from[i].blocks);
		free(t->from[i].rows);
		free(t->to[i].blocks);
		free(t->to[i].rows);
	}
	sink_free(&t->sink);
	free(t);
}
