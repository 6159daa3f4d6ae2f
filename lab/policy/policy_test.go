package policy

import (
	"context"
	"errors"
	"net/netip"
	"strconv"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sallyport/sallyport/lab/labid"
	"github.com/sallyport/sallyport/lab/labtest"
	"github.com/sallyport/sallyport/lab/namespace"
	"github.com/sallyport/sallyport/proxyimage/agent/vetting"
)

// pod makes a node with a pod and returns their namespaces.
func pod(t *testing.T, lab *labtest.Lab) (node, pod string) {
	t.Helper()
	node = lab.Host(t, "node-a", "10.0.1.10")
	pod = lab.Name("pod-a")
	labtest.Must(t, namespace.Create(lab.ID, "pod-a"),
		namespace.EnsureBridge(node, labid.PodBridge, netip.MustParsePrefix("10.244.1.1/24")),
		namespace.EnsureBridge(node, labid.NodeLocalDNSLink, netip.PrefixFrom(labid.NodeLocalDNS, 32)),
		namespace.Sysctl(node, map[string]string{"net.ipv4.ip_forward": "1"}),
		namespace.Attach(namespace.Attachment{Namespace: pod, Interface: labid.PodInterface, Switch: node, Bridge: labid.PodBridge,
			Addresses: []netip.Prefix{netip.MustParsePrefix("10.244.1.2/24")}}),
		namespace.EnsureRoutes(pod, namespace.Route{To: netip.MustParsePrefix("0.0.0.0/0"),
			Via: netip.MustParseAddr("10.244.1.1"), Interface: labid.PodInterface}))
	return node, pod
}

func target(cidr string, port int) Target { return Target{netip.MustParsePrefix(cidr), port} }

// dial reports how a connection attempt ended and how long it took.
func dial(name, address string) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	start := time.Now()
	conn, err := namespace.Dial(ctx, name, "tcp4", address)
	if err == nil {
		conn.Close()
	}
	return time.Since(start), err
}

func refusedFast(t *testing.T, name, address string) {
	t.Helper()
	took, err := dial(name, address)
	if !errors.Is(err, unix.ECONNREFUSED) || took > 300*time.Millisecond {
		t.Errorf("%s: got %v after %s, want a reset at once", address, err, took)
	}
}

func allowed(t *testing.T, name, address string) {
	t.Helper()
	if _, err := dial(name, address); err != nil {
		t.Errorf("%s: %v", address, err)
	}
}

func TestPodsReachTheTargetsAndNothingElse(t *testing.T) {
	lab := labtest.New(t)
	node, pod := pod(t, lab)
	proxy := lab.Host(t, "proxy-a-0", "10.0.2.10", "10.0.2.11")
	labtest.Via(t, proxy, "10.244.1.0/24", "10.0.1.10")
	for _, address := range []string{"10.0.2.10:443", "10.0.2.10:80", "10.0.2.11:443"} {
		labtest.Serve(t, proxy, address)
	}
	labtest.Via(t, node, "0.0.0.0/0", "10.0.0.10")
	labtest.Serve(t, node, "169.254.20.10:53")
	labtest.Serve(t, node, "10.244.1.1:8404")
	labtest.Must(t, ApplyNode(node, []Target{target("10.0.2.10/32", 443), target("10.0.2.10/32", 443), target("203.0.113.0/24", 443), target("203.0.113.7/32", 443)}))

	allowed(t, pod, "10.0.2.10:443")
	allowed(t, pod, "169.254.20.10:53")
	refusedFast(t, pod, "10.0.2.10:80")
	refusedFast(t, pod, "10.0.2.11:443")
	refusedFast(t, pod, "192.0.2.1:443")
	refusedFast(t, pod, "10.244.1.1:8404")
	refusedFast(t, pod, "10.0.1.10:22")
	allowed(t, node, "10.0.2.11:443") // the node itself is not a pod
	counters, err := ReadNode(node)
	labtest.Must(t, err)
	if counters != (NodeCounters{Allowed: 1, Refused: 3, Node: 2}) {
		t.Errorf("counters: %+v", counters)
	}

	datagram, err := namespace.Dial(context.Background(), pod, "udp4", "10.0.2.10:9")
	labtest.Must(t, err)
	defer datagram.Close()
	datagram.SetDeadline(time.Now().Add(time.Second))
	_, err = datagram.Write([]byte("x"))
	labtest.Must(t, err)
	if _, err := datagram.Read(make([]byte, 1)); !errors.Is(err, unix.EHOSTUNREACH) && !errors.Is(err, unix.ECONNREFUSED) {
		t.Errorf("a datagram: %v, want ICMP administratively prohibited", err)
	}
}

