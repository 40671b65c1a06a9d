//go:build system

package main

import (
	"context"
	"os"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

// sum draws the picture of the page and adds up what is in it; it changes when
// the picture does. It is -1 as long as there is none.
const sum = `(() => {
	const p = document.getElementById("picture");
	if (!p.naturalWidth) return -1;
	const c = document.createElement("canvas");
	c.width = p.naturalWidth; c.height = p.naturalHeight;
	const g = c.getContext("2d");
	g.drawImage(p, 0, 0);
	const d = g.getImageData(0, 0, c.width, c.height).data;
	let n = 0;
	for (let i = 0; i < d.length; i += 4) n = (n * 31 + d[i]) % 1000000007;
	return n;
})()`

// TestSystemPageShowsThePictureOfACustomEndpoint looks at the default page with
// a real browser, after the path of the stream was changed.
func TestSystemPageShowsThePictureOfACustomEndpoint(t *testing.T) {
	d := begin(t, "-s", "test:640x480", "-op", `{"custom_video_endpoint": " xyz ", "frame_size_reduction": 25}`)
	flags := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath("/usr/bin/chromium"), chromedp.UserDataDir(t.TempDir()), chromedp.WindowSize(1280, 800),
		chromedp.Flag("disable-component-update", true), chromedp.Flag("disable-gpu", true))
	if os.Getuid() == 0 {
		flags = append(flags, chromedp.NoSandbox) // chromium refuses to run as root otherwise
	}
	ctx, cancel := chromedp.NewExecAllocator(context.Background(), flags...)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	t.Cleanup(cancel)
	ctx, cancel = context.WithTimeout(ctx, time.Minute)
	t.Cleanup(cancel)
	if err := chromedp.Do(ctx, chromedp.Navigate(d.url+"/")); err != nil {
		t.Fatal(err)
	}
	seen := map[int]bool{}
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for len(seen) < 4 {
		n, err := chromedp.Run(ctx, chromedp.Evaluate[int](sum))
		if err != nil {
			t.Fatalf("after %d different pictures: %v", len(seen), err)
		}
		if n >= 0 {
			seen[n] = true
		}
		<-tick.C
	}
	if w, err := chromedp.Run(ctx, chromedp.Evaluate[int](`picture.naturalWidth`)); err != nil || w != 480 {
		t.Errorf("the picture is %d pixels wide, want 480: %v", w, err)
	}
	if src, err := chromedp.Run(ctx, chromedp.Evaluate[string](`new URL(picture.src).pathname`)); err != nil || src != "/xyz" {
		t.Errorf("the picture comes from %q, %v", src, err)
	}
}
