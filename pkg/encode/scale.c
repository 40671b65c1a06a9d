//go:build cgo

#include "scale.h"

#include <stdlib.h>
#include <string.h>

/* The ratios of 25 % and 50 % less; see scaler.pattern. */
enum { PATTERN_NONE, PATTERN_SAME, PATTERN_HALF, PATTERN_THREE_QUARTERS };

/* Area below the triangle from -1 to 1 with the height 1, left of t. */
static double below_triangle(double t)
{
	if (t <= -1)
		return 0;
	if (t >= 1)
		return 1;
	return t < 0 ? (1 + t) * (1 + t) / 2 : 1 - (1 - t) * (1 - t) / 2;
}

/* What input sample j has to do with the output sample that covers a to b. */
static double share(double a, double b, int j, int smooth)
{
	double lo = a, hi = b;

	if (b - a < 1) { /* growing: the two samples around the centre */
		const double d = (a + b) / 2 - j - 0.5;
		const double left = d < 0 ? 1 + d : 1 - d;

		return left > 0 ? left : 0;
	}
	if (smooth)
		return (below_triangle(b - j - 0.5) - below_triangle(a - j - 0.5)) / (b - a);
	if (lo < j)
		lo = j;
	if (hi > j + 1)
		hi = j + 1;
	return hi > lo ? (hi - lo) / (b - a) : 0;
}

/* Finds the weights of output sample i; w has room for room of them. Running
 * sums are rounded rather than weights, so that they add up to 256 however many
 * there are. Samples beyond an edge count for the one at the edge. */
static int weigh(const struct axis *a, int i, int smooth, uint16_t *w, int room, int *start)
{
	const double step = (double)a->in / a->out;
	const double from = i * step, to = (i + 1) * step;
	const int lo = (int)from - 1, hi = (int)to + 1;
	const int first = lo < 0 ? 0 : lo;
	double sum = 0;
	int n = 0, skip = 0, used = 0;

	if (a->in == a->out) {
		*start = i;
		w[0] = 256;
		return 1;
	}
	memset(w, 0, (size_t)room * sizeof(*w));
	for (int j = lo; j <= hi; j++) {
		const int at = j < 0 ? 0 : j >= a->in ? a->in - 1 : j;
		int upto;

		sum += share(from, to, j, smooth);
		upto = j == hi ? 256 : (int)(sum * 256 + 0.5);
		w[at - first] = (uint16_t)(w[at - first] + upto - used);
		used = upto;
		if (w[at - first] != 0)
			n = at - first + 1;
	}
	while (w[skip] == 0)
		skip++;
	memmove(w, w + skip, (size_t)(n - skip) * sizeof(*w));
	*start = first + skip;
	return n - skip;
}

static int axis_init(struct axis *a, int in, int out, int smooth)
{
	const int room = in / out + 6; /* hi - lo + 1 of weigh, at most */
	uint16_t *w = malloc((size_t)room * sizeof(*w));

	a->in = in;
	a->out = out;
	a->start = malloc((size_t)out * sizeof(*a->start));
	a->count = malloc((size_t)out * sizeof(*a->count));
	if (w == NULL || a->start == NULL || a->count == NULL) {
		free(w);
		return 0;
	}
	for (int i = 0; i < out; i++) {
		a->count[i] = weigh(a, i, smooth, w, room, &a->start[i]);
		if (a->count[i] > a->taps)
			a->taps = a->count[i];
	}
	a->weight = calloc((size_t)out * (size_t)a->taps, sizeof(*a->weight));
	for (int i = 0; a->weight != NULL && i < out; i++) {
		weigh(a, i, smooth, w, room, &a->start[i]);
		memcpy(a->weight + (size_t)i * (size_t)a->taps, w, (size_t)a->count[i] * sizeof(*w));
	}
	free(w);
	return a->weight != NULL;
}

/* Lets every output sample have the same number of weights, with zeros in front
 * where the input ends. */
static void even_out(struct axis *a)
{
	for (int i = 0; i < a->out; i++) {
		uint16_t *w = a->weight + (size_t)i * (size_t)a->taps;
		const int over = a->start[i] + a->taps - a->in;

		if (over <= 0)
			continue;
		memmove(w + over, w, (size_t)(a->taps - over) * sizeof(*w));
		memset(w, 0, (size_t)over * sizeof(*w));
		a->start[i] -= over;
	}
}

static int find_pattern(const struct scaler *s, int smooth)
{
	if (s->x.in == s->x.out)
		return PATTERN_SAME;
	if (s->channels != 1 || smooth)
		return PATTERN_NONE;
	if (s->x.in == 2 * s->x.out)
		return PATTERN_HALF;
	if (3 * s->x.in == 4 * s->x.out && s->x.out % 3 == 0)
		return PATTERN_THREE_QUARTERS;
	return PATTERN_NONE;
}

/* The most output rows that an input row belongs to and that do not end with it,
 * and the one that is being worked on. */
static int count_open(const struct axis *a)
{
	int begun = 0, ended = 0, most = 0;

	for (int r = 0; r < a->in; r++) {
		while (begun < a->out && a->start[begun] <= r)
			begun++;
		while (ended < begun && a->start[ended] + a->count[ended] - 1 <= r)
			ended++;
		if (begun - ended > most)
			most = begun - ended;
	}
	return most + 1;
}

