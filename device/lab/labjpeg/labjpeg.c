// SPDX-License-Identifier: GPL-2.0
/*
 * labjpeg: a memory-to-memory JPEG encoder for tests, shaped like the image
 * encoder of the Raspberry Pi (bcm2835-codec-encode_image): multi-planar
 * queues, raw pictures in, JPEG out, rows and heights rounded up, time stamps
 * passed on, jobs that take time and fail on command.
 *
 * Of each block of 8x8 samples only the mean is coded: every JPEG is valid and
 * shows the picture in squares of one colour.
 */
#include <linux/module.h>
#include <linux/platform_device.h>
#include <linux/workqueue.h>
#include <media/v4l2-ctrls.h>
#include <media/v4l2-device.h>
#include <media/v4l2-event.h>
#include <media/v4l2-ioctl.h>
#include <media/v4l2-mem2mem.h>
#include <media/videobuf2-vmalloc.h>

static unsigned int delay_ms = 5;
module_param(delay_ms, uint, 0644);
MODULE_PARM_DESC(delay_ms, "time a job takes");

static unsigned int fail_every;
module_param(fail_every, uint, 0644);
MODULE_PARM_DESC(fail_every, "every n-th job of an instance ends with the error flag (0: none)");

static unsigned int lose_every;
module_param(lose_every, uint, 0644);
MODULE_PARM_DESC(lose_every, "every n-th job of an instance never ends (0: none)");

static unsigned int stray;
module_param(stray, uint, 0644);
MODULE_PARM_DESC(stray, "the first result of a stream is garbage with time stamp 0");

static unsigned int blocks;
module_param(blocks, uint, 0644);
MODULE_PARM_DESC(blocks, "results say the rounded height, not the visible one");

static unsigned int align = 32;
module_param(align, uint, 0644);
MODULE_PARM_DESC(align, "bytesperline is a multiple of it");

static unsigned int lines = 16;
module_param(lines, uint, 0644);
MODULE_PARM_DESC(lines, "heights are a multiple of it");

static unsigned int other;
module_param(other, uint, 0644);
MODULE_PARM_DESC(other, "S_FMT gives H264 instead of JPEG, as firmware without the encoder does");

#define MIN_SIDE 32
#define MAX_SIDE 1920

/* The state of one queue; that of JPEG repeats the size of the other. */
struct lj_q {
	u32 width, height, visible;
	u32 fourcc, stride, size, sequence;
	u32 colorspace, xfer, enc, quant;
};

struct lj_dev {
	struct v4l2_device v4l2;
	struct video_device video;
	struct v4l2_m2m_dev *m2m;
	struct mutex lock;
};

struct lj_ctx {
	struct v4l2_fh fh;
	struct lj_dev *dev;
	struct v4l2_ctrl_handler handler;
	struct v4l2_ctrl *quality;
	struct lj_q in, out;
	struct delayed_work work;
	u32 jobs;
	bool strayed, aborted;
};

static const u32 in_formats[] = {
	V4L2_PIX_FMT_YUV420, V4L2_PIX_FMT_NV12, V4L2_PIX_FMT_YUYV, V4L2_PIX_FMT_UYVY,
};

static struct lj_ctx *to_ctx(struct file *file)
{
	return container_of(file->private_data, struct lj_ctx, fh);
}

static struct lj_q *get_q(struct lj_ctx *c, u32 type)
{
	return V4L2_TYPE_IS_CAPTURE(type) ? &c->out : &c->in;
}

static bool packed(u32 fourcc)
{
	return fourcc == V4L2_PIX_FMT_YUYV || fourcc == V4L2_PIX_FMT_UYVY;
}

/* ---- the encoder ---- */

struct writer {
	u8 *p, *end;
	u32 acc;
	int bits;
	bool full;
};

static void put(struct writer *w, u8 v)
{
	if (w->p < w->end)
		*w->p++ = v;
	else
		w->full = true;
}

static void put_all(struct writer *w, const u8 *v, size_t n)
{
	while (n--)
		put(w, *v++);
}

static void put_bits(struct writer *w, u32 v, int n)
{
	w->acc = (w->acc << n) | (v & ((1u << n) - 1));
	for (w->bits += n; w->bits >= 8; w->bits -= 8) {
		u8 o = w->acc >> (w->bits - 8);

		put(w, o);
		if (o == 0xff)
			put(w, 0);
	}
}

