package test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/sallyport/sallyport/components/allowlist"
	"github.com/sallyport/sallyport/lab/labid"
	"github.com/sallyport/sallyport/lab/load"
	"github.com/sallyport/sallyport/lab/namespace"
	"github.com/sallyport/sallyport/lab/pki"
	"github.com/sallyport/sallyport/lab/registry"
	"github.com/sallyport/sallyport/lab/status"
)

// status is what the lab looks like now.
func (e *environment) status() status.Lab {
	e.t.Helper()
	opened, err := registry.Open(e.lab())
	if err != nil {
		e.t.Fatal(err)
	}
	report, err := status.Look(e.t.Context(), opened)
	if err != nil {
		e.t.Fatal(err)
	}
	return report
}

// host is one host of the lab.
func (e *environment) host(name string) status.Host {
	e.t.Helper()
	for _, h := range e.status().Hosts {
		if h.Name == name {
			return h
		}
	}
	e.t.Fatalf("no host %s in the lab", name)
	return status.Host{}
}

// process is the id of a host's process.
func (e *environment) process(host, name string) int {
	e.t.Helper()
	for _, p := range e.host(host).Processes {
		if p.Name == name && p.Alive {
			return p.PID
		}
	}
	e.t.Fatalf("no process %s on %s", name, host)
	return 0
}

// kill ends a process that the lab started. One that ended by itself meanwhile, as HAProxy's worker does after its master, is
// fine.
func (e *environment) kill(pid int) {
	e.t.Helper()
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
		e.t.Fatalf("kill %d: %v", pid, err)
	}
}

// haproxies are the HAProxy processes on a host.
func (e *environment) haproxies(host string) []int {
	e.t.Helper()
	pids, err := namespace.Processes(labid.Netns(e.lab(), host))
	if err != nil {
		e.t.Fatal(err)
	}
	return slices.DeleteFunc(pids, func(pid int) bool {
		comm, _ := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "comm"))
		return strings.TrimSpace(string(comm)) != "haproxy"
	})
}

// caFile is the certificate of the authority that signs the partners' certificates.
func (e *environment) caFile() string {
	return filepath.Join(labid.StateDir(e.lab()), "pki", pki.CertificateFile)
}

// load sends load from a pod and returns what came of it.
func (e *environment) load(pod string, spec load.Spec) (load.Result, error) {
	if spec.Resolver == "" && len(spec.Addresses) == 0 {
		spec.Resolver = labid.NodeLocalDNS.String()
	}
	if !spec.Plain {
		spec.CAFile = e.caFile()
	}
	ctx, cancel := context.WithTimeout(context.Background(), commandTimeout)
	defer cancel()
	return load.RunIn(ctx, labid.Netns(e.lab(), pod), spec, nil, e.bin("labd"), "load", "--spec", "-")
}

// background runs load while the test does something else; the function it returns waits for the result.
func (e *environment) background(pod string, spec load.Spec) func() load.Result {
	type outcome struct {
		result load.Result
		err    error
	}
	done := make(chan outcome, 1)
	go func() {
		result, err := e.load(pod, spec)
		done <- outcome{result, err}
	}()
	return func() load.Result {
		e.t.Helper()
		o := <-done
		if o.err != nil {
			e.t.Fatal(o.err)
		}
		return o.result
	}
}

// allowlist is the stack's output.
func (e *environment) allowlist() allowlist.Document {
	e.t.Helper()
	text := e.must("tools/pulumi.sh", "stack", "output", "allowlist", "--json", "--stack", e.name)
	document, err := allowlist.Parse([]byte(text))
	if err != nil {
		e.t.Fatalf("%v in\n%s", err, text)
	}
	return document
}

// addresses are the allowlist's IPs in a state, sorted.
func addresses(document allowlist.Document, state allowlist.State) []string {
	var out []string
	for _, entry := range document.Entries {
		if entry.State == state {
			out = append(out, entry.IP.String())
		}
	}
	slices.Sort(out)
	return out
}

// privateAddress is a proxy's address for clients.
func (e *environment) privateAddress(proxy string) netip.Addr {
	e.t.Helper()
	for _, text := range e.host(proxy).Addresses[labid.VPCInterface] {
		if prefix, err := netip.ParsePrefix(text); err == nil {
			return prefix.Addr()
		}
		if address, err := netip.ParseAddr(text); err == nil {
			return address
		}
	}
	e.t.Fatalf("%s has no private address", proxy)
	return netip.Addr{}
}

// reach opens one TLS connection from a pod through a proxy to a host, without any DNS.
func (e *environment) reach(pod string, proxy netip.Addr, host string) error {
	pem, err := os.ReadFile(e.caFile())
	if err != nil {
		return err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	conn, err := namespace.Dial(ctx, labid.Netns(e.lab(), pod), "tcp4", netip.AddrPortFrom(proxy, 443).String())
	if err != nil {
		return err
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(2 * time.Second))
	return tls.Client(conn, &tls.Config{ServerName: host, RootCAs: roots}).Handshake()
}

// until repeats try every 20 ms until it succeeds, and returns how long that took; it gives up after limit.
func until(limit time.Duration, try func() error) (time.Duration, error) {
	start := time.Now()
	for {
		err := try()
		if err == nil || time.Since(start) > limit {
			return time.Since(start), err
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// counter sums a counter of a Prometheus endpoint in the lab over all its labels.
func (e *environment) counter(host, address, name string) float64 {
	e.t.Helper()
	client := namespace.HTTPClient(labid.Netns(e.lab(), host), 5*time.Second)
	response, err := client.Get(fmt.Sprintf("http://%s/metrics", address))
	if err != nil {
		e.t.Fatal(err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		e.t.Fatalf("%s: %s", address, response.Status)
	}
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(response.Body)
	if err != nil {
		e.t.Fatal(err)
	}
	total := 0.0
	for _, metric := range families[name].GetMetric() {
		total += metric.GetCounter().GetValue()
	}
	return total
}
