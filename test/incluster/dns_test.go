package incluster

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
	"github.com/vishvananda/netlink"
	"gopkg.in/yaml.v3"

	"github.com/sallyport/sallyport/components/nodelocaldns"
	"github.com/sallyport/sallyport/components/poddns"
	"github.com/sallyport/sallyport/lab/labtest"
	"github.com/sallyport/sallyport/lab/namespace"
)

// resolvConf is what a pod on EKS has: three search domains of the cluster, one of the network.
func resolvConf(options string) string {
	searches := append(poddns.Searches("shop", "cluster.local"), "eu-west-1.compute.internal")
	return fmt.Sprintf("nameserver %s\nsearch %s\noptions %s\n", nodelocaldns.DefaultAddress, strings.Join(searches, " "), options)
}

// podOptions are the options that package poddns gives, as the kubelet writes them into resolv.conf.
func podOptions(t *testing.T) string {
	t.Helper()
	snippet, err := poddns.Settings{Label: "x", Ndots: 2, SingleRequestReopen: true, ClusterDomain: "cluster.local"}.Snippet(poddns.Found{}, "shop")
	labtest.Must(t, err)
	var spec struct {
		DNSConfig struct {
			Options []struct{ Name, Value string }
		} `yaml:"dnsConfig"`
	}
	labtest.Must(t, yaml.Unmarshal([]byte(snippet), &spec))
	var options []string
	for _, o := range spec.DNSConfig.Options {
		options = append(options, strings.TrimSuffix(o.Name+":"+o.Value, ":"))
	}
	return strings.Join(options, " ")
}

// The C library itself looks names up, in a mount namespace with the pod's resolv.conf.
func TestLookupsCostTenQueriesByDefaultAndTwoWithOurOptions(t *testing.T) {
	n := newNode(t, linkLocal(), nil)
	n.start()
	// Pods have an IPv6 address, if only a link-local one; without any, the C library asks for no AAAA.
	labtest.Must(t, namespace.Do(n.name, func() error {
		link, err := netlink.LinkByName("lo")
		if err != nil {
			return err
		}
		return netlink.AddrAdd(link, &netlink.Addr{IPNet: &net.IPNet{IP: net.ParseIP("fd00::1"), Mask: net.CIDRMask(128, 128)}})
	}))
	const lookups = 20
	count := func(options string) float64 {
		file := filepath.Join(t.TempDir(), "resolv.conf")
		labtest.Must(t, os.WriteFile(file, []byte(resolvConf(options)), 0o644))
		before := n.metric("coredns_dns_requests_total", "")
		script := fmt.Sprintf("mount --bind %s /etc/resolv.conf && for i in $(seq %d); do getent ahosts api.example.com >/dev/null || exit 1; done", file, lookups)
		command := exec.Command("unshare", "--mount", "sh", "-c", script)
		output := &tail{}
		command.Stdout, command.Stderr = output, output
		labtest.Must(t, namespace.Start(n.name, command))
		if err := command.Wait(); err != nil {
			t.Fatalf("%v: %s", err, output)
		}
		return (n.metric("coredns_dns_requests_total", "") - before) / lookups
	}
	byDefault, ours := count("ndots:5"), count(podOptions(t))
	t.Logf("queries per lookup of api.example.com: %g with the defaults, %g with %q", byDefault, ours, podOptions(t))
	if byDefault != 10 || ours != 2 {
		t.Errorf("got %g and %g, want 10 and 2", byDefault, ours)
	}
	if want := poddns.QueriesPerLookup("api.example.com", 4, 5); float64(want) != byDefault {
		t.Errorf("the report expects %d", want)
	}
}

func names(count int, domain string) []string {
	var all []string
	for i := range count {
		all = append(all, fmt.Sprintf("host-%d.%s.", i, domain))
	}
	return all
}

func TestTheCacheAnswersFromMemory(t *testing.T) {
	n := newNode(t, linkLocal(), nil)
	n.start()
	before := n.far.queries.Load()
	ask := func(server string, seconds float64) *asked {
		stop := make(chan struct{})
		time.AfterFunc(time.Duration(seconds*float64(time.Second)), func() { close(stop) })
		return n.load(server, 200, names(20, "example.com"), stop)
	}
	ask(cacheServer, 0.5)
	var near, far []time.Duration
	total := 0
	for range 4 { // in turn, so that the machine's other work meets both
		a := ask(cacheServer, 1)
		if a.failures() > 0 {
			t.Errorf("the cache failed: %v", a.failed)
		}
		near, total = append(near, a.took...), total+a.total
	}
	hits := 1 - float64(n.far.queries.Load()-before)/float64(total)
	for range 4 {
		far = append(far, ask(farDNS+":53", 1).took...)
	}
	a, b := &asked{took: near}, &asked{took: far}
	t.Logf("hit ratio %.3f; p50 %s against %s far (%.2f), p99 %s against %s (%.2f)", hits,
		a.quantile(0.5), b.quantile(0.5), float64(a.quantile(0.5))/float64(b.quantile(0.5)),
		a.quantile(0.99), b.quantile(0.99), float64(a.quantile(0.99))/float64(b.quantile(0.99)))
	if hits < 0.9 {
		t.Errorf("hit ratio %.3f", hits)
	}
	if a.quantile(0.5) > b.quantile(0.5)/2 {
		t.Errorf("half of the answers take more than half of the time to a server 2 ms away: %s and %s", a.quantile(0.5), b.quantile(0.5))
	}
}

