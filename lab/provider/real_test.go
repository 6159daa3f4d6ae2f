package provider

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	miekg "github.com/miekg/dns"

	"github.com/sallyport/sallyport/lab/daemon"
	"github.com/sallyport/sallyport/lab/labid"
	"github.com/sallyport/sallyport/lab/namespace"
	partnersrv "github.com/sallyport/sallyport/lab/partner"
	"github.com/sallyport/sallyport/lab/podexec"
	"github.com/sallyport/sallyport/lab/registry"
	"github.com/sallyport/sallyport/lab/remains"
	"github.com/sallyport/sallyport/lab/status"
)

// programs is the directory with labd and coredns that real labs of this run use.
var programs string

// insideArgument makes the test binary play the second step of `lab exec`.
const insideArgument = "play-inside"

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == insideArgument {
		code, err := podexec.Inside(os.Args[2:])
		fmt.Fprintln(os.Stderr, err)
		os.Exit(code)
	}
	os.Exit(run(m))
}

// run builds the programs and clears labs that a crashed earlier run has left.
func run(m *testing.M) int {
	if os.Geteuid() != 0 {
		return m.Run()
	}
	dir, err := os.MkdirTemp("", "sallyport-bin-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	programs = dir
	for _, build := range []struct{ dir, name, target string }{
		{".", "labd", "../cmd/labd"}, {"../../tools/coredns", "coredns", "."},
	} {
		command := exec.Command("go", "build", "-ldflags", "-s -w", "-o", filepath.Join(dir, build.name), build.target)
		command.Dir = build.dir
		command.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := command.CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "build %s: %v\n%s", build.name, err, out)
			return 1
		}
	}
	if _, err := remains.Prune(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, "clearing labs of crashed runs:", err)
		return 1
	}
	return m.Run()
}

// realLab is a lab that this test owns: whoever comes after a crash may clear it.
type realLab struct {
	*engine
	id      string
	network *known
}

func newRealLab(t *testing.T) *realLab {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("making network namespaces needs root")
	}
	t.Setenv(BinDirVariable, programs)
	owner, err := remains.Self()
	if err != nil {
		t.Fatal(err)
	}
	var nonce [4]byte
	if _, err := rand.Read(nonce[:]); err != nil {
		t.Fatal(err)
	}
	l := &realLab{engine: newEngine(t), id: "t-" + hex.EncodeToString(nonce[:])}
	t.Cleanup(func() {
		lab, err := registry.Open(l.id)
		if err == nil {
			err = remains.Clear(context.Background(), lab)
		}
		if err != nil {
			t.Errorf("clear: %v", err)
		}
	})
	l.network = l.mustCreate("Network", "network", map[string]any{"lab": l.id, "owner": string(owner)})
	return l
}

func (l *realLab) ns(host string) string { return labid.Netns(l.id, host) }

// args adds the lab to inputs.
func (l *realLab) args(inputs map[string]any) map[string]any {
	inputs["lab"] = l.id
	return inputs
}

// nothingLeft fails the test if anything of the lab is left.
func (l *realLab) nothingLeft() {
	l.t.Helper()
	if names, err := namespace.List(l.id); err != nil || len(names) > 0 {
		l.t.Errorf("namespaces left: %v %v", names, err)
	}
	if _, err := os.Stat(labid.StateDir(l.id)); !os.IsNotExist(err) {
		l.t.Errorf("state directory left: %v", err)
	}
	environments, _ := filepath.Glob("/proc/[0-9]*/environ")
	for _, path := range environments {
		text, err := os.ReadFile(path)
		if err == nil && strings.Contains(string(text), labid.StateDir(l.id)+"/") {
			l.t.Errorf("process left: %s", path)
		}
	}
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil || strings.Contains(string(mounts), l.id) {
		l.t.Errorf("mounts left: %v", err)
	}
}

// natArgs are those of a gateway of flavour cloudnat with one VM.
func (l *realLab) natArgs(ports int, addresses ...string) map[string]any {
	return l.args(map[string]any{
		"name": "nat", "zone": "", "flavor": "cloudnat", "addresses": addresses, "portsPerVm": ports, "portsPerAddress": 0,
		"timeWaitSeconds": 2, "vms": []any{map[string]any{"name": "node-a-1", "cidrs": []string{"10.244.0.0/24", "10.0.1.10/32"}}},
	})
}