func TestAChangedPolicyCutsNothing(t *testing.T) {
	lab := labtest.New(t)
	node, pod := pod(t, lab)
	proxy := lab.Host(t, "proxy-a-0", "10.0.2.10")
	labtest.Via(t, proxy, "10.244.1.0/24", "10.0.1.10")
	labtest.Serve(t, proxy, "10.0.2.10:443")
	labtest.Serve(t, proxy, "10.0.2.10:80")
	first, second := []Target{target("10.0.2.10/32", 443)}, []Target{target("10.0.2.10/32", 80)}
	labtest.Must(t, ApplyNode(node, first), VerifyNode(node, first))
	held, _, _ := labtest.Connect(t, pod, "", "10.0.2.10:443", 50, time.Second)
	labtest.Must(t, ApplyNode(node, second), VerifyNode(node, second))
	refusedFast(t, pod, "10.0.2.10:443")
	allowed(t, pod, "10.0.2.10:80")
	if got := held.Alive(); got != 50 {
		t.Errorf("%d of 50 connections survived", got)
	}
	if VerifyNode(node, first) == nil {
		t.Error("the old policy still passes")
	}
	labtest.Must(t, ApplyNode(node, nil), VerifyNode(node, nil))
	refusedFast(t, pod, "10.0.2.10:80")
}

func TestUnaffectedTargetsAreNeverRefusedDuringChanges(t *testing.T) {
	lab := labtest.New(t)
	node, pod := pod(t, lab)
	proxy := lab.Host(t, "proxy-a-0", "10.0.2.10")
	labtest.Via(t, proxy, "10.244.1.0/24", "10.0.1.10")
	labtest.Serve(t, proxy, "10.0.2.10:443")
	stable := target("10.0.2.10/32", 443)
	labtest.Must(t, ApplyNode(node, []Target{stable}))
	done := make(chan int)
	stop := time.Now().Add(time.Second)
	go func() {
		attempts := 0
		for ; time.Now().Before(stop); attempts++ {
			if _, err := dial(pod, "10.0.2.10:443"); err != nil {
				t.Errorf("attempt %d: %v", attempts, err)
				break
			}
		}
		done <- attempts
	}()
	changes := 0
	for ; time.Now().Before(stop); changes++ {
		labtest.Must(t, ApplyNode(node, []Target{stable, target("192.0.2."+strconv.Itoa(changes%200)+"/32", 443)}))
	}
	t.Logf("%d connections during %d changes", <-done, changes)
}

func TestApplyNodeRefusesNonsense(t *testing.T) {
	for name, bad := range map[string]Target{
		"IPv6": target("2001:db8::/64", 443), "port 0": target("10.0.0.0/8", 0), "port 65536": target("10.0.0.0/8", 65536), "no CIDR": {Port: 1},
	} {
		if ApplyNode("irrelevant", []Target{bad}) == nil {
			t.Errorf("%s was accepted", name)
		}
	}
}

