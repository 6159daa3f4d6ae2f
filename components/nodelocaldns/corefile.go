// Package nodelocaldns is the DNS cache on every node: it answers at a link-local address from memory, talks to the cluster's
// DNS over TCP, so that a lost UDP packet no longer costs a client its 5-second timeout, and goes on answering from stale
// entries while the upstream is away.
//
// The hosts that leave through the egress proxies are forwarded to the resolver mode of the agent on the same node, which
// answers with healthy proxies. That is how applications reach a proxy without changing a URL. The proxies themselves resolve
// the real names elsewhere, so there is no loop.
package nodelocaldns

import (
	"errors"
	"fmt"
	"slices"
	"sort"
	"strings"
	"text/template"
	"time"
)

// DefaultAddress is where the cache listens, as in the upstream manifest
// (kubernetes/kubernetes cluster/addons/dns/nodelocaldns/nodelocaldns.yaml, read 2026-01).
const DefaultAddress = "169.254.20.10"

// Ports of the cache beside 53.
const (
	HealthPort  = 8080 // HTTP, on the cache's address
	MetricsPort = 9253 // Prometheus, on the cache's address
)

// Corefile is what the CoreDNS configuration of a node depends on.
type Corefile struct {
	// Address is where the cache listens. Default DefaultAddress.
	Address string
	// TakenOver is the address of the cluster's DNS if the cache listens there as well. Empty: it does not. The upstreams must then
	// be reached at other addresses, or the cache would ask itself.
	TakenOver string
	// MetricsHost is where Prometheus finds the figures. Default Address, which only the node itself reaches.
	MetricsHost string
	// Lameduck is how long the cache goes on answering after it was told to stop. Default 0.
	Lameduck time.Duration
	// ClusterDomain is the domain of the cluster's own names. Default cluster.local.
	ClusterDomain string
	// ClusterDNS are the addresses of the cluster's DNS (kube-dns). At least one.
	ClusterDNS []string
	// Upstreams are the resolvers for all other names. At least one.
	Upstreams []string
	// ProxiedHosts are the hosts that leave through proxies: exact names or one leading "*.". May be empty.
	ProxiedHosts []string
	// Resolver is the agent's address, host:port. Needed when ProxiedHosts is not empty.
	Resolver string
	// Standby is the address of a second agent on the node, asked as well and instead of the first while that restarts. May be empty.
	Standby string
	// ProxiedTTL is how long a proxy's address is kept after a lookup: the shorter, the sooner a dead proxy is forgotten.
	// Default 1 s.
	ProxiedTTL time.Duration
	// ServeStale is how long expired answers are given out while the upstream does not answer. Default 1 h.
	ServeStale time.Duration
	// StaleAfter is how long the upstream is waited for before an expired answer is given. Default 0: until it is given up, at once if
	// it refuses and after 4 s if it is silent. Needs CoreDNS 1.14.4 or later, which refuses to start below.
	StaleAfter time.Duration
	// MaxConcurrent bounds the queries waiting for an upstream: without it a dead upstream lets memory grow without limit.
	// Default 1,000.
	MaxConcurrent int
}

// Render returns the text of the Corefile. The same input gives the same text.
func (c Corefile) Render() (string, error) {
	c = c.withDefaults()
	if err := c.validate(); err != nil {
		return "", err
	}
	var text strings.Builder
	err := corefileTemplate.Execute(&text, struct {
		Corefile
		Zones                          []string
		StaleSeconds, ProxiedTTLSecond int
		HealthPort, MetricsPort        int
		Wait                           string
	}{c, zones(c.ProxiedHosts), int(c.ServeStale.Seconds()), int(c.ProxiedTTL.Seconds()), HealthPort, MetricsPort, wait(c.StaleAfter)})
	return text.String(), err
}

// wait is the option of verify for a duration.
func wait(d time.Duration) string {
	if d == 0 {
		return ""
	}
	return " " + d.String()
}

func (c Corefile) withDefaults() Corefile {
	if c.Address == "" {
		c.Address = DefaultAddress
	}
	if c.MetricsHost == "" {
		c.MetricsHost = c.Address
	}
	if c.ClusterDomain == "" {
		c.ClusterDomain = "cluster.local"
	}
	if c.ProxiedTTL == 0 {
		c.ProxiedTTL = time.Second
	}
	if c.ServeStale == 0 {
		c.ServeStale = time.Hour
	}
	if c.MaxConcurrent == 0 {
		c.MaxConcurrent = 1000
	}
	return c
}

// validate reports every problem at once.
func (c Corefile) validate() error {
	return errors.Join(c.validateServers(), c.validateTimes(), c.validateText())
}

