package stack

// Kubernetes configures what Sallyport installs inside the cluster. A stack without the section installs nothing there; within
// it, a part that is not named is not installed, except for what another part needs.
type Kubernetes struct {
	// Version is the minor version that the API server serves, for example "1.32". Required; 1.30 or later. It decides which
	// APIs are used.
	Version string `json:"version"`
	// Kubeconfig is the file with the access to the cluster. Default: what kubectl would use, unless the stack makes or
	// knows the cluster itself.
	Kubeconfig string `json:"kubeconfig,omitempty"`
	// Context is the context in it. Default: the current one.
	Context string `json:"context,omitempty"`
	// ClusterDomain is the domain of the cluster's own names. Default cluster.local.
	ClusterDomain string `json:"clusterDomain,omitempty"`
	// Image is the proxy image with its digest, for what runs it in the cluster. Default: the fleet's.
	Image string `json:"image,omitempty"`
	// NodeLocalDNS installs the DNS cache on every node. Nil: it is not installed.
	NodeLocalDNS *NodeLocalDNS `json:"nodeLocalDNS,omitempty"`
	// Routing is how traffic for the proxies reaches them. Default none.
	Routing Routing `json:"routing,omitempty"`
	// Mesh configures routing mesh. Nil with other routings.
	Mesh *Mesh `json:"mesh,omitempty"`
	// Pool installs the pooling controller. Nil: it is not installed, and destinations on route pool travel through the proxies
	// like those on route proxy.
	Pool *Pool `json:"pool,omitempty"`
	// PodDNS changes the resolver options of the pods in namespaces that ask for it. Nil: no pod is changed.
	PodDNS *PodDNS `json:"podDNS,omitempty"`
	// NodeHealth installs alert rules on what the nodes' own exporters measure. Nil: none.
	NodeHealth *NodeHealth `json:"nodeHealth,omitempty"`
	// NetworkPolicy closes the way around the proxies. Nil: nothing is closed.
	NetworkPolicy *NetworkPolicy `json:"networkPolicy,omitempty"`
}

// Defaults fills in what does not depend on other sections.
func (k *Kubernetes) Defaults() {
	*k = Kubernetes{ClusterDomain: "cluster.local", Routing: RoutingNone}
}

// Routing is how traffic for the proxies reaches them without a change to applications.
type Routing string

// The routings.
const (
	RoutingNone Routing = "none" // applications find the proxies themselves, or only pool
	RoutingMesh Routing = "mesh" // Istio sends listed server names to the proxies
	RoutingDNS  Routing = "dns"  // the node's DNS cache answers listed hosts with healthy proxies; needs nodeLocalDNS
)

// KubeProxy is how the cluster's Services are made, which decides how pods come to the DNS cache on their node.
type KubeProxy string

// The ways.
const (
	// KubeProxyIPTables lets the cache take over the address of the cluster's DNS on each node: no pod and no kubelet changes,
	// and when the cache stops its rules go and queries reach the cluster's DNS as before.
	KubeProxyIPTables KubeProxy = "iptables"
	// KubeProxyIPVS binds the link-local address only: pods must be pointed there, by the kubelet's --cluster-dns or by podDNS.
	KubeProxyIPVS KubeProxy = "ipvs"
	// KubeProxyNFTables is as ipvs. The upstream cache writes no nftables rules, and a pod's query to a link-local address of its
	// own node needs none.
	KubeProxyNFTables KubeProxy = "nftables"
)

// NodeLocalDNS configures the DNS cache on every node.
type NodeLocalDNS struct {
	// KubeProxy is the mode of the cluster's kube-proxy. Default iptables. For kube-proxy replacements (Cilium) write ipvs.
	KubeProxy KubeProxy `json:"kubeProxy,omitempty"`
	// Image is k8s-dns-node-cache with its digest. Default: the one this release was tested against.
	Image string `json:"image,omitempty"`
	// Namespace and Service name the cluster's DNS, whose address is looked up. Default kube-system and kube-dns.
	Namespace string `json:"namespace,omitempty"`
	Service   string `json:"service,omitempty"`
	// ServeStaleSeconds is how long expired answers are given out while no upstream answers, 1 to 86,400. Default 3,600.
	ServeStaleSeconds int `json:"serveStaleSeconds,omitempty"`
	// StaleAfterMillis is how long a silent upstream is waited for before an expired answer is given, 50 to 10,000. Default 0: until it is
	// given up, 4 s. Needs an image of its own with CoreDNS 1.14.4 or later; older ones do not start with it.
	StaleAfterMillis int `json:"staleAfterMillis,omitempty"`
	// MaxConcurrent bounds the queries that wait for an upstream, per zone of the Corefile, 100 to 100,000. Default 1,000.
	MaxConcurrent int `json:"maxConcurrent,omitempty"`
	// MemoryMiB is the memory limit of the cache, 64 to 4,096. Default 256.
	MemoryMiB int `json:"memoryMiB,omitempty"`
}

// Defaults fills in what does not depend on other sections.
func (n *NodeLocalDNS) Defaults() {
	*n = NodeLocalDNS{KubeProxy: KubeProxyIPTables, Namespace: "kube-system", Service: "kube-dns", ServeStaleSeconds: 3600, MaxConcurrent: 1000, MemoryMiB: 256}
}

