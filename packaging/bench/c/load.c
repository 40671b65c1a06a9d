// Many viewers in one thread, who read everything and measure.
//
//   load PORT VIEWERS WARMUP_SECONDS SECONDS [STALLED [PATH]]
//
// All connect at once; so do STALLED others, who ask for PATH too and then read
// nothing. Lines to standard output:
//
//   begin                        the warm-up is over
//   end                          the measurement is over
//   frames N lost N p50 µs p99 µs first50 µs firstmax µs ended N
//
// Delay is from the time in the picture, "bench SECONDS SEQUENCE", or else in
// X-Timestamp, to the last byte of the picture; first is from the
// connect to the last byte of the first picture; lost counts gaps in X-Sequence.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

struct conn {
	int fd, asked, stamped;
	int64_t began, first; // µs
	long left;            // of the picture
	double stamp;
	long seq;
	char probe[128]; // the beginning of the picture
	size_t probed;
	char header[4096];
	size_t have;
};

static struct conn *conns;
static uint32_t *delays;
static size_t ndelays;
enum { MAXDELAYS = 4 << 20 };
static long lost, ended;
static int measuring;

static int64_t now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_REALTIME, &t);
	return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

static void done(struct conn *c)
{
	int64_t t = now();
	char *mark = memmem(c->probe, c->probed, "bench ", 6);
	double stamp;
	long seq;
	if (mark && sscanf(mark, "bench %lf %ld", &stamp, &seq) == 2) {
		if (measuring && c->seq && c->stamped)
			lost += seq - c->seq - 1;
		c->stamp = stamp;
		c->seq = seq;
		c->stamped = 1;
	}
	if (!c->first)
		c->first = t - c->began;
	if (measuring && ndelays < MAXDELAYS) {
		int64_t d = t - (int64_t)(c->stamp * 1e6 + 0.5);
		delays[ndelays++] = d < 0 ? 0 : d;
	}
}

static void take(struct conn *c, const char *b, size_t n)
{
	while (n > 0) {
		if (c->left > 0) {
			size_t k = (size_t)c->left < n ? (size_t)c->left : n;
			size_t room = sizeof c->probe - 1 - c->probed, some = k < room ? k : room;
			memcpy(c->probe + c->probed, b, some);
			c->probed += some;
			c->probe[c->probed] = 0;
			b += k;
			n -= k;
			if ((c->left -= k) == 0)
				done(c);
			continue;
		}
		size_t room = sizeof c->header - 1 - c->have, k = n < room ? n : room;
		memcpy(c->header + c->have, b, k);
		c->header[c->have + k] = 0;
		char *end = memmem(c->header, c->have + k, "\r\n\r\n", 4);
		if (!end) {
			c->have += k;
			if (k == room) {
				fprintf(stderr, "header too long\n");
				exit(1);
			}
			return;
		}
		size_t used = end + 4 - c->header - c->have;
		b += used;
		n -= used;
		c->have = 0;
		char *p = strstr(c->header, "Content-Length: ");
		if (!p || p > end)
			continue; // the response's own header
		c->left = atol(p + 16);
		c->probed = 0;
		p = strstr(c->header, "X-Timestamp: ");
		c->stamp = p ? atof(p + 13) : 0;
		p = strstr(c->header, "X-Sequence: ");
		if (p && !c->stamped) {
			long seq = atol(p + 12);
			if (measuring && c->seq)
				lost += seq - c->seq - 1;
			c->seq = seq;
		}
	}
}

static int byvalue(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
	return x < y ? -1 : x > y;
}

int main(int argc, char **argv)
{
	if (argc < 5 || argc > 7)
		return 2;
	int stalled = argc > 5 ? atoi(argv[5]) : 0;
	char request[512];
	size_t request_size = snprintf(request, sizeof request, "GET %s HTTP/1.1\r\nHost: bench\r\n\r\n", argc > 6 ? argv[6] : "/video");
	int n = atoi(argv[2]);
	double warm = atof(argv[3]), span = atof(argv[4]);
	conns = calloc(n, sizeof *conns);
	delays = malloc(MAXDELAYS * sizeof *delays);
	static char buf[256 << 10];
	int ep = epoll_create1(0);
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(atoi(argv[1])), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	for (int i = 0; i < stalled; i++) {
		int fd = socket(AF_INET, SOCK_STREAM, 0);
		if (connect(fd, (struct sockaddr *)&a, sizeof a) || write(fd, request, request_size) < 0) {
			perror("stalled");
			return 1;
		}
	}
	for (int i = 0; i < n; i++) {
		struct conn *c = &conns[i];
		c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
		c->began = now();
		if (connect(c->fd, (struct sockaddr *)&a, sizeof a) && errno != EINPROGRESS) {
			perror("connect");
			return 1;
		}
		struct epoll_event e = {.events = EPOLLOUT, .data.u32 = i};
		epoll_ctl(ep, EPOLL_CTL_ADD, c->fd, &e);
	}
	int64_t start = now(), from = start + (int64_t)(warm * 1e6), to = from + (int64_t)(span * 1e6);
	for (;;) {
		int64_t t = now();
		if (!measuring && t >= from) {
			measuring = 1;
			printf("begin\n");
			fflush(stdout);
		}
		if (t >= to)
			break;
		struct epoll_event events[256];
		int k = epoll_wait(ep, events, 256, 20);
		for (int i = 0; i < k; i++) {
			struct conn *c = &conns[events[i].data.u32];
			if (!c->asked) {
				if (write(c->fd, request, request_size) < 0) {
					perror("request");
					return 1;
				}
				c->asked = 1;
				struct epoll_event e = {.events = EPOLLIN, .data.u32 = events[i].data.u32};
				epoll_ctl(ep, EPOLL_CTL_MOD, c->fd, &e);
				continue;
			}
			ssize_t r = read(c->fd, buf, sizeof buf);
			if (r > 0)
				take(c, buf, r);
			else if (r == 0 || errno != EAGAIN) {
				ended++;
				epoll_ctl(ep, EPOLL_CTL_DEL, c->fd, NULL);
			}
		}
	}
	printf("end\n");
	fflush(stdout);
	qsort(delays, ndelays, sizeof *delays, byvalue);
	uint32_t *firsts = calloc(n, sizeof *firsts);
	for (int i = 0; i < n; i++)
		firsts[i] = conns[i].first ? conns[i].first : UINT32_MAX;
	qsort(firsts, n, sizeof *firsts, byvalue);
	printf("frames %zu lost %ld p50 %u p99 %u first50 %u firstmax %u ended %ld\n", ndelays, lost,
	    ndelays ? delays[ndelays / 2] : 0, ndelays ? delays[ndelays * 99 / 100] : 0, firsts[n / 2], firsts[n - 1], ended);
	return 0;
}
