package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"sync"

	"github.com/webgear-pi/webgear/pkg/auth"
	"github.com/webgear-pi/webgear/pkg/config"
)

// door is how the program is reached, and who is let in.
type door struct {
	guard *auth.Guard
	// certificate is that of HTTPS, nil without.
	certificate *certificate
	// redirect is the port that browsers are sent to, or 0.
	redirect int
	// plain and secure are the sockets themselves, ln all of them with what is
	// around them.
	plain, secure []net.Listener
	ln            net.Listener
}

// openDoor opens passwords, certificate and sockets, and explains to a person why
// not.
func openDoor(ctx context.Context, c config.Config, flags *runFlags, w world, log *slog.Logger) (d *door, err error) {
	dir, err := w.stateDir(flags.dataDir, flags.service)
	if err != nil {
		return nil, usageError("--data-dir: %w", err)
	}
	d = &door{}
	if d.guard, err = openGuard(ctx, c, dir, log); err != nil {
		return nil, settingError(flags, "access", err)
	}
	if d.certificate, err = openCertificate(c, dir, log); err != nil {
		if c.HTTP.TLS == config.TLSFiles {
			return nil, settingError(flags, "http.certificate", err)
		}
		return nil, err
	}
	plain, secure := kinds()
	if d.plain, err = listen(ctx, plain, c.HTTP.Listen, flags.base().HTTP.Listen, "listen", w.manager); err != nil {
		return nil, err
	}
	if d.certificate == nil {
		secure.drop(w.manager)
		d.ln = assemble(d.plain, nil, nil, bounds(c, log))
		return d, nil
	}
	if d.secure, err = listen(ctx, secure, c.HTTP.TLSListen, flags.base().HTTP.TLSListen, "tls_listen", w.manager); err != nil {
		closeAll(d.plain)
		return nil, err
	}
	if a, ok := d.secure[0].Addr().(*net.TCPAddr); ok && c.HTTP.Redirect {
		d.redirect = a.Port
	}
	d.ln = assemble(d.plain, d.secure, d.certificate.Config(), bounds(c, log))
	return d, nil
}

// listen gets the sockets of one kind, and explains to a person why not. name is
// that of the setting.
func listen(ctx context.Context, k kind, address, usual, name string, m *manager) ([]net.Listener, error) {
	all, err := k.listen(ctx, address, address != usual, m)
	switch {
	case errors.Is(err, errTaken):
		return nil, &exitError{exitConfig, fmt.Errorf("http.%s %s: %w: take the setting out, or use sudo systemctl disable --now webgear.socket", name, address, err)}
	case err != nil:
		return nil, usageError("%s %s: %w: choose another address or port, or stop the program that uses it", flagOf("http."+name), address, rootCause(err))
	}
	return all, nil
}

// settingError blames a setting of the file or of the command line.
func settingError(flags *runFlags, key string, err error) error {
	if flags.config == "" || flags.set["certificate"] || flags.set["key"] {
		return usageError("%s: %w", flagOf(key), err)
	}
	return &exitError{exitConfig, fmt.Errorf("settings file %s: %s: %w", flags.config, key, err)}
}

// keep has the service manager keep the sockets while the program restarts.
func (d *door) keep(m *manager, log *slog.Logger) {
	plain, secure := kinds()
	for k, all := range map[kind][]net.Listener{plain: d.plain, secure: d.secure} {
		if len(all) != 1 {
			continue // none, or those of socket units
		}
		if err := m.keep(k.stored, all[0]); err != nil {
			log.Warn("connections are refused while the program restarts", "err", err)
		}
	}
}

// serve runs what belongs to the door while serve serves it.
func (d *door) serve(ctx context.Context, ready <-chan struct{}, serve func(context.Context, net.Listener) error) error {
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	wg.Go(func() { _ = d.guard.Run(ctx) }) // it returns nil
	if d.certificate != nil {
		wg.Go(func() { d.certificate.renew(ctx) })
		wg.Go(func() {
			select {
			case <-ready:
				d.certificate.announce(d.secure[0].Addr())
			case <-ctx.Done():
			}
		})
	}
	return serve(ctx, d.ln)
}

// close closes what was not served.
func (d *door) close() {
	_ = d.ln.Close() // closed already, unless we fail before
	closeAll(slices.Concat(d.plain, d.secure))
}
