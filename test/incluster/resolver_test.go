package incluster

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/sallyport/sallyport/components/dnsrouting"
	"github.com/sallyport/sallyport/components/manifests"
	"github.com/sallyport/sallyport/lab/labtest"
	"github.com/sallyport/sallyport/lab/namespace"
	"github.com/sallyport/sallyport/proxyimage/routes"
)

// proxiedHost leaves through the proxies.
const proxiedHost = "api.proxied.example.net"

var proxyIPs = []string{"10.0.9.1", "10.0.9.2"}

// fakeProxy answers probes on an address of the node.
func fakeProxy(t *testing.T, n *node, ip string) net.Listener {
	t.Helper()
	listener, err := namespace.Listen(t.Context(), n.name, "tcp4", ip+":8404")
	labtest.Must(t, err)
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) })}
	server.SetKeepAlivesEnabled(false)
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(func() { _ = server.Close() })
	return listener
}

// agents starts the agents of the rendered DaemonSets with their environment.
func (n *node) agents(t *testing.T) []func() *exec.Cmd {
	t.Helper()
	document := routes.Document{
		Version: routes.Version, Serial: 1, Clients: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")},
		Routes: []routes.Route{{Name: "payments", Hosts: []string{proxiedHost}, Port: 443, Mode: routes.ModePassthrough}},
	}
	for i, ip := range proxyIPs {
		document.Proxies = append(document.Proxies, routes.Proxy{Name: fmt.Sprintf("proxy-a-%d", i+1), Zone: "a", Address: netip.MustParseAddr(ip)})
	}
	text, err := routes.Encode(&document)
	labtest.Must(t, err)
	objects, err := dnsrouting.Settings{Namespace: "kube-system"}.Objects(dnsrouting.Found{
		Image: "sallyport@sha256:" + strings.Repeat("0", 64), Routes: string(text), DNS: farDNS,
	})
	labtest.Must(t, err)
	dir := t.TempDir()
	var starts []func() *exec.Cmd
	for _, o := range objects {
		switch o.Kind() {
		case "ConfigMap":
			labtest.Must(t, os.WriteFile(filepath.Join(dir, "routes.json"), []byte(o["data"].(manifests.Map)["routes.json"].(string)), 0o644))
		case "DaemonSet":
			environment := environmentOf(o)
			environment = append(environment, "SALLYPORT_ROUTES=file://"+dir+"/routes.json",
				"SALLYPORT_STATE_DIR="+t.TempDir(), "SALLYPORT_RUN_DIR="+t.TempDir()) // mounts of the pod
			starts = append(starts, func() *exec.Cmd { return n.run("sallyport-agent", environment) })
		}
	}
	return starts
}

// environmentOf is the environment of the first container of a workload.
func environmentOf(o manifests.Object) []string {
	pod := o["spec"].(manifests.Map)["template"].(manifests.Map)["spec"].(manifests.Map)
	var all []string
	for _, raw := range pod["containers"].([]any)[0].(manifests.Map)["env"].([]any) {
		v := raw.(manifests.Map)
		all = append(all, fmt.Sprintf("%s=%s", v["name"], v["value"]))
	}
	return all
}

// addresses asks the cache for the proxied host.
func (n *node) addresses() ([]string, error) {
	var found []string
	err := namespace.Do(n.name, func() error {
		client := &dns.Client{Timeout: 2 * time.Second}
		reply, _, err := client.Exchange(new(dns.Msg).SetQuestion(proxiedHost+".", dns.TypeA), cacheServer)
		if err != nil {
			return err
		}
		for _, record := range reply.Answer {
			if a, ok := record.(*dns.A); ok {
				found = append(found, a.A.String())
			}
		}
		return nil
	})
	return found, err
}

func TestListedHostsAreAnsweredWithHealthyProxies(t *testing.T) {
	settings := linkLocal()
	settings.ProxiedHosts, settings.Resolvers = []string{proxiedHost}, dnsrouting.Resolvers()
	n := newNode(t, settings, nil)
	labtest.Must(t, namespace.EnsureBridge(n.name, "proxies", netip.MustParsePrefix(proxyIPs[0]+"/32"), netip.MustParsePrefix(proxyIPs[1]+"/32")))
	first := fakeProxy(t, n, proxyIPs[0])
	fakeProxy(t, n, proxyIPs[1])
	starts := n.agents(t)
	running := []*exec.Cmd{starts[0](), starts[1]()}
	n.start()
	want := func(count int) func() error {
		return func() error {
			found, err := n.addresses()
			if err == nil && len(found) != count {
				err = fmt.Errorf("got %v", found)
			}
			return err
		}
	}
	n.eventually(20*time.Second, "both proxies are answered", want(2))

	before := n.far.queries.Load()
	for range 5 {
		labtest.Must(t, want(2)())
	}
	if asked := n.far.queries.Load() - before; asked > 4 { // health checks of the cache's upstreams
		t.Errorf("%d queries for a listed host went to the cluster's DNS", asked)
	}

	t.Run("agents are replaced one after the other", func(t *testing.T) {
		result := n.during(200, []string{proxiedHost + ".", "host-1.example.com."}, func() {
			time.Sleep(time.Second)
			for i := range running {
				stop(t, running[i])
				time.Sleep(500 * time.Millisecond)
				running[i] = starts[i]()
				n.eventually(20*time.Second, "the agent is ready", func() error { return n.ready(i) })
				time.Sleep(time.Second)
			}
		})
		t.Logf("%d queries, both agents replaced: %d failed %v; p99 %s", result.total, result.failures(), result.failed, result.quantile(0.99))
		if result.failures() > 0 {
			t.Errorf("failed: %v", result.failed)
		}
	})

	t.Run("a dead proxy leaves the answers", func(t *testing.T) {
		died := time.Now()
		labtest.Must(t, first.Close())
		n.eventually(15*time.Second, "one proxy is answered", want(1))
		t.Logf("gone from the answers of the cache after %s", time.Since(died).Round(10*time.Millisecond))
		if took := time.Since(died); took > 10*time.Second { // 2.5 s by design; the machine may be busy
			t.Errorf("took %s", took)
		}
	})
}

// ready asks the i-th agent.
func (n *node) ready(i int) error {
	port := []int{8405, 8415}[i]
	response, err := namespace.HTTPClient(n.name, time.Second).Get(fmt.Sprintf("http://127.0.0.1:%d/readyz", port))
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return errors.New(response.Status)
	}
	return nil
}
