package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"time"
)

// world is what all clients share.
type world struct {
	d      *daemon
	cam    *camera
	seed   uint64
	rounds uint64
	token  string // lets in; empty where nobody is kept out
	guards bool   // there are accounts

	mu     sync.Mutex
	tally  map[string]int // guarded by mu; what was done, and what came of it
	errs   []string       // guarded by mu; answers that should not be
	nErrs  int            // guarded by mu
	served int            // guarded by mu
}

func (w *world) note(what string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.tally[what]++
}

// fail notes something that must not be.
func (w *world) fail(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.nErrs++
	if len(w.errs) < 20 {
		w.errs = append(w.errs, fmt.Sprintf(format, args...))
	}
}

// wrong sums up what must not have been.
func (w *world) wrong() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.d.log.mu.Lock()
	defer w.d.log.mu.Unlock()
	var errs []error
	if w.nErrs > 0 {
		errs = append(errs, fmt.Errorf("%d answers should not be:\n%s", w.nErrs, strings.Join(w.errs, "\n")))
	}
	if len(w.d.log.alarms) > 0 {
		errs = append(errs, fmt.Errorf("the log has:\n%s", strings.Join(w.d.log.alarms, "\n")))
	}
	if w.served == 0 {
		errs = append(errs, errors.New("no picture was seen at all"))
	}
	return errors.Join(errs...)
}

// enter signs in, and makes the token that the clients use.
func (w *world) enter(ctx context.Context) error {
	c := newClient(w, 100)
	a, err := c.do(ctx, http.MethodGet, "/api/v1/tokens", nil, func(r *http.Request) { r.SetBasicAuth(account, password) })
	if err != nil {
		return err
	}
	if a.status == http.StatusNotFound {
		return nil // a program without accounts
	}
	w.guards = true
	if a.status != http.StatusOK {
		return fmt.Errorf("the tokens cannot be listed: %d: %s", a.status, a.body)
	}
	_, w.token, err = c.makeToken(ctx, "soak", "admin")
	w.d.token = w.token
	return err
}

// client is one of those who want something. It has an address of its own.
type client struct {
	w    *world
	rnd  *rand.Rand
	from netip.Addr
	http *http.Client
	tag  string // of the last picture
}

