package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sallyport/sallyport/components/poddns"
)

func TestDNSExpectsWhatAStackDeclares(t *testing.T) {
	code, out, complaints := call(t, "dns", "--file", "../../stacks/Pulumi.local.yaml", "--json")
	if code != 0 {
		t.Fatalf("exit %d: %s", code, complaints)
	}
	var reports map[string][]poddns.Cost
	if err := json.Unmarshal([]byte(out), &reports); err != nil {
		t.Fatal(err)
	}
	total := func(name string) (queries, wasted float64) {
		for _, c := range reports[name] {
			queries, wasted = queries+c.Queries, wasted+c.Wasted
		}
		return queries, wasted
	}
	five, wasted := total("ndots 5")
	two, none := total("ndots 2")
	if five != 4*two || wasted != 3*two || none != 0 {
		t.Errorf("ndots 5: %g, %g for nothing; ndots 2: %g, %g for nothing", five, wasted, two, none)
	}
}

func TestDNSCountsALog(t *testing.T) {
	file := filepath.Join(t.TempDir(), "log")
	text := `[INFO] 10.0.0.7:4 - 1 "A IN api.example.com.shop.svc.cluster.local. udp 60 false 512" NXDOMAIN qr,aa,rd 153 0.0001s` + "\n" +
		`[INFO] 10.0.0.7:4 - 2 "A IN api.example.com. udp 60 false 512" NOERROR qr,rd,ra 70 0.002s` + "\n"
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	code, out, complaints := call(t, "dns", "--log", file)
	if code != 0 || !strings.Contains(out, "50 % for nothing") || !strings.Contains(out, "api.example.com.shop.svc.cluster.local") {
		t.Errorf("exit %d: %s\n%s", code, complaints, out)
	}
}

func TestDNSNamesWhatIsMissing(t *testing.T) {
	for want, args := range map[string][]string{
		"--stack: is required":       nil,
		"--ndots: must be between 1": {"--ndots", "16"},
		"--log: open":                {"--log", "nowhere.log"},
	} {
		if code, _, complaints := call(t, append([]string{"dns"}, args...)...); code == 0 || !strings.Contains(complaints, want) {
			t.Errorf("%v: exit %d: %s, want %s", args, code, complaints, want)
		}
	}
}