func (l *realLab) nodeArgs(gateway string, allow ...string) map[string]any {
	rules := []any{}
	for _, one := range allow {
		cidr, port, _ := strings.Cut(one, ":")
		var number int
		fmt.Sscan(port, &number)
		rules = append(rules, map[string]any{"cidr": cidr, "port": number})
	}
	return l.args(map[string]any{
		"name": "node-a-1", "zone": "a", "podCidr": "10.244.0.0/24", "gateway": gateway, "egressAllow": rules,
	})
}

func (l *realLab) podArgs(node string) map[string]any {
	return l.args(map[string]any{"name": "pod-a-1-1", "node": node, "resolvConf": map[string]any{
		"nameserver": "169.254.20.10", "searches": []string{"default.svc.cluster.local"}, "options": []string{"ndots:5"},
	}})
}

// listener makes a host on the internet that answers each connection with the source address it sees and keeps it open.
func (l *realLab) listener(host, address string) {
	l.t.Helper()
	lab, err := registry.Open(l.id)
	if err != nil {
		l.t.Fatal(err)
	}
	target := netip.MustParseAddrPort(address)
	if err := namespace.Create(l.id, host); err != nil {
		l.t.Fatal(err)
	}
	if err := joinInternet(lab, host, []netip.Addr{target.Addr()}); err != nil {
		l.t.Fatal(err)
	}
	server, err := namespace.Listen(l.t.Context(), l.ns(host), "tcp4", address)
	if err != nil {
		l.t.Fatal(err)
	}
	l.t.Cleanup(func() { server.Close() })
	go func() {
		for {
			conn, err := server.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				buffer := make([]byte, 16)
				for {
					if _, err := conn.Read(buffer); err != nil {
						return
					}
					source, _, _ := net.SplitHostPort(conn.RemoteAddr().String())
					fmt.Fprintln(conn, source)
				}
			}()
		}
	}()
}

// seen asks a listener, over an open connection, which source it sees.
func seen(conn net.Conn) string {
	conn.SetDeadline(time.Now().Add(5 * time.Second))
	if _, err := conn.Write([]byte("?")); err != nil {
		return err.Error()
	}
	buffer := make([]byte, 64)
	n, err := conn.Read(buffer)
	if err != nil {
		return err.Error()
	}
	return strings.TrimSpace(string(buffer[:n]))
}

func (l *realLab) dial(host, address string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(l.t.Context(), 3*time.Second)
	defer cancel()
	conn, err := namespace.Dial(ctx, l.ns(host), "tcp4", address)
	if err == nil {
		l.t.Cleanup(func() { conn.Close() })
	}
	return conn, err
}

func TestNatPathWithRealPackets(t *testing.T) {
	l := newRealLab(t)
	l.listener("partner-x", "203.0.113.7:443")
	gateway := l.mustCreate("NatGateway", "nat", l.natArgs(64, "198.51.100.1"))
	node := l.mustCreate("Node", "node", l.nodeArgs(gateway.text("privateAddress"), "203.0.113.7/32:443"))
	pod := l.mustCreate("Pod", "pod", l.podArgs(node.id))
	all := []*known{l.network, gateway, node, pod}
	for _, k := range all {
		if !l.refresh(k) {
			t.Errorf("%s reads as gone right after its creation", k.urn.Name())
		}
	}
	conn, err := l.dial("pod-a-1-1", "203.0.113.7:443")
	if err != nil {
		t.Fatal(err)
	}
	if source := seen(conn); source != "198.51.100.1" {
		t.Errorf("the partner saw %s", source)
	}
	if _, err := l.dial("pod-a-1-1", "203.0.113.7:8443"); err == nil || !strings.Contains(err.Error(), "refused") {
		t.Errorf("a port that the policy does not list: %v", err)
	}
	if own := gateway.state.Get("blocks").AsArray(); own.Len() != 1 {
		t.Errorf("blocks: %v", own)
	}

	// Changes in place keep the connection.
	l.mustUpdate(gateway, l.natArgs(128, "198.51.100.1", "198.51.100.2"))
	l.mustUpdate(node, l.nodeArgs(gateway.text("privateAddress"), "203.0.113.7/32:8443"))
	changed := l.podArgs(node.id)
	changed["resolvConf"].(map[string]any)["options"] = []string{"ndots:2"}
	if changes := l.mustUpdate(pod, changed); len(changes) == 0 {
		t.Error("another resolver option is no change")
	}
	if source := seen(conn); source != "198.51.100.1" {
		t.Errorf("after the updates the open connection says: %s", source)
	}
	if _, err := l.dial("pod-a-1-1", "203.0.113.7:443"); err == nil || !strings.Contains(err.Error(), "refused") {
		t.Errorf("a target taken off the policy: %v", err)
	}
	text, err := os.ReadFile(filepath.Join(labid.StateDir(l.id), "hosts", "pod-a-1-1", "etc", "resolv.conf"))
	if err != nil || string(text) != "nameserver 169.254.20.10\nsearch default.svc.cluster.local\noptions ndots:2\n" {
		t.Errorf("resolv.conf: %q %v", text, err)
	}
	for _, k := range []*known{pod, node, gateway, l.network, pod, gateway} {
		l.delete(k)
	}
	l.nothingLeft()
}

