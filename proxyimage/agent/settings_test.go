package agent

import (
	"os"
	"strings"
	"testing"
	"time"
)

func env(pairs ...string) func(string) (string, bool) {
	values := map[string]string{"SALLYPORT_DNS_SERVERS": "192.0.2.53", "SALLYPORT_HAPROXY": os.Args[0]}
	for i := 0; i < len(pairs); i += 2 {
		values[pairs[i]] = pairs[i+1]
	}
	return func(name string) (string, bool) { value, ok := values[name]; return value, ok }
}

func TestSettingsHaveDefaults(t *testing.T) {
	s, err := settingsFromEnv(env("SALLYPORT_DNS_SERVERS", " 192.0.2.53 , 192.0.2.54:5353,", "SALLYPORT_SOURCE_IPS", "198.51.100.1, 198.51.100.2", "SALLYPORT_THREADS", ""))
	if err != nil {
		t.Fatal(err)
	}
	if s.mode != ModePassthrough || s.httpListen != ":8404" || s.drain != 30*time.Second || s.threads != 1 || s.listen.IsValid() {
		t.Errorf("defaults: %+v", s)
	}
	if len(s.dnsServers) != 2 || s.dnsServers[0].String() != "192.0.2.53:53" || s.dnsServers[1].String() != "192.0.2.54:5353" {
		t.Errorf("servers %v", s.dnsServers)
	}
	if len(s.sourceIPs) != 2 || s.sourceIPs[1].String() != "198.51.100.2" {
		t.Errorf("sources %v", s.sourceIPs)
	}
	s, err = settingsFromEnv(env("SALLYPORT_MODE", "resolver", "SALLYPORT_HAPROXY", "/nowhere"))
	if err != nil || s.httpListen != "127.0.0.1:8405" || s.dnsListen != "127.0.0.1:9053" {
		t.Errorf("resolver: %+v, %v", s, err)
	}
}

func TestSettingsNameEveryProblem(t *testing.T) {
	tests := map[string]struct{ name, value, want string }{
		"unknown mode":              {"SALLYPORT_MODE", "mitm", "must be passthrough, pool or resolver"},
		"routes without a scheme":   {"SALLYPORT_ROUTES", "/etc/routes.json", "must have the scheme file"},
		"object without a region":   {"SALLYPORT_ROUTES", "s3://bucket/key", "region"},
		"polling without a pause":   {"SALLYPORT_ROUTES_POLL", "10ms", "must be 1s to 10m"},
		"negative client limit":     {"SALLYPORT_CLIENT_CONNECTIONS", "-1", "must be 0 (no limit)"},
		"audit that is no boolean":  {"SALLYPORT_AUDIT", "yes", "must be true or false"},
		"CloudWatch without a slot": {"SALLYPORT_CLOUDWATCH", "stack=prod,zone=a", "must name stack, zone and slot"},
		"sample above 1":            {"SALLYPORT_ACCESS_LOG_SAMPLE", "1.5", "must be a number from 0 to 1"},
		"sample that is no number":  {"SALLYPORT_ACCESS_LOG_SAMPLE", "NaN", "must be a number from 0 to 1"},
		"relative state directory":  {"SALLYPORT_STATE_DIR", "state", "must be an absolute path"},
		"relative run directory":    {"SALLYPORT_RUN_DIR", "run", "must be an absolute path"},
		"no DNS server":             {"SALLYPORT_DNS_SERVERS", ",", "needs at least one server"},
		"DNS server by name":        {"SALLYPORT_DNS_SERVERS", "dns.example.com", "must be a list of ip or ip:port"},
		"source that is no IP":      {"SALLYPORT_SOURCE_IPS", "198.51.100.300", "must be an IP address"},
		"IPv6 source":               {"SALLYPORT_SOURCE_IPS", "2001:db8::1", "must be IPv4"},
		"listen by name":            {"SALLYPORT_LISTEN", "localhost", "must be an IP address"},
		"HTTP without a port":       {"SALLYPORT_HTTP_LISTEN", "127.0.0.1", "must be address:port"},
		"DNS port too high":         {"SALLYPORT_DNS_LISTEN", "127.0.0.1:65536", "must be address:port"},
		"drain without a unit":      {"SALLYPORT_DRAIN", "30", "must be a duration"},
		"negative drain":            {"SALLYPORT_DRAIN", "-1s", "must be 0s to 1h"},
		"hasty probes":              {"SALLYPORT_PROBE_INTERVAL", "1ms", "must be 50ms to 1m"},
		"no idle timeout":           {"SALLYPORT_IDLE_TIMEOUT", "0s", "must be 1s to 24h"},
		"threads in words":          {"SALLYPORT_THREADS", "four", "must be a whole number"},
		"no threads":                {"SALLYPORT_THREADS", "0", "must be 1 to 64"},
		"negative connections":      {"SALLYPORT_MAX_CONNECTIONS", "-1", "must be 0"},
		"haproxy that is not there": {"SALLYPORT_HAPROXY", "/nowhere/haproxy", "must be a program"},
		"haproxy is a directory":    {"SALLYPORT_HAPROXY", "/", "must be a program"},
		"unknown log level":         {"SALLYPORT_LOG_LEVEL", "loud", "must be debug, info, warn or error"},
	}
	for name, test := range tests {
		_, err := settingsFromEnv(env(test.name, test.value))
		if err == nil || !strings.Contains(err.Error(), test.want) || !strings.Contains(err.Error(), test.name) {
			t.Errorf("%s: %v", name, err)
		}
	}
	_, err := settingsFromEnv(env("SALLYPORT_MODE", "x", "SALLYPORT_DRAIN", "x", "SALLYPORT_THREADS", "0", "SALLYPORT_DNS_SERVERS", ""))
	for _, name := range []string{"SALLYPORT_MODE", "SALLYPORT_DRAIN", "SALLYPORT_THREADS", "SALLYPORT_DNS_SERVERS"} {
		if err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%v does not mention %s", err, name)
		}
	}
}

