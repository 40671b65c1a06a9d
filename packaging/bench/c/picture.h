// The picture of the bench: a JPEG of any size in bytes, with the time when it was
// made and its number inside.
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

enum { STAMP = 60 }; // bytes of the comment with time and number

// comment writes a JPEG comment of n bytes in all.
static char *comment(char *p, size_t n)
{
	memset(p, 'x', n);
	memcpy(p, (char[]){0xff, 0xfe, (n - 2) >> 8, n - 2}, 4);
	return p + n;
}

// fill_picture makes a grey JPEG of 8 by 8 pixels with enough comments to be as
// large as it should: servers that pass pictures on look at their markers.
static void fill_picture(char *picture, size_t picture_size)
{
	static const unsigned char tables[] = {
	    0xff, 0xc0, 0, 11, 8, 0, 8, 0, 8, 1, 1, 0x11, 0, // 8 x 8, grey
	    0xff, 0xc4, 0, 20, 0x00, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, // one DC code
	    0xff, 0xc4, 0, 20, 0x10, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, // one AC code
	    0xff, 0xda, 0, 8, 1, 1, 0, 0, 63, 0, 0x3f, 0xff, 0xd9};
	char *p = picture;
	memcpy(p, "\xff\xd8", 2);
	p = comment(p + 2, STAMP);
	size_t left = picture_size - (p - picture) - 69 - sizeof tables;
	while (left > 0) {
		size_t n = left < 60000 ? left : 60000;
		if (left - n > 0 && left - n < 4)
			n -= 4; // the last one needs its own four bytes
		p = comment(p, n);
		left -= n;
	}
	memset(p, 1, 69); // a quantization table of ones
	memcpy(p, (char[]){0xff, 0xdb, 0, 67, 0}, 5);
	memcpy(p + 69, tables, sizeof tables);
}

// stamp_picture notes when the picture was made, and its number.
static void stamp_picture(char *picture, struct timespec t, uint64_t seq)
{
	snprintf(picture + 6, STAMP - 4, "bench %010ld.%06ld %012llu", (long)t.tv_sec, t.tv_nsec / 1000, (unsigned long long)seq);
}
