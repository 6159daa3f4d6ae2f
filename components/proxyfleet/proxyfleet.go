// Package proxyfleet says what a machine of the fleet runs, whichever cloud it is in: the agent's environment, the container, the
// settings of the kernel, the guard, and the systemd unit around them. It is pure: values in, text out.
//
// The proxy runs in the machine's own network namespace, because a bridge would translate addresses and track connections, which
// costs a tenth of the CPU time per connection and a table that can run full. So what the container may do is bounded otherwise:
// read-only root, no capability, the image's seccomp profile, a user that owns nothing.
package proxyfleet

import (
	"fmt"
	"maps"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/sallyport/sallyport/internal/problem"
)

// What the image fixes.
const (
	// UID is the user and group that the image runs as.
	UID = 65532
	// HealthPort serves /readyz, /healthz and /metrics.
	HealthPort = 8404
	// ContainerName is the container's name on the machine.
	ContainerName = "sallyport-proxy"
	// Unit is the systemd unit's name.
	Unit = "sallyport-proxy.service"
	// MaxSourceIPs is how many source addresses one proxy has at most.
	MaxSourceIPs = 16
)

// Where things lie on the machine.
const (
	EnvFile     = "/etc/sallyport/agent.env"
	SeccompFile = "/etc/sallyport/seccomp.json"
	SysctlFile  = "/etc/sysctl.d/90-sallyport.conf"
	GuardFile   = "/etc/sallyport/guard.rules"
	UnitFile    = "/etc/systemd/system/" + Unit
	StateDir    = "/var/lib/sallyport"
)

// SlotName names the slot with a number, from 1, in a zone.
func SlotName(zone string, number int) string { return fmt.Sprintf("proxy-%s-%d", zone, number) }

// Agent is what the agent of one proxy is told.
type Agent struct {
	// RoutesURL is where the routes document lies: s3:// or gs://.
	RoutesURL string
	// DNSServers are recursive servers, ip or ip:port. At least one.
	DNSServers []string
	// SourceIPs are the private IPs that connections leave from, 1 to MaxSourceIPs.
	SourceIPs []string
	// DrainSeconds is how long it serves its connections after it was told to stop, 1 to 3,600.
	DrainSeconds int
	// MaxConnections is what it holds at once. 0: from the limit on open files.
	MaxConnections int
	// Threads of HAProxy, 1 to 64.
	Threads int
	// Metrics makes the agent write its figures into its log for CloudWatch, under these dimensions. Nil: it does not.
	Metrics *Dimensions
	// Env is added. It must not name what the fields above set.
	Env map[string]string
}

// Dimensions are what a proxy's figures in CloudWatch carry.
type Dimensions struct{ Stack, Zone, Slot string }

var (
	envName    = regexp.MustCompile(`^SALLYPORT_[A-Z0-9_]+$`)
	dimension  = regexp.MustCompile(`^[A-Za-z0-9._-]{1,100}$`)
	imageRule  = regexp.MustCompile(`^[a-z0-9][a-z0-9._:/-]*@sha256:[0-9a-f]{64}$`)
	routesRule = regexp.MustCompile(`^(s3|gs)://[a-z0-9][a-z0-9._-]+/[^\s"'\\$]+$`)
)

// Environment returns the content of the agent's environment file, NAME=value lines in order of the names. The error joins every
// problem.
func (a Agent) Environment() (string, error) {
	var problems problem.List
	a.validate(&problems)
	env := map[string]string{
		"SALLYPORT_MODE":            "passthrough",
		"SALLYPORT_ROUTES":          a.RoutesURL,
		"SALLYPORT_DNS_SERVERS":     strings.Join(a.DNSServers, ","),
		"SALLYPORT_SOURCE_IPS":      strings.Join(a.SourceIPs, ","),
		"SALLYPORT_DRAIN":           strconv.Itoa(a.DrainSeconds) + "s",
		"SALLYPORT_MAX_CONNECTIONS": strconv.Itoa(a.MaxConnections),
		"SALLYPORT_THREADS":         strconv.Itoa(a.Threads),
	}
	if m := a.Metrics; m != nil {
		env["SALLYPORT_CLOUDWATCH"] = fmt.Sprintf("stack=%s,zone=%s,slot=%s", m.Stack, m.Zone, m.Slot)
	}
	for name, value := range a.Env {
		if _, taken := env[name]; taken || !envName.MatchString(name) || strings.ContainsAny(value, "\n\r\x00") {
			problems.Add("agent: env: "+name, "must be a SALLYPORT_ variable that no other setting sets, with a value of one line", value, "")
		}
		env[name] = value
	}
	var text strings.Builder
	for _, name := range slices.Sorted(maps.Keys(env)) {
		fmt.Fprintf(&text, "%s=%s\n", name, env[name])
	}
	return text.String(), problems.Err()
}

func (a Agent) validate(problems *problem.List) {
	if !routesRule.MatchString(a.RoutesURL) {
		problems.Add("agent: routes", "must be s3://<bucket>/<key> or gs://<bucket>/<key>", a.RoutesURL, "")
	}
	a.validateAddresses(problems)
	within := func(n, low, high int, field, rule string) {
		if n < low || n > high {
			problems.Add("agent: "+field, rule, n, "")
		}
	}
	within(a.DrainSeconds, 1, 3600, "drainSeconds", "must be 1 to 3,600")
	within(a.MaxConnections, 0, 1_000_000, "maxConnections", "must be 0 (from the limit on open files) to 1,000,000")
	within(a.Threads, 1, 64, "threads", "must be 1 to 64")
	if m := a.Metrics; m != nil {
		for _, value := range []string{m.Stack, m.Zone, m.Slot} {
			if !dimension.MatchString(value) {
				problems.Add("agent: metrics", "dimensions must be letters, digits and . _ -, at most 100", value, "")
			}
		}
	}
}

func (a Agent) validateAddresses(problems *problem.List) {
	if len(a.DNSServers) == 0 {
		problems.Add("agent: dnsServers", "needs at least one", "", "")
	}
	for _, server := range a.DNSServers {
		if _, err := serverOf(server); err != nil {
			problems.Add("agent: dnsServers", "must be IPv4 addresses, with a port or without", server, "")
		}
	}
	if n := len(a.SourceIPs); n < 1 || n > MaxSourceIPs {
		problems.Add("agent: sourceIPs", fmt.Sprintf("must be 1 to %d", MaxSourceIPs), n, "")
	}
	for _, ip := range a.SourceIPs {
		if parsed, err := netip.ParseAddr(ip); err != nil || !parsed.Is4() {
			problems.Add("agent: sourceIPs", "must be IPv4 addresses", ip, "")
		}
	}
}

// serverOf reads ip or ip:port, port 53 by default.
func serverOf(text string) (netip.AddrPort, error) {
	ip, err := netip.ParseAddr(text)
	server := netip.AddrPortFrom(ip, 53)
	if err != nil {
		server, err = netip.ParseAddrPort(text)
	}
	if err == nil && (!server.Addr().Is4() || server.Port() == 0) {
		err = fmt.Errorf("%q is not IPv4", text)
	}
	return server, err
}

// ValidImage reports whether an image is named by its digest: <repository>@sha256:<64 hex digits>.
func ValidImage(image string) bool { return imageRule.MatchString(image) }
