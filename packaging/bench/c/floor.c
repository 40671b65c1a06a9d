// The least a program can do to pass one picture to many viewers: one thread,
// epoll, one system call per viewer and picture. It does nothing else, so its cost
// is the measure for a server that does.
//
//   floor PORT BYTES FPS
//
// Compiled as it is, the call is writev; with -DSHARED it is sendfile from a file
// in memory that holds the part once. -DBOUNDARY=word changes the delimiter, for
// programs that read the stream and know one word only.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "picture.h"

enum { MAX = 2048, PLACES = 4, STRIDE = 16 << 20 };

struct viewer {
	int fd, watching, busy;
	uint64_t seq;       // of the picture it has or is being sent
	size_t sent, size;  // of the part
	char header[256];   // of that picture
	size_t header_size;
};

#ifndef BOUNDARY
#define BOUNDARY frame
#endif
#define TEXT(x) #x
#define WORD(x) TEXT(x)

static const char head[] =
    "HTTP/1.1 200 OK\r\nConnection: close\r\nCache-Control: no-store\r\n"
    "Content-Type: multipart/x-mixed-replace; boundary=" WORD(BOUNDARY) "\r\n\r\n--" WORD(BOUNDARY) "\r\n";
static const char trailer[] = "\r\n--" WORD(BOUNDARY) "\r\n";

static struct viewer viewers[MAX];
static int count;
static char *picture, header[256];
static size_t picture_size, header_size;
static uint64_t seq;
#ifdef SHARED
static int memory;
#endif

static void lose(struct viewer *v)
{
	close(v->fd);
	v->fd = -1;
	v->watching = 0;
}

static void make_picture(void)
{
	struct timespec t;
	clock_gettime(CLOCK_REALTIME, &t);
	seq++;
	header_size = snprintf(header, sizeof header,
	    "Content-Type: image/jpeg\r\nContent-Length: %zu\r\nX-Timestamp: %ld.%06ld\r\nX-Sequence: %llu\r\n\r\n",
	    picture_size, (long)t.tv_sec, t.tv_nsec / 1000, (unsigned long long)seq);
	// Once more in the picture itself, where those who pass it on keep it.
	stamp_picture(picture, t, seq);
#ifdef SHARED
	off_t at = (off_t)(seq % PLACES) * STRIDE;
	size_t whole = (header_size + picture_size + sizeof trailer + 4095) / 4096 * 4096;
	fallocate(memory, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, at, whole + 4096);
	struct iovec part[3] = {{header, header_size}, {picture, picture_size}, {(char *)trailer, sizeof trailer - 1}};
	if (pwritev(memory, part, 3, at) < 0)
		exit(1);
#endif
}

// push sends what is left of the picture; it returns -1 when the viewer is gone.
static int push(struct viewer *v)
{
	ssize_t n;
#ifdef SHARED
	if (v->seq + PLACES <= seq)
		return -1; // its place is used by another picture; a bench has no such viewers
	off_t at = (off_t)(v->seq % PLACES) * STRIDE + v->sent;
	n = sendfile(v->fd, memory, &at, v->size - v->sent);
#else
	struct iovec all[3] = {{v->header, v->header_size}, {picture, picture_size}, {(char *)trailer, sizeof trailer - 1}};
	struct iovec *p = all;
	int left = 3;
	for (size_t skip = v->sent; skip > 0;) {
		if (skip < p->iov_len) {
			p->iov_base = (char *)p->iov_base + skip;
			p->iov_len -= skip;
			break;
		}
		skip -= p->iov_len;
		p++;
		left--;
	}
	n = writev(v->fd, p, left);
#endif
	if (n < 0)
		return errno == EAGAIN ? 0 : -1;
	v->sent += n;
	v->busy = v->sent < v->size;
	return 0;
}

static void offer(struct viewer *v)
{
	if (v->busy || v->seq == seq)
		return;
	v->seq = seq;
	v->sent = 0;
	v->busy = 1;
	v->size = header_size + picture_size + sizeof trailer - 1;
	memcpy(v->header, header, header_size);
	v->header_size = header_size;
	if (push(v) < 0)
		lose(v);
}

int main(int argc, char **argv)
{
	if (argc != 4)
		return 2;
	signal(SIGPIPE, SIG_IGN);
	picture_size = atol(argv[2]);
	double fps = atof(argv[3]);
	if (picture_size < 1000)
		return 2;
	picture = malloc(picture_size);
	fill_picture(picture, picture_size);
#ifdef SHARED
	memory = memfd_create("frames", MFD_CLOEXEC);
#endif
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), one = 1;
	setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(atoi(argv[1])), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	if (bind(listener, (struct sockaddr *)&a, sizeof a) || listen(listener, 1024)) {
		perror("listen");
		return 1;
	}
	int timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
	long ns = 1e9 / fps;
	struct itimerspec every = {.it_interval = {0, ns}, .it_value = {0, ns}};
	timerfd_settime(timer, 0, &every, NULL);
	int ep = epoll_create1(0);
	struct epoll_event e = {.events = EPOLLIN, .data.u32 = MAX};
	epoll_ctl(ep, EPOLL_CTL_ADD, listener, &e);
	e.data.u32 = MAX + 1;
	epoll_ctl(ep, EPOLL_CTL_ADD, timer, &e);
	make_picture();
	for (;;) {
		struct epoll_event events[256];
		int n = epoll_wait(ep, events, 256, -1);
		for (int i = 0; i < n; i++) {
			unsigned id = events[i].data.u32;
			if (id == MAX + 1) {
				uint64_t ticks;
				if (read(timer, &ticks, sizeof ticks) < 0)
					continue;
				make_picture();
				for (int j = 0; j < count; j++)
					if (viewers[j].watching)
						offer(&viewers[j]);
				continue;
			}
			if (id == MAX) {
				int fd;
				while (count < MAX && (fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
					setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
					viewers[count] = (struct viewer){.fd = fd};
					e.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET;
					e.data.u32 = count++;
					epoll_ctl(ep, EPOLL_CTL_ADD, fd, &e);
				}
				continue;
			}
			struct viewer *v = &viewers[id];
			if (v->fd < 0)
				continue;
			if (events[i].events & EPOLLIN) {
				char scratch[4096];
				ssize_t r;
				while ((r = read(v->fd, scratch, sizeof scratch)) > 0)
					;
				if (r == 0) {
					lose(v);
					continue;
				}
				if (!v->watching) {
					v->watching = 1;
					if (write(v->fd, head, sizeof head - 1) < 0) {
						lose(v);
						continue;
					}
					offer(v);
					continue;
				}
			}
			if (v->busy && (events[i].events & EPOLLOUT)) {
				if (push(v) < 0)
					lose(v);
				else if (!v->busy)
					offer(v);
			}
		}
	}
}
