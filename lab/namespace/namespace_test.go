package namespace

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// newLab returns a fresh lab id whose namespaces are removed at the end.
func newLab(t *testing.T) string {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("making network namespaces needs root")
	}
	random := make([]byte, 4)
	if _, err := rand.Read(random); err != nil {
		t.Fatal(err)
	}
	lab := "t-" + hex.EncodeToString(random)
	t.Cleanup(func() {
		if err := DeleteAll(lab); err != nil {
			t.Error(err)
		}
	})
	return lab
}

func must(t *testing.T, errs ...error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

func prefix(s string) netip.Prefix { return netip.MustParsePrefix(s) }

// pair makes hosts "a" (10.0.0.1) and "b" (10.0.0.2) on a bridge in "switch" and returns their namespaces.
func pair(t *testing.T) (lab, a, b string) {
	t.Helper()
	lab = newLab(t)
	a, b = lab+"-a", lab+"-b"
	must(t, Create(lab, "switch"), Create(lab, "a"), Create(lab, "b"), EnsureBridge(lab+"-switch", "br0"))
	for name, address := range map[string]string{a: "10.0.0.1/24", b: "10.0.0.2/24"} {
		must(t, Attach(Attachment{Namespace: name, Interface: "eth0", Switch: lab + "-switch", Bridge: "br0",
			Addresses: []netip.Prefix{prefix(address)}}))
	}
	return lab, a, b
}

func TestCreateListDelete(t *testing.T) {
	lab := newLab(t)
	neighbour := lab + "-node" // a lab whose namespaces look like hosts of the first
	t.Cleanup(func() { must(t, DeleteAll(neighbour)) })
	must(t, Create(lab, "internet"), Create(lab, "node-a"), Create(lab, "node-a"), Create(neighbour, "a2"))
	names, err := List(lab)
	must(t, err)
	if len(names) != 2 || names[0] != lab+"-internet" || names[1] != lab+"-node-a" {
		t.Errorf("list: %v", names)
	}
	if err := Create(lab, "node-a2"); err == nil {
		t.Error("took over a namespace of another lab")
	}
	must(t, DeleteAll(lab))
	if Exists(lab+"-internet") || Exists(lab+"-node-a") || !Exists(neighbour+"-a2") {
		t.Error("DeleteAll must remove the lab's namespaces and no others")
	}
	must(t, Delete(lab+"-internet"), DeleteAll(lab))
}

// The goroutine that makes a namespace may run on the main thread, which /proc/self shows to everybody.
func TestCreateLeavesTheProcessInItsNamespace(t *testing.T) {
	lab := newLab(t)
	before, err := os.Readlink("/proc/self/ns/net")
	must(t, err)
	for i := range 20 {
		must(t, Create(lab, fmt.Sprintf("host-%d", i)))
	}
	if after, _ := os.Readlink("/proc/self/ns/net"); after != before {
		t.Errorf("the process moved from %s to %s", before, after)
	}
}

func TestCreateReplacesAFileThatARebootLeft(t *testing.T) {
	lab := newLab(t)
	must(t, os.MkdirAll(Dir, 0o755), os.WriteFile(Path(lab+"-a"), nil, 0o444))
	if Exists(lab + "-a") {
		t.Fatal("a plain file counts as a namespace")
	}
	must(t, Create(lab, "a"))
	if !Exists(lab + "-a") {
		t.Error("not created")
	}
}

func TestCreateRefusesBadNames(t *testing.T) {
	for _, bad := range [][2]string{{"", "a"}, {"lab", ""}, {"lab", "../x"}, {"LAB", "a"}, {"lab", "a/b"}} {
		if Create(bad[0], bad[1]) == nil {
			t.Errorf("%q accepted", bad)
		}
	}
}

func TestManyCreateAtOnce(t *testing.T) {
	lab := newLab(t)
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			if err := Create(lab, "h"+strconv.Itoa(i%4)); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if names, _ := List(lab); len(names) != 4 {
		t.Errorf("got %v", names)
	}
}

func TestPairOfHostsTalks(t *testing.T) {
	_, a, b := pair(t)
	listener, err := Listen(context.Background(), b, "tcp4", "10.0.0.2:80")
	must(t, err)
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, r.RemoteAddr) })}
	go server.Serve(listener)
	defer server.Close()
	response, err := HTTPClient(a, 5*time.Second).Get("http://10.0.0.2/")
	must(t, err)
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	must(t, err)
	if host, _, _ := net.SplitHostPort(string(body)); host != "10.0.0.1" {
		t.Errorf("server saw %s", body)
	}
	if _, err := Dial(context.Background(), a, "tcp", "name.example:80"); err == nil {
		t.Error("a name was dialled")
	}
}

