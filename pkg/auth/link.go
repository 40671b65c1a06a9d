package auth

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// maxLinkLife is how long a link may be valid. Chosen: one that is forgotten in a
// page ends some day.
const maxLinkLife = 366 * 24 * time.Hour

// linkSum signs a path until a time.
func linkSum(key secret, path string, exp int64) []byte {
	mac := hmac.New(sha256.New, key)
	_, _ = fmt.Fprintf(mac, "webgear link 1\n%d\n%s", exp, path) // a hash takes everything
	return mac.Sum(nil)
}

// signLink gives the query of a link to path.
func signLink(key secret, path string, until time.Time) string {
	exp := until.Unix()
	return "exp=" + strconv.FormatInt(exp, 10) + "&sig=" + base64.RawURLEncoding.EncodeToString(linkSum(key, path, exp))
}

// link is what a query says about a signature.
type link struct {
	exp int64
	sum []byte
}

// parseLink looks for a signature in a raw query. present is true when there is
// something like one, ok when it has the right form.
func parseLink(query string) (l link, present, ok bool) {
	if !strings.Contains(query, "sig") && !strings.Contains(query, "%") {
		return l, false, false // by far the most
	}
	values, err := url.ParseQuery(query)
	if !values.Has("sig") {
		return l, false, false
	}
	if err != nil || len(values["sig"]) != 1 || len(values["exp"]) != 1 {
		return l, true, false
	}
	exp, sig := values.Get("exp"), values.Get("sig")
	if l.exp, err = strconv.ParseInt(exp, 10, 64); err != nil || l.exp < 0 || exp != strconv.FormatInt(l.exp, 10) {
		return l, true, false
	}
	l.sum, err = decodeText(base64.RawURLEncoding, sig)
	return l, true, err == nil && len(l.sum) == sha256.Size
}

// signs reports whether the key made the link for path.
func (l *link) signs(key secret, path string) bool {
	return hmac.Equal(l.sum, linkSum(key, path, l.exp))
}
