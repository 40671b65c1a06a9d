/*
 * What the C files of this package share. Not for Go: turbo.h,
 * transcode.h and turn.h are.
 */
#ifndef WEBGEAR_CODEC_H
#define WEBGEAR_CODEC_H

#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>

#include <jpeglib.h>

#include "scale.h"
#include "turbo.h"

/* Error handling: libjpeg's own would end the process and write to stderr. An
 * error leaves its text and jumps; warnings are counted by libjpeg's field
 * num_warnings. The manager comes first, for libjpeg hands out its address. */
struct failure {
	struct jpeg_error_mgr mgr;
	jmp_buf jump;
	char text[JMSG_LENGTH_MAX];
};

struct jpeg_error_mgr *failure_init(struct failure *f);

/* Destination: memory of ours that is kept from picture to picture. libjpeg's
 * jpeg_mem_dest would lose what it had grown to. The manager comes first, as
 * above. */
struct sink {
	struct jpeg_destination_mgr mgr;
	struct failure *fail;
	uint8_t *out;
	size_t cap, len;
};

/* Returns 0 when there is no memory. */
int sink_init(struct sink *k, struct failure *fail);
void sink_free(struct sink *k);

/* Most scans of a progressive file. Each is a pass over the whole picture, so
 * that a small file could take very long. Chosen: ten times what libjpeg's own
 * script for progressive files has. */
#define MAX_SCANS 100

struct turbo {
	struct jpeg_compress_struct cinfo;
	struct sink sink;
	struct failure fail;

	struct turbo_config config;
	int quality;           /* the one the tables are made for */

	/* What is handed to libjpeg: the picture itself or its resized planes. */
	enum turbo_kind kind;
	int width, height;
	int vs;                /* luma rows per chroma row of the file */
	int c_width;           /* chroma samples per row */
	int y_rows, c_rows;    /* rows per MCU row */
	size_t y_pad, c_pad;   /* bytes per scratch row: whole blocks */
	uint8_t *y, *cb, *cr;  /* scratch: one MCU row, fits the L1 cache at 720p */
	int16_t *cross;        /* what chroma adds to one row of luma */

	/* Resizing; unused when the output is as large as the input. */
	int planes;            /* resized ones, 0 for none */
	struct scaler scaler[3];
	uint8_t *plane[3];
	size_t plane_stride[3];
	uint8_t *line[3];      /* rows of the input, taken apart */
};

/* One picture, while it is encoded. */
struct source {
	const uint8_t *y, *cb, *cr;
	size_t stride, row, c_stride;
};

/* Makes the tables for a quality unless they are there. */
void turbo_set_quality(struct turbo *t, int quality);

#endif