func TestReadSeesWhatIsDeadAndCreateMendsIt(t *testing.T) {
	l := newRealLab(t)
	gateway := l.mustCreate("NatGateway", "nat", l.natArgs(64, "198.51.100.1"))
	node := l.mustCreate("Node", "node", l.nodeArgs(gateway.text("privateAddress"), "203.0.113.7/32:443"))
	pod := l.mustCreate("Pod", "pod", l.podArgs(node.id))
	addresses := gateway.text("privateAddress") + node.text("address") + pod.text("address")

	pids, err := namespace.Processes(l.ns("nat"))
	if err != nil || len(pids) != 1 {
		t.Fatalf("processes: %v %v", pids, err)
	}
	if process, err := os.FindProcess(pids[0]); err != nil || process.Kill() != nil {
		t.Fatal("cannot kill twhold")
	}
	for deadline := time.Now().Add(5 * time.Second); l.refresh(gateway) && time.Now().Before(deadline); {
		time.Sleep(10 * time.Millisecond)
	}
	if l.refresh(gateway) {
		t.Error("a gateway whose ports nobody holds reads as whole")
	}
	gateway = l.mustCreate("NatGateway", "nat", l.natArgs(64, "198.51.100.1"))

	if err := namespace.Delete(l.ns("node-a-1")); err != nil {
		t.Fatal(err)
	}
	if l.refresh(node) || l.refresh(pod) {
		t.Error("a node without namespace, or its pod, reads as whole")
	}
	node = l.mustCreate("Node", "node", l.nodeArgs(gateway.text("privateAddress"), "203.0.113.7/32:443"))
	pod = l.mustCreate("Pod", "pod", l.podArgs(node.id))
	if got := gateway.text("privateAddress") + node.text("address") + pod.text("address"); got != addresses {
		t.Errorf("addresses changed: %s, then %s", addresses, got)
	}
	l.listener("partner-x", "203.0.113.7:443")
	if _, err := l.dial("pod-a-1-1", "203.0.113.7:443"); err != nil {
		t.Errorf("after the repair: %v", err)
	}

	if err := namespace.Delete(l.ns("internet")); err != nil {
		t.Fatal(err)
	}
	if l.refresh(l.network) || l.refresh(gateway) {
		t.Error("the internet is gone and nobody sees it")
	}
	if !l.refresh(node) || !l.refresh(pod) {
		t.Error("a node does not need the internet itself")
	}
}

func TestAFailedCreationLeavesNothing(t *testing.T) {
	l := newRealLab(t)
	bad := l.proxyArgs(filepath.Join(t.TempDir(), "no-image"), "proxy-a-1", "10.0.2.10", "198.51.100.129")
	if _, err := l.create("Proxy", "proxy-a-1", bad); err == nil || !strings.Contains(err.Error(), "proxy proxy-a-1: container agent: rootfs:") {
		t.Errorf("a proxy without image: %v", err)
	}
	if _, err := l.create("Pod", "pod", l.podArgs("node-z")); err == nil || !strings.Contains(err.Error(), `node: must exist, got "node-z"`) {
		t.Errorf("a pod without node: %v", err)
	}
	for _, host := range []string{"proxy-a-1", "pod-a-1-1"} {
		if namespace.Exists(l.ns(host)) {
			t.Errorf("%s: its namespace is left", host)
		}
	}
	records, err := openLab(t, l.id).Records()
	if err != nil || len(records) != 1 {
		t.Errorf("records: %+v %v", records, err)
	}
}