// validateServers checks who is asked.
func (c Corefile) validateServers() error {
	var errs []error
	if len(c.ClusterDNS) == 0 {
		errs = append(errs, errors.New("corefile: clusterDNS: needs at least 1 address, got 0"))
	}
	if len(c.Upstreams) == 0 {
		errs = append(errs, errors.New("corefile: upstreams: needs at least 1 address, got 0"))
	}
	if len(c.ProxiedHosts) > 0 && c.Resolver == "" {
		errs = append(errs, fmt.Errorf("corefile: resolver: needs an address when hosts are proxied, got %d hosts", len(c.ProxiedHosts)))
	}
	if c.Standby != "" && c.Resolver == "" {
		errs = append(errs, fmt.Errorf("corefile: standby: needs a resolver beside it, got %q alone", c.Standby))
	}
	if c.TakenOver != "" && (slices.Contains(c.ClusterDNS, c.TakenOver) || slices.Contains(c.Upstreams, c.TakenOver)) {
		errs = append(errs, fmt.Errorf("corefile: takenOver: must not be asked as well, which is a loop, got %q", c.TakenOver))
	}
	return errors.Join(errs...)
}

func (c Corefile) validateTimes() error {
	var errs []error
	if c.ProxiedTTL < time.Second || c.ProxiedTTL > time.Minute {
		errs = append(errs, fmt.Errorf("corefile: proxiedTTL: must be 1s to 1m, got %s", c.ProxiedTTL))
	}
	if c.StaleAfter < 0 || c.StaleAfter > 10*time.Second {
		errs = append(errs, fmt.Errorf("corefile: staleAfter: must be 0s to 10s, got %s", c.StaleAfter))
	}
	if c.Lameduck < 0 || c.Lameduck > time.Minute {
		errs = append(errs, fmt.Errorf("corefile: lameduck: must be 0s to 1m, got %s", c.Lameduck))
	}
	return errors.Join(errs...)
}

// validateText keeps values from becoming something else in the text.
func (c Corefile) validateText() error {
	var errs []error
	for _, value := range slices.Concat([]string{c.Address, c.MetricsHost, c.TakenOver, c.ClusterDomain, c.Resolver, c.Standby}, c.ClusterDNS, c.Upstreams, c.ProxiedHosts) {
		if strings.ContainsAny(value, " \t\r\n{}\"#") {
			errs = append(errs, fmt.Errorf("corefile: no value may hold spaces, braces, quotes or #, got %q", value))
		}
	}
	return errors.Join(errs...)
}

// zones are the DNS zones that hold the hosts: the name itself, or what stands behind "*.". Sorted, each once.
func zones(hosts []string) []string {
	seen := map[string]bool{}
	var out []string
	for _, host := range hosts {
		zone := strings.TrimPrefix(host, "*.")
		if !seen[zone] {
			seen[zone] = true
			out = append(out, zone)
		}
	}
	sort.Strings(out)
	return out
}

// corefileTemplate shuffles the addresses of a cached answer (loadbalance): without that, all connections of a node go to the
// address that happens to come first for as long as the answer is cached. It keeps to the plugins of the upstream node-cache, so that the same text works there. Cache sizes and TTLs of
// the cluster's zones are those of the upstream manifest.
var corefileTemplate = template.Must(template.New("Corefile").Funcs(template.FuncMap{"join": strings.Join}).Parse(
	`{{.ClusterDomain}}:53 in-addr.arpa:53 ip6.arpa:53 {
    errors
    bind {{.Address}}{{with .TakenOver}} {{.}}{{end}}
    cache {
        success 9984 30
        denial 9984 5
        serve_stale {{.StaleSeconds}}s verify{{.Wait}}
    }
    loop
    reload
    forward . {{join .ClusterDNS " "}} {
        force_tcp
        max_concurrent {{.MaxConcurrent}}
    }
    prometheus {{.MetricsHost}}:{{.MetricsPort}}
    health {{.Address}}:{{.HealthPort}}{{if .Lameduck}} {
        lameduck {{.Lameduck}}
    }{{end}}
}
{{- if .Zones}}
{{range $i, $zone := .Zones}}{{if $i}} {{end}}{{$zone}}:53{{end}} {
    errors
    bind {{.Address}}{{with .TakenOver}} {{.}}{{end}}
    loadbalance
    cache {{.ProxiedTTLSecond}} {
        serve_stale {{.StaleSeconds}}s verify{{.Wait}}
    }
    forward . {{.Resolver}}{{with .Standby}} {{.}}{{end}} {
        max_concurrent {{.MaxConcurrent}}
    }
    prometheus {{.MetricsHost}}:{{.MetricsPort}}
}
{{- end}}
.:53 {
    errors
    bind {{.Address}}{{with .TakenOver}} {{.}}{{end}}
    loadbalance
    cache 30 {
        serve_stale {{.StaleSeconds}}s verify{{.Wait}}
    }
    loop
    forward . {{join .Upstreams " "}} {
        force_tcp
        max_concurrent {{.MaxConcurrent}}
    }
    prometheus {{.MetricsHost}}:{{.MetricsPort}}
}
`))