func newClient(w *world, i int) *client {
	c := &client{w: w, rnd: rand.New(rand.NewPCG(w.seed, w.rounds<<8|uint64(i)+2))} //nolint:gosec // chance that can be repeated
	c.from = netip.AddrFrom4([4]byte{127, 0, 1, byte(i + 1)})
	c.http = &http.Client{
		Transport:     &http.Transport{DialContext: c.dialer().DialContext, MaxIdleConnsPerHost: 2, IdleConnTimeout: 5 * time.Second},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return c
}

func (c *client) dialer() *net.Dialer {
	return &net.Dialer{Timeout: 5 * time.Second, LocalAddr: &net.TCPAddr{IP: c.from.AsSlice()}}
}

// thing is something that clients do, and how often beside the others.
type thing struct {
	weight int
	do     func(context.Context)
}

func (c *client) things() []thing {
	return []thing{{10, c.watch}, {4, c.stall}, {10, c.snapshot}, {6, c.page}, {5, c.half}, {1, c.signIn}, {2, c.tokens}}
}

// everything does each thing, what is frequent twice.
func (c *client) everything(ctx context.Context) {
	defer c.http.CloseIdleConnections()
	for _, t := range c.things() {
		for range min(t.weight, 2) {
			t.do(ctx)
		}
	}
}

// work does one thing after the other until ctx ends.
func (c *client) work(ctx context.Context) {
	defer c.http.CloseIdleConnections()
	things := c.things()
	sum := 0
	for _, t := range things {
		sum += t.weight
	}
	for ctx.Err() == nil {
		n := c.rnd.IntN(sum)
		for _, t := range things {
			if n -= t.weight; n < 0 {
				t.do(ctx)
				break
			}
		}
	}
}

// one draws from a list.
func (c *client) one(list ...string) string { return list[c.rnd.IntN(len(list))] }

// wait waits for a random time up to most.
func (c *client) wait(ctx context.Context, most time.Duration) {
	t := time.NewTimer(time.Duration(c.rnd.Int64N(int64(most))))
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// request prepares one with the token.
func (c *client) request(ctx context.Context, method, path string, body []byte) (*http.Request, error) {
	req, err := http.NewRequestWithContext(ctx, method, "http://"+c.w.d.addr+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if c.w.token != "" {
		req.Header.Set("Authorization", "Bearer "+c.w.token)
	}
	return req, nil
}

// answer is one that was read.
type answer struct {
	status  int
	header  http.Header
	cookies []*http.Cookie
	body    []byte
}

// do sends a request, reads the answer, and notes what should not be.
func (c *client) do(ctx context.Context, method, path string, body []byte, change func(*http.Request)) (a answer, err error) {
	req, err := c.request(ctx, method, path, body)
	if err != nil {
		return a, err
	}
	if change != nil {
		change(req)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return a, err
	}
	defer func() { _ = resp.Body.Close() }()
	c.judge(method+" "+path, resp)
	a.status, a.header, a.cookies = resp.StatusCode, resp.Header, resp.Cookies()
	a.body, err = io.ReadAll(io.LimitReader(resp.Body, 8<<20))
	return a, err
}

// judge notes an answer. Of the server's own errors only 503 is expected, which
// says that there is no picture or too many are there, and when to come again.
func (c *client) judge(what string, resp *http.Response) {
	what, _, _ = strings.Cut(what, "?")
	switch code := resp.StatusCode; {
	case code == http.StatusServiceUnavailable && resp.Header.Get("Retry-After") != "":
		c.w.note("503 with the time to come again")
	case code >= http.StatusInternalServerError:
		c.w.fail("%s: %s", what, resp.Status)
	default:
		c.w.note(fmt.Sprintf("%d", code))
	}
}

// stream is a path of the video.
func (c *client) stream() string {
	path := c.one("/video", "/video", "/stream", "/?action=stream", "/stream.mjpg")
	wish := c.one("", "", "fps=5", "fps=0.5", "quality=30", "width=160", "quality=60&width=240", "advance_headers=1", "advance_headers=sized", "key=soak")
	if wish == "" {
		return path
	}
	if strings.Contains(path, "?") {
		return path + "&" + wish
	}
	return path + "?" + wish
}

// watch looks at the stream for a while.
func (c *client) watch(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, time.Duration(c.rnd.Int64N(int64(4*time.Second))))
	defer cancel()
	req, err := c.request(ctx, http.MethodGet, c.stream(), nil)
	if err != nil {
		return
	}
	resp, err := c.http.Do(req)
	if err != nil {
		c.w.note("viewer left early")
		return
	}
	defer func() { _ = resp.Body.Close() }()
	c.judge("GET /video", resp)
	n, err := io.Copy(io.Discard, resp.Body)
	c.w.note("viewer")
	if resp.StatusCode == http.StatusOK && n > 10<<10 {
		c.w.mu.Lock()
		c.w.served++
		c.w.mu.Unlock()
	}
	if err == nil && resp.StatusCode == http.StatusOK && ctx.Err() == nil {
		c.w.note("viewer was sent away")
	}
}

// raw opens a connection and says something. The caller closes it.
func (c *client) raw(ctx context.Context, text string) *net.TCPConn {
	conn, err := c.dialer().DialContext(ctx, "tcp", c.w.d.addr)
	if err != nil {
		return nil
	}
	tcp, ok := conn.(*net.TCPConn)
	if !ok {
		_ = conn.Close()
		return nil
	}
	_ = tcp.SetReadBuffer(4096)
	_ = tcp.SetDeadline(time.Now().Add(20 * time.Second))
	if _, err := io.WriteString(tcp, text); err != nil {
		_ = tcp.Close()
		return nil
	}
	return tcp
}

// stall asks for the stream and reads little or nothing of it.
func (c *client) stall(ctx context.Context) {
	conn := c.raw(ctx, "GET "+c.stream()+" HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer "+c.w.token+"\r\n\r\n")
	if conn == nil {
		return
	}
	defer func() { _ = conn.Close() }()
	c.w.note("viewer that stalls")
	if c.rnd.IntN(2) == 0 {
		discard(conn, c.rnd.Int64N(30<<10))
	}
	c.wait(ctx, 5*time.Second)
	if c.rnd.IntN(2) == 0 {
		_ = conn.SetLinger(0) // leaves with a reset
	}
}

// snapshot asks for single pictures, also for those that it has.
func (c *client) snapshot(ctx context.Context) {
	path := c.one("/snapshot", "/snapshot.jpg", "/?action=snapshot", "/snapshot?max_delay=500", "/snapshot?fresh=1", "/snapshot?width=160", "/snapshot?quality=20", "/snapshot?width=x", "/static/css/custom.css")
	method := http.MethodGet
	if c.rnd.IntN(5) == 0 {
		method = http.MethodHead
	}
	a, err := c.do(ctx, method, path, nil, func(r *http.Request) {
		if c.tag != "" && c.rnd.IntN(2) == 0 {
			r.Header.Set("If-None-Match", c.tag)
		}
	})
	if err != nil {
		return
	}
	c.tag = a.header.Get("Etag")
	if a.status == http.StatusOK && method == http.MethodGet && strings.Contains(path, "snapshot") && !bytes.HasPrefix(a.body, []byte{0xff, 0xd8}) {
		c.w.fail("%s: no JPEG but %.40q", path, a.body)
	}
}

// page asks for anything else.
func (c *client) page(ctx context.Context) {
	path := c.one("/", "/state", "/metrics", "/healthz", "/nothing", "/static/js/custom.js", "/static/../x", "/video/", "/sign-in", "/claim", "/access", "/api/v1/nothing")
	method := c.one(http.MethodGet, http.MethodGet, http.MethodGet, http.MethodPost, http.MethodDelete, http.MethodOptions)
	_, err := c.do(ctx, method, path, nil, func(r *http.Request) {
		if c.rnd.IntN(2) == 0 {
			r.Header.Set("Accept", c.one("application/json", "text/html", "image/webp,*/*"))
		}
		if c.rnd.IntN(4) == 0 {
			r.Header.Del("Authorization")
		}
	})
	if err != nil && ctx.Err() == nil {
		c.w.note("request that failed")
	}
}

// half sends part of a request, or something else.
func (c *client) half(ctx context.Context) {
	whole := "POST /api/v1/sign-in HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 40\r\n\r\n{\"name\": \"admin\", \"password\": \"xxxxxxx\"}"
	text := whole[:c.rnd.IntN(len(whole))]
	switch c.rnd.IntN(4) {
	case 0:
		noise := make([]byte, c.rnd.IntN(2000))
		for i := range noise {
			noise[i] = byte(c.rnd.UintN(256))
		}
		text = string(noise)
	case 1:
		text = "GET /video HTTP/1.1\r\nHost: localhost\r\nX-Long: " + strings.Repeat("a", c.rnd.IntN(20000))
	}
	conn := c.raw(ctx, text)
	if conn == nil {
		return
	}
	defer func() { _ = conn.Close() }()
	c.w.note("half request")
	c.wait(ctx, 500*time.Millisecond)
}

// signIn signs in and out, or tries to with a wrong password, from an address of
// its own, because those who guess have to wait.
func (c *client) signIn(ctx context.Context) {
	if !c.w.guards {
		return
	}
	wrong := c.rnd.IntN(2) == 0
	guess := password
	if wrong {
		guess = fmt.Sprintf("guess %d", c.rnd.Int())
		other := *c
		other.from = netip.AddrFrom4([4]byte{127, 0, 2, byte(1 + c.rnd.IntN(250))})
		other.http = &http.Client{Transport: &http.Transport{DialContext: other.dialer().DialContext, DisableKeepAlives: true}}
		c = &other
	}
	body, err := json.Marshal(map[string]string{"name": account, "password": guess})
	if err != nil {
		return
	}
	a, err := c.do(ctx, http.MethodPost, "/api/v1/sign-in", body, func(r *http.Request) { r.Header.Del("Authorization") })
	if err != nil {
		return
	}
	switch {
	case wrong && a.status == http.StatusOK:
		c.w.fail("a wrong password is let in")
	case wrong:
		c.w.note(fmt.Sprintf("wrong password: %d", a.status))
		return
	case a.status == http.StatusTooManyRequests, a.status == http.StatusServiceUnavailable:
		c.w.note(fmt.Sprintf("right password: %d", a.status))
		return
	case a.status != http.StatusOK:
		c.w.fail("sign in: %d: %.200s", a.status, a.body)
		return
	}
	c.w.note("signed in")
	cookies := a.cookies
	with := func(r *http.Request) {
		r.Header.Del("Authorization")
		r.Header.Set("Origin", "http://"+c.w.d.addr)
		for _, k := range cookies {
			r.AddCookie(k)
		}
	}
	if a, err := c.do(ctx, http.MethodGet, "/state", nil, with); err == nil && a.status != http.StatusOK {
		c.w.fail("/state with a session: %d", a.status)
	}
	if a, err := c.do(ctx, http.MethodPost, "/api/v1/sign-out", nil, with); err == nil && a.status >= 400 {
		c.w.fail("sign out: %d: %.200s", a.status, a.body)
	}
}

// makeToken makes a token as the administrator.
func (c *client) makeToken(ctx context.Context, name, role string) (id, secret string, err error) {
	body, err := json.Marshal(map[string]string{"name": name, "role": role})
	if err != nil {
		return "", "", err
	}
	a, err := c.do(ctx, http.MethodPost, "/api/v1/tokens", body, func(r *http.Request) {
		if c.w.token == "" {
			r.SetBasicAuth(account, password)
		}
	})
	if err != nil {
		return "", "", err
	}
	var made struct {
		Token struct {
			ID string `json:"id"`
		} `json:"token"`
		Secret string `json:"secret"`
	}
	if err := json.Unmarshal(a.body, &made); err != nil || a.status != http.StatusCreated || made.Secret == "" || made.Token.ID == "" {
		return "", "", fmt.Errorf("no token: %d: %.200s", a.status, a.body)
	}
	return made.Token.ID, made.Secret, nil
}

// tokens makes a token, uses it, and takes it away.
func (c *client) tokens(ctx context.Context) {
	if !c.w.guards {
		return
	}
	id, secret, err := c.makeToken(ctx, fmt.Sprintf("t%d", c.rnd.IntN(1000)), "viewer")
	if err != nil {
		if ctx.Err() == nil {
			c.w.fail("%v", err)
		}
		return
	}
	c.w.note("token made")
	with := func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+secret) }
	if a, err := c.do(ctx, http.MethodGet, "/state", nil, with); err == nil && a.status != http.StatusOK {
		c.w.fail("a new token: %d", a.status)
	}
	// It is taken away even when the time is over, so that they do not pile up.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	if a, err := c.do(ctx, http.MethodDelete, "/api/v1/tokens/"+id, nil, nil); err != nil || a.status != http.StatusNoContent {
		c.w.fail("a token cannot be taken away: %d %v %.200s", a.status, err, a.body)
		return
	}
	if a, err := c.do(ctx, http.MethodGet, "/state", nil, with); err == nil && a.status == http.StatusOK {
		c.w.fail("a token that was taken away lets in")
	}
}

// reload changes the settings now and then.
func (c *client) reload(ctx context.Context) {
	for ctx.Err() == nil {
		c.wait(ctx, 6*time.Second)
		text, what := c.w.d.good[c.rnd.IntN(len(c.w.d.good))], "reload"
		if c.rnd.IntN(3) == 0 {
			what = "reload with a mistake"
			text = c.one("nope: 1\n", "camera: {source: [1]}\n", "http: {viewer_timeout: for ever}\n", text[:c.rnd.IntN(len(text))]+"\n{", "\x00\xff", "options: {STREAM_RESOLUTION: 1}\ncamera: {source: ''}\n")
		}
		if err := c.w.d.configure(text); err != nil {
			c.w.note("reload that failed")
			continue
		}
		c.w.note(what)
	}
}
