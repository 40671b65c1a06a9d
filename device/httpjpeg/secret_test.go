package httpjpeg_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/webgear-pi/webgear/device"
	"github.com/webgear-pi/webgear/device/devicetest"
	"github.com/webgear-pi/webgear/device/httpjpeg"
)

func TestInfoShowsTheURLWithoutSecrets(t *testing.T) {
	for in, want := range map[string]string{
		"http://camera:8080/video":                                        "http://camera:8080/video",
		"http://user:secret@camera/video#secret":                          "http://user@camera/video",
		" http://user@camera/ ":                                           "http://user@camera/",
		"https://camera/v.cgi?user=admin&pwd=secret&rate=6":               "https://camera/v.cgi?user=admin&pwd=xxxxx&rate=6",
		"http://camera/v?loginuse=a&loginpas=secret&X-Auth-Token=secret&": "http://camera/v?loginuse=a&loginpas=xxxxx&X-Auth-Token=xxxxx&",
		"http://camera/?action=stream&password=":                          "http://camera/?action=stream&password=",
	} {
		info := open(t, httpjpeg.Options{URL: in}).Info()
		if info.Path != want || info.ID != want || info.Driver != "httpjpeg" || !strings.HasPrefix(info.Name, "Network camera camera") || info.Synthetic {
			t.Errorf("%s: got %+v, want path %s", in, info, want)
		}
	}
}

func TestUnusableURLsAreRefusedWithoutShowingThem(t *testing.T) {
	for _, url := range []string{
		"", "camera", "/dev/video0", "rtsp://user:secret@camera/", "http://", "http:///secret", "http://:80/secret",
		"http://user:se/cret@camera/", "http://user:%zzsecret@camera/", "http://user:secret@cam\x7fera/",
	} {
		_, err := httpjpeg.New(httpjpeg.Options{URL: url})
		if !errors.Is(err, device.ErrUnsupported) || strings.Contains(err.Error(), "se") && strings.Contains(err.Error(), "cret") {
			t.Errorf("%q: got %v, want ErrUnsupported", url, err)
		}
	}
}

// visits notes who came with which credentials.
type visits struct {
	mu   sync.Mutex
	seen []string
}

func (v *visits) note(where string, r *http.Request) {
	user, password, _ := r.BasicAuth()
	v.mu.Lock()
	defer v.mu.Unlock()
	v.seen = append(v.seen, strings.TrimSuffix(where+" "+user+" "+password, "  "))
	if r.Header.Get("Referer") != "" {
		v.seen = append(v.seen, "Referer "+r.Header.Get("Referer"))
	}
}

func TestCredentialsGoToTheirOwnHostOnly(t *testing.T) {
	var v visits
	var home *httptest.Server
	away := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		v.note("away", r)
		http.Redirect(w, r, strings.Replace(home.URL, "http://", "http://evil:evil@", 1)+"/picture", http.StatusTemporaryRedirect)
	}))
	defer away.Close()
	home = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		v.note("home"+r.URL.Path, r)
		switch r.URL.Path {
		case "/":
			http.Redirect(w, r, "there", http.StatusFound)
		case "/there":
			http.Redirect(w, r, away.URL, http.StatusMovedPermanently)
		default:
			w.Header().Set("Content-Type", "image/jpeg")
			_, _ = w.Write(devicetest.JPEG(1, 64, 48)) // the test sees what comes
		}
	}))
	defer home.Close()

	cam, _, err := start(t, httpjpeg.Options{
		URL: strings.Replace(home.URL, "http://", "http://user:p%40ss@", 1), Client: home.Client(),
	}, device.Format{Rate: device.FPS(0.1)})
	if err != nil {
		t.Fatal(err)
	}
	if err := cam.Close(); err != nil {
		t.Error(err)
	}
	want := []string{"home/ user p@ss", "home/there user p@ss", "away", "home/picture user p@ss"}
	if got := strings.Join(v.seen, "\n"); got != strings.Join(want, "\n") {
		t.Errorf("got\n%s\nwant\n%s", got, strings.Join(want, "\n"))
	}
}
