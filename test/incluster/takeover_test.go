package incluster

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/sallyport/sallyport/components/manifests"
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

// nodeCacheRules are the rules that k8s-dns-node-cache puts in front of all others while it runs, in its order, for the addresses that
// the DaemonSet gives it (kubernetes/dns, cmd/node-cache/app/cache_app.go, initIptables). Each is a table and the rest of a command. The
// program itself is in an image only; CoreDNS, which it wraps, is the real one.
func nodeCacheRules(ips ...string) (rules [][2]string) {
	skip := ` -m comment --comment "NodeLocal DNS Cache: skip conntrack" -j NOTRACK`
	allow := ` -m comment --comment "NodeLocal DNS Cache: allow DNS traffic" -j ACCEPT`
	for _, ip := range ips {
		both := func(table, chain, direction, port, rest string) {
			for _, protocol := range []string{"tcp", "udp"} {
				rules = append(rules, [2]string{table, fmt.Sprintf("%s %s %s/32 -p %s -m %s %s 53%s", chain, direction, ip, protocol, protocol, port, rest)})
			}
		}
		both("raw", "PREROUTING", "-d", "--dport", skip)
		both("filter", "INPUT", "-d", "--dport", allow)
		both("raw", "OUTPUT", "-s", "--sport", skip)
		both("filter", "OUTPUT", "-s", "--sport", allow)
		both("raw", "OUTPUT", "-d", "--dport", skip)
		for _, match := range []string{"-d %s/32 -p tcp -m tcp --dport %d", "-s %s/32 -p tcp -m tcp --sport %d"} {
			rules = append(rules, [2]string{"raw", "OUTPUT " + fmt.Sprintf(match, ip, nodelocaldns.HealthPort) + skip})
		}
	}
	return rules
}

