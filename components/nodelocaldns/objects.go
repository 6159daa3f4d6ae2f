package nodelocaldns

import (
	"fmt"
	"regexp"
	"time"

	"github.com/sallyport/sallyport/components/manifests"
	"github.com/sallyport/sallyport/internal/problem"
)

// Image is k8s-dns-node-cache 1.26.4, the version of the upstream manifest (kubernetes/kubernetes nodelocaldns.yaml, read 2026-01).
//
// It is CoreDNS with two additions that CoreDNS alone would need an init container with more rights for: it makes the interface that
// carries the address, and, where the address of the cluster's DNS is taken over, it adds the rules for that once CoreDNS answers
// and removes them when it stops. What it lacks of CoreDNS (kubernetes, autopath, ready) a cache does not need.
const Image = "registry.k8s.io/dns/k8s-dns-node-cache:1.26.4@sha256:ab52729d7292fbdf764f21daa7b8ba89fd985ac43cec0a13d035a6942d4c1be8"

// Names of what is installed.
const (
	Name            = "sallyport-node-local-dns"
	UpstreamService = "sallyport-dns-upstream"
	SetupPort       = 9353 // Prometheus figures of the set-up of interface and rules
)

// Mode is how pods come to the cache.
type Mode string

// The modes.
const (
	// TakeOver binds the address of the cluster's DNS as well, which kube-proxy's iptables mode allows. When the cache stops, its
	// rules go and queries reach the cluster's DNS as before: a rollout replaces pods in place and needs no second one beside them.
	TakeOver Mode = "take-over"
	// LinkLocal binds the link-local address alone, for kube-proxy in IPVS and nftables mode and its replacements. Pods have no other
	// way while the cache is away, so a rollout starts the new one before the old one stops; both listen meanwhile (SO_REUSEPORT).
	LinkLocal Mode = "link-local"
)

// Settings is what the installation depends on besides the cluster itself. All fields are needed.
type Settings struct {
	Mode          Mode
	Namespace     string // of the cluster's DNS; what is installed is put there too
	ClusterDomain string
	Image         string   // with digest
	ProxiedHosts  []string // answered with proxies; empty: none
	Resolvers     []string // host:port of the agents on the node, one or two if hosts are proxied
	ServeStale    time.Duration
	StaleAfter    time.Duration // see Corefile.StaleAfter; 0 with Image
	MaxConcurrent int
	MemoryMiB     int
}

// Found is what was looked up in the cluster.
type Found struct {
	ClusterDNS string            // address of the cluster's DNS
	Selector   map[string]string // of its Service
	Upstream   string            // TakeOver: address of the Service that UpstreamServiceObject makes
}

var digest = regexp.MustCompile(`@sha256:[0-9a-f]{64}$`)

func (s Settings) validate() error {
	var list problem.List
	const place = "node-local DNS"
	if s.Mode != TakeOver && s.Mode != LinkLocal {
		list.Add(place+": mode", "must be take-over or link-local", string(s.Mode), "derive it from the mode of kube-proxy")
	}
	if !digest.MatchString(s.Image) {
		list.Add(place+": image", "must name a digest", s.Image, "write REPOSITORY@sha256:...")
	}
	if len(s.ProxiedHosts) > 0 && (len(s.Resolvers) < 1 || len(s.Resolvers) > 2) {
		list.Add(place+": resolvers", "must be 1 or 2 when hosts are proxied", len(s.Resolvers), "name the agents on the node")
	}
	if s.MemoryMiB < 1 {
		list.Add(place+": memory", "must be at least 1 MiB", s.MemoryMiB, "it is the limit of the container")
	}
	return list.Err()
}

var podLabels = map[string]string{"k8s-app": Name}

// UpstreamServiceObject is a second Service of the cluster's DNS, at whose address the cache asks it in mode TakeOver: the first
// address leads to the cache itself. In mode LinkLocal there is none.
func (s Settings) UpstreamServiceObject(selector map[string]string) []manifests.Object {
	if s.Mode != TakeOver {
		return nil
	}
	ports := []any{}
	for _, protocol := range []string{"UDP", "TCP"} {
		ports = append(ports, manifests.Map{"name": "dns-" + map[string]string{"UDP": "udp", "TCP": "tcp"}[protocol], "port": 53, "protocol": protocol, "targetPort": 53})
	}
	return []manifests.Object{manifests.New("v1", "Service", s.Namespace, UpstreamService).Label(podLabels).
		With("spec", manifests.Map{"selector": manifests.Labels(selector), "ports": ports})}
}

// Objects renders the rest: configuration, service account, DaemonSet, and a Service by which Prometheus finds the figures.
func (s Settings) Objects(found Found) ([]manifests.Object, error) {
	if err := s.validate(); err != nil {
		return nil, err
	}
	corefile, err := s.corefile(found).Render()
	if err != nil {
		return nil, err
	}
	metrics := []any{
		manifests.Map{"name": "metrics", "port": MetricsPort, "targetPort": MetricsPort, "protocol": "TCP"},
		manifests.Map{"name": "setup", "port": SetupPort, "targetPort": SetupPort, "protocol": "TCP"},
	}
	return []manifests.Object{
		manifests.New("v1", "ServiceAccount", s.Namespace, Name).Label(podLabels).With("automountServiceAccountToken", false),
		manifests.New("v1", "ConfigMap", s.Namespace, Name).Label(podLabels).With("data", manifests.Map{"Corefile.base": corefile}),
		manifests.New("apps/v1", "DaemonSet", s.Namespace, Name).Label(podLabels).With("spec", s.daemonSet(found)),
		manifests.New("v1", "Service", s.Namespace, Name).Label(podLabels).
			Annotate("prometheus.io/scrape", "true").Annotate("prometheus.io/port", fmt.Sprint(MetricsPort)).
			With("spec", manifests.Map{"clusterIP": "None", "selector": manifests.Labels(podLabels), "ports": metrics}),
	}, nil
}

// lameduck is how long the cache answers after it was told to stop. In mode LinkLocal the new one has been answering by then.
const lameduck = 5 * time.Second

// corefile asks the cluster's DNS for its own names, and the node's resolvers, as the kubelet found them, for all others.
func (s Settings) corefile(found Found) Corefile {
	c := Corefile{
		ClusterDomain: s.ClusterDomain, ClusterDNS: []string{found.ClusterDNS}, Upstreams: []string{"/etc/resolv.conf"},
		ProxiedHosts: s.ProxiedHosts, ServeStale: s.ServeStale, StaleAfter: s.StaleAfter, MaxConcurrent: s.MaxConcurrent, Lameduck: lameduck,
		MetricsHost: "0.0.0.0",
	}
	if s.Mode == TakeOver {
		c.TakenOver, c.ClusterDNS = found.ClusterDNS, []string{found.Upstream}
	}
	if len(s.ProxiedHosts) > 0 {
		c.Resolver = s.Resolvers[0]
		if len(s.Resolvers) > 1 {
			c.Standby = s.Resolvers[1]
		}
	}
	return c
}
