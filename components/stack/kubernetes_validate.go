package stack

import (
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/sallyport/sallyport/components/destinations"
	"github.com/sallyport/sallyport/internal/problem"
)

// The versions of Kubernetes that matter.
const (
	minKubernetes   = 30 // the oldest that is supported
	policyAlpha     = 32 // MutatingAdmissionPolicy, KEP-3962: v1alpha1, off by default
	policyBeta      = 34 // v1beta1, off by default
	policyServed    = 36 // v1, on
	maxPoolReplicas = 100
)

// Minor returns the minor version of the cluster: 32 for "1.32". 0 if it cannot be read.
func (k *Kubernetes) Minor() int {
	m := kubernetesVersion.FindStringSubmatch(k.Version)
	if m == nil {
		return 0
	}
	minor, _ := strconv.Atoi(m[1])
	return minor
}

var (
	kubernetesVersion = regexp.MustCompile(`^1\.([0-9]{1,3})$`)
	imageDigest       = regexp.MustCompile(`^[a-z0-9][a-z0-9._/:-]*@sha256:[0-9a-f]{64}$`)
	labelKey          = regexp.MustCompile(`^([a-z0-9]([a-z0-9.-]{0,200}[a-z0-9])?/)?[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?$`)
	labelValue        = regexp.MustCompile(`^([A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?)?$`)
)

// deriveKubernetes fills in the defaults that depend on other parts.
func (s *Stack) deriveKubernetes() {
	k := s.Kubernetes
	if k == nil {
		return
	}
	if k.Routing == RoutingMesh && k.Mesh == nil {
		k.Mesh = &Mesh{}
		k.Mesh.Defaults()
	}
	if p := k.Pool; p != nil {
		if p.MinReplicas == unset {
			p.MinReplicas = max(2, len(s.Cluster.Zones))
		}
		if p.MaxReplicas == unset {
			p.MaxReplicas = min(maxPoolReplicas, 3*p.MinReplicas)
		}
	}
	if p := k.PodDNS; p != nil {
		if p.NodeLocal == nil {
			local := k.NodeLocalDNS != nil && k.NodeLocalDNS.KubeProxy != KubeProxyIPTables
			p.NodeLocal = &local
		}
		if p.API == "" && k.Minor() >= policyServed {
			p.API = "v1"
		}
	}
}

// validateKubernetes checks the section.
func validateKubernetes(s *Stack, list *problem.List) {
	k := s.Kubernetes
	if k == nil {
		return
	}
	place := Namespace + "kubernetes"
	if s.Cloud == CloudLocal {
		list.Reject(place, "must be left out with cloud local", nil, "remove it: the lab has no API server")
		return
	}
	if minor := k.Minor(); minor < minKubernetes {
		list.Addf(place+".version", k.Version, `write what the API server says, for example "1.32"`, "must be a version from 1.%d, without patch level", minKubernetes)
	}
	if !domain(k.ClusterDomain) {
		list.Add(place+".clusterDomain", "must be a DNS name", k.ClusterDomain, "leave it out for cluster.local")
	}
	digest(list, place+".image", k.Image, "leave it out for the fleet's image")
	oneOf(list, place+".routing", string(k.Routing), string(RoutingNone), string(RoutingMesh), string(RoutingDNS))
	for _, rule := range []func(*Stack, string, *problem.List){
		validateNodeLocalDNS, validateRouting, validatePool, validatePodDNS, validateNodeHealth, validateNetworkPolicy,
	} {
		rule(s, place, list)
	}
}