func TestASuccessorOfTheSameNameSurvivesTheDeleteOfItsPredecessor(t *testing.T) {
	l := newRealLab(t)
	gateway := l.mustCreate("NatGateway", "nat", l.natArgs(64, "198.51.100.1"))
	successor := l.mustCreate("NatGateway", "nat", l.natArgs(64, "198.51.100.1")) // pulumi up --replace creates first
	l.delete(gateway)
	if !l.refresh(successor) {
		t.Error("the delete of the predecessor took the successor along")
	}
}

func TestPruneRemovesLabsOfEndedProcessesOnly(t *testing.T) {
	orphan, kept := newRealLab(t), newRealLab(t)
	orphan.mustCreate("NatGateway", "nat", orphan.natArgs(64, "198.51.100.1"))
	kept.mustCreate("NatGateway", "nat", kept.natArgs(64, "198.51.100.1"))
	process := exec.Command("sleep", "60")
	if err := process.Start(); err != nil {
		t.Fatal(err)
	}
	owner, err := remains.OwnerOfProcess(process.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	orphan.mustUpdate(orphan.network, map[string]any{"lab": orphan.id, "owner": string(owner)})
	if owner.Gone() {
		t.Error("a running owner counts as gone")
	}
	process.Process.Kill()
	process.Wait()
	if !owner.Gone() {
		t.Error("an ended owner does not count as gone")
	}
	removed, err := remains.Prune(t.Context())
	if err != nil || !slices.Contains(removed, orphan.id) || slices.Contains(removed, kept.id) {
		t.Errorf("removed %v, %v", removed, err)
	}
	orphan.nothingLeft()
	if names, err := namespace.List(kept.id); err != nil || len(names) != 3 {
		t.Errorf("the other lab: %v %v", names, err)
	}
}

func TestUpstreamDNS(t *testing.T) {
	l := newRealLab(t)
	record := func(name, address string) map[string]any {
		return map[string]any{"name": name, "addresses": []string{address}, "ttl": 30}
	}
	args := func(records ...any) map[string]any { return l.args(map[string]any{"records": records}) }
	dns := l.mustCreate("UpstreamDNS", "dns", args(record("api.example.com", "203.0.113.1"), record("*.wild.example.net", "203.0.113.2")))
	ask := func(name string, kind uint16) string {
		t.Helper()
		answer, err := query(t.Context(), l.ns("dns"), netip.MustParseAddrPort(dns.text("publicAddress")+":53"), name, kind)
		if err != nil {
			t.Fatal(err)
		}
		text := miekg.RcodeToString[answer.Rcode]
		for _, one := range answer.Answer {
			if a, ok := one.(*miekg.A); ok {
				text += " " + a.A.String()
			}
		}
		return text
	}
	for name, want := range map[string]string{
		"api.example.com":                           "NOERROR 203.0.113.1",
		"tenant.wild.example.net":                   "NOERROR 203.0.113.2",
		"a.b.wild.example.net":                      "NOERROR 203.0.113.2",
		"other.example.com":                         "NXDOMAIN",
		"api.example.com.default.svc.cluster.local": "NXDOMAIN",
	} {
		if got := ask(name, miekg.TypeA); got != want {
			t.Errorf("%s: got %s, want %s", name, got, want)
		}
	}
	if got := ask("api.example.com", miekg.TypeAAAA); got != "NOERROR" {
		t.Errorf("AAAA: got %s", got)
	}
	before := namespace.Exists(l.ns("dns"))
	pids, _ := namespace.Processes(l.ns("dns"))
	l.mustUpdate(dns, args(record("api.example.com", "203.0.113.9"), record("new.example.com", "203.0.113.3")))
	after, _ := namespace.Processes(l.ns("dns"))
	if !before || fmt.Sprint(pids) != fmt.Sprint(after) {
		t.Errorf("the update restarted CoreDNS: %v, then %v", pids, after)
	}
	if got := ask("api.example.com", miekg.TypeA) + ", " + ask("new.example.com", miekg.TypeA); got != "NOERROR 203.0.113.9, NOERROR 203.0.113.3" {
		t.Errorf("after the update: %s", got)
	}
	if !l.refresh(dns) {
		t.Error("gone")
	}
	l.delete(dns)
	l.delete(l.network)
	l.nothingLeft()
}

// rootfs is the proxy image's root filesystem.
func rootfs(t *testing.T) string {
	t.Helper()
	path, err := filepath.EvalSymlinks("../../.build/image/rootfs")
	if err != nil {
		t.Skipf("needs the proxy image, run `make image-local`: %v", err)
	}
	if path, err = filepath.Abs(path); err != nil {
		t.Fatal(err)
	}
	return path
}

func (l *realLab) proxyArgs(root, name, private, public string) map[string]any {
	return l.args(map[string]any{
		"name": name, "zone": "a", "address": private, "publicAddresses": []string{public}, "rootfs": root, "imageDigest": "sha256:test",
		"dnsServers": []string{"192.0.2.53"}, "drainSeconds": 2,
	})
}

// corefile is a small relative of what nodelocaldns renders.
func corefile(proxied string) string {
	return `.:53 {
    bind 169.254.20.10
    errors
    cache 30
    forward . 10.0.0.2
    health 169.254.20.10:8080
}
` + proxied + `:53 {
    bind 169.254.20.10
    errors
    cache 1
    forward . 127.0.0.1:9053
}
`
}

func (l *realLab) routesArgs(hosts, proxies string) map[string]any {
	return l.args(map[string]any{"document": `{"version":1,"routes":[{"name":"api","hosts":[` + hosts + `],"port":443}],"proxies":[` + proxies +
		`],"clients":["10.0.0.0/16","10.244.0.0/16"]}`})
}

// fleet is a lab with a node, its pod and DNS, and two proxies.
type fleet struct {
	*realLab
	root                                string
	dns, routes, node, cache, pod, gate *known
	proxies                             []*known
}

func newFleet(t *testing.T) *fleet {
	t.Helper()
	root := rootfs(t)
	l := newRealLab(t)
	f := &fleet{realLab: l, root: root}
	f.dns = l.mustCreate("UpstreamDNS", "dns", l.args(map[string]any{"records": []any{
		map[string]any{"name": "api.example.com", "addresses": []string{"203.0.113.7"}, "ttl": 1},
		map[string]any{"name": "other.example.com", "addresses": []string{"203.0.113.8"}, "ttl": 1},
	}}))
	proxies := `{"name":"proxy-a-1","zone":"a","address":"10.0.2.10","publicIPs":["198.51.100.129"]},` +
		`{"name":"proxy-a-2","zone":"a","address":"10.0.2.11","publicIPs":["198.51.100.130"]}`
	f.routes = l.mustCreate("Routes", "routes", l.routesArgs(`"api.example.com"`, proxies))
	for i, public := range []string{"198.51.100.129", "198.51.100.130"} {
		name := fmt.Sprintf("proxy-a-%d", i+1)
		f.proxies = append(f.proxies, l.mustCreate("Proxy", name, l.proxyArgs(root, name, fmt.Sprintf("10.0.2.%d", 10+i), public)))
	}
	f.gate = l.mustCreate("NatGateway", "nat", l.natArgs(1024, "198.51.100.1"))
	f.node = l.mustCreate("Node", "node", l.nodeArgs(f.gate.text("privateAddress"), "10.0.2.10/32:443", "10.0.2.11/32:443", "203.0.113.8/32:443"))
	f.cache = l.mustCreate("NodeLocalDNS", "cache", f.cacheArgs(corefile("api.example.com")))
	f.pod = l.mustCreate("Pod", "pod", l.podArgs(f.node.id))
	return f
}

func (f *fleet) cacheArgs(text string) map[string]any {
	return f.args(map[string]any{"node": f.node.id, "corefile": text, "rootfs": f.root, "imageDigest": "sha256:test", "dnsServers": []string{"10.0.0.2"}})
}

// lookup asks the node-local DNS cache from the pod.
func (f *fleet) lookup(name string) []string {
	f.t.Helper()
	answer, err := query(f.t.Context(), f.ns("pod-a-1-1"), netip.MustParseAddrPort("169.254.20.10:53"), name, miekg.TypeA)
	if err != nil {
		return []string{err.Error()}
	}
	addresses := []string{}
	for _, one := range answer.Answer {
		if a, ok := one.(*miekg.A); ok {
			addresses = append(addresses, a.A.String())
		}
	}
	slices.Sort(addresses)
	return addresses
}

// eventually waits up to 10 s for a condition.
func (l *realLab) eventually(what string, condition func() bool) {
	l.t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !condition(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			l.t.Fatalf("not within 10 s: %s", what)
		}
	}
}

