package incluster

import (
	"context"
	"fmt"
	"net/netip"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/sallyport/sallyport/components/nodelocaldns"
	"github.com/sallyport/sallyport/lab/labtest"
	"github.com/sallyport/sallyport/lab/namespace"
)

// Addresses of the cluster: its DNS, the second Service of it that the cache asks, and a pod on the node.
const (
	serviceIP  = "172.20.0.10"
	upstreamIP = "172.20.11.12"
	podIP      = "10.0.7.7"
)

// kubeProxy is what kube-proxy in mode iptables keeps for the two Services of a cluster whose DNS has one pod. Everything that leaves the
// node is masqueraded here, so that the far end needs no way back to pods.
var kubeProxy = "*nat\n:KUBE-SERVICES - [0:0]\n-A PREROUTING -j KUBE-SERVICES\n-A OUTPUT -j KUBE-SERVICES\n-A POSTROUTING -d " + farDNS + "/32 -j MASQUERADE\n" +
	serviceRules(serviceIP) + serviceRules(upstreamIP) + "COMMIT\n"

func serviceRules(ip string) string {
	var text strings.Builder
	for _, protocol := range []string{"udp", "tcp"} {
		fmt.Fprintf(&text, "-A KUBE-SERVICES -d %s/32 -p %s -m %s --dport 53 -j DNAT --to-destination %s:53\n", ip, protocol, protocol, farDNS)
	}
	return text.String()
}

// nodeCacheRules are the rules that k8s-dns-node-cache 1.26.4 puts in front of all others while it runs, for the arguments that the
// DaemonSet gives it (kubernetes/dns, cmd/node-cache/app/cache_app.go, initIptables). The program itself is in an image only; CoreDNS,
// which it wraps, is the real one.
func nodeCacheRules(add bool, ips ...string) string {
	operation := map[bool]string{true: "-I", false: "-D"}[add]
	raw, filter := "*raw\n", "*filter\n"
	for _, ip := range ips {
		for _, protocol := range []string{"tcp", "udp"} {
			to := fmt.Sprintf("-d %s/32 -p %s -m %s --dport 53", ip, protocol, protocol)
			from := fmt.Sprintf("-s %s/32 -p %s -m %s --sport 53", ip, protocol, protocol)
			for _, rule := range []string{"PREROUTING " + to, "OUTPUT " + to, "OUTPUT " + from} {
				raw += operation + " " + rule + " -j NOTRACK\n"
			}
			for _, rule := range []string{"INPUT " + to, "OUTPUT " + from} {
				filter += operation + " " + rule + " -j ACCEPT\n"
			}
		}
		for _, rule := range []string{"-d %s/32 -p tcp -m tcp --dport %d", "-s %s/32 -p tcp -m tcp --sport %d"} {
			raw += operation + " OUTPUT " + fmt.Sprintf(rule, ip, nodelocaldns.HealthPort) + " -j NOTRACK\n"
		}
	}
	return raw + "COMMIT\n" + filter + "COMMIT\n"
}

// restore hands rules to iptables-restore on the node.
func (n *node) restore(rules string, flags ...string) {
	n.t.Helper()
	command := exec.Command("iptables-restore", append(flags, "--noflush", "--wait")...)
	output := &tail{}
	command.Stdin, command.Stdout, command.Stderr = strings.NewReader(rules), output, output
	labtest.Must(n.t, namespace.Start(n.name, command))
	if err := command.Wait(); err != nil {
		n.t.Fatalf("iptables-restore %v: %v\n%s%s", flags, err, output, rules)
	}
}

// bind puts the link-local address on the cache's interface, and the taken one.
func (n *node) bind(all ...string) {
	n.t.Helper()
	var prefixes []netip.Prefix
	for _, text := range append([]string{nodelocaldns.DefaultAddress}, all...) {
		prefixes = append(prefixes, netip.MustParsePrefix(text+"/32"))
	}
	labtest.Must(n.t, namespace.SetAddresses(n.name, "nodelocaldns", prefixes))
}