/* One block: the difference of its mean to that of the last one, nothing else. */
static void put_dc(struct writer *w, int *last, int v)
{
	static const u8 len[] = { 2, 3, 3, 3, 3, 3, 4, 5, 6, 7, 8, 9 };
	static const u16 code[] = { 0, 2, 3, 4, 5, 6, 14, 30, 62, 126, 254, 510 };
	int d = v - *last, cat = fls(abs(d));

	*last = v;
	put_bits(w, code[cat], len[cat]);
	if (cat)
		put_bits(w, d < 0 ? d + (1 << cat) - 1 : d, cat);
	put_bits(w, 0, 1); /* end of block */
}

static u8 sample(const u8 *s, const struct lj_q *q, int comp, u32 x, u32 y)
{
	const u8 *chroma = s + q->stride * q->height;

	x = min(x, q->width - 1);
	y = min(y, q->height - 1);
	switch (q->fourcc) {
	case V4L2_PIX_FMT_YUYV:
		return s[y * q->stride + (comp ? x / 2 * 4 + comp * 2 - 1 : x * 2)];
	case V4L2_PIX_FMT_UYVY:
		return s[y * q->stride + (comp ? x / 2 * 4 + comp * 2 - 2 : x * 2 + 1)];
	}
	if (!comp)
		return s[y * q->stride + x];
	if (q->fourcc == V4L2_PIX_FMT_NV12)
		return chroma[y / 2 * q->stride + (x & ~1) + comp - 1];
	chroma += (comp - 1) * (q->stride / 2) * (q->height / 2);
	return chroma[y / 2 * (q->stride / 2) + x / 2];
}

/* The coefficient of a block, of 16 samples of it. */
static int mean(const u8 *s, const struct lj_q *q, int comp, u32 x, u32 y, int size, int quantizer)
{
	int i, j, sum = 0, step = size / 4;

	for (j = 0; j < size; j += step)
		for (i = 0; i < size; i += step)
			sum += sample(s, q, comp, x + i, y + j);
	return DIV_ROUND_CLOSEST((sum - 16 * 128) / 2, quantizer);
}

static u32 encode(const u8 *s, const struct lj_q *q, u8 *d, u32 room, int quality)
{
	static const u8 dht_dc[] = {
		0xff, 0xc4, 0, 31, 0x00, 0, 1, 5, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0,
		0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11
	};
	static const u8 dht_ac[] = {
		0xff, 0xc4, 0, 20, 0x10, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0
	};
	static const u8 dqt[] = { 0xff, 0xd8, 0xff, 0xdb, 0, 67, 0 };
	static const u8 sos[] = { 0xff, 0xda, 0, 12, 3, 1, 0, 2, 0, 3, 0, 0, 63, 0 };
	u32 height = blocks ? q->height : q->visible;
	u8 sof[] = {
		0xff, 0xc0, 0, 17, 8, height >> 8, height, q->width >> 8, q->width,
		3, 1, 0x22, 0, 2, 0x11, 0, 3, 0x11, 0
	};
	struct writer w = { d, d + room };
	int scale = quality < 50 ? 5000 / quality : 200 - 2 * quality;
	int quantizer = clamp((16 * scale + 50) / 100, 1, 255);
	int i, last[3] = { };
	u32 x, y;

	put_all(&w, dqt, sizeof(dqt));
	for (i = 0; i < 64; i++)
		put(&w, quantizer);
	put_all(&w, sof, sizeof(sof));
	put_all(&w, dht_dc, sizeof(dht_dc));
	put_all(&w, dht_ac, sizeof(dht_ac));
	put_all(&w, sos, sizeof(sos));
	for (y = 0; y < height; y += 16)
		for (x = 0; x < q->width; x += 16) {
			for (i = 0; i < 4; i++)
				put_dc(&w, &last[0], mean(s, q, 0, x + (i & 1) * 8, y + (i >> 1) * 8, 8, quantizer));
			for (i = 1; i < 3; i++)
				put_dc(&w, &last[i], mean(s, q, i, x, y, 16, quantizer));
		}
	if (w.bits)
		put_bits(&w, 0xff, 8 - w.bits);
	put(&w, 0xff);
	put(&w, 0xd9);
	return w.full ? 0 : w.p - d;
}