func TestFleetWithRealPackets(t *testing.T) {
	f := newFleet(t)
	if got := fmt.Sprint(f.lookup("api.example.com")); got != "[10.0.2.10 10.0.2.11]" {
		t.Errorf("the pod is sent to %s", got)
	}
	if got := fmt.Sprint(f.lookup("other.example.com")); got != "[203.0.113.8]" {
		t.Errorf("a host of the NAT: %s", got)
	}
	for _, k := range []*known{f.proxies[0], f.proxies[1], f.cache, f.routes, f.dns} {
		if !f.refresh(k) {
			t.Errorf("%s reads as gone", k.urn.Name())
		}
	}
	if changes := f.mustUpdate(f.cache, f.cacheArgs(corefile("api.example.com"))); len(changes) != 0 {
		t.Errorf("the same Corefile is a change: %v", changes)
	}

	// A new Corefile is loaded by the same process, a broken one is refused and leaves the old one in force.
	pid := daemon.At(f.hostDir("node-a-1"), coredns).PID()
	f.mustUpdate(f.cache, f.cacheArgs(corefile("api.example.com other.example.com")))
	// The resolver has no route for it and forwards it.
	if got := fmt.Sprint(f.lookup("other.example.com")); got != "[203.0.113.8]" {
		t.Errorf("after the new Corefile: %s", got)
	}
	if _, err := f.update(f.cache, f.cacheArgs(corefile("api.example.com")+"nonsense 169.254.20.10 {\n")); err == nil || !strings.Contains(err.Error(), "coredns: refuses the new configuration") {
		t.Errorf("a broken Corefile: %v", err)
	}
	if now := daemon.At(f.hostDir("node-a-1"), coredns).PID(); now != pid {
		t.Errorf("CoreDNS was restarted: process %d, then %d", pid, now)
	}
	if got := fmt.Sprint(f.lookup("api.example.com")); got != "[10.0.2.10 10.0.2.11]" {
		t.Errorf("after a refused Corefile: %s", got)
	}

	// A dead proxy: refresh shows it, the resolver avoids it, a create brings it back with the same addresses.
	if err := daemon.At(f.hostDir("proxy-a-1"), agentName).Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	f.eventually("the dead proxy reads as gone", func() bool { return !f.refresh(f.proxies[0]) })
	f.eventually("the dead proxy is not answered", func() bool { return fmt.Sprint(f.lookup("api.example.com")) == "[10.0.2.11]" })
	f.proxies[0] = f.mustCreate("Proxy", "proxy-a-1", f.proxyArgs(f.root, "proxy-a-1", "10.0.2.10", "198.51.100.129"))
	f.eventually("the proxy is answered again", func() bool { return len(f.lookup("api.example.com")) == 2 })

	// Another image: the container is a new one.
	before := daemon.At(f.hostDir("proxy-a-2"), agentName).PID()
	again := f.proxyArgs(f.root, "proxy-a-2", "10.0.2.11", "198.51.100.130")
	again["imageDigest"] = "sha256:other"
	if changes := f.mustUpdate(f.proxies[1], again); fmt.Sprint(changes) != "[imageDigest]" {
		t.Errorf("changes: %v", changes)
	}
	if now := daemon.At(f.hostDir("proxy-a-2"), agentName).PID(); now == before || now == 0 {
		t.Errorf("process %d, then %d", before, now)
	}
	for _, k := range []*known{f.pod, f.cache, f.node, f.proxies[1], f.proxies[0], f.gate, f.routes, f.dns, f.network} {
		f.delete(k)
	}
	f.nothingLeft()
}

