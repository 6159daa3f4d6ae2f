package proxyfleet

import (
	"fmt"
	"strings"
)

// The chains of the machine's firewall that the guard fills: what is looked at, and what becomes of what is refused.
const guardChain, refuseChain = "SALLYPORT_GUARD", "SALLYPORT_REFUSE"

// forbidden are the networks that no proxy connects to: everything that is not public unicast.
// IANA IPv4 special-purpose address registry, 2026-11-20.
var forbidden = []string{
	"0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24", "192.0.2.0/24",
	"192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4",
}

// metadata is where both clouds serve the machine's credentials, which the agent reads the routes document with.
// Amazon EC2 user guide, "Instance metadata"; Google Cloud, "VM metadata", 2026.
const metadata = "169.254.169.254"

// Guard is the third line against connections that a proxy must not make, behind the agent's vetting and HAProxy's check: rules in
// the form of iptables-restore for what the proxy's user sends. Only a packet that opens a connection is looked at, so that no
// connection has to be tracked. Allowed among the forbidden networks are the DNS servers, the metadata service and loopback; the
// proxy's own frontends are not.
func Guard(dnsServers []string) (string, error) {
	var text strings.Builder
	rule := func(format string, values ...any) {
		fmt.Fprintf(&text, "-A %s %s\n", guardChain, fmt.Sprintf(format, values...))
	}
	fmt.Fprintf(&text, "*filter\n:%s - [0:0]\n:%s - [0:0]\n", guardChain, refuseChain)
	rule("-p tcp ! --tcp-flags SYN,ACK SYN -j RETURN")
	for _, server := range dnsServers {
		at, err := serverOf(server)
		if err != nil {
			return "", fmt.Errorf("guard: DNS server: must be IPv4, with a port or without, got %q", server)
		}
		rule("-d %s/32 -p udp --dport %d -j RETURN", at.Addr(), at.Port())
		rule("-d %s/32 -p tcp --dport %d -j RETURN", at.Addr(), at.Port())
	}
	rule("-d %s/32 -p tcp --dport 80 -j RETURN", metadata)
	rule("-m addrtype --dst-type LOCAL -p tcp --dport 1:1023 -j " + refuseChain)
	rule("-m addrtype --dst-type LOCAL -j RETURN")
	for _, network := range forbidden {
		rule("-d %s -j %s", network, refuseChain)
	}
	// A reset ends the attempt at once. An ICMP error would reach a socket that is still busy connecting, which tries again a second later.
	fmt.Fprintf(&text, "-A %s -p tcp -j REJECT --reject-with tcp-reset\n-A %s -j REJECT\n", refuseChain, refuseChain)
	text.WriteString("COMMIT\n")
	return text.String(), nil
}

// GuardCommand puts the guard into force, again and again with the same outcome. It is one line for /bin/sh.
func GuardCommand() string {
	hook := fmt.Sprintf("OUTPUT -m owner --uid-owner %d -j %s", UID, guardChain)
	return fmt.Sprintf("iptables-restore --noflush --wait=10 %s && { iptables --wait=10 -C %s 2>/dev/null || iptables --wait=10 -A %s; }", GuardFile, hook, hook)
}
