/*
 * JPEG to JPEG, turned or mirrored, without any loss: the coefficients of the
 * blocks change places and signs.
 * One turner belongs to one thread at a time. It keeps no pointer to a file
 * between calls.
 */
#ifndef WEBGEAR_TURN_H
#define WEBGEAR_TURN_H

#include <stddef.h>
#include <stdint.h>

/* What is done, in this order. */
struct turn_options {
	int width, height; /* the input's size, as its header tells */
	int transpose;     /* columns become rows */
	int flip_x;        /* left and right change places */
	int flip_y;        /* top and bottom change places */
};

struct turner;

/* Returns NULL when there is no memory. */
struct turner *turner_new(void);

/* Returns the size of the new JPEG file, 0 on error. */
size_t turner_run(struct turner *t, const uint8_t *data, size_t size, const struct turn_options *options);

/* The file of the last turner_run, valid until the next one, and the size of its
 * picture in pixels. */
void *turner_output(struct turner *t);
int turner_width(const struct turner *t);
int turner_height(const struct turner *t);

/* What went wrong in the last turner_run that returned 0. */
const char *turner_error(const struct turner *t);

/* How often libjpeg had to put up with damaged data in the last one. */
long turner_warnings(const struct turner *t);

void turner_free(struct turner *t);

#endif
