package labid

import (
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var shape = regexp.MustCompile(`^[a-z0-9][a-z0-9-]*-[0-9a-f]{6}$`)

func TestForIsStableAndShort(t *testing.T) {
	tests := map[string]struct{ stack, prefix string }{
		"an ordinary stack":            {"local", "local-"},
		"capital letters and dots":     {"My.Stack", "my-stack-"},
		"longer than fits":             {"a-very-long-stack-name", "a-very-long-s-"},
		"a hyphen at the cut":          {"twelve-chars-x", "twelve-chars-"},
		"nothing usable":               {"___", "lab-"},
		"an organisation is kept":      {"org/local", "org-local-"},
		"an empty name":                {"", "lab-"},
		"non-ASCII letters disappear":  {"süd", "s-d-"},
		"exactly as long as there fit": {"abcdefghijklm", "abcdefghijklm-"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got := For("/a/project", tt.stack)
			if again := For("/a/project", tt.stack); again != got {
				t.Errorf("second call gave %q after %q", again, got)
			}
			if err := Check(got); err != nil || !shape.MatchString(got) || !strings.HasPrefix(got, tt.prefix) {
				t.Errorf("For(%q) = %q (%v), want prefix %q and 6 hex digits", tt.stack, got, err, tt.prefix)
			}
			if other := For("/another/project", tt.stack); other == got {
				t.Errorf("two projects share the lab %q", got)
			}
		})
	}
	if For("/p", "a.b") == For("/p", "a-b") {
		t.Error("two stacks whose names sanitise alike share a lab")
	}
}

func TestForUsesTheAbsolutePath(t *testing.T) {
	abs, err := filepath.Abs(".")
	if err != nil {
		t.Fatal(err)
	}
	if For(".", "local") != For(abs, "local") {
		t.Error("a relative path and its absolute form give different labs")
	}
}

func TestCheck(t *testing.T) {
	for _, bad := range []string{"", "-a", "a-", "A", "a_b", "a/b", "..", strings.Repeat("a", MaxLength+1)} {
		if Check(bad) == nil {
			t.Errorf("Check(%q) accepted it", bad)
		}
		if CheckHost(bad) == nil && len(bad) != MaxLength+1 {
			t.Errorf("CheckHost(%q) accepted it", bad)
		}
	}
	for _, good := range []string{"a", "local-3fa2c1", strings.Repeat("a", MaxLength)} {
		if err := Check(good); err != nil {
			t.Error(err)
		}
	}
	if CheckHost(strings.Repeat("a", 41)) == nil {
		t.Error("a host name of 41 characters was accepted")
	}
}

func TestStateDir(t *testing.T) {
	t.Setenv(RootEnv, "")
	if got, want := StateDir("x"), "/run/sallyport/x"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	t.Setenv(RootEnv, "/tmp/labs")
	if got, want := StateDir("x"), "/tmp/labs/x"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestPlanIsConsistent(t *testing.T) {
	if NatPublic.Overlaps(ProxyPublic) || !OurPublic.Overlaps(NatPublic) || !OurPublic.Overlaps(ProxyPublic) {
		t.Error("the public ranges of NAT and proxies must be disjoint parts of ours")
	}
	if !DNSPublic.Contains(DNSPublicAddress) || !NatPrivate.Contains(DNSPrivateAddress) {
		t.Error("the DNS addresses are outside their ranges")
	}
	for _, p := range []struct{ a, b interface{ String() string } }{{NatPrivate, Nodes}, {Nodes, Proxies}} {
		if p.a.String() == p.b.String() {
			t.Errorf("%s is used twice", p.a)
		}
	}
	if VPC.Overlaps(Pods) {
		t.Error("pods overlap the private segment")
	}
}

func FuzzFor(f *testing.F) {
	f.Add("/p", "local")
	f.Add("", "\xff--\x00")
	f.Fuzz(func(t *testing.T, root, stack string) {
		if err := Check(For(root, stack)); err != nil {
			t.Error(err)
		}
	})
}
