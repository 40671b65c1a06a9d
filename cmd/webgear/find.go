package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/netip"
	neturl "net/url"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/webgear-pi/webgear/pkg/mdns"
)

// findService is the kind of service that the cameras announce, see
// rootfs-overlay/etc/avahi/services/webgear.service. All web servers of a network
// would be found by _http._tcp, printers too.
const findService = "_webgear._tcp"

// findWait is how long cameras have to answer. Chosen: a question is repeated
// within it twice, and nobody likes to wait longer.
const findWait = 3 * time.Second

// findResult is what webgear find --json prints, a list of these.
type findResult struct {
	Name string `json:"name"`
	// Host is the name of the computer, which not every system looks up.
	Host      string       `json:"host"`
	Addresses []netip.Addr `json:"addresses"`
	Port      uint16       `json:"port"`
	// URL is that of the page, Stream and the others, if told, those of pictures
	// and state.
	URL      string `json:"url"`
	Stream   string `json:"stream,omitempty"`
	Snapshot string `json:"snapshot,omitempty"`
	State    string `json:"state,omitempty"`
}

// findCommand is webgear find.
func findCommand(ctx context.Context, args []string, w world) error {
	fs := newFlagSet("find")
	asJSON := fs.Bool("json", false, "print JSON for programs")
	about := "webgear find lists the cameras of the local network that run webgear: it asks for 3 s, by multicast DNS. The exit code is 1 when there are none."
	if err := parseFlags(fs, args, w, about); err != nil {
		return err
	}
	find := w.find
	if find == nil {
		find = mdns.Find
	}
	found, err := find(ctx, mdns.Options{Service: findService, Wait: findWait})
	if err != nil {
		return err
	}
	all := findResults(found)
	if *asJSON {
		enc := json.NewEncoder(w.stdout)
		enc.SetIndent("", "  ")
		if err := enc.Encode(all); err != nil {
			return err
		}
	}
	if len(all) == 0 {
		return fmt.Errorf("no camera answered within %v: switch it on, connect it to the same network as this computer, and let a firewall here take answers from UDP port 5353", findWait)
	}
	if *asJSON {
		return nil
	}
	t := tabwriter.NewWriter(w.stdout, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(t, "NAME\tADDRESS\tURL")
	for _, r := range all {
		address := r.Host
		if len(r.Addresses) > 0 {
			address = r.Addresses[0].String()
		}
		_, _ = fmt.Fprintf(t, "%s\t%s\t%s\n", r.Name, address, r.URL)
	}
	return t.Flush()
}

// findResults says where to look.
func findResults(found []mdns.Instance) []findResult {
	all := []findResult{}
	for _, i := range found {
		r := findResult{Name: i.Name, Host: i.Host, Addresses: notNilAddresses(i.Addresses), Port: i.Port}
		base := neturl.URL{Scheme: "http", Host: net.JoinHostPort(i.Host, strconv.Itoa(int(i.Port))), Path: "/"}
		// An address works where names of the network are not looked up. Browsers
		// take none that has the name of an interface.
		if n := slices.IndexFunc(i.Addresses, func(a netip.Addr) bool { return a.Zone() == "" }); n >= 0 {
			base.Host = netip.AddrPortFrom(i.Addresses[n], i.Port).String()
		}
		r.URL = base.String()
		for _, place := range []struct {
			key string
			to  *string
		}{{"stream", &r.Stream}, {"snapshot", &r.Snapshot}, {"state", &r.State}} {
			// Only a place on the same computer.
			if path := i.Text[place.key]; strings.HasPrefix(path, "/") && !strings.HasPrefix(path, "//") {
				there := base
				there.Path = path
				*place.to = there.String()
			}
		}
		all = append(all, r)
	}
	return all
}

// notNilAddresses makes an empty list [] and not null in JSON.
func notNilAddresses(list []netip.Addr) []netip.Addr {
	if list == nil {
		return []netip.Addr{}
	}
	return list
}
