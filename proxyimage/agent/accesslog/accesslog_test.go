package accesslog

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/sallyport/sallyport/proxyimage/routes"
)

func TestParse(t *testing.T) {
	line := func(reason, sni, state string, in, total int) string {
		return fmt.Sprintf(`{"reason":%q,"sni":"%s","src":"10.0.0.2","port":443,"dst":"203.0.113.10","source":"198.51.100.1","in":%d,"out":21,"connect":3,"total":%d,"state":%q}`+"\n", reason, sni, in, total, state)
	}
	tests := map[string]struct {
		line   string
		want   Reason
		host   string
		failed bool
	}{
		"forwarded":             {line("-", "api.example.com", "--", 517, 20), "", "api.example.com", false},
		"client timed out":      {line("-", "api.example.com", "cD", 517, 3600000), "", "api.example.com", false},
		"destination refused":   {line("-", "api.example.com", "SC", 517, 20), "", "api.example.com", true},
		"destination silent":    {line("-", "api.example.com", "sC", 517, 15000), "", "api.example.com", true},
		"unlisted":              {line("unlisted", "evil.example.org", "PR", 517, 0), Unlisted, "evil.example.org", false},
		"no name":               {line("no-sni", "-", "PR", 517, 0), NoSNI, "", false},
		"not TLS":               {line("not-tls", "-", "PR", 18, 0), NotTLS, "", false},
		"left at once":          {line("not-tls", "-", "CR", 0, 4999), ClosedEarly, "", false},
		"silent for 5 s":        {line("not-tls", "-", "PR", 0, 5000), Slow, "", false},
		"half a hello for 5 s":  {line("not-tls", "-", "PR", 200, 5003), Slow, "", false},
		"name with quotes":      {line("unlisted", `a\"}\u000a{\"x.com`, "PR", 517, 0), Unlisted, "", false},
		"name with a NUL":       {line("unlisted", `api\u0000.example.com`, "PR", 517, 0), Unlisted, "", false},
		"name with an asterisk": {line("unlisted", `*.example.com`, "PR", 517, 0), Unlisted, "", false},
		"name that is too long": {line("unlisted", strings.Repeat("a.", 127)+"a", "PR", 517, 0), Unlisted, "", false},
		"address as name":       {line("unlisted", "10.0.0.1", "PR", 517, 0), Unlisted, "", false},
	}
	for name, test := range tests {
		r, err := Parse([]byte(test.line))
		if err != nil || r.Refused != test.want || r.Host != test.host || r.Failed != test.failed {
			t.Errorf("%s: %+v, %v; want %q, host %q, failed %v", name, r, err, test.want, test.host, test.failed)
		}
	}
	for state, want := range map[string]Reason{"PR": BadRequest, "cR": Slow, "CR": ClosedEarly, "SC": "", "": BadRequest} {
		text := strings.Replace(line("-", "-", state, 100, 1), `"dst":"203.0.113.10"`, `"dst":"-"`, 1)
		if r, err := Parse([]byte(text)); err != nil || r.Refused != want || r.Failed != (want == "") {
			t.Errorf("HTTP request in state %q: %+v, %v; want %q", state, r, err, want)
		}
	}
	r, err := Parse([]byte(line("-", "api.example.com", "--", 517, 20)))
	if want := (Record{Host: "api.example.com", Client: "10.0.0.2", Port: 443, Dst: "203.0.113.10", Source: "198.51.100.1", In: 517, Out: 21,
		Connect: 3 * time.Millisecond, Total: 20 * time.Millisecond}); err != nil || r != want {
		t.Errorf("got %+v, %v\nwant %+v", r, err, want)
	}
	if r, err := Parse([]byte(strings.Replace(line("unlisted", "x.example.com", "PR", 1, 1), `"connect":3`, `"connect":-1`, 1))); err != nil || r.Connect != 0 {
		t.Errorf("connect -1: %+v, %v", r, err)
	}
}

// FuzzParse: whatever HAProxy writes, nothing panics, and a host is a DNS name or empty.
func FuzzParse(f *testing.F) {
	f.Add([]byte(`{"reason":"-","sni":"api.example.com","port":443,"in":1,"total":2,"state":"--"}`))
	f.Add([]byte(`{"reason":"not-tls","in":-9223372036854775808,"total":9223372036854775807}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := Parse(data)
		if err == nil && r.Host != "" && (routes.HostRule(r.Host) != "" || strings.Contains(r.Host, "*")) {
			t.Fatalf("host %q", r.Host)
		}
		if r.Total < 0 || r.Connect < 0 {
			t.Fatalf("negative times: %+v", r)
		}
	})
}

func TestLimiterSaysEachThingOnceAPeriod(t *testing.T) {
	var l Limiter
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	said := 0
	for range 10 {
		if ok, _ := l.Allow(now, "unlisted", "a.example.com"); ok {
			said++
		}
	}
	if ok, _ := l.Allow(now, "unlisted", "b.example.com"); !ok || said != 1 {
		t.Errorf("said %d times, another host %v", said, ok)
	}
	ok, silenced := l.Allow(now.Add(period), "unlisted", "a.example.com")
	if !ok || len(silenced) != 1 || silenced[0] != (Silenced{Reason: "unlisted", Host: "a.example.com", Count: 9}) {
		t.Errorf("next period: %v, %v", ok, silenced)
	}
}

func TestLimiterIsBounded(t *testing.T) {
	var l Limiter
	now := time.Now()
	said := 0
	for i := range 3 * maxKeys {
		if ok, _ := l.Allow(now, "unlisted", fmt.Sprint(i)); ok {
			said++
		}
	}
	if said != maxKeys || len(l.seen) != maxKeys {
		t.Errorf("said %d, remembers %d", said, len(l.seen))
	}
	if _, silenced := l.Allow(now.Add(period), "x", ""); len(silenced) != 1 || silenced[0].Count != 2*maxKeys {
		t.Errorf("silenced %v", silenced)
	}
}