// Mesh configures routing by Istio.
type Mesh struct {
	// Namespace is where the objects live. Default istio-system: they are then seen by the whole mesh.
	Namespace string `json:"namespace,omitempty"`
	// DataPlane is sidecar or ambient. Default sidecar.
	DataPlane string `json:"dataPlane,omitempty"`
	// FallbackToNat sends connections past the proxies when none is left, for destinations whose partner lists the NAT's IPs too.
	// Default false.
	FallbackToNat bool `json:"fallbackToNat,omitempty"`
}

// Defaults fills in what does not depend on other sections.
func (m *Mesh) Defaults() { *m = Mesh{Namespace: "istio-system", DataPlane: "sidecar"} }

// Pool configures the pooling controller.
type Pool struct {
	// Namespace is where it runs, and part of the names by which applications call it: http://NAME.<namespace>.svc. Default egress.
	Namespace string `json:"namespace,omitempty"`
	// MinReplicas and MaxReplicas bound the number of controllers, 2 to 100. Default: one per zone, at least 2, and three times that.
	MinReplicas int `json:"minReplicas,omitempty"`
	MaxReplicas int `json:"maxReplicas,omitempty"`
	// CPUMillis and MemoryMiB are what one controller asks for. Default 500 and 256; the memory is also its limit.
	CPUMillis int `json:"cpuMillis,omitempty"`
	MemoryMiB int `json:"memoryMiB,omitempty"`
	// DrainSeconds is how long a controller that was told to stop serves its connections, 5 to 3,600. Default 30.
	DrainSeconds int `json:"drainSeconds,omitempty"`
	// RequestsPerConnection is after how many requests a client is told to connect again, so that clients spread over new
	// controllers, 10 to 1,000,000. Default 1,000.
	RequestsPerConnection int `json:"requestsPerConnection,omitempty"`
}

// Defaults fills in what does not depend on other sections.
func (p *Pool) Defaults() {
	*p = Pool{Namespace: "egress", MinReplicas: unset, MaxReplicas: unset, CPUMillis: 500, MemoryMiB: 256, DrainSeconds: 30, RequestsPerConnection: 1000}
}

// Means is how pods are changed when they are made.
type Means string

// The means.
const (
	// MeansPolicy is a MutatingAdmissionPolicy: nothing to run. Served by default from Kubernetes 1.36.
	MeansPolicy Means = "policy"
	// MeansKyverno is a Kyverno ClusterPolicy, for clusters that run Kyverno and serve no MutatingAdmissionPolicy.
	MeansKyverno Means = "kyverno"
)

// PodDNS configures the resolver options of pods.
type PodDNS struct {
	// Label is the namespace label that asks for it, with the value "enabled". Default sallyport.dev/pod-dns.
	Label string `json:"label,omitempty"`
	// By is the means. Default policy.
	By Means `json:"by,omitempty"`
	// API is the version of admissionregistration.k8s.io that the cluster serves MutatingAdmissionPolicy in: v1alpha1 (1.32 and 1.33),
	// v1beta1 (1.34 and 1.35; both must have been switched on) or v1. Default v1 from 1.36; before, it has to be said.
	API string `json:"api,omitempty"`
	// Ndots is how many dots a name needs to be asked as it is at once, 1 to 15. Default 2.
	Ndots int `json:"ndots,omitempty"`
	// SingleRequestReopen has glibc ask for A and AAAA from two sockets. Default true. musl ignores it.
	SingleRequestReopen *bool `json:"singleRequestReopen,omitempty"`
	// UseVC has glibc ask over TCP. Default false: on its node's cache a pod gains nothing by it. musl ignores it.
	UseVC bool `json:"useVC,omitempty"`
	// NodeLocal points pods at the DNS cache on their node, with the cluster's DNS as the second. Default: true if nodeLocalDNS is
	// installed and kubeProxy is not iptables.
	NodeLocal *bool `json:"nodeLocal,omitempty"`
}

// Defaults fills in what does not depend on other sections.
func (p *PodDNS) Defaults() {
	reopen := true
	*p = PodDNS{Label: "sallyport.dev/pod-dns", By: MeansPolicy, Ndots: 2, SingleRequestReopen: &reopen}
}

// NodeHealth configures alert rules on the nodes' figures.
type NodeHealth struct {
	// Namespace is where the rules are put. Default monitoring; it must exist.
	Namespace string `json:"namespace,omitempty"`
	// Rules is prometheusrule (an object of the Prometheus operator) or configmap (a rule file). Default prometheusrule.
	Rules string `json:"rules,omitempty"`
	// Labels are put on the object, so that the operator picks it up, for example release: prometheus.
	Labels map[string]string `json:"labels,omitempty"`
}

// Defaults fills in what does not depend on other sections.
func (n *NodeHealth) Defaults() { *n = NodeHealth{Namespace: "monitoring", Rules: "prometheusrule"} }

// NetworkPolicy configures what closes the way around the proxies.
type NetworkPolicy struct {
	// Namespaces are those that ask for it. At least one; they must exist.
	Namespaces []string `json:"namespaces"`
	// ClusterCIDRs are the networks of pods, Services and nodes, which stay reachable. At least one.
	ClusterCIDRs []string `json:"clusterCIDRs"`
	// AllowCIDRs are further networks that stay reachable on any port: what leaves by NAT has to be named here, because a
	// NetworkPolicy knows no host names.
	AllowCIDRs []string `json:"allowCIDRs,omitempty"`
}
