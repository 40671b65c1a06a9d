// Package mdns looks for services on the local network by multicast DNS (RFC
// 6762) and DNS-based service discovery (RFC 6763).
//
// It only asks, and only once: from ports of its own, so that answers come to it
// alone and it works beside the system's own responder, without any privilege.
// It announces nothing; avahi does that for the camera.
//
// What it returns was sent by whoever is on the network: names are text that may
// be printed, and nothing more is promised about them. The goroutines of a search
// end before it returns; searches may run at the same time.
package mdns
