package agent

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/sallyport/sallyport/proxyimage/agent/cloudwatch"
	"github.com/sallyport/sallyport/proxyimage/agent/source"
)

// Mode says what the agent does.
type Mode string

// The modes.
const (
	ModePassthrough Mode = "passthrough" // runs HAProxy on a proxy
	ModeResolver    Mode = "resolver"    // answers DNS on a node
	ModePool        Mode = "pool"        // runs HAProxy as a pooling controller
)

// settings is the agent's whole configuration. The command's doc comment lists the variables.
type settings struct {
	mode           Mode
	routes         string // URL
	routesPoll     time.Duration
	stateDir       string
	runDir         string
	dnsServers     []netip.AddrPort
	sourceIPs      []netip.Addr
	listen         netip.Addr // zero: all
	httpListen     string
	dnsListen      string
	drain          time.Duration
	probeInterval  time.Duration
	idleTimeout    time.Duration
	threads        int
	maxConnections int // 0: from the limit on open files

	clientConnections int     // 0: no limit
	audit             bool    // forward what limits and the list would refuse
	accessLogSample   float64 // share of forwarded connections that are logged
	haproxy           string
	logLevel          slog.Level
	cloudWatch        *cloudwatch.Dimensions // nil: no figures in the log
	pool              poolSettings
}

// reader reads variables and collects what is wrong with them.
type reader struct {
	lookup func(string) (string, bool)
	errs   []error
}

// settingsFromEnv reads the settings from the environment and reports all problems at once.
func settingsFromEnv(lookup func(string) (string, bool)) (settings, error) {
	r := &reader{lookup: lookup}
	s := settings{
		mode:       Mode(r.text("SALLYPORT_MODE", string(ModePassthrough))),
		routes:     r.text("SALLYPORT_ROUTES", "file:///etc/sallyport/routes/routes.json"),
		stateDir:   r.text("SALLYPORT_STATE_DIR", "/var/lib/sallyport"),
		runDir:     r.text("SALLYPORT_RUN_DIR", "/run/sallyport"),
		dnsServers: r.servers("SALLYPORT_DNS_SERVERS"),
		sourceIPs:  r.addresses("SALLYPORT_SOURCE_IPS"),
		dnsListen:  r.text("SALLYPORT_DNS_LISTEN", "127.0.0.1:9053"),
		haproxy:    r.text("SALLYPORT_HAPROXY", "/usr/sbin/haproxy"),

		routesPoll:     r.duration("SALLYPORT_ROUTES_POLL", 5*time.Second),
		drain:          r.duration("SALLYPORT_DRAIN", 30*time.Second),
		probeInterval:  r.duration("SALLYPORT_PROBE_INTERVAL", 500*time.Millisecond),
		idleTimeout:    r.duration("SALLYPORT_IDLE_TIMEOUT", time.Hour),
		threads:        r.number("SALLYPORT_THREADS", 1),
		maxConnections: r.number("SALLYPORT_MAX_CONNECTIONS", 0),

		clientConnections: r.number("SALLYPORT_CLIENT_CONNECTIONS", 0),
		audit:             r.flag("SALLYPORT_AUDIT"),
		accessLogSample:   r.share("SALLYPORT_ACCESS_LOG_SAMPLE"),
	}
	httpListen := ":8404"
	if s.mode == ModePool {
		s.idleTimeout = r.duration("SALLYPORT_IDLE_TIMEOUT", poolIdleTimeout)
	}
	s.pool = r.poolSettings()
	if s.mode == ModeResolver {
		httpListen = "127.0.0.1:8405"
	}
	s.httpListen = r.text("SALLYPORT_HTTP_LISTEN", httpListen)
	if listen := r.text("SALLYPORT_LISTEN", ""); listen != "" {
		s.listen = r.address("SALLYPORT_LISTEN", listen)
	}
	if text := r.text("SALLYPORT_CLOUDWATCH", ""); text != "" {
		dimensions, err := cloudwatch.ParseDimensions(text)
		if err != nil {
			r.problem("SALLYPORT_CLOUDWATCH", err.Error(), text)
		}
		s.cloudWatch = &dimensions
	}
	if err := s.logLevel.UnmarshalText([]byte(r.text("SALLYPORT_LOG_LEVEL", "info"))); err != nil {
		r.problem("SALLYPORT_LOG_LEVEL", "must be debug, info, warn or error", r.text("SALLYPORT_LOG_LEVEL", ""))
	}
	return s, errors.Join(append(r.errs, s.validate())...)
}

func (r *reader) problem(name, rule, value string) {
	r.errs = append(r.errs, fmt.Errorf("%s: %s, got %q", name, rule, value))
}

func (r *reader) text(name, fallback string) string {
	if value, ok := r.lookup(name); ok && value != "" {
		return value
	}
	return fallback
}

func (r *reader) duration(name string, fallback time.Duration) time.Duration {
	value := r.text(name, fallback.String())
	d, err := time.ParseDuration(value)
	if err != nil {
		r.problem(name, "must be a duration such as 30s", value)
		return fallback
	}
	return d
}

func (r *reader) number(name string, fallback int) int {
	value := r.text(name, strconv.Itoa(fallback))
	n, err := strconv.Atoi(value)
	if err != nil {
		r.problem(name, "must be a whole number", value)
		return fallback
	}
	return n
}

