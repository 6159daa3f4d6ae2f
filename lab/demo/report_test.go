package demo

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sallyport/sallyport/components/capacity"
)

func TestReportIsPrintedAndWritten(t *testing.T) {
	report := Report{
		Exhaustion: []Point{
			{Ports: 64, OfferedLoad: 60, Attempts: 400, Failed: 26, Predicted: capacity.ErlangB(64, 60)},
			{Ports: 64, OfferedLoad: 120, Attempts: 800, Failed: 380, Predicted: capacity.ErlangB(64, 120)},
		},
		Paths:    []Path{{Name: "proxies", Destination: "api.example.com", Rate: 200, Attempts: 2000, Sources: []string{"198.51.100.129"}}},
		DNS:      []DNSLookup{{NDots: 5, Lookups: 100, Queries: 8, Upstream: 0.02}},
		Failover: &Failover{Proxy: "proxy-a-1", Rate: 200, Attempts: 2000, FirstRefused: 12, LastFailure: 0.4},
	}
	var text strings.Builder
	if err := report.Print(&text); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"47.5 %", "198.51.100.129", "8.00", "proxy-a-1"} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("%q is missing in\n%s", want, text.String())
		}
	}
	folder := t.TempDir()
	if err := report.Write(folder); err != nil {
		t.Fatal(err)
	}
	for name, start := range map[string]string{"report.json": "{", "blocking.svg": "<?xml", "blocking.png": "\x89PNG"} {
		content, err := os.ReadFile(filepath.Join(folder, name))
		if err != nil || !strings.HasPrefix(string(content), start) {
			t.Errorf("%s: %v, %d bytes", name, err, len(content))
		}
	}
}
