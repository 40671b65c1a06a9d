package config

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"

	"github.com/webgear-pi/webgear/pkg/auth"
)

// check checks the addresses and the bounds.
func (h *HTTP) check() error {
	if err := checkListen("http.listen", h.Listen, "8000"); err != nil {
		return err
	}
	for _, bound := range []struct {
		key string
		n   int
	}{
		{"http.max_viewers", h.MaxViewers},
		{"http.max_viewers_per_address", h.MaxViewersPerAddress},
		{"http.max_connections", h.MaxConnections},
		{"http.max_connections_per_address", h.MaxConnectionsPerAddress},
	} {
		if bound.n < 0 {
			return &FieldError{bound.key, fmt.Sprintf("%d must not be negative; 0 means no bound", bound.n)}
		}
	}
	if _, err := h.Timeout(); err != nil {
		return err
	}
	return h.checkTLS()
}

// checkTLS checks what HTTPS needs.
func (h *HTTP) checkTLS() error {
	if err := oneOf("http.tls", h.TLS, TLSOff, TLSSelfSigned, TLSFiles); err != nil {
		return err
	}
	if err := checkListen("http.tls_listen", h.TLSListen, "8443"); err != nil {
		return err
	}
	if h.TLS == TLSOff && h.Redirect {
		return &FieldError{"http.redirect", "there is no HTTPS to send browsers to: set http.tls to self-signed or files"}
	}
	if h.TLS != TLSFiles {
		return nil
	}
	const remedy = "is needed with http.tls: files; for a certificate that is made here write http.tls: self-signed"
	switch {
	case h.Certificate == "":
		return &FieldError{"http.certificate", remedy}
	case h.Key == "":
		return &FieldError{"http.key", remedy}
	}
	return nil
}

// checkListen wants an address to listen on.
func checkListen(key, address, port string) error {
	_, got, err := net.SplitHostPort(address)
	if err != nil {
		return &FieldError{key, fmt.Sprintf("%q is no address: write HOST:PORT, such as 127.0.0.1:%s, or :%s for all interfaces", address, port, port)}
	}
	if n, err := strconv.Atoi(got); err != nil || n < 0 || n > 65535 {
		return &FieldError{key, fmt.Sprintf("port %q must be a number from 0 to 65535", got)}
	}
	return nil
}

// check checks the form of what is said about access. Errors never repeat a hash.
func (a *Access) check() error {
	if _, err := auth.ParseMode(a.Mode); err != nil || a.Mode == "" {
		return &FieldError{"access.mode", fmt.Sprintf("%q is none of password, open", a.Mode)}
	}
	if err := a.checkAccounts(); err != nil {
		return err
	}
	for i, host := range a.Hosts {
		if err := auth.CheckHost(host); err != nil {
			return &FieldError{at("access.hosts", i), fmt.Sprintf("%.64q: %v", host, err)}
		}
	}
	for i, origin := range a.Origins {
		if err := auth.CheckOrigins([]string{origin}); err != nil {
			return &FieldError{at("access.origins", i), fmt.Sprintf("%.64q: %v", origin, err)}
		}
	}
	for i, origin := range a.FrameAncestors {
		if err := auth.CheckOrigins([]string{origin}); err != nil && origin != "*" {
			return &FieldError{at("access.frame_ancestors", i), fmt.Sprintf("%.64q: %v, or * for all", origin, err)}
		}
	}
	for key, list := range map[string][]string{"access.trusted_proxies": a.TrustedProxies, "access.claim_from": a.ClaimFrom} {
		for i, network := range list {
			if _, err := auth.ParseProxies([]string{network}); err != nil {
				return &FieldError{at(key, i), fmt.Sprintf("%.64q: %v", network, err)}
			}
		}
	}
	return nil
}

func (a *Access) checkAccounts() error {
	var seen []string
	for i, account := range a.Accounts {
		key := at("access.accounts", i)
		switch _, err := auth.ParseRole(account.Role); {
		case auth.CheckName(account.Name) != nil:
			return &FieldError{key + ".name", fmt.Sprintf("%.32q: %v", account.Name, auth.CheckName(account.Name))}
		case slices.Contains(seen, account.Name):
			return &FieldError{key + ".name", account.Name + " is there twice: take one out"}
		case err != nil:
			return &FieldError{key + ".role", fmt.Sprintf("%.32q: %v", account.Role, err)}
		case auth.CheckHash(account.Hash) != nil:
			return &FieldError{key + ".hash", auth.CheckHash(account.Hash).Error()}
		}
		seen = append(seen, account.Name)
	}
	return nil
}

// at names an entry of a list as a path of YAML does.
func at(key string, i int) string { return key + "[" + strconv.Itoa(i) + "]" }

// Proxies are TrustedProxies, Claimants are ClaimFrom; Validate has checked both.
func (a *Access) Proxies() []netip.Prefix { return networks(a.TrustedProxies) }

// Claimants are the networks of ClaimFrom.
func (a *Access) Claimants() []netip.Prefix { return networks(a.ClaimFrom) }

func networks(list []string) []netip.Prefix {
	all, _ := auth.ParseProxies(list) // was checked
	return all
}

// Presets are the accounts as package auth takes them; Validate has checked
// them.
func (a *Access) Presets() (all []auth.Account) {
	for _, account := range a.Accounts {
		role, _ := auth.ParseRole(account.Role)
		all = append(all, auth.Account{Name: account.Name, Role: role, Hash: account.Hash})
	}
	return all
}
