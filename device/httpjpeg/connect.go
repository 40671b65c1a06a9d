package httpjpeg

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/webgear-pi/webgear/device"
)

const (
	// connectTimeout bounds TCP and TLS, each. Chosen: a camera on the same
	// network answers within milliseconds, one that wakes up within seconds.
	connectTimeout = 5 * time.Second
	// maxRedirects is how often an answer may point elsewhere. Chosen.
	maxRedirects = 5
	// maxResponseHeader bounds the header of an answer, in bytes. Chosen.
	maxResponseHeader = 64 << 10
)

// newClient makes a client for one camera. It asks no proxy: cameras are on the
// local network, and whoever needs one brings a client along.
func newClient() *http.Client {
	return &http.Client{Transport: &http.Transport{
		DialContext:            (&net.Dialer{Timeout: connectTimeout}).DialContext,
		TLSHandshakeTimeout:    connectTimeout,
		DisableCompression:     true,
		MaxIdleConns:           1,
		MaxResponseHeaderBytes: maxResponseHeader,
		ReadBufferSize:         readBytes,
	}}
}

// target is what to ask, and as whom.
type target struct {
	client *http.Client
	url    *url.URL // without user
	user   *url.Userinfo
	path   string // the URL as it may be shown
}

// newTarget checks a URL. The error says nothing of its text: it could hold a
// password in any place.
func newTarget(raw string, client *http.Client) (*target, error) {
	u, err := url.Parse(strings.TrimSpace(raw))
	switch {
	case err != nil:
		return nil, errors.New("malformed; special characters in user or password are written as %XX")
	case u.Scheme != "http" && u.Scheme != "https":
		return nil, errors.New("not of the kind http:// or https://")
	case u.Hostname() == "":
		return nil, errors.New("names no host")
	}
	t := &target{url: u, user: u.User, path: publicURL(u)}
	bare := *u
	bare.User, bare.Fragment, bare.RawFragment = nil, "", ""
	t.url = &bare
	if client == nil {
		client = newClient()
	}
	own := *client
	own.Timeout = 0 // it would end every stream
	own.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	t.client = &own
	return t, nil
}

// request makes the request for u. Credentials go to the host they were given
// for, over the same scheme, and nowhere else.
func (t *target) request(u *url.URL) *http.Request {
	r := &http.Request{Method: http.MethodGet, URL: u, Host: u.Host, Header: http.Header{
		"User-Agent": {"webgear"},
		"Accept":     {"*/*"}, // some cameras take a list for a bad request
		// Pictures do not get smaller, and the stream would come in lumps.
		"Accept-Encoding": {"identity"},
	}}
	if t.user != nil && u.Scheme == t.url.Scheme && strings.EqualFold(u.Host, t.url.Host) {
		password, _ := t.user.Password()
		r.SetBasicAuth(t.user.Username(), password)
	}
	return r
}

// answer is what a URL answered with: 200 or 304 with a body that is open.
type answer struct {
	*http.Response
	boundary string
	snapshot bool // a single picture
}

// redirected gives where an answer points to, nil when it does not.
func redirected(resp *http.Response, from *url.URL) (*url.URL, error) {
	switch resp.StatusCode {
	case http.StatusMovedPermanently, http.StatusFound, http.StatusSeeOther,
		http.StatusTemporaryRedirect, http.StatusPermanentRedirect:
	default:
		return nil, nil //nolint:nilnil // most answers point nowhere, and that is no error
	}
	to, err := from.Parse(resp.Header.Get("Location"))
	if err != nil || resp.Header.Get("Location") == "" || to.Scheme != "http" && to.Scheme != "https" || to.Host == "" {
		return nil, &answerError{device.ErrUnsupported, fmt.Sprintf("the camera answers %d and points to nothing usable", resp.StatusCode)}
	}
	to.User, to.Fragment = nil, ""
	return to, nil
}

// judge accepts an answer or says what is wrong with it.
func (t *target) judge(resp *http.Response) (answer, error) {
	if resp.StatusCode == http.StatusNotModified {
		return answer{Response: resp, snapshot: true}, nil
	}
	if resp.StatusCode != http.StatusOK {
		return answer{}, statusError(resp, t.user != nil)
	}
	if enc := strings.TrimSpace(resp.Header.Get("Content-Encoding")); enc != "" && !strings.EqualFold(enc, "identity") {
		return answer{}, &answerError{device.ErrUnsupported, fmt.Sprintf("sends pictures compressed once more (%q), which was not asked for", enc)}
	}
	field := resp.Header.Get("Content-Type")
	switch typ, boundary := mediaType(field); {
	case strings.HasPrefix(typ, "multipart/"):
		return answer{Response: resp, boundary: boundary}, nil
	case isJPEG(typ):
		return answer{Response: resp, snapshot: true}, nil
	case typ == "video/x-motion-jpeg", typ == "video/x-mjpeg", typ == "video/mjpeg":
		return answer{Response: resp}, nil // pictures one after the other
	case typ == "":
		return answer{}, &answerError{device.ErrUnsupported, "does not say what it sends"}
	default:
		return answer{}, &answerError{
			device.ErrUnsupported,
			fmt.Sprintf("sends %q, neither a JPEG stream nor a JPEG picture; use the URL of the stream itself, not of a page that shows it", typ),
		}
	}
}