func (l *realLab) hostDir(host string) string {
	return filepath.Join(labid.StateDir(l.id), "hosts", host)
}

// call makes an HTTPS request from the pod to an address, with the server name, and returns status and the source the partner saw.
func (l *realLab) call(address, host string) (int, string, error) {
	l.t.Helper()
	conn, err := l.dial("pod-a-1-1", address)
	if err != nil {
		return 0, "", err
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(5 * time.Second))
	authority := x509.NewCertPool()
	authority.AppendCertsFromPEM([]byte(l.network.text("caCertificate")))
	secure := tls.Client(conn, &tls.Config{ServerName: host, RootCAs: authority})
	request, err := http.NewRequestWithContext(l.t.Context(), http.MethodGet, "https://"+host+"/", nil)
	if err != nil {
		return 0, "", err
	}
	request.Close = true
	if err := request.Write(secure); err != nil {
		return 0, "", err
	}
	response, err := http.ReadResponse(bufio.NewReader(secure), request)
	if err != nil {
		return 0, "", err
	}
	defer response.Body.Close()
	var answer partnersrv.Answer
	err = json.NewDecoder(response.Body).Decode(&answer)
	return response.StatusCode, answer.Source, err
}

func (l *realLab) partnerArgs(name, host string, count int, allow ...string) map[string]any {
	if allow == nil {
		allow = []string{}
	}
	return l.args(map[string]any{
		"name": name, "hosts": []string{host}, "addressCount": count, "port": 443, "allow": allow, "enforce": true,
	})
}

