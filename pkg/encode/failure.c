//go:build cgo

#include "codec.h"

static void on_error_exit(j_common_ptr cinfo)
{
	struct failure *f = (struct failure *)cinfo->err;

	cinfo->err->format_message(cinfo, f->text);
	longjmp(f->jump, 1);
}

static void on_message(j_common_ptr cinfo)
{
	(void)cinfo;
}

/* Levels below zero are warnings: the data is damaged, a picture comes out. */
static void on_emit(j_common_ptr cinfo, int level)
{
	if (level < 0)
		cinfo->err->num_warnings++;
}

struct jpeg_error_mgr *failure_init(struct failure *f)
{
	jpeg_std_error(&f->mgr);
	f->mgr.error_exit = on_error_exit;
	f->mgr.output_message = on_message;
	f->mgr.emit_message = on_emit;
	return &f->mgr;
}