func TestAttachAgainKeepsConnections(t *testing.T) {
	lab, a, b := pair(t)
	listener, err := Listen(context.Background(), b, "tcp4", "10.0.0.2:80")
	must(t, err)
	defer listener.Close()
	client, err := Dial(context.Background(), a, "tcp4", "10.0.0.2:80")
	must(t, err)
	defer client.Close()
	server, err := listener.Accept()
	must(t, err)
	defer server.Close()
	again := Attachment{Namespace: a, Interface: "eth0", Switch: lab + "-switch", Bridge: "br0",
		Addresses: []netip.Prefix{prefix("10.0.0.1/24"), prefix("10.0.0.9/32")}}
	must(t, Attach(again), EnsureBridge(lab+"-switch", "br0"))
	client.SetDeadline(time.Now().Add(5 * time.Second))
	server.SetDeadline(time.Now().Add(5 * time.Second))
	if _, err := client.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	if _, err := server.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	got, err := Addresses(a, "eth0")
	must(t, err)
	if len(got) != 2 {
		t.Errorf("addresses: %v", got)
	}
	again.Addresses = again.Addresses[:1]
	must(t, Attach(again))
	if got, _ = Addresses(a, "eth0"); len(got) != 1 || got[0] != prefix("10.0.0.1/24") {
		t.Errorf("addresses after removal: %v", got)
	}
}

func TestHostThatComesBackIsReachableAtOnce(t *testing.T) {
	lab, a, b := pair(t)
	dial := func() {
		t.Helper()
		listener, err := Listen(context.Background(), b, "tcp4", "10.0.0.2:80")
		must(t, err)
		defer listener.Close()
		ctx, cancel := context.WithTimeout(context.Background(), 900*time.Millisecond)
		defer cancel()
		conn, err := Dial(ctx, a, "tcp4", "10.0.0.2:80")
		must(t, err)
		conn.Close()
	}
	dial()
	must(t, Delete(b), Create(lab, "b"), Attach(Attachment{Namespace: b, Interface: "eth0", Switch: lab + "-switch", Bridge: "br0",
		Addresses: []netip.Prefix{prefix("10.0.0.2/24")}}))
	dial()
}

func TestRoutesAndSysctls(t *testing.T) {
	_, a, _ := pair(t)
	viaB := Route{To: prefix("0.0.0.0/0"), Via: netip.MustParseAddr("10.0.0.2"), Interface: "eth0"}
	elsewhere := viaB
	elsewhere.Via = netip.MustParseAddr("10.0.0.3")
	onLink := Route{To: prefix("192.0.2.0/24"), Interface: "eth0"}
	must(t, EnsureRoutes(a, viaB, onLink), EnsureRoutes(a, elsewhere, onLink))
	handle, err := open(a)
	must(t, err)
	defer handle.Close()
	routes, err := handle.RouteList(nil, netlink.FAMILY_V4)
	must(t, err)
	if len(routes) != 3 {
		t.Errorf("want default, on-link and connected route, got %v", routes)
	}
	must(t, DeleteRoutes(a, elsewhere, onLink), DeleteRoutes(a, elsewhere))
	if routes, _ = handle.RouteList(nil, netlink.FAMILY_V4); len(routes) != 1 {
		t.Errorf("want the connected route, got %v", routes)
	}
	must(t, Sysctl(a, map[string]string{"net.ipv4.ip_forward": "1"}))
	if got, err := ReadSysctl(a, "net.ipv4.ip_forward"); got != "1" || err != nil {
		t.Errorf("ip_forward %q, %v", got, err)
	}
	host, err := os.ReadFile("/proc/sys/net/ipv4/ip_local_port_range")
	must(t, err)
	must(t, Sysctl(a, map[string]string{"net.ipv4.ip_local_port_range": "1024 65535"}))
	if now, _ := os.ReadFile("/proc/sys/net/ipv4/ip_local_port_range"); string(now) != string(host) {
		t.Errorf("the setting leaked to the caller's namespace: %s", now)
	}
	if err := Sysctl(a, map[string]string{"net.ipv4.no_such": "1"}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("unknown setting: %v", err)
	}
}