/* ---- jobs ---- */

static void lj_work(struct work_struct *work)
{
	struct lj_ctx *c = container_of(to_delayed_work(work), struct lj_ctx, work);
	struct v4l2_m2m_ctx *m = c->fh.m2m_ctx;
	struct vb2_v4l2_buffer *src = v4l2_m2m_next_src_buf(m), *dst = v4l2_m2m_next_dst_buf(m);
	enum vb2_buffer_state state = VB2_BUF_STATE_DONE;
	u8 *to = vb2_plane_vaddr(&dst->vb2_buf, 0);
	u32 n;

	if (stray && !c->strayed) {
		c->strayed = true;
		dst = v4l2_m2m_dst_buf_remove(m);
		dst->vb2_buf.timestamp = 0;
		memset(to, 0x55, 1000);
		vb2_set_plane_payload(&dst->vb2_buf, 0, 1000);
		v4l2_m2m_buf_done(dst, VB2_BUF_STATE_DONE);
		v4l2_m2m_job_finish(c->dev->m2m, m); /* the picture waits for another job */
		return;
	}
	n = encode(vb2_plane_vaddr(&src->vb2_buf, 0), &c->in, to, vb2_plane_size(&dst->vb2_buf, 0), v4l2_ctrl_g_ctrl(c->quality));
	v4l2_m2m_buf_copy_metadata(src, dst, true);
	src->sequence = c->in.sequence++;
	dst->sequence = c->out.sequence++;
	dst->flags |= V4L2_BUF_FLAG_KEYFRAME;
	if (!n || c->aborted || (fail_every && c->jobs % fail_every == 0)) {
		state = VB2_BUF_STATE_ERROR;
		n = 0;
	}
	vb2_set_plane_payload(&dst->vb2_buf, 0, n);
	v4l2_m2m_buf_done_and_job_finish(c->dev->m2m, m, state);
}

static void lj_run(void *priv)
{
	struct lj_ctx *c = priv;

	c->jobs++;
	if (!(lose_every && c->jobs % lose_every == 0))
		queue_delayed_work(system_long_wq, &c->work, msecs_to_jiffies(delay_ms));
}

/* The queue is being stopped: the job ends now, also one that was lost. */
static void lj_abort(void *priv)
{
	struct lj_ctx *c = priv;

	c->aborted = true;
	mod_delayed_work(system_long_wq, &c->work, 0);
}

static const struct v4l2_m2m_ops m2m_ops = { .device_run = lj_run, .job_abort = lj_abort };

/* ---- buffers ---- */

static int lj_queue_setup(struct vb2_queue *vq, unsigned int *nb, unsigned int *np, unsigned int sizes[], struct device *dev[])
{
	struct lj_q *q = get_q(vb2_get_drv_priv(vq), vq->type);

	if (*np)
		return sizes[0] < q->size ? -EINVAL : 0;
	*np = 1;
	sizes[0] = q->size;
	return 0;
}

static int lj_buf_out_validate(struct vb2_buffer *vb)
{
	to_vb2_v4l2_buffer(vb)->field = V4L2_FIELD_NONE;
	return 0;
}

static int lj_buf_prepare(struct vb2_buffer *vb)
{
	struct lj_q *q = get_q(vb2_get_drv_priv(vb->vb2_queue), vb->vb2_queue->type);

	if (vb2_plane_size(vb, 0) < q->size)
		return -EINVAL;
	if (V4L2_TYPE_IS_OUTPUT(vb->vb2_queue->type) && vb2_get_plane_payload(vb, 0) < q->size)
		return -EINVAL; /* a short picture */
	return 0;
}

static void lj_buf_queue(struct vb2_buffer *vb)
{
	struct lj_ctx *c = vb2_get_drv_priv(vb->vb2_queue);

	v4l2_m2m_buf_queue(c->fh.m2m_ctx, to_vb2_v4l2_buffer(vb));
}

static int lj_start(struct vb2_queue *vq, unsigned int count)
{
	struct lj_ctx *c = vb2_get_drv_priv(vq);

	get_q(c, vq->type)->sequence = 0;
	c->strayed = false;
	c->aborted = false;
	return 0;
}