func validateNodeLocalDNS(s *Stack, place string, list *problem.List) {
	n := s.Kubernetes.NodeLocalDNS
	if n == nil {
		return
	}
	place += ".nodeLocalDNS"
	oneOf(list, place+".kubeProxy", string(n.KubeProxy), string(KubeProxyIPTables), string(KubeProxyIPVS), string(KubeProxyNFTables))
	digest(list, place+".image", n.Image, "leave it out for the image this release was tested against")
	label(list, place+".namespace", n.Namespace)
	label(list, place+".service", n.Service)
	between(list, place+".serveStaleSeconds", n.ServeStaleSeconds, 1, 86400, "leave it out for 3600")
	if n.StaleAfterMillis != 0 {
		between(list, place+".staleAfterMillis", n.StaleAfterMillis, 50, 10000, "leave it out to wait until the upstream is given up")
		if n.Image == "" {
			list.Add(place+".staleAfterMillis", "must be left out without an image of its own: the default one does not start with it", n.StaleAfterMillis,
				"set image to one with CoreDNS 1.14.4 or later")
		}
	}
	between(list, place+".maxConcurrent", n.MaxConcurrent, 100, 100000, "leave it out for 1000")
	between(list, place+".memoryMiB", n.MemoryMiB, 64, 4096, "leave it out for 256")
}

func validateRouting(s *Stack, place string, list *problem.List) {
	k := s.Kubernetes
	if k.Routing == RoutingDNS && k.NodeLocalDNS == nil {
		list.Add(place+".routing", "must not be dns without nodeLocalDNS, which gives the answers", RoutingDNS, "add nodeLocalDNS: {}")
	}
	if k.Mesh == nil {
		return
	}
	if k.Routing != RoutingMesh {
		list.Addf(place+".mesh", nil, "remove it", "must be left out with routing %s", k.Routing)
	}
	label(list, place+".mesh.namespace", k.Mesh.Namespace)
	oneOf(list, place+".mesh.dataPlane", k.Mesh.DataPlane, "sidecar", "ambient")
}

func validatePool(s *Stack, place string, list *problem.List) {
	p := s.Kubernetes.Pool
	if p == nil {
		return
	}
	place += ".pool"
	if len(destinations.ByRoute(s.Destinations, destinations.RoutePool)) == 0 {
		list.Add(place, "needs at least 1 destination on route pool", 0, "give a destination route: pool, or remove the section")
	}
	label(list, place+".namespace", p.Namespace)
	between(list, place+".minReplicas", p.MinReplicas, 2, maxPoolReplicas, "leave it out for one per zone")
	between(list, place+".maxReplicas", p.MaxReplicas, 2, maxPoolReplicas, "leave it out for three times minReplicas")
	if p.MaxReplicas < p.MinReplicas && p.MaxReplicas >= 2 && p.MinReplicas <= maxPoolReplicas {
		list.Addf(place+".maxReplicas", p.MaxReplicas, "leave it out for three times minReplicas", "must be at least minReplicas, %d", p.MinReplicas)
	}
	between(list, place+".cpuMillis", p.CPUMillis, 50, 64000, "leave it out for 500")
	between(list, place+".memoryMiB", p.MemoryMiB, 64, 65536, "leave it out for 256")
	between(list, place+".drainSeconds", p.DrainSeconds, 5, maxDrain, "leave it out for 30")
	between(list, place+".requestsPerConnection", p.RequestsPerConnection, 10, 1000000, "leave it out for 1000")
}

func validatePodDNS(s *Stack, place string, list *problem.List) {
	k, p := s.Kubernetes, s.Kubernetes.PodDNS
	if p == nil {
		return
	}
	place += ".podDNS"
	if !labelKey.MatchString(p.Label) {
		list.Add(place+".label", "must be a label key", p.Label, "leave it out for sallyport.dev/pod-dns")
	}
	between(list, place+".ndots", p.Ndots, 1, 15, "leave it out for 2")
	if *p.NodeLocal && k.NodeLocalDNS == nil {
		list.Add(place+".nodeLocal", "must not be true without nodeLocalDNS", true, "add nodeLocalDNS: {}")
	}
	if !oneOf(list, place+".by", string(p.By), string(MeansPolicy), string(MeansKyverno)) {
		return
	}
	if p.By == MeansKyverno {
		if p.API != "" && k.Minor() < policyServed {
			list.Add(place+".api", "must be left out with by: kyverno", p.API, "remove it")
		}
		return
	}
	validatePolicyAPI(k, place+".api", list)
}