func TestServiceAddressOnAPortlessBridge(t *testing.T) {
	lab := newLab(t)
	must(t, Create(lab, "node"), EnsureBridge(lab+"-node", "nodelocaldns", prefix("169.254.20.10/32")))
	listener, err := Listen(context.Background(), lab+"-node", "tcp4", "169.254.20.10:53")
	must(t, err)
	defer listener.Close()
	conn, err := Dial(context.Background(), lab+"-node", "tcp4", "169.254.20.10:53")
	must(t, err)
	conn.Close()
}

func TestDoComesBack(t *testing.T) {
	lab := newLab(t)
	must(t, Create(lab, "a"))
	here := func() string {
		link, err := os.Readlink("/proc/thread-self/ns/net")
		must(t, err)
		return link
	}
	outside := here()
	var inside string
	want := errors.New("from fn")
	if err := Do(lab+"-a", func() error { inside = here(); return want }); !errors.Is(err, want) {
		t.Errorf("error was lost: %v", err)
	}
	if inside == outside || here() != outside {
		t.Errorf("inside %s, outside %s, after %s", inside, outside, here())
	}
	func() {
		defer func() {
			if recover() == nil {
				t.Error("the panic was swallowed")
			}
		}()
		Do(lab+"-a", func() error { panic("x") })
	}()
	ended := make(chan bool)
	go func() {
		defer close(ended)
		Do(lab+"-a", func() error { (&testing.T{}).SkipNow(); return nil })
		t.Error("went on after Goexit")
	}()
	<-ended
	if err := Do(lab+"-none", func() error { return nil }); err == nil {
		t.Error("entered a namespace that does not exist")
	}
	for range 50 {
		if here() != outside {
			t.Fatal("a tainted thread is in use")
		}
	}
}

func TestNoLinkIsLeftInTheHost(t *testing.T) {
	before, err := netlink.LinkList()
	must(t, err)
	pair(t)
	after, err := netlink.LinkList()
	must(t, err)
	if len(after) != len(before) {
		t.Errorf("%d links before, %d after", len(before), len(after))
	}
}

func TestKillEndsWhatRunsInside(t *testing.T) {
	lab := newLab(t)
	must(t, Create(lab, "a"))
	stubborn := exec.Command("sh", "-c", `trap "" TERM; echo ready; while :; do sleep 0.05; done`)
	out, err := stubborn.StdoutPipe()
	must(t, err)
	must(t, Start(lab+"-a", stubborn))
	waited := make(chan error, 1)
	if _, err := io.ReadFull(out, make([]byte, 6)); err != nil {
		t.Fatal(err)
	}
	go func() { waited <- stubborn.Wait() }()
	pids, err := Processes(lab + "-a")
	must(t, err)
	found := false
	for _, pid := range pids {
		found = found || pid == stubborn.Process.Pid
	}
	if !found {
		t.Errorf("process %d is not among %v", stubborn.Process.Pid, pids)
	}
	must(t, Kill(lab+"-a", 100*time.Millisecond))
	select {
	case <-waited:
	case <-time.After(2 * time.Second):
		t.Error("the process is still there")
		unix.Kill(stubborn.Process.Pid, unix.SIGKILL)
	}
	must(t, Kill(lab+"-a", 0), Kill(lab+"-none", 0))
}