// flag reads true or false; false if it is not there.
func (r *reader) flag(name string) bool {
	value := r.text(name, "false")
	if value != "true" && value != "false" {
		r.problem(name, "must be true or false", value)
	}
	return value == "true"
}

// share reads a number from 0 to 1; 0 if it is not there.
func (r *reader) share(name string) float64 {
	value := r.text(name, "0")
	share, err := strconv.ParseFloat(value, 64)
	if err != nil || !(share >= 0 && share <= 1) {
		r.problem(name, "must be a number from 0 to 1", value)
		return 0
	}
	return share
}

func (r *reader) address(name, value string) netip.Addr {
	ip, err := netip.ParseAddr(value)
	if err != nil {
		r.problem(name, "must be an IP address", value)
	}
	return ip
}

func (r *reader) addresses(name string) []netip.Addr {
	var all []netip.Addr
	for _, value := range list(r.text(name, "")) {
		all = append(all, r.address(name, value))
	}
	return all
}

func (r *reader) servers(name string) []netip.AddrPort {
	var all []netip.AddrPort
	for _, value := range list(r.text(name, "")) {
		if ip, err := netip.ParseAddr(value); err == nil {
			all = append(all, netip.AddrPortFrom(ip, 53))
		} else if server, err := netip.ParseAddrPort(value); err == nil {
			all = append(all, server)
		} else {
			r.problem(name, "must be a list of ip or ip:port", value)
		}
	}
	return all
}

// list splits a comma list; spaces around the elements do not count.
func list(text string) []string {
	var all []string
	for _, part := range strings.Split(text, ",") {
		if part = strings.TrimSpace(part); part != "" {
			all = append(all, part)
		}
	}
	return all
}

// rules collects the problems of values.
type rules []error

// need adds a problem unless ok.
func (r *rules) need(ok bool, name, rule string, value any) {
	if !ok {
		*r = append(*r, fmt.Errorf("%s: %s, got %q", name, rule, fmt.Sprint(value)))
	}
}

// validate checks every value and returns all problems.
func (s settings) validate() error {
	var r rules
	s.validatePlaces(&r)
	s.validateNumbers(&r)
	if s.mode == ModePool {
		s.validatePool(&r)
	}
	return errors.Join(r...)
}

// validatePlaces checks paths, addresses and the mode.
func (s settings) validatePlaces(r *rules) {
	r.need(s.mode == ModePassthrough || s.mode == ModePool || s.mode == ModeResolver, "SALLYPORT_MODE", "must be passthrough, pool or resolver", s.mode)
	if _, err := source.Open(s.routes, s.routesPoll); err != nil {
		*r = append(*r, fmt.Errorf("SALLYPORT_ROUTES: %w", err))
	}
	r.need(filepath.IsAbs(s.stateDir), "SALLYPORT_STATE_DIR", "must be an absolute path", s.stateDir)
	r.need(filepath.IsAbs(s.runDir), "SALLYPORT_RUN_DIR", "must be an absolute path", s.runDir)
	r.need(len(s.dnsServers) > 0, "SALLYPORT_DNS_SERVERS", "needs at least one server", "")
	for _, ip := range s.sourceIPs {
		r.need(!ip.IsValid() || ip.Is4() && !ip.IsUnspecified(), "SALLYPORT_SOURCE_IPS", "must be IPv4 addresses", ip)
	}
	r.need(isHostPort(s.httpListen), "SALLYPORT_HTTP_LISTEN", "must be address:port", s.httpListen)
	r.need(isHostPort(s.dnsListen), "SALLYPORT_DNS_LISTEN", "must be address:port", s.dnsListen)
	if s.mode != ModeResolver {
		r.need(isProgram(s.haproxy), "SALLYPORT_HAPROXY", "must be a program", s.haproxy)
	}
}

// validateNumbers checks durations and counts.
func (s settings) validateNumbers(r *rules) {
	within := func(d, low, high time.Duration) bool { return d >= low && d <= high }
	r.need(within(s.routesPoll, time.Second, 10*time.Minute), "SALLYPORT_ROUTES_POLL", "must be 1s to 10m", s.routesPoll)
	r.need(within(s.drain, 0, time.Hour), "SALLYPORT_DRAIN", "must be 0s to 1h", s.drain)
	r.need(within(s.probeInterval, 50*time.Millisecond, time.Minute), "SALLYPORT_PROBE_INTERVAL", "must be 50ms to 1m", s.probeInterval)
	r.need(within(s.idleTimeout, time.Second, 24*time.Hour), "SALLYPORT_IDLE_TIMEOUT", "must be 1s to 24h", s.idleTimeout)
	r.need(s.clientConnections >= 0 && s.clientConnections <= 1_000_000, "SALLYPORT_CLIENT_CONNECTIONS",
		"must be 0 (no limit) to 1000000", s.clientConnections)
	r.need(s.threads >= 1 && s.threads <= 64, "SALLYPORT_THREADS", "must be 1 to 64", s.threads)
	r.need(s.maxConnections >= 0 && s.maxConnections <= 1_000_000, "SALLYPORT_MAX_CONNECTIONS",
		"must be 0 (from the limit on open files) to 1000000", s.maxConnections)
}

func isHostPort(text string) bool {
	_, port, err := net.SplitHostPort(text)
	n, numeric := strconv.Atoi(port)
	return err == nil && numeric == nil && n >= 0 && n <= 65535
}

func isProgram(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0
}