func TestTheGuardStopsAProxy(t *testing.T) {
	lab := labtest.New(t)
	proxy := lab.Host(t, "proxy-a-0", "10.0.2.10", "198.51.100.129")
	client := lab.Host(t, "node-a", "10.0.1.10")
	dns := lab.Host(t, "dns", "10.0.0.2")
	labtest.Serve(t, lab.Host(t, "partner-p", "203.0.113.10"), "203.0.113.10:443")
	labtest.Serve(t, client, "10.0.1.10:443")
	labtest.Serve(t, dns, "10.0.0.2:53")
	labtest.Serve(t, dns, "10.0.0.2:443")
	for _, address := range []string{"127.0.0.1:443", "127.0.0.1:8404", "10.0.2.10:443", "198.51.100.129:443"} {
		labtest.Serve(t, proxy, address)
	}
	before, _, _ := labtest.Connect(t, client, "", "10.0.2.10:443", 5, time.Second)
	servers := []netip.AddrPort{netip.MustParseAddrPort("10.0.0.2:53")}
	if Guarded(proxy) {
		t.Error("guarded before the guard")
	}
	labtest.Must(t, Guard(proxy, servers), Guard(proxy, servers))
	if !Guarded(proxy) {
		t.Error("not guarded")
	}
	allowed(t, proxy, "203.0.113.10:443")
	allowed(t, proxy, "10.0.0.2:53")
	allowed(t, proxy, "127.0.0.1:8404")
	refused := []string{"10.0.1.10:443", "10.0.0.2:443", "127.0.0.1:443", "127.0.0.2:443", "10.0.2.10:443", "198.51.100.129:443"}
	for _, address := range refused {
		refusedFast(t, proxy, address)
	}
	after, _, _ := labtest.Connect(t, client, "", "10.0.2.10:443", 5, time.Second)
	if before.Alive() != 5 || after.Alive() != 5 {
		t.Errorf("clients' connections: %d of 5 older and %d of 5 newer work", before.Alive(), after.Alive())
	}
	if n, err := GuardRefused(proxy); err != nil || n != uint64(len(refused)) {
		t.Errorf("%d refused (%v), want %d", n, err, len(refused))
	}
	datagram, err := namespace.Dial(context.Background(), proxy, "udp4", "10.0.1.10:9")
	labtest.Must(t, err)
	defer datagram.Close()
	if _, err := datagram.Write([]byte("x")); !errors.Is(err, unix.EPERM) && !errors.Is(err, unix.EHOSTUNREACH) {
		_, err = datagram.Write([]byte("x"))
		if err == nil {
			t.Error("a datagram to a private address left")
		}
	}
	probe, err := namespace.Dial(context.Background(), client, "udp4", "10.0.2.10:9") // nobody listens: ICMP says so
	labtest.Must(t, err, probe.SetDeadline(time.Now().Add(2*time.Second)))
	defer probe.Close()
	_, err = probe.Write([]byte("x"))
	labtest.Must(t, err)
	if _, err := probe.Read(make([]byte, 1)); !errors.Is(err, unix.ECONNREFUSED) {
		t.Errorf("an ICMP error to a client did not leave: %v", err)
	}
	if Guard(proxy, []netip.AddrPort{{}}) == nil {
		t.Error("a DNS server without address was accepted")
	}
}

// TestTheGuardAgreesWithTheAgent: both lines refuse the same addresses.
func TestTheGuardAgreesWithTheAgent(t *testing.T) {
	inForbidden := func(ip netip.Addr) bool {
		for _, prefix := range forbidden {
			if prefix.Contains(ip) {
				return true
			}
		}
		return false
	}
	agent := vetting.NewPolicy(nil, nil)
	for high := range 256 {
		for low := range 256 {
			for _, rest := range [][2]byte{{0, 0}, {0, 1}, {2, 1}, {99, 1}, {100, 7}, {113, 7}, {255, 255}} {
				ip := netip.AddrFrom4([4]byte{byte(high), byte(low), rest[0], rest[1]})
				if got, want := inForbidden(ip), !agent.Address(ip).Allowed(); got != want {
					t.Fatalf("%s: guard refuses: %t, agent refuses: %t (%s)", ip, got, want, agent.Address(ip).Reason)
				}
			}
		}
	}
}