// newTakenOver makes a node of a cluster with kube-proxy in mode iptables, and a pod on it in a namespace of its own.
func newTakenOver(t *testing.T) (n *node, pod string) {
	t.Helper()
	if _, err := exec.LookPath("iptables-restore"); err != nil {
		t.Skip("iptables is not installed")
	}
	settings := linkLocal()
	settings.Mode = nodelocaldns.TakeOver
	n = newNode(t, settings, func(corefile string) string {
		objects, err := settings.Objects(nodelocaldns.Found{ClusterDNS: serviceIP, Upstream: upstreamIP})
		labtest.Must(t, err)
		resolvConf := regexp.MustCompile(`/\S+/resolv\.conf`).FindString(corefile)
		return strings.ReplaceAll(corefileOf(t, objects), "/etc/resolv.conf", resolvConf)
	})
	pod = labtest.Namespace(t)
	gateway := netip.MustParsePrefix("10.0.7.1/24")
	labtest.Must(t, namespace.EnsureBridge(n.name, "pods", gateway))
	labtest.Must(t, namespace.Attach(namespace.Attachment{
		Namespace: pod, Interface: "eth0", Switch: n.name, Bridge: "pods", Addresses: []netip.Prefix{netip.MustParsePrefix(podIP + "/24")},
	}))
	labtest.Must(t, namespace.EnsureRoutes(pod, namespace.Route{To: netip.MustParsePrefix("0.0.0.0/0"), Via: gateway.Addr(), Interface: "eth0"}))
	// A node has a default route, without which its own packets to a Service would not come as far as kube-proxy's rules.
	labtest.Must(t, namespace.EnsureRoutes(n.name, namespace.Route{To: netip.MustParsePrefix("0.0.0.0/0"), Interface: "pods"}))
	labtest.Must(t, namespace.Sysctl(n.name, map[string]string{"net.ipv4.ip_forward": "1"}))
	n.restore(kubeProxy)
	return n, pod
}

// ask sends one query to the address of the cluster's DNS, and wants so many queries to reach the cache and the cluster's DNS for it.
func (n *node) ask(pod, network, name string, atCache, atCluster int) {
	n.t.Helper()
	count := func() (cache, cluster int) {
		if listening(n.name) {
			cache = int(n.metric("coredns_dns_requests_total", ""))
		}
		return cache, int(n.far.queries.Load())
	}
	cache, cluster := count()
	err := namespace.Do(pod, func() error {
		client := &dns.Client{Net: network, Timeout: 5 * time.Second}
		reply, _, err := client.Exchange(new(dns.Msg).SetQuestion(name, dns.TypeA), serviceIP+":53")
		if err == nil && reply.Rcode != dns.RcodeSuccess && reply.Rcode != dns.RcodeNameError {
			err = fmt.Errorf("answer %s", dns.RcodeToString[reply.Rcode])
		}
		return err
	})
	if err != nil {
		n.t.Fatalf("%s over %s: %v", name, network, err)
	}
	n.eventually(10*time.Second, name+" over "+network, func() error { // the cache counts a query after its answer
		nowCache, nowCluster := count()
		if got, other := nowCache-cache, nowCluster-cluster; got != atCache || other != atCluster {
			return fmt.Errorf("%d at the cache and %d at the cluster's DNS, want %d and %d", got, other, atCache, atCluster)
		}
		return nil
	})
}

// listening reports whether a cache serves its figures.
func listening(space string) bool {
	c, err := namespace.Dial(context.Background(), space, "tcp", fmt.Sprintf("%s:%d", nodelocaldns.DefaultAddress, nodelocaldns.MetricsPort))
	if err == nil {
		_ = c.Close()
	}
	return err == nil
}

func TestTheCacheTakesTheClusterDNSOverAndGivesItBack(t *testing.T) {
	n, pod := newTakenOver(t)
	rules := nodeCacheRules(true, nodelocaldns.DefaultAddress, serviceIP)
	n.restore(rules, "--test")

	n.ask(pod, "udp", "before-the-cache.example.com.", 0, 1)
	n.bind(serviceIP)
	cache := n.start()
	n.eventually(30*time.Second, "the cache's own first queries are over", func() error { return n.quiet() })
	n.ask(pod, "udp", "address-alone.example.com.", 0, 1) // kube-proxy's rules win

	n.restore(rules)
	for _, network := range []string{"udp", "tcp"} {
		n.ask(pod, network, network+".example.com.", 1, 1)
		n.ask(pod, network, network+".example.com.", 1, 0) // from the cache
	}
	n.ask(pod, "udp", "shop.default.svc.cluster.local.", 1, 1) // asked at the second Service

	// What the program does when it is told to stop: the interface and the rules go.
	stop(t, cache)
	n.bind()
	n.restore(nodeCacheRules(false, nodelocaldns.DefaultAddress, serviceIP))
	n.ask(pod, "udp", "given-back.example.com.", 0, 1)
	n.ask(pod, "tcp", "given-back.example.com.", 0, 1)
}

// quiet waits until nothing reached the cluster's DNS for half a second: a cache that starts looks for loops.
func (n *node) quiet() error {
	before := n.far.queries.Load()
	time.Sleep(500 * time.Millisecond)
	if after := n.far.queries.Load(); after != before {
		return fmt.Errorf("%d queries", after-before)
	}
	return nil
}
