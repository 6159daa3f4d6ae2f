package dns

import (
	"fmt"
	"net/netip"
	"strings"
	"time"
)

// Ports of the name server beside 53.
const (
	MetricsPort = 9153 // Prometheus, on all addresses
	HealthPort  = 8080 // HTTP, on the first address
)

// ReloadInterval is how often CoreDNS looks for a new serial, and so the longest time until a change is in force.
const ReloadInterval = 200 * time.Millisecond

// Corefile returns the configuration of a CoreDNS that serves the zone file on the addresses, at least one. The answers of a
// name with several addresses are rotated.
func Corefile(zoneFile string, addresses ...netip.Addr) (string, error) {
	if len(addresses) == 0 {
		return "", fmt.Errorf("upstream corefile: addresses: needs at least 1, got 0")
	}
	if zoneFile == "" || strings.ContainsAny(zoneFile, " \t\r\n{}\"#") {
		return "", fmt.Errorf("upstream corefile: zone file: no spaces, braces, quotes or # are allowed, got %q", zoneFile)
	}
	binds := make([]string, len(addresses))
	for i, address := range addresses {
		binds[i] = address.String()
	}
	return fmt.Sprintf(`. {
    bind %s
    errors
    health %s:%d
    prometheus :%d
    loadbalance round_robin
    file %s . {
        reload %s
    }
}
`, strings.Join(binds, " "), binds[0], HealthPort, MetricsPort, zoneFile, ReloadInterval), nil
}