func TestPartnerSeesAndRefusesSources(t *testing.T) {
	f := newFleet(t)
	api := f.mustCreate("Partner", "api", f.partnerArgs("api", "api.example.com", 1, "198.51.100.129/32", "198.51.100.130/32"))
	other := f.mustCreate("Partner", "other", f.partnerArgs("other", "other.example.com", 1))
	if got := api.state.Get("addresses").AsArray().Get(0).AsString(); got != "203.0.113.1" {
		t.Fatalf("addresses: %v", got)
	}
	f.mustUpdate(f.dns, f.args(map[string]any{"records": []any{
		map[string]any{"name": "api.example.com", "addresses": []string{"203.0.113.1"}, "ttl": 1},
		map[string]any{"name": "other.example.com", "addresses": []string{"203.0.113.2"}, "ttl": 1},
	}}))
	f.mustUpdate(f.node, f.nodeArgs(f.gate.text("privateAddress"), "10.0.2.10/32:443", "10.0.2.11/32:443", "203.0.113.2/32:443"))
	for private, public := range map[string]string{"10.0.2.10": "198.51.100.129", "10.0.2.11": "198.51.100.130"} {
		var status int
		var source string
		var err error
		f.eventually("a proxy follows the DNS", func() bool {
			status, source, err = f.call(private+":443", "api.example.com")
			return err == nil
		})
		if status != 200 || source != public {
			t.Errorf("through %s: got %d from %s, want 200 from %s", private, status, source, public)
		}
	}
	if status, source, err := f.call("203.0.113.2:443", "other.example.com"); status != 403 || source != "198.51.100.1" || err != nil {
		t.Errorf("an empty allow list: got %d from %s, %v", status, source, err)
	}
	if _, _, err := f.call("10.0.2.10:443", "other.example.com"); err == nil {
		t.Error("a proxy forwards a host that no route lists")
	}

	// Allow list, addresses and names change without cutting the open connection.
	conn, err := f.dial("pod-a-1-1", "203.0.113.2:443")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Write([]byte{partnersrv.Ping}); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(conn).ReadString('\n'); err != nil || !strings.HasSuffix(line, "refused\n") {
		t.Fatalf("ping: %q %v", line, err)
	}
	pid := daemon.At(f.hostDir("partner-other"), partnerName).PID()
	f.mustUpdate(other, f.partnerArgs("other", "other.example.com", 2, "198.51.100.1/32"))
	if got := other.state.Get("addresses").AsArray(); got.Len() != 2 || got.Get(0).AsString() != "203.0.113.2" || got.Get(1).AsString() != "203.0.113.3" {
		t.Errorf("addresses: %v", got)
	}
	if status, _, err := f.call("203.0.113.2:443", "other.example.com"); status != 200 || err != nil {
		t.Errorf("after the allow list changed: %d %v", status, err)
	}
	if _, err := conn.Write([]byte("x")); err != nil {
		t.Error(err)
	}
	conn.SetReadDeadline(time.Now().Add(5 * time.Second))
	if n, err := conn.Read(make([]byte, 8)); n != 1 || err != nil {
		t.Errorf("the open connection was cut: %d %v", n, err)
	}
	if now := daemon.At(f.hostDir("partner-other"), partnerName).PID(); now != pid {
		t.Errorf("the partner was restarted: %d, then %d", pid, now)
	}
	f.mustUpdate(other, f.partnerArgs("other", "new.example.com", 1, "198.51.100.1/32"))
	if status, _, err := f.call("203.0.113.2:443", "new.example.com"); status != 200 || err != nil {
		t.Errorf("after the certificate changed: %d %v", status, err)
	}
	if got := other.state.Get("addresses").AsArray().Len(); got != 1 || !f.refresh(other) || !f.refresh(api) {
		t.Errorf("%d addresses, or a partner reads as gone", got)
	}

	for _, c := range []struct {
		command, want string
		code          int
	}{
		{"curl -sS --max-time 5 https://api.example.com/", `"allowed":true`, 0},
		{"curl -sS --max-time 5 https://new.example.com/", "Could not resolve host", 6},
		{"cat /etc/resolv.conf", "nameserver 169.254.20.10", 0},
		{"cat /etc/hosts", "pod-a-1-1", 0},
		{"sh -c 'cat /proc/net/route >/dev/null; exit 7'", "", 7},
		{"sh -c 'kill -TERM $$'", "", 143},
		{"no-such-command", "command not found", 127},
	} {
		out, code := f.exec("pod-a-1-1", c.command)
		if code != c.code || !strings.Contains(out, c.want) {
			t.Errorf("%s: got exit code %d, want %d, and %q", c.command, code, c.code, out)
		}
	}
	if _, err := podexec.Find(openLab(t, f.id), "pod-z"); err == nil || !strings.Contains(err.Error(), "its pods are pod-a-1-1") {
		t.Errorf("an unknown pod: %v", err)
	}

	report, err := status.Look(t.Context(), openLab(t, f.id))
	if err != nil || !report.Healthy || report.Routes == nil || report.Routes.Serial != 1 {
		t.Errorf("status: %+v %v", report, err)
	}
	sources := map[string]bool{}
	for _, host := range report.Hosts {
		for source := range host.Sources {
			sources[host.Name+" "+source] = true
		}
	}
	want := map[string]bool{"partner-api 198.51.100.129": true, "partner-api 198.51.100.130": true, "partner-other 198.51.100.1": true}
	if !reflect.DeepEqual(sources, want) {
		t.Errorf("sources: %v", sources)
	}
	f.delete(other)
	f.delete(api)
	f.delete(f.network) // whatever else there is goes with it
	f.nothingLeft()
}

// exec runs a shell command in a pod.
func (l *realLab) exec(pod, command string) (string, int) {
	l.t.Helper()
	self, err := os.Executable()
	if err != nil {
		l.t.Fatal(err)
	}
	args := []string{"sh", "-c", "exec " + command}
	if !strings.Contains(command, " ") {
		args = []string{command}
	}
	lab := openLab(l.t, l.id)
	run := podexec.Command(l.t.Context(), lab, pod, []string{self, insideArgument}, args)
	var out bytes.Buffer
	run.Stdout, run.Stderr = &out, &out
	code, err := podexec.Run(lab, pod, run)
	if err != nil {
		l.t.Fatal(err)
	}
	return out.String(), code
}

func openLab(t *testing.T, id string) registry.Lab {
	t.Helper()
	lab, err := registry.Open(id)
	if err != nil {
		t.Fatal(err)
	}
	return lab
}
