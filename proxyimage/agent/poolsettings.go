package agent

import (
	"path/filepath"
	"regexp"
	"strconv"
	"time"

	"github.com/sallyport/sallyport/proxyimage/haproxycfg"
)

// poolIdleTimeout is the default of SALLYPORT_IDLE_TIMEOUT in mode pool.
const poolIdleTimeout = 5 * time.Minute

// poolSettings are the settings of mode pool alone.
type poolSettings struct {
	port             int
	caFile           string
	requests         int // per client connection
	domain           string
	forwardedHeaders bool
	upstream         poolUpstream
}

// poolUpstream says how a pooling controller reaches destinations.
type poolUpstream string

// The ways.
const (
	upstreamDirect poolUpstream = "direct" // by their addresses, which it looks up and vets
	upstreamFleet  poolUpstream = "fleet"  // through the proxies of the routes document, which look up and vet
)

func (r *reader) poolSettings() poolSettings {
	s := poolSettings{
		port:     r.number("SALLYPORT_POOL_PORT", 8080),
		caFile:   r.text("SALLYPORT_CA_FILE", "/etc/ssl/certs/ca-certificates.crt"),
		requests: r.number("SALLYPORT_REQUESTS_PER_CONNECTION", 1000),
		domain:   r.text("SALLYPORT_SERVICE_DOMAIN", "egress.svc.cluster.local"),
		upstream: poolUpstream(r.text("SALLYPORT_POOL_UPSTREAM", string(upstreamDirect))),
	}
	var err error
	if s.forwardedHeaders, err = strconv.ParseBool(r.text("SALLYPORT_FORWARDED_HEADERS", "false")); err != nil {
		r.problem("SALLYPORT_FORWARDED_HEADERS", "must be true or false", r.text("SALLYPORT_FORWARDED_HEADERS", ""))
	}
	return s
}

var serviceDomain = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?){2,}$`)

// validatePool checks what only mode pool uses.
func (s settings) validatePool(r *rules) {
	r.need(s.pool.port >= 1 && s.pool.port <= 65535, "SALLYPORT_POOL_PORT", "must be 1 to 65535", s.pool.port)
	r.need(filepath.IsAbs(s.pool.caFile), "SALLYPORT_CA_FILE", "must be an absolute path", s.pool.caFile)
	r.need(s.pool.requests >= 2 && s.pool.requests <= 1_000_000, "SALLYPORT_REQUESTS_PER_CONNECTION", "must be 2 to 1000000", s.pool.requests)
	r.need(s.pool.upstream == upstreamDirect || s.pool.upstream == upstreamFleet, "SALLYPORT_POOL_UPSTREAM", "must be direct or fleet", s.pool.upstream)
	r.need(serviceDomain.MatchString(s.pool.domain) && len(s.pool.domain) <= 180, "SALLYPORT_SERVICE_DOMAIN",
		"must be <namespace>.svc.<cluster domain>", s.pool.domain)
	r.need(s.idleTimeout <= haproxycfg.MaxPoolIdleTimeout, "SALLYPORT_IDLE_TIMEOUT",
		"must not be above "+haproxycfg.MaxPoolIdleTimeout.String()+" in mode pool: NAT gateways forget a connection that is silent for 350s", s.idleTimeout)
}
