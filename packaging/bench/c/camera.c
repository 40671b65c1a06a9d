// A camera for programs that read nothing but cameras: loaded in front of the C
// library (LD_PRELOAD), it answers for the device in BENCH_CAMERA with pictures of
// BENCH_BYTES bytes at BENCH_FPS per second, in the buffers that the program maps.
// It knows what a program needs that asks for MJPEG, and no more. Programs that do
// not call the C library, such as those in Go, do not see it.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/videodev2.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "picture.h"

enum { BUFFERS = 16 };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int camera = -1; // a timer: readable when a picture is due
static char *picture, *memory[BUFFERS];
static size_t bytes, room;
static unsigned buffers, queue[BUFFERS], queued, sequence;
static struct v4l2_pix_format format;

static long number(const char *name, long otherwise)
{
	const char *s = getenv(name);
	return s ? atol(s) : otherwise;
}

static int open_camera(int flags)
{
	bytes = number("BENCH_BYTES", 100000);
	room = (bytes + 4095) / 4096 * 4096;
	picture = malloc(bytes);
	fill_picture(picture, bytes);
	for (int i = 0; i < BUFFERS; i++)
		memory[i] = mmap(NULL, room, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	return camera = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | (flags & O_NONBLOCK ? TFD_NONBLOCK : 0));
}

static void run(int on)
{
	long ns = on ? 1000000000 / number("BENCH_FPS", 30) : 0;
	struct itimerspec every = {.it_interval = {0, ns}, .it_value = {0, ns}};
	timerfd_settime(camera, 0, &every, NULL);
	queued = on ? queued : 0;
}

static void describe(struct v4l2_buffer *b, unsigned i)
{
	b->index = i;
	b->type = V4L2_BUF_TYPE_VIDEO_CAPTURE;
	b->memory = V4L2_MEMORY_MMAP;
	b->length = room;
	b->m.offset = i * room;
	b->flags = V4L2_BUF_FLAG_TIMESTAMP_MONOTONIC | V4L2_BUF_FLAG_MAPPED;
	b->field = V4L2_FIELD_NONE;
}

static int dequeue(struct v4l2_buffer *b)
{
	uint64_t ticks;
	if (queued == 0) {
		errno = EAGAIN;
		return -1;
	}
	if (read(camera, &ticks, sizeof ticks) < 0)
		return -1;
	unsigned i = queue[0];
	memmove(queue, queue + 1, --queued * sizeof *queue);
	describe(b, i);
	struct timespec t;
	clock_gettime(CLOCK_REALTIME, &t);
	stamp_picture(picture, t, ++sequence);
	memcpy(memory[i], picture, bytes);
	clock_gettime(CLOCK_MONOTONIC, &t);
	b->timestamp = (struct timeval){t.tv_sec, t.tv_nsec / 1000};
	b->bytesused = bytes;
	b->sequence = sequence;
	return 0;
}

static int answer(unsigned long request, void *arg)
{
	switch (request) {
	case VIDIOC_QUERYCAP: {
		struct v4l2_capability *c = arg;
		memset(c, 0, sizeof *c);
		strcpy((char *)c->driver, "bench");
		strcpy((char *)c->card, "bench");
		c->capabilities = V4L2_CAP_VIDEO_CAPTURE | V4L2_CAP_STREAMING | V4L2_CAP_DEVICE_CAPS;
		c->device_caps = V4L2_CAP_VIDEO_CAPTURE | V4L2_CAP_STREAMING;
		return 0;
	}
	case VIDIOC_S_INPUT:
		return 0;
	case VIDIOC_S_FMT:
	case VIDIOC_TRY_FMT: {
		struct v4l2_pix_format *f = &((struct v4l2_format *)arg)->fmt.pix;
		f->pixelformat = V4L2_PIX_FMT_MJPEG;
		f->field = V4L2_FIELD_NONE;
		f->bytesperline = 0;
		f->sizeimage = room;
		format = *f;
		return 0;
	}
	case VIDIOC_G_FMT:
		((struct v4l2_format *)arg)->fmt.pix = format;
		return 0;
	case VIDIOC_G_PARM:
	case VIDIOC_S_PARM: {
		struct v4l2_captureparm *p = &((struct v4l2_streamparm *)arg)->parm.capture;
		p->capability = V4L2_CAP_TIMEPERFRAME;
		p->timeperframe = (struct v4l2_fract){1, number("BENCH_FPS", 30)};
		return 0;
	}
	case VIDIOC_REQBUFS: {
		struct v4l2_requestbuffers *r = arg;
		if (r->memory != V4L2_MEMORY_MMAP)
			break;
		if (r->count > BUFFERS)
			r->count = BUFFERS;
		buffers = r->count;
		queued = 0;
		return 0;
	}
	case VIDIOC_QUERYBUF:
	case VIDIOC_QBUF: {
		struct v4l2_buffer *b = arg;
		if (b->index >= buffers)
			break;
		if (request == VIDIOC_QBUF && queued < BUFFERS)
			queue[queued++] = b->index;
		describe(b, b->index);
		return 0;
	}
	case VIDIOC_DQBUF:
		return dequeue(arg);
	case VIDIOC_STREAMON:
	case VIDIOC_STREAMOFF:
		run(request == VIDIOC_STREAMON);
		return 0;
	default:
		errno = ENOTTY;
		return -1;
	}
	errno = EINVAL;
	return -1;
}

int ioctl(int fd, unsigned long request, ...)
{
	static int (*real)(int, unsigned long, void *);
	va_list args;
	va_start(args, request);
	void *arg = va_arg(args, void *);
	va_end(args);
	if (fd >= 0 && fd == camera) {
		pthread_mutex_lock(&lock);
		int result = answer((unsigned)request, arg);
		pthread_mutex_unlock(&lock);
		return result;
	}
	if (!real)
		real = dlsym(RTLD_NEXT, "ioctl");
	return real(fd, request, arg);
}

static int open_any(const char *name, const char *path, int flags, mode_t mode)
{
	const char *ours = getenv("BENCH_CAMERA");
	if (ours && strcmp(path, ours) == 0)
		return open_camera(flags);
	int (*real)(const char *, int, ...) = dlsym(RTLD_NEXT, name);
	return real(path, flags, mode);
}

#define OPEN(name) \
	int name(const char *path, int flags, ...) \
	{ \
		va_list args; \
		va_start(args, flags); \
		mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(args, mode_t) : 0; \
		va_end(args); \
		return open_any(#name, path, flags, mode); \
	}
OPEN(open)
OPEN(open64)

static void *map_any(const char *name, void *addr, size_t length, int prot, int flags, int fd, off64_t offset)
{
	if (fd >= 0 && fd == camera && offset / (off64_t)room < BUFFERS)
		return memory[offset / room]; // it stays when the program unmaps it, and is mapped once
	void *(*real)(void *, size_t, int, int, int, off64_t) = dlsym(RTLD_NEXT, name);
	return real(addr, length, prot, flags, fd, offset);
}

void *mmap(void *addr, size_t length, int prot, int flags, int fd, off_t offset)
{
	return map_any("mmap", addr, length, prot, flags, fd, offset);
}

void *mmap64(void *addr, size_t length, int prot, int flags, int fd, off64_t offset)
{
	return map_any("mmap64", addr, length, prot, flags, fd, offset);
}
