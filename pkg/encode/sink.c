//go:build cgo

#include "codec.h"

#include <stdlib.h>

/* First guess of the output's size in bytes; grows by doubling. Chosen. */
#define FIRST_OUTPUT 65536

static void sink_begin(j_compress_ptr cinfo)
{
	struct sink *k = (struct sink *)cinfo->dest;

	k->mgr.next_output_byte = k->out;
	k->mgr.free_in_buffer = k->cap;
}

/* libjpeg calls this when the memory is full, whatever free_in_buffer says. */
static boolean sink_grow(j_compress_ptr cinfo)
{
	struct sink *k = (struct sink *)cinfo->dest;
	size_t used = k->cap;
	uint8_t *p = realloc(k->out, 2 * used);

	if (p == NULL) {
		snprintf(k->fail->text, sizeof(k->fail->text), "no memory for %zu bytes of output", 2 * used);
		longjmp(k->fail->jump, 1);
	}
	k->out = p;
	k->cap = 2 * used;
	k->mgr.next_output_byte = p + used;
	k->mgr.free_in_buffer = used;
	return TRUE;
}

static void sink_end(j_compress_ptr cinfo)
{
	struct sink *k = (struct sink *)cinfo->dest;

	k->len = k->cap - k->mgr.free_in_buffer;
}

int sink_init(struct sink *k, struct failure *fail)
{
	k->mgr.init_destination = sink_begin;
	k->mgr.empty_output_buffer = sink_grow;
	k->mgr.term_destination = sink_end;
	k->fail = fail;
	k->cap = FIRST_OUTPUT;
	k->out = malloc(k->cap);
	return k->out != NULL;
}

void sink_free(struct sink *k)
{
	free(k->out);
	k->out = NULL;
}