// When no upstream answers, names that were asked before are answered from expired entries.
func TestAnswersThroughAnOutage(t *testing.T) {
	refuses, silent := func(n *node) { n.far.close() }, func(n *node) { n.far.silent.Store(true) }
	for name, c := range map[string]struct {
		outage     func(*node)
		staleAfter time.Duration
		slowest    time.Duration // with room for a busy machine; the C library gives up after 5 s
	}{
		"upstream refuses":                    {refuses, 0, 2 * time.Second},
		"upstream silent":                     {silent, 0, 4900 * time.Millisecond},
		"upstream silent, stale after 200 ms": {silent, 200 * time.Millisecond, 2 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			settings := linkLocal()
			settings.StaleAfter = c.staleAfter
			n := newNode(t, settings, nil)
			n.far.ttl.Store(1)
			n.start()
			ask := func(name string) (*dns.Msg, time.Duration, error) {
				var reply *dns.Msg
				began := time.Now()
				err := namespace.Do(n.name, func() (err error) {
					client := &dns.Client{Timeout: 15 * time.Second}
					reply, _, err = client.Exchange(new(dns.Msg).SetQuestion(name, dns.TypeA), cacheServer)
					return err
				})
				return reply, time.Since(began), err
			}
			for _, host := range names(5, "example.com") {
				if _, _, err := ask(host); err != nil {
					t.Fatal(err)
				}
			}
			time.Sleep(5500 * time.Millisecond) // CoreDNS keeps every answer for 5 s at least
			c.outage(n)
			var longest, first time.Duration
			for i, host := range names(5, "example.com") {
				reply, took, err := ask(host)
				if err != nil || reply.Rcode != dns.RcodeSuccess || len(reply.Answer) != 1 {
					t.Fatalf("query %d after %s: %v, %v", i, took, reply, err)
				}
				longest = max(longest, took)
				if i == 0 {
					first = took
				}
			}
			t.Logf("5 of 5 answered; the first took %s, the slowest %s", first, longest)
			if longest > c.slowest {
				t.Errorf("an answer took %s, want at most %s", longest, c.slowest)
			}
			if reply, _, err := ask("never-asked.example.com."); err != nil || reply.Rcode != dns.RcodeServerFailure {
				t.Errorf("a name that nobody asked before: %v, %v", reply, err)
			}
		})
	}
}

// What a rollout costs, in queries: with a second cache beside the first, as mode link-local does it, and, for comparison, in place.
func TestARolloutUnderLoad(t *testing.T) {
	const perSecond, rollouts = 1000, 3
	hosts := names(50, "example.com")
	t.Run("the new one first", func(t *testing.T) {
		n := newNode(t, linkLocal(), nil)
		old := n.start()
		result := n.during(perSecond, hosts, func() {
			time.Sleep(time.Second)
			for range rollouts {
				next := n.start()
				time.Sleep(500 * time.Millisecond)
				stop(t, old)
				old = next
				time.Sleep(500 * time.Millisecond)
			}
		})
		t.Logf("%d queries, %d rollouts: %d failed %v; p99 %s", result.total, rollouts, result.failures(), result.failed, result.quantile(0.99))
		if share := float64(result.failures()) / float64(result.total); share > 0.001 {
			t.Errorf("%.3f %% failed", 100*share)
		}
	})
	t.Run("in place", func(t *testing.T) {
		n := newNode(t, linkLocal(), nil)
		old := n.start()
		result := n.during(perSecond, hosts, func() {
			time.Sleep(time.Second)
			for range rollouts {
				stop(t, old)
				old = n.start()
				time.Sleep(500 * time.Millisecond)
			}
		})
		t.Logf("%d queries, %d rollouts: %d failed %v", result.total, rollouts, result.failures(), result.failed)
		if result.failures() == 0 {
			t.Error("none failed: the comparison shows nothing, or the load is not counted")
		}
	})
}