static void lj_stop(struct vb2_queue *vq)
{
	struct lj_ctx *c = vb2_get_drv_priv(vq);
	struct v4l2_m2m_ctx *m = c->fh.m2m_ctx;
	struct vb2_v4l2_buffer *b;

	for (;;) {
		b = V4L2_TYPE_IS_OUTPUT(vq->type) ? v4l2_m2m_src_buf_remove(m) : v4l2_m2m_dst_buf_remove(m);
		if (!b)
			return;
		v4l2_m2m_buf_done(b, VB2_BUF_STATE_ERROR);
	}
}

static const struct vb2_ops queue_ops = {
	.queue_setup = lj_queue_setup,
	.buf_out_validate = lj_buf_out_validate,
	.buf_prepare = lj_buf_prepare,
	.buf_queue = lj_buf_queue,
	.start_streaming = lj_start,
	.stop_streaming = lj_stop,
	.wait_prepare = vb2_ops_wait_prepare,
	.wait_finish = vb2_ops_wait_finish,
};

static int lj_queue_init(void *priv, struct vb2_queue *src, struct vb2_queue *dst)
{
	struct lj_ctx *c = priv;
	struct vb2_queue *vq[] = { src, dst };
	int i, r = 0;

	for (i = 0; i < 2 && !r; i++) {
		vq[i]->type = i ? V4L2_BUF_TYPE_VIDEO_CAPTURE_MPLANE : V4L2_BUF_TYPE_VIDEO_OUTPUT_MPLANE;
		vq[i]->io_modes = VB2_MMAP | VB2_DMABUF;
		vq[i]->drv_priv = c;
		vq[i]->buf_struct_size = sizeof(struct v4l2_m2m_buffer);
		vq[i]->ops = &queue_ops;
		vq[i]->mem_ops = &vb2_vmalloc_memops;
		vq[i]->timestamp_flags = V4L2_BUF_FLAG_TIMESTAMP_COPY;
		vq[i]->lock = &c->dev->lock;
		r = vb2_queue_init(vq[i]);
	}
	return r;
}

/* ---- ioctls ---- */

static void fix(struct lj_q *q, bool capture)
{
	int i;

	q->width = clamp(q->width & ~1u, MIN_SIDE, MAX_SIDE);
	q->visible = clamp(q->visible & ~1u, MIN_SIDE, MAX_SIDE);
	q->height = roundup(q->visible, max(lines, 2u));
	if (capture) {
		q->fourcc = other ? V4L2_PIX_FMT_H264 : V4L2_PIX_FMT_JPEG;
		q->stride = 0;
		q->size = 4 << 20; /* as the Pi has it */
		return;
	}
	for (i = 0; i < ARRAY_SIZE(in_formats) && q->fourcc != in_formats[i]; i++)
		;
	if (i == ARRAY_SIZE(in_formats))
		q->fourcc = in_formats[0];
	q->stride = max(q->stride, packed(q->fourcc) ? q->width * 2 : q->width);
	q->stride = roundup(min(q->stride, 4u * MAX_SIDE), max(align, 2u));
	q->size = q->stride * q->height;
	if (!packed(q->fourcc))
		q->size += q->size / 2;
}

static void fill(struct v4l2_format *f, const struct lj_q *q)
{
	struct v4l2_pix_format_mplane *p = &f->fmt.pix_mp;

	memset(p, 0, sizeof(*p));
	p->width = q->width;
	p->height = V4L2_TYPE_IS_CAPTURE(f->type) ? q->visible : q->height;
	p->pixelformat = q->fourcc;
	p->field = V4L2_FIELD_NONE;
	p->colorspace = q->colorspace;
	p->xfer_func = q->xfer;
	p->ycbcr_enc = q->enc;
	p->quantization = q->quant;
	p->num_planes = 1;
	p->plane_fmt[0].bytesperline = q->stride;
	p->plane_fmt[0].sizeimage = q->size;
}

static struct lj_q parse(const struct v4l2_format *f)
{
	const struct v4l2_pix_format_mplane *p = &f->fmt.pix_mp;
	struct lj_q q = {
		.width = p->width, .visible = p->height, .fourcc = p->pixelformat,
		.stride = p->plane_fmt[0].bytesperline, .colorspace = p->colorspace ?: V4L2_COLORSPACE_JPEG,
		.xfer = p->xfer_func, .enc = p->ycbcr_enc, .quant = p->quantization,
	};