// restorable is rules as iptables-restore reads them; operation is -I or -D.
func restorable(operation string, rules [][2]string) string {
	var text strings.Builder
	for _, table := range []string{"raw", "filter"} {
		text.WriteString("*" + table + "\n")
		for _, rule := range rules {
			if rule[0] == table {
				text.WriteString(operation + " " + rule[1] + "\n")
			}
		}
		text.WriteString("COMMIT\n")
	}
	return text.String()
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

// takeOver is what is rendered for a cluster with kube-proxy in mode iptables.
func takeOver(t testing.TB) []manifests.Object {
	t.Helper()
	settings := linkLocal()
	settings.Mode = nodelocaldns.TakeOver
	objects, err := settings.Objects(nodelocaldns.Found{ClusterDNS: serviceIP, Upstream: upstreamIP})
	labtest.Must(t, err)
	return objects
}

// taken are the addresses that the rendered DaemonSet hands to the program, in its order.
func taken(t testing.TB) []string {
	t.Helper()
	text, err := manifests.YAML(takeOver(t))
	labtest.Must(t, err)
	found := regexp.MustCompile(`-localip=(\S+)`).FindStringSubmatch(text)
	if found == nil {
		t.Fatal("the DaemonSet names no addresses")
	}
	return strings.Split(found[1], ",")
}

// newTakenOver makes a node of a cluster with kube-proxy in mode iptables, and a pod on it in a namespace of its own.
func newTakenOver(t *testing.T) (n *node, pod string) {
	t.Helper()
	if _, err := exec.LookPath("iptables-restore"); err != nil {
		t.Skip("iptables is not installed")
	}
	n = newNode(t, linkLocal(), func(corefile string) string {
		resolvConf := regexp.MustCompile(`/\S+/resolv\.conf`).FindString(corefile)
		return strings.ReplaceAll(corefileOf(t, takeOver(t)), "/etc/resolv.conf", resolvConf)
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

// The program removes the rules address by address, and its interface before.
func TestTheRulesOfTheServiceGoFirst(t *testing.T) {
	rules, last := nodeCacheRules(taken(t)...), 0
	for i, rule := range rules {
		if strings.HasPrefix(rule[1], "PREROUTING -d "+serviceIP) {
			last = i + 1
		}
	}
	if last != 2 {
		t.Errorf("pods reach the cluster's DNS again after %d of %d rules are gone, want 2", last, len(rules))
	}
}

func TestTheCacheTakesTheClusterDNSOverAndGivesItBack(t *testing.T) {
	n, pod := newTakenOver(t)
	rules := nodeCacheRules(taken(t)...)
	n.restore(restorable("-I", rules), "--test")

	n.ask(pod, "udp", "before-the-cache.example.com.", 0, 1)
	n.bind(serviceIP)
	cache := n.start()
	n.eventually(30*time.Second, "the cache's own first queries are over", func() error { return n.quiet() })
	n.ask(pod, "udp", "address-alone.example.com.", 0, 1) // kube-proxy's rules win

	n.restore(restorable("-I", rules))
	for _, network := range []string{"udp", "tcp"} {
		n.ask(pod, network, network+".example.com.", 1, 1)
		n.ask(pod, network, network+".example.com.", 1, 0) // from the cache
	}
	n.ask(pod, "udp", "shop.default.svc.cluster.local.", 1, 1) // asked at the second Service

	// What the program does when it is told to stop: the interface and the rules go.
	stop(t, cache)
	n.bind()
	n.restore(restorable("-D", rules))
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

// oneByOne runs iptables for each rule with each operation, as the program does, which knows no transactions. -I follows a -C that finds
// nothing, and every -D one that finds it.
func (n *node) oneByOne(rules [][2]string, operations ...string) {
	n.t.Helper()
	var script strings.Builder
	for _, rule := range rules {
		for _, operation := range operations {
			fmt.Fprintf(&script, "iptables -w -t %s -C %s 2>/dev/null\niptables -w -t %s %s %s || exit 1\n", rule[0], rule[1], rule[0], operation, rule[1])
		}
	}
	command := exec.Command("sh", "-c", script.String())
	output := &tail{}
	command.Stdout, command.Stderr = output, output
	labtest.Must(n.t, namespace.Start(n.name, command))
	if err := command.Wait(); err != nil {
		n.t.Fatalf("%v: %s", err, output)
	}
}

// What a rollout costs in mode take-over, which the order of the addresses decides: between the end of the interface and that of the rules
// for the Service's address, queries are lost. A measurement, which a busy machine blurs: it runs when it is asked for.
func TestARolloutWhereTheServiceIsTakenOver(t *testing.T) {
	if os.Getenv("SALLYPORT_MEASURE") == "" {
		t.Skip("a measurement: set SALLYPORT_MEASURE=1 on an idle machine")
	}
	const perSecond = 100 // more would keep all who ask waiting: 64 at a time, for two seconds each
	rollout := func(ips []string) *asked {
		n, pod := newTakenOver(t)
		rules := nodeCacheRules(ips...)
		n.bind(serviceIP)
		cache := n.start()
		n.restore(restorable("-I", rules))
		end, done := make(chan struct{}), make(chan *asked, 1)
		load := &node{t: t, name: pod}
		go func() { done <- load.load(serviceIP+":53", perSecond, names(50, "example.com"), end) }()
		time.Sleep(time.Second)

		n.bind() // told to stop, and after the time in which it still answers: the interface goes, then the rules
		n.oneByOne(rules, "-D", "-I", "-D")
		labtest.Must(t, cache.Process.Kill())
		_ = cache.Wait()
		time.Sleep(time.Second)
		n.bind(serviceIP)
		n.start()
		n.oneByOne(rules, "-I")
		time.Sleep(time.Second)
		close(end)
		return <-done
	}
	ours := taken(t)
	result, otherOrder := rollout(ours), rollout([]string{ours[1], ours[0]})
	lost := func(a *asked) time.Duration { return time.Duration(a.failures()) * time.Second / perSecond }
	t.Logf("one rollout at %d queries/s: %d of %d failed, as many as come in %s; with the rules of %s first %d of %d, in %s", perSecond,
		result.failures(), result.total, lost(result), ours[1], otherOrder.failures(), otherOrder.total, lost(otherOrder))
	if ours[0] != serviceIP || result.failures() >= otherOrder.failures() {
		t.Errorf("%d failed with %v, and %d the other way round", result.failures(), ours, otherOrder.failures())
	}
}
