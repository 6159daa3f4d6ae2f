// Package load is an open-loop load generator: it opens connections at given times, whether or not earlier ones have succeeded, as
// many independent clients would. Latencies count from the time a connection was due, so a stall shows in them.
//
// It speaks to the lab's partners (package partner), which tell the source IP they saw. Run works in the network namespace of its
// process; RunIn starts `labd load` in another. All work is bounded: by a duration, and by a number of
// connections in flight beyond which an arrival is counted as the generator's own failure (class "overload").
package load

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"
)

// Limits of a Spec.
const (
	MaxRate        = 5000
	MaxDuration    = time.Hour
	MaxConnections = 1_000_000 // rate x duration, or Count
	MaxHeld        = 10_000
	MaxInFlight    = 10_000
	MaxAttempts    = 20
)

// Spec says what load to make. In JSON, as `labd load --spec` reads it.
type Spec struct {
	// Host is the DNS name: resolved, sent as TLS server name, and verified.
	Host string `json:"host"`
	// Port of the other side. Default 443.
	Port int `json:"port,omitempty"`
	// Resolver is the DNS server that is asked for A records for every connection, "address" or "address:port".
	// Exactly one of Resolver and Addresses is set.
	Resolver string `json:"resolver,omitempty"`
	// Addresses are used in turn instead of a lookup.
	Addresses []netip.Addr `json:"addresses,omitempty"`
	// Path of the HTTP request. Default "/".
	Path string `json:"path,omitempty"`
	// CAFile is a PEM file with the authorities to trust. Needed unless Plain.
	CAFile string `json:"caFile,omitempty"`
	// Plain uses the partner's cheap protocol without TLS and HTTP: only TCP connections are measured.
	Plain bool `json:"plain,omitempty"`

	// RatePerSecond of new connections, up to MaxRate. 0 makes none.
	RatePerSecond float64 `json:"ratePerSecond,omitempty"`
	// Poisson makes the gaps between connections exponential instead of equal.
	Poisson bool `json:"poisson,omitempty"`
	// Seed of the random numbers; 0 takes one from the clock.
	Seed uint64 `json:"seed,omitempty"`
	// DurationSeconds is how long connections are opened, more than 0, at most an hour.
	DurationSeconds float64 `json:"durationSeconds"`
	// Count ends the run after so many connections. 0: the duration decides.
	Count int `json:"count,omitempty"`
	// HoldSeconds is how long a connection stays open after its answer; then the client closes first.
	HoldSeconds float64 `json:"holdSeconds,omitempty"`
	// HoldExponential makes HoldSeconds the mean of an exponential distribution.
	HoldExponential bool `json:"holdExponential,omitempty"`
	// TimeoutSeconds bounds each attempt from lookup to answer. Default 5. Below 1 no SYN is sent twice.
	TimeoutSeconds float64 `json:"timeoutSeconds,omitempty"`
	// Attempts is how often a connection is tried, each time with another address if there is one. Default 1.
	Attempts int `json:"attempts,omitempty"`
	// InFlight is the greatest number of connections at once, held ones not counted. Default 4,096.
	InFlight int `json:"inFlight,omitempty"`

	// Held connections are opened first and stay for the whole run; a byte goes back and forth every HeartbeatSeconds.
	Held int `json:"held,omitempty"`
	// HeartbeatSeconds is the interval on held connections. Default 0.5.
	HeartbeatSeconds float64 `json:"heartbeatSeconds,omitempty"`
}

// withDefaults returns a copy with all optional fields filled.
func (s Spec) withDefaults() Spec {
	defaultInt := func(field *int, value int) {
		if *field == 0 {
			*field = value
		}
	}
	defaultInt(&s.Port, 443)
	defaultInt(&s.Attempts, 1)
	defaultInt(&s.InFlight, 4096)
	if s.Path == "" {
		s.Path = "/"
	}
	if s.TimeoutSeconds == 0 {
		s.TimeoutSeconds = 5
	}
	if s.HeartbeatSeconds == 0 {
		s.HeartbeatSeconds = 0.5
	}
	if s.Resolver != "" {
		if _, err := netip.ParseAddr(s.Resolver); err == nil {
			s.Resolver = netip.AddrPortFrom(netip.MustParseAddr(s.Resolver), 53).String()
		}
	}
	return s
}

// validate checks a Spec that has its defaults, and returns all problems at once.
func (s Spec) validate() error {
	var errs []error
	check := func(ok bool, format string, values ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf("load: "+format, values...))
		}
	}
	within := func(field string, value, low, high float64) { // refuses NaN, too
		check(value >= low && value <= high, "%s: must be %g to %g, got %g", field, low, high, value)
	}
	check(s.Host != "" && len(s.Host) <= 253 && !strings.ContainsAny(s.Host, " \r\n/"), "host: must be a DNS name, got %.60q", s.Host)
	check(strings.HasPrefix(s.Path, "/") && !strings.ContainsAny(s.Path, " \r\n"), "path: must begin with / and have no blanks, got %.60q", s.Path)
	check((s.Resolver == "") != (len(s.Addresses) == 0), "exactly one of resolver and addresses must be given")
	if s.Resolver != "" {
		_, err := netip.ParseAddrPort(s.Resolver)
		check(err == nil, "resolver: must be an IP address with or without port, got %q", s.Resolver)
	}
	for _, address := range s.Addresses {
		check(address.Is4(), "addresses: must be IPv4, got %s", address)
	}
	check(s.Plain || s.CAFile != "", "caFile: is needed for TLS")
	within("port", float64(s.Port), 1, 65535)
	within("ratePerSecond", s.RatePerSecond, 0, MaxRate)
	within("durationSeconds", s.DurationSeconds, 1e-3, MaxDuration.Seconds())
	within("ratePerSecond x durationSeconds", s.RatePerSecond*s.DurationSeconds, 0, MaxConnections)
	within("count", float64(s.Count), 0, MaxConnections)
	within("holdSeconds", s.HoldSeconds, 0, MaxDuration.Seconds())
	within("timeoutSeconds", s.TimeoutSeconds, 1e-3, 600)
	within("attempts", float64(s.Attempts), 1, MaxAttempts)
	within("inFlight", float64(s.InFlight), 1, MaxInFlight)
	within("held", float64(s.Held), 0, MaxHeld)
	within("heartbeatSeconds", s.HeartbeatSeconds, 0.01, 600)
	check(s.RatePerSecond > 0 || s.Held > 0, "ratePerSecond and held: at least one must be above 0")
	return errors.Join(errs...)
}

func seconds(value float64) time.Duration { return time.Duration(value * float64(time.Second)) }