	fix(&q, V4L2_TYPE_IS_CAPTURE(f->type));
	return q;
}

static int lj_g_fmt(struct file *file, void *priv, struct v4l2_format *f)
{
	fill(f, get_q(to_ctx(file), f->type));
	return 0;
}

static int lj_try_fmt(struct file *file, void *priv, struct v4l2_format *f)
{
	struct lj_q q = parse(f);

	fill(f, &q);
	return 0;
}

static int lj_s_fmt(struct file *file, void *priv, struct v4l2_format *f)
{
	struct lj_ctx *c = to_ctx(file);
	struct lj_q q = parse(f);

	if (vb2_is_busy(v4l2_m2m_get_vq(c->fh.m2m_ctx, f->type)))
		return -EBUSY;
	if (V4L2_TYPE_IS_OUTPUT(f->type))
		c->in = q;
	/* The size of the JPEG is that of the picture. */
	c->out = c->in;
	fix(&c->out, true);
	fill(f, get_q(c, f->type));
	return 0;
}

static int lj_enum_cap(struct file *file, void *priv, struct v4l2_fmtdesc *f)
{
	if (f->index)
		return -EINVAL;
	f->pixelformat = V4L2_PIX_FMT_JPEG;
	return 0;
}

static int lj_enum_out(struct file *file, void *priv, struct v4l2_fmtdesc *f)
{
	if (f->index >= ARRAY_SIZE(in_formats))
		return -EINVAL;
	f->pixelformat = in_formats[f->index];
	return 0;
}

static int lj_enum_sizes(struct file *file, void *priv, struct v4l2_frmsizeenum *f)
{
	if (f->index)
		return -EINVAL;
	f->type = V4L2_FRMSIZE_TYPE_STEPWISE;
	f->stepwise = (struct v4l2_frmsize_stepwise){ MIN_SIDE, MAX_SIDE, 2, MIN_SIDE, MAX_SIDE, 2 };
	return 0;
}

static int lj_querycap(struct file *file, void *priv, struct v4l2_capability *c)
{
	strscpy(c->driver, "labjpeg", sizeof(c->driver));
	strscpy(c->card, "labjpeg-encode_image", sizeof(c->card));
	return 0;
}

static const struct v4l2_ioctl_ops ioctl_ops = {
	.vidioc_querycap = lj_querycap,
	.vidioc_enum_fmt_vid_cap = lj_enum_cap,
	.vidioc_enum_fmt_vid_out = lj_enum_out,
	.vidioc_enum_framesizes = lj_enum_sizes,
	.vidioc_g_fmt_vid_cap_mplane = lj_g_fmt,
	.vidioc_try_fmt_vid_cap_mplane = lj_try_fmt,
	.vidioc_s_fmt_vid_cap_mplane = lj_s_fmt,
	.vidioc_g_fmt_vid_out_mplane = lj_g_fmt,
	.vidioc_try_fmt_vid_out_mplane = lj_try_fmt,
	.vidioc_s_fmt_vid_out_mplane = lj_s_fmt,
	.vidioc_reqbufs = v4l2_m2m_ioctl_reqbufs,
	.vidioc_querybuf = v4l2_m2m_ioctl_querybuf,
	.vidioc_qbuf = v4l2_m2m_ioctl_qbuf,
	.vidioc_dqbuf = v4l2_m2m_ioctl_dqbuf,
	.vidioc_prepare_buf = v4l2_m2m_ioctl_prepare_buf,
	.vidioc_create_bufs = v4l2_m2m_ioctl_create_bufs,
	.vidioc_expbuf = v4l2_m2m_ioctl_expbuf,
	.vidioc_streamon = v4l2_m2m_ioctl_streamon,
	.vidioc_streamoff = v4l2_m2m_ioctl_streamoff,
	.vidioc_subscribe_event = v4l2_ctrl_subscribe_event,
	.vidioc_unsubscribe_event = v4l2_event_unsubscribe,
};

/* ---- files and the device ---- */

