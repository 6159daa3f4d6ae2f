package test

import (
	"errors"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sallyport/sallyport/components/allowlist"
	"github.com/sallyport/sallyport/lab/labid"
	"github.com/sallyport/sallyport/lab/load"
)

// patience bounds an attempt, in seconds, where a busy machine must not look like a cut connection: a connection that is cut or
// refused fails at once, whatever the bound.
const patience = 20

// shippedConfig is the stack file that `make up` uses.
func shippedConfig(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("../stacks/Pulumi.local.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var config strings.Builder
	for line := range strings.Lines(string(text)) {
		if !strings.HasPrefix(line, "encryptionsalt:") {
			config.WriteString(line)
		}
	}
	return config.String()
}

// TestLocal brings the shipped stack up once and does to it what users and accidents do. The parts build on each other: each
// leaves a healthy stack.
func TestLocal(t *testing.T) {
	e := newEnvironment(t, shippedConfig(t))
	start := time.Now()
	e.up()
	t.Logf("first up: %s", time.Since(start).Round(time.Millisecond))

	parts := []struct {
		name string
		run  func(*testing.T, *environment)
	}{
		{"a second up changes nothing", testUnchanged},
		{"applications use real URLs and partners see listed IPs", testRealURLs},
		{"partners see exactly the active IPs", testActiveSources},
		{"HAProxy killed", testHAProxyKilled},
		{"a whole proxy killed under load", testProxyKilled},
		{"destinations added, changed and removed under load", testDestinationsUnderLoad},
		{"node-local DNS saves queries and outlives its upstream", testNodeLocalDNS},
		{"no failure in 20,000 connections at the declared demand", testDeclaredDemand},
	}
	for _, part := range parts {
		if !t.Run(part.name, func(t *testing.T) { part.run(t, e.in(t)) }) {
			t.Fatalf("%s: the parts that follow would show nothing", part.name)
		}
	}
}

// in is the same environment reporting to another test.
func (e *environment) in(t *testing.T) *environment {
	inner := *e
	inner.t = t
	return &inner
}

func testUnchanged(t *testing.T, e *environment) {
	start := time.Now()
	output := e.up()
	t.Logf("second up: %s", time.Since(start).Round(time.Millisecond))
	for _, word := range []string{"created", "updated", "deleted", "replaced"} {
		if strings.Contains(output, word) {
			t.Errorf("the second up says %q:\n%s", word, output)
		}
	}
	if !strings.Contains(output, "unchanged") {
		t.Errorf("the second up does not say unchanged:\n%s", output)
	}
}

func testRealURLs(t *testing.T, e *environment) {
	document := e.allowlist()
	listed := map[string]allowlist.Kind{}
	for _, entry := range document.Entries {
		listed[entry.IP.String()] = entry.Kind
	}
	cases := []struct {
		host   string
		kind   allowlist.Kind // of the source IP that the partner reports
		status string
	}{
		{"api.payments.example.com", allowlist.KindProxy, "200"},
		{"auth.ledger.example.net", allowlist.KindProxy, "200"},
		{"x1.tenants.example.org", allowlist.KindProxy, "200"},
		{"registry.example.com", allowlist.KindNat, "200"},
		{"archive.example.org", allowlist.KindNat, "403"}, // that partner's list lacks our IPs
	}
	for _, pod := range []string{"pod-a-1-1", "pod-b-1-2"} {
		for _, c := range cases {
			r := e.exec(pod, "curl", "-sS", "-m", "10", "-w", "\n%{http_code}", "https://"+c.host+"/")
			body, status, _ := strings.Cut(r.stdout, "\n")
			source := field(body, "source")
			if r.err != nil || !strings.Contains(status, c.status) || listed[source] != c.kind {
				t.Errorf("%s from %s: status %q from source %q (%s), want %s from a %s IP: %s%s",
					c.host, pod, status, source, listed[source], c.status, c.kind, r.stdout, r.stderr)
			}
		}
		if r := e.exec(pod, "curl", "-sS", "-m", "10", "https://unlisted.example.net/"); exitCode(r) != 7 {
			t.Errorf("the unlisted host from %s: want curl's exit code 7, connection refused; got %d: %s%s", pod, exitCode(r), r.stdout, r.stderr)
		}
	}
	// Going around DNS does not help: a proxy refuses a name that nobody listed.
	proxy := e.privateAddress("proxy-a-1")
	if err := e.reach("pod-a-1-1", proxy, "api.payments.example.com"); err != nil {
		t.Errorf("a listed name through %s: %v", proxy, err)
	}
	if err := e.reach("pod-a-1-1", proxy, "unlisted.example.net"); err == nil {
		t.Errorf("%s forwarded a name that nobody listed", proxy)
	}
}

// field is a string field of a partner's JSON answer.
func field(body, name string) string {
	_, rest, _ := strings.Cut(body, `"`+name+`":"`)
	value, _, _ := strings.Cut(rest, `"`)
	return value
}

func testActiveSources(t *testing.T, e *environment) {
	hosts := []string{"api.payments.example.com", "auth.ledger.example.net", "x7.tenants.example.org", "registry.example.com"}
	var waits []func() load.Result
	for _, pod := range e.pods() {
		for _, host := range hosts {
			waits = append(waits, e.background(pod, load.Spec{Host: host, RatePerSecond: 10, DurationSeconds: 5}))
		}
	}
	for _, wait := range waits {
		if r := wait(); r.Failed > 0 {
			t.Errorf("%d of %d connections failed: %v %v", r.Failed, r.Connections, r.Failures, r.Errors)
		}
	}
	seen := map[string]bool{}
	for _, h := range e.status().Hosts {
		for source := range h.Sources {
			seen[source] = true
		}
	}
	got := make([]string, 0, len(seen))
	for source := range seen {
		got = append(got, source)
	}
	slices.Sort(got)
	if want := addresses(e.allowlist(), allowlist.StateActive); !slices.Equal(got, want) {
		t.Errorf("partners saw %v, the active entries are %v", got, want)
	}
}

// pods are the names of all pods.
func (e *environment) pods() []string {
	var pods []string
	for _, h := range e.status().Hosts {
		if strings.HasPrefix(h.Name, "pod-") {
			pods = append(pods, h.Name)
		}
	}
	return pods
}

func testHAProxyKilled(t *testing.T, e *environment) {
	proxy := e.privateAddress("proxy-a-1")
	var times []time.Duration
	for range 5 {
		before := e.haproxies("proxy-a-1")
		if len(before) == 0 {
			t.Fatal("no HAProxy on proxy-a-1")
		}
		for _, pid := range before {
			e.kill(pid)
		}
		took, err := until(10*time.Second, func() error { return e.reach("pod-a-1-1", proxy, "api.payments.example.com") })
		if err != nil {
			t.Fatalf("not serving again after %s: %v", took, err)
		}
		if after := e.haproxies("proxy-a-1"); slices.Equal(before, after) {
			t.Fatal("HAProxy was not killed")
		}
		times = append(times, took)
	}
	slices.Sort(times)
	t.Logf("serving again after %v", times)
	if median := times[len(times)/2]; median > time.Second {
		t.Errorf("serving again after %s in the median of %v, want within 1 s", median, times)
	}
}

func testProxyKilled(t *testing.T, e *environment) {
	before := e.allowlist()
	private := e.privateAddress("proxy-a-1")
	const killAfter, quietAfter = 3 * time.Second, 5 * time.Second
	spec := load.Spec{Host: "api.payments.example.com", RatePerSecond: 100, DurationSeconds: 14, TimeoutSeconds: 3}
	once := e.background("pod-a-1-1", spec)
	spec.Attempts = 3
	again := e.background("pod-b-1-1", spec)
	time.Sleep(killAfter)
	e.kill(e.process("proxy-a-1", "agent"))

	first, retried := once(), again()
	t.Logf("one attempt: %d of %d failed, %v; with next attempts: %d of %d failed, %d recovered",
		first.Failed, first.Connections, first.Failures, retried.Failed, retried.Connections, retried.Recovered)
	t.Logf("failures per second, one attempt: %v", failuresPerSecond(first))
	if retried.Failed > 0 {
		t.Errorf("%d connections failed although the client tried again: %v %v", retried.Failed, retried.Failures, retried.Errors)
	}
	for second := int((killAfter + quietAfter) / time.Second); second < len(first.Seconds); second++ {
		if failed := first.Seconds[second].Failed; failed > 0 {
			t.Errorf("%d connections failed %d s after the kill", failed, second-int(killAfter/time.Second))
		}
	}
	if first.Failed+retried.Recovered == 0 {
		t.Error("nothing noticed the kill: was there any load on that proxy?")
	}

	r := e.pulumi("refresh", "--yes", "--suppress-outputs")
	if r.err != nil || !strings.Contains(r.stdout, "proxy-a-1") || !strings.Contains(r.stdout, "deleted") {
		t.Errorf("refresh does not show the drift: %v\n%s%s", r.err, r.stdout, r.stderr)
	}
	e.up()
	if after := e.allowlist(); allowlist.Diff(before, after).String() != allowlist.Diff(before, before).String() {
		t.Errorf("public IPs changed:\n%s", allowlist.Diff(before, after))
	}
	if after := e.privateAddress("proxy-a-1"); after != private {
		t.Errorf("the private address changed from %s to %s", private, after)
	}
	if err := e.reach("pod-a-1-1", private, "api.payments.example.com"); err != nil {
		t.Errorf("the repaired proxy does not serve: %v", err)
	}
}

// failuresPerSecond is a run's timeline.
func failuresPerSecond(r load.Result) []int {
	failures := make([]int, len(r.Seconds))
	for i, second := range r.Seconds {
		failures[i] = second.Failed
	}
	return failures
}

// withExtra adds a destination to the shipped stack.
func withExtra(t *testing.T, host string) string {
	t.Helper()
	extra := "    - {name: extra, hosts: [" + host + "], route: proxy, partner: extra, demand: {connectionsPerSecond: 5}}\n"
	before, after, found := strings.Cut(shippedConfig(t), "  sallyport:allowlist:")
	if !found {
		t.Fatal("the shipped stack has no allowlist section to insert before")
	}
	return before + extra + "  sallyport:allowlist:" + after
}

func testDestinationsUnderLoad(t *testing.T, e *environment) {
	held := e.background("pod-a-1-1", load.Spec{Host: "api.payments.example.com", Held: 500, DurationSeconds: 50})
	fresh := e.background("pod-b-1-1", load.Spec{
		Host: "auth.ledger.example.net", RatePerSecond: 200, DurationSeconds: 50, TimeoutSeconds: patience,
	})
	time.Sleep(5 * time.Second) // until the held connections are open

	proxies := []string{"proxy-a-1", "proxy-a-2", "proxy-b-1", "proxy-b-2"}
	steps := []struct {
		name, config     string
		served, notAgain string
	}{
		{"added", withExtra(t, "one.extra.example.net"), "one.extra.example.net", ""},
		{"changed", withExtra(t, "two.extra.example.net"), "two.extra.example.net", "one.extra.example.net"},
		{"removed", shippedConfig(t), "", "two.extra.example.net"},
	}
	for _, step := range steps {
		e.write(step.config)
		e.up()
		start := time.Now()
		for _, name := range proxies {
			proxy := e.privateAddress(name)
			if step.served != "" {
				if _, err := until(2*time.Second, func() error { return e.reach("pod-a-1-2", proxy, step.served) }); err != nil {
					t.Errorf("%s: %s does not serve %s within 2 s: %v", step.name, name, step.served, err)
				}
			}
			if step.notAgain != "" {
				if _, err := until(2*time.Second, func() error {
					if e.reach("pod-a-1-2", proxy, step.notAgain) == nil {
						return errStillServed
					}
					return nil
				}); err != nil {
					t.Errorf("%s: %s: %v", step.name, name, err)
				}
			}
		}
		t.Logf("%s: effective in every proxy %s after the apply", step.name, time.Since(start).Round(time.Millisecond))
	}

	h, f := held(), fresh()
	t.Logf("held: %d opened, %d cut; new: %d, %d failed", h.Held.Opened, len(h.Held.Cut), f.Connections, f.Failed)
	if h.Held.Opened != 500 || len(h.Held.Cut) > 0 {
		t.Errorf("held connections: %d opened, %d unopened, cut %v, %v", h.Held.Opened, h.Held.Unopened, h.Held.Cut, h.Errors)
	}
	if f.Failed > 0 || f.Connections < 9000 {
		t.Errorf("new connections: %d of %d failed: %v %v", f.Failed, f.Connections, f.Failures, f.Errors)
	}
}

// errNotYet says that something waited for has not happened.
var errNotYet = errors.New("not yet")

// errStillServed says that a host that was taken off the list still gets through.
var errStillServed = errors.New("a host that is listed no more is still forwarded")

func testNodeLocalDNS(t *testing.T, e *environment) {
	const lookups = 20
	local, upstream := labid.NodeLocalDNS.String()+":9253", labid.DNSPrivateAddress.String()+":9153"
	queries := func(resOptions string) (node, far float64) {
		nodeBefore := e.counter("node-a-1", local, "coredns_dns_requests_total")
		farBefore := e.counter("dns", upstream, "coredns_dns_requests_total")
		// getaddrinfo without AI_ADDRCONFIG, as most languages call it: A and AAAA. Perl's base is part of every Debian.
		script := `use Socket qw(getaddrinfo SOCK_STREAM); for (1..20) {
			my ($e) = getaddrinfo("registry.example.com", "443", {socktype => SOCK_STREAM}); die $e if $e }`
		if r := e.exec("pod-a-1-1", "env", "RES_OPTIONS="+resOptions, "perl", "-e", script); r.err != nil {
			t.Fatalf("lookups with %s: %v %s%s", resOptions, r.err, r.stdout, r.stderr)
		}
		return (e.counter("node-a-1", local, "coredns_dns_requests_total") - nodeBefore) / lookups,
			(e.counter("dns", upstream, "coredns_dns_requests_total") - farBefore) / lookups
	}
	node5, far5 := queries("ndots:5")
	node2, far2 := queries("ndots:2")
	t.Logf("queries per lookup: ndots 5: %.2f from the pod, %.2f past the cache; ndots 2: %.2f and %.2f", node5, far5, node2, far2)
	if node5 < 7.5 || node5 > 8.5 || node2 < 1.9 || node2 > 2.5 {
		t.Errorf("want 8 queries per lookup with ndots 5 and 2 with ndots 2, got %.2f and %.2f", node5, node2)
	}
	if far5 > node5/4 || far2 > node2/2 {
		t.Errorf("the cache saves too little: %.2f of %.2f and %.2f of %.2f queries pass it", far5, node5, far2, node2)
	}

	e.kill(e.process("dns", "coredns"))
	time.Sleep(8 * time.Second) // the names live for 5 s
	for _, host := range []string{"registry.example.com", "api.payments.example.com"} {
		if r := e.exec("pod-a-1-1", "getent", "ahosts", host); r.err != nil {
			t.Errorf("%s is not answered while the upstream is down: %v %s%s", host, r.err, r.stdout, r.stderr)
		}
	}
	if r := e.pulumi("refresh", "--yes", "--suppress-outputs"); r.err != nil {
		t.Fatalf("refresh: %v %s%s", r.err, r.stdout, r.stderr)
	}
	e.up()
}

func testDeclaredDemand(t *testing.T, e *environment) {
	var waits []func() load.Result
	pods := e.pods()
	for _, pod := range pods {
		waits = append(waits, e.background(pod, load.Spec{
			Host: "registry.example.com", RatePerSecond: 250 / float64(len(pods)), Poisson: true, Count: 20000 / len(pods),
			DurationSeconds: 120, HoldSeconds: 0.5, HoldExponential: true, TimeoutSeconds: patience,
		}))
	}
	total, failed := 0, 0
	for _, wait := range waits {
		r := wait()
		total += r.Connections
		failed += r.Failed
		if r.Failed > 0 {
			t.Errorf("failures: %v %v", r.Failures, r.Errors)
		}
	}
	t.Logf("%d connections, %d failed", total, failed)
	if total < 20000 {
		t.Errorf("only %d connections were made", total)
	}
}