int scaler_init(struct scaler *s, int channels, int in_width, int in_height,
		int out_width, int out_height, int smooth)
{
	memset(s, 0, sizeof(*s));
	s->channels = channels;
	if (!axis_init(&s->x, in_width, out_width, smooth) || !axis_init(&s->y, in_height, out_height, smooth))
		return 0;
	even_out(&s->x);
	s->pattern = find_pattern(s, smooth);
	s->open = count_open(&s->y);
	s->sums = malloc((size_t)s->open * (size_t)in_width * (size_t)channels * sizeof(*s->sums));
	return s->sums != NULL;
}

void scaler_start(struct scaler *s, uint8_t *dst, size_t dst_stride)
{
	s->row = 0;
	s->first = 0;
	s->dst = dst;
	s->dst_stride = dst_stride;
}

/* Sums up along the columns, in 16 bits: 255 times 256 fits. Compilers make
 * vector code of the two loops on any processor. */
static void set(uint16_t *restrict sums, const uint8_t *restrict row, uint16_t w, size_t n)
{
	for (size_t i = 0; i < n; i++)
		sums[i] = (uint16_t)(row[i] * w);
}

static void add(uint16_t *restrict sums, const uint8_t *restrict row, uint16_t w, size_t n)
{
	for (size_t i = 0; i < n; i++)
		sums[i] = (uint16_t)(sums[i] + row[i] * w);
}

/* Sums up along a row. With a constant number of taps and channels compilers
 * unroll the inner loops. */
static inline void along(uint8_t *restrict dst, const uint16_t *restrict sums, const struct axis *a,
			 int channels, int taps)
{
	const uint16_t *w = a->weight;

	for (int x = 0; x < a->out; x++, w += taps) {
		const uint16_t *p = sums + (size_t)a->start[x] * (size_t)channels;

		for (int c = 0; c < channels; c++) {
			uint32_t v = 1 << 15;

			for (int k = 0; k < taps; k++)
				v += (uint32_t)p[k * channels + c] * w[k];
			*dst++ = (uint8_t)(v >> 16);
		}
	}
}

static void along_any(uint8_t *dst, const uint16_t *sums, const struct axis *a, int channels)
{
	switch (channels << 8 | a->taps) {
	case 1 << 8 | 2: along(dst, sums, a, 1, 2); break;
	case 1 << 8 | 3: along(dst, sums, a, 1, 3); break;
	case 1 << 8 | 4: along(dst, sums, a, 1, 4); break;
	case 3 << 8 | 2: along(dst, sums, a, 3, 2); break;
	case 3 << 8 | 3: along(dst, sums, a, 3, 3); break;
	case 4 << 8 | 2: along(dst, sums, a, 4, 2); break;
	case 4 << 8 | 3: along(dst, sums, a, 4, 3); break;
	default: along(dst, sums, a, channels, a->taps);
	}
}

static void same(uint8_t *restrict dst, const uint16_t *restrict sums, int n)
{
	for (int i = 0; i < n; i++)
		dst[i] = (uint8_t)((sums[i] + 128) >> 8);
}

static void half(uint8_t *restrict dst, const uint16_t *restrict sums, int n)
{
	for (int i = 0; i < n; i++)
		dst[i] = (uint8_t)(((uint32_t)sums[2 * i] + sums[2 * i + 1] + 256) >> 9);
}

static void three_quarters(uint8_t *restrict dst, const uint16_t *restrict sums, int thirds)
{
	for (int i = 0; i < thirds; i++) {
		const uint32_t a = sums[4 * i], b = sums[4 * i + 1], c = sums[4 * i + 2], d = sums[4 * i + 3];

		dst[3 * i] = (uint8_t)((3 * a + b + 512) >> 10);
		dst[3 * i + 1] = (uint8_t)((b + c + 256) >> 9);
		dst[3 * i + 2] = (uint8_t)((c + 3 * d + 512) >> 10);
	}
}

static void finish(const struct scaler *s, uint8_t *dst, const uint16_t *sums)
{
	switch (s->pattern) {
	case PATTERN_SAME: same(dst, sums, s->x.out * s->channels); break;
	case PATTERN_HALF: half(dst, sums, s->x.out); break;
	case PATTERN_THREE_QUARTERS: three_quarters(dst, sums, s->x.out / 3); break;
	default: along_any(dst, sums, &s->x, s->channels);
	}
}

void scaler_push(struct scaler *s, const uint8_t *row)
{
	const struct axis *a = &s->y;
	const size_t n = (size_t)s->x.in * (size_t)s->channels;
	const int r = s->row++;

	for (int o = s->first; o < a->out && a->start[o] <= r; o++) {
		uint16_t *sums = s->sums + (size_t)(o % s->open) * n;
		const int k = r - a->start[o];

		if (k >= a->count[o])
			continue;
		if (k == 0)
			set(sums, row, a->weight[(size_t)o * (size_t)a->taps], n);
		else
			add(sums, row, a->weight[(size_t)o * (size_t)a->taps + (size_t)k], n);
		if (k == a->count[o] - 1) {
			finish(s, s->dst + (size_t)o * s->dst_stride, sums);
			s->first = o + 1;
		}
	}
}

static void axis_free(struct axis *a)
{
	free(a->start);
	free(a->count);
	free(a->weight);
}

void scaler_free(struct scaler *s)
{
	axis_free(&s->x);
	axis_free(&s->y);
	free(s->sums);
	memset(s, 0, sizeof(*s));
}