// validatePolicyAPI checks that the cluster can serve the version: the version of Kubernetes is declared, what was switched on is not.
func validatePolicyAPI(k *Kubernetes, place string, list *problem.List) {
	api, minor := k.PodDNS.API, k.Minor()
	if minor < minKubernetes {
		return // has its problem
	}
	since := map[string]int{"v1alpha1": policyAlpha, "v1beta1": policyBeta, "v1": policyServed}
	switch {
	case api == "" && minor < policyAlpha:
		list.Addf(place, k.Version, "write by: kyverno, or put dnsConfig into the pods", "does not exist before Kubernetes 1.%d", policyAlpha)
	case api == "":
		list.Addf(place, nil, "write v1beta1 (from 1.34) or v1alpha1 if it has been switched on, else by: kyverno",
			"is required before Kubernetes 1.%d, where it has to be switched on (feature gate MutatingAdmissionPolicy and --runtime-config)", policyServed)
	case !oneOf(list, place, api, "v1alpha1", "v1beta1", "v1"):
	case minor < since[api]:
		list.Addf(place, api, "write by: kyverno, or an older version", "does not exist before Kubernetes 1.%d", since[api])
	}
}

func validateNodeHealth(s *Stack, place string, list *problem.List) {
	n := s.Kubernetes.NodeHealth
	if n == nil {
		return
	}
	place += ".nodeHealth"
	label(list, place+".namespace", n.Namespace)
	oneOf(list, place+".rules", n.Rules, "prometheusrule", "configmap")
	keys := make([]string, 0, len(n.Labels))
	for key := range n.Labels {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	for _, key := range keys {
		if !labelKey.MatchString(key) || !labelValue.MatchString(n.Labels[key]) {
			list.Add(problem.Child(place+".labels", key), "must be a label of Kubernetes", n.Labels[key], "write it as kubectl shows it")
		}
	}
}

func validateNetworkPolicy(s *Stack, place string, list *problem.List) {
	n := s.Kubernetes.NetworkPolicy
	if n == nil {
		return
	}
	place += ".networkPolicy"
	if len(n.Namespaces) == 0 {
		list.Add(place+".namespaces", "needs at least 1 namespace", 0, "list the namespaces that ask for it, or remove the section")
	}
	for i, name := range n.Namespaces {
		at := problem.Index(place+".namespaces", i)
		label(list, at, name)
		if first := slices.Index(n.Namespaces, name); first < i {
			list.Addf(at, name, "remove one of the two", "must be unique and %s is the same", problem.Index(place+".namespaces", first))
		}
	}
	if len(n.ClusterCIDRs) == 0 {
		list.Add(place+".clusterCIDRs", "needs at least 1 network", 0, "list the networks of pods, Services and nodes")
	}
	networks(list, place+".clusterCIDRs", n.ClusterCIDRs)
	networks(list, place+".allowCIDRs", n.AllowCIDRs)
	if len(destinations.ByRoute(s.Destinations, destinations.RouteProxy, destinations.RoutePool)) == 0 {
		list.Add(place, "needs at least 1 destination on route proxy or pool", 0, "remove the section: there are no proxies to go around")
	}
}

func networks(list *problem.List, place string, cidrs []string) {
	for i, text := range cidrs {
		prefix, err := netip.ParsePrefix(text)
		if err != nil || !prefix.Addr().Is4() || prefix != prefix.Masked() {
			list.Add(problem.Index(place, i), "must be an IPv4 network without host bits", text, "write it like 10.0.0.0/16")
		} else if prefix.Bits() == 0 {
			list.Add(problem.Index(place, i), "must not be everything", text, "that would close nothing: remove the section instead")
		}
	}
}

func label(list *problem.List, place, value string) {
	if !destinations.IsLabel(value) {
		list.Add(place, destinations.LabelRule, value, "write it as kubectl shows it")
	}
}

func digest(list *problem.List, place, image, remedy string) {
	if image != "" && !imageDigest.MatchString(image) {
		list.Add(place, "must name a repository and a digest, REPOSITORY@sha256:...", image, remedy)
	}
}

func domain(name string) bool {
	for _, part := range strings.Split(name, ".") {
		if !destinations.IsLabel(part) {
			return false
		}
	}
	return len(name) <= 200
}