static int lj_open(struct file *file)
{
	struct lj_dev *d = video_drvdata(file);
	struct lj_ctx *c = kzalloc(sizeof(*c), GFP_KERNEL);
	int r;

	if (!c)
		return -ENOMEM;
	c->dev = d;
	v4l2_fh_init(&c->fh, &d->video);
	file->private_data = &c->fh;
	v4l2_ctrl_handler_init(&c->handler, 1);
	c->quality = v4l2_ctrl_new_std(&c->handler, NULL, V4L2_CID_JPEG_COMPRESSION_QUALITY, 1, 100, 1, 80);
	c->fh.ctrl_handler = &c->handler;
	c->in = (struct lj_q){ .width = 640, .visible = 480, .colorspace = V4L2_COLORSPACE_JPEG };
	fix(&c->in, false);
	c->out = c->in;
	fix(&c->out, true);
	INIT_DELAYED_WORK(&c->work, lj_work);
	r = c->handler.error;
	if (!r) {
		c->fh.m2m_ctx = v4l2_m2m_ctx_init(d->m2m, c, lj_queue_init);
		r = PTR_ERR_OR_ZERO(c->fh.m2m_ctx);
	}
	if (r) {
		v4l2_ctrl_handler_free(&c->handler);
		v4l2_fh_exit(&c->fh);
		kfree(c);
		return r;
	}
	v4l2_fh_add(&c->fh);
	return 0;
}

static int lj_release(struct file *file)
{
	struct lj_ctx *c = to_ctx(file);

	v4l2_fh_del(&c->fh);
	mutex_lock(&c->dev->lock);
	v4l2_m2m_ctx_release(c->fh.m2m_ctx);
	mutex_unlock(&c->dev->lock);
	cancel_delayed_work_sync(&c->work);
	v4l2_ctrl_handler_free(&c->handler);
	v4l2_fh_exit(&c->fh);
	kfree(c);
	return 0;
}

static const struct v4l2_file_operations file_ops = {
	.owner = THIS_MODULE,
	.open = lj_open,
	.release = lj_release,
	.poll = v4l2_m2m_fop_poll,
	.unlocked_ioctl = video_ioctl2,
	.mmap = v4l2_m2m_fop_mmap,
};

static struct platform_device *platform;
static struct lj_dev lj;

static int lj_probe(struct platform_device *p)
{
	int r;

	mutex_init(&lj.lock);
	r = v4l2_device_register(&p->dev, &lj.v4l2);
	if (r)
		return r;
	lj.m2m = v4l2_m2m_init(&m2m_ops);
	if (IS_ERR(lj.m2m)) {
		r = PTR_ERR(lj.m2m);
		goto unregister;
	}
	strscpy(lj.video.name, "labjpeg-encode_image", sizeof(lj.video.name));
	lj.video.fops = &file_ops;
	lj.video.ioctl_ops = &ioctl_ops;
	lj.video.release = video_device_release_empty;
	lj.video.vfl_dir = VFL_DIR_M2M;
	lj.video.device_caps = V4L2_CAP_VIDEO_M2M_MPLANE | V4L2_CAP_STREAMING;
	lj.video.lock = &lj.lock;
	lj.video.v4l2_dev = &lj.v4l2;
	video_set_drvdata(&lj.video, &lj);
	r = video_register_device(&lj.video, VFL_TYPE_VIDEO, 31); /* the Pi's number, if it is free */
	if (!r)
		return 0;
	v4l2_m2m_release(lj.m2m);
unregister:
	v4l2_device_unregister(&lj.v4l2);
	return r;
}

static void lj_remove(struct platform_device *p)
{
	video_unregister_device(&lj.video);
	v4l2_m2m_release(lj.m2m);
	v4l2_device_unregister(&lj.v4l2);
}

static struct platform_driver driver = {
	.probe = lj_probe,
	.remove_new = lj_remove,
	.driver = { .name = "labjpeg" },
};

static int __init lj_init(void)
{
	int r;

	platform = platform_device_register_simple("labjpeg", -1, NULL, 0);
	if (IS_ERR(platform))
		return PTR_ERR(platform);
	r = platform_driver_register(&driver);
	if (r)
		platform_device_unregister(platform);
	return r;
}

static void __exit lj_exit(void)
{
	platform_driver_unregister(&driver);
	platform_device_unregister(platform);
}

module_init(lj_init);
module_exit(lj_exit);
MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("memory-to-memory JPEG encoder for tests");
