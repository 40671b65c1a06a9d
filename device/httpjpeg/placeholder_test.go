package httpjpeg_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/webgear-pi/webgear/device"
	"github.com/webgear-pi/webgear/device/devicetest"
	"github.com/webgear-pi/webgear/device/httpjpeg"
)

// other is another webgear: it sends placeholders until live is closed.
func other(t *testing.T, live <-chan struct{}) string {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "multipart/x-mixed-replace; boundary=frame")
		tick := time.NewTicker(10 * time.Millisecond)
		defer tick.Stop()
		for n := uint32(1); ; n++ {
			pic, mark := devicetest.JPEG(n, 64, 48), "X-Placeholder: unplugged\r\n"
			select {
			case <-live:
				mark = ""
			default:
			}
			_, err := fmt.Fprintf(w, "--frame\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n%s\r\n%s\r\n", len(pic), mark, pic)
			if err != nil || http.NewResponseController(w).Flush() != nil {
				return
			}
			select {
			case <-r.Context().Done():
				return
			case <-tick.C:
			}
		}
	}))
	t.Cleanup(s.Close)
	return s.URL
}

func TestPlaceholdersOfAnotherWebgearAreNoPictures(t *testing.T) {
	live := make(chan struct{})
	cam, got, err := start(t, httpjpeg.Options{URL: other(t, live)}, device.Format{})
	if err != nil || got.Width != 64 || got.Height != 48 {
		t.Fatalf("got %v, %v, want the size of the placeholder", got, err)
	}
	lived := time.AfterFunc(100*time.Millisecond, func() { close(live) })
	defer lived.Stop()
	begun := time.Now()
	if _, err := picture(t, cam); err != nil {
		t.Fatal(err)
	}
	if waited := time.Since(begun); waited < 50*time.Millisecond {
		t.Errorf("a picture came after %v, while there were placeholders only", waited)
	}
}

func TestPlaceholdersWithoutEndAreAStallThatNamesTheCause(t *testing.T) {
	cam, _, err := start(t, httpjpeg.Options{URL: other(t, nil), Timeout: 50 * time.Millisecond}, device.Format{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := picture(t, cam); !errors.Is(err, device.ErrStalled) || !strings.Contains(err.Error(), `"unplugged"`) {
		t.Errorf("got %v", err)
	}
}