func TestPoolSettings(t *testing.T) {
	s, err := settingsFromEnv(env("SALLYPORT_MODE", "pool"))
	if err != nil || s.pool.port != 8080 || s.pool.requests != 1000 || s.pool.forwardedHeaders || s.idleTimeout != 5*time.Minute || s.pool.domain != "egress.svc.cluster.local" {
		t.Errorf("defaults: %+v, %v", s, err)
	}
	for name, test := range map[string]struct{ name, value, want string }{
		"port 0":                 {"SALLYPORT_POOL_PORT", "0", "must be 1 to 65535"},
		"relative authorities":   {"SALLYPORT_CA_FILE", "ca.pem", "must be an absolute path"},
		"one request each":       {"SALLYPORT_REQUESTS_PER_CONNECTION", "1", "must be 2 to 1000000"},
		"domain of one label":    {"SALLYPORT_SERVICE_DOMAIN", "egress", "must be <namespace>.svc.<cluster domain>"},
		"domain with a wildcard": {"SALLYPORT_SERVICE_DOMAIN", "*.svc.cluster.local", "must be <namespace>.svc.<cluster domain>"},
		"headers perhaps":        {"SALLYPORT_FORWARDED_HEADERS", "perhaps", "must be true or false"},
		"idle beyond the NAT's":  {"SALLYPORT_IDLE_TIMEOUT", "341s", "must not be above 5m40s"},
		"unknown upstream":       {"SALLYPORT_POOL_UPSTREAM", "mesh", "must be direct or fleet"},
	} {
		_, err := settingsFromEnv(env("SALLYPORT_MODE", "pool", test.name, test.value))
		if err == nil || !strings.Contains(err.Error(), test.want) || !strings.Contains(err.Error(), test.name) {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := settingsFromEnv(env(test.name, test.value)); err != nil && test.value != "perhaps" {
			t.Errorf("%s: matters in mode passthrough: %v", name, err)
		}
	}
}

func TestConnectionLimitFollowsTheLimitOnFiles(t *testing.T) {
	p := &passthrough{}
	auto, err := p.connectionLimit()
	if err != nil || auto < 1 || auto > maxConnections {
		t.Fatalf("%d, %v", auto, err)
	}
	p.maxConnections = 10_000_000
	if _, err := p.connectionLimit(); err == nil || !strings.Contains(err.Error(), "raise the limit on open files") {
		t.Errorf("error %v", err)
	}
}
