package httpjpeg

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/webgear-pi/webgear/device"
)

// Causes for which a session is ended from this side.
var (
	errStopped  = errors.New("stopped")
	errStarted  = errors.New("already started")
	errNotBegun = errors.New("not started")
)

// silentError: the sender keeps the connection and sends nothing.
type silentError struct{ after time.Duration }

func (e *silentError) Error() string { return fmt.Sprintf("sent nothing for %v", e.after) }

// pictureError: the sender sends, but no whole picture.
type pictureError struct {
	after   time.Duration
	damaged bool
	// placeholder is the cause another webgear gives instead, or nil.
	placeholder *string
}

func (e *pictureError) Error() string {
	if e.placeholder != nil {
		return fmt.Sprintf("the webgear there has had no picture for %v itself: %.40q", e.after, *e.placeholder)
	}
	if e.damaged {
		return fmt.Sprintf("sent only damaged pictures for %v", e.after)
	}
	return fmt.Sprintf("sent no whole picture for %v", e.after)
}

// answerError: the sender answers, with something that is no use.
type answerError struct {
	kind error
	text string
}

func (e *answerError) Error() string { return e.text }

// statusError says what a status code means and what can be done.
func statusError(resp *http.Response, withPassword bool) *answerError {
	text := fmt.Sprintf("the camera answers %d", resp.StatusCode)
	if name := http.StatusText(resp.StatusCode); name != "" {
		text += " " + name
	}
	switch code := resp.StatusCode; {
	case code == http.StatusUnauthorized && !offersBasic(resp):
		return &answerError{device.ErrPermission, text + ": it wants a kind of log-in other than Basic; choose Basic in its settings"}
	case code == http.StatusUnauthorized && !withPassword:
		return &answerError{device.ErrPermission, text + ": put user and password into the URL, as in http://user:password@host/"}
	case code == http.StatusUnauthorized:
		return &answerError{device.ErrPermission, text + ": check user and password in the URL"}
	case code == http.StatusForbidden:
		return &answerError{device.ErrPermission, text + ": allow this user, or this computer, in the camera's settings"}
	case code == http.StatusNotFound, code == http.StatusGone:
		return &answerError{device.ErrNotFound, text + ": check the path of the URL"}
	case code >= 500 || code == http.StatusTooManyRequests || code == http.StatusRequestTimeout:
		return &answerError{device.ErrDisconnected, text}
	}
	return &answerError{device.ErrUnsupported, text}
}

// offersBasic reports whether a 401 answer allows Basic authentication. One
// that names no scheme at all is given the benefit of the doubt.
func offersBasic(resp *http.Response) bool {
	offers := resp.Header.Values("WWW-Authenticate")
	for _, o := range offers {
		if strings.Contains(strings.ToLower(o), "basic") {
			return true
		}
	}
	return len(offers) == 0
}

// kindOf sorts the errors of a session.
func kindOf(err error) error {
	if a, ok := errors.AsType[*answerError](err); ok {
		return a.kind
	}
	if p, ok := errors.AsType[*pictureError](err); ok {
		if p.damaged && p.placeholder == nil {
			return device.ErrDamaged
		}
		return device.ErrStalled
	}
	if errors.Is(err, errMalformed) {
		return device.ErrDamaged
	}
	return device.ErrDisconnected
}

// bare takes the URL off an error of net/http: ours is there already, and
// without the password.
func bare(err error) error {
	if u, ok := errors.AsType[*url.Error](err); ok {
		return u.Err
	}
	return err
}

// ended gives the reason for which ctx ended a call rather than the call's own
// error, which says no more than that it did.
func ended(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return bare(err)
}

// publicURL is u as it may be shown: without password, neither in front of the
// host nor in parameters that look like one.
func publicURL(u *url.URL) string {
	shown := *u
	if u.User != nil {
		shown.User = url.User(u.User.Username())
	}
	shown.Fragment, shown.RawFragment = "", ""
	params := strings.Split(u.RawQuery, "&")
	for i, p := range params {
		name, value, ok := strings.Cut(p, "=")
		if ok && value != "" && secretName(name) {
			params[i] = name + "=xxxxx"
		}
	}
	shown.RawQuery = strings.Join(params, "&")
	return shown.String()
}

// secretName reports whether a parameter's value should not be shown. IP
// cameras call it pwd, loginpas, password, auth, token and others.
func secretName(name string) bool {
	name = strings.ToLower(name)
	for _, part := range []string{"pas", "pwd", "auth", "token", "secret", "key", "pw"} {
		if strings.Contains(name, part) {
			return true
		}
	}
	return false
}
