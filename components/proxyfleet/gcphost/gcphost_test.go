package gcphost

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"

	"github.com/sallyport/sallyport/components/proxyfleet"
	"github.com/sallyport/sallyport/internal/golden"
	"github.com/sallyport/sallyport/proxyimage"
)

var digest = "@sha256:" + strings.Repeat("0123456789abcdef", 4)

func example() Host {
	return Host{
		Project: "example-prod", Image: "europe-west1-docker.pkg.dev/example-prod/egress/sallyport" + digest, ListenPorts: []int{8443, 443},
		Seccomp: proxyimage.Seccomp,
		Agent: proxyfleet.Agent{
			RoutesURL: "gs://example-routes/routes.json", DNSServers: PublicResolvers, DrainSeconds: 30, MaxConnections: 50000, Threads: 2,
		},
	}
}

func userData(t *testing.T, h Host) string {
	t.Helper()
	text, err := h.UserData()
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestUserData(t *testing.T) {
	text := userData(t, example())
	golden.Check(t, "user-data.golden", text)
	for _, secret := range []string{"BEGIN ", "password", "private_key", "oauth2", "SOURCE_IPS"} {
		if strings.Contains(text, secret) {
			t.Errorf("user data has %q in it", secret)
		}
	}
}

// What cloud-init reads must be what was meant, byte by byte; whatever one file names is there; nothing is executed from where
// Container-Optimized OS does not allow it.
func TestFilesSurviveTheCloudConfig(t *testing.T) {
	text := userData(t, example())
	files, commands := filesOf(t, text)
	for path, want := range map[string]string{
		firewallFile: firewall, hostRulesFile: hostRules([]int{8443, 443}), proxyfleet.SysctlFile: proxyfleet.Sysctls([]int{8443, 443}),
	} {
		if files[path] != want {
			t.Errorf("%s differs:\n%s", path, files[path])
		}
	}
	named := regexp.MustCompile(`/etc/sallyport/[a-z.]+`)
	for path, content := range files {
		for _, name := range named.FindAllString(content, -1) {
			if _, ok := files[name]; !ok {
				t.Errorf("%s names %s, which is not written", path, name)
			}
		}
	}
	for line := range strings.Lines(files[proxyfleet.UnitFile] + strings.Join(commands, "\n")) {
		if strings.Contains(line, "=/etc/") && strings.HasPrefix(line, "Exec") || strings.HasPrefix(line, "/etc/") || strings.HasPrefix(line, "/run/") {
			t.Errorf("is executed from a place that forbids it: %s", line)
		}
	}
}

func filesOf(t *testing.T, text string) (map[string]string, []string) {
	t.Helper()
	var config struct {
		WriteFiles []struct{ Path, Permissions, Owner, Content string } `yaml:"write_files"`
		Runcmd     []string
	}
	if err := yaml.Unmarshal([]byte(text), &config); err != nil || !strings.HasPrefix(text, "#cloud-config\n") {
		t.Fatalf("no cloud-config: %v", err)
	}
	files := map[string]string{}
	for _, f := range config.WriteFiles {
		if f.Permissions != "0644" || f.Owner != "root" || files[f.Path] != "" {
			t.Errorf("%s: mode %s, owner %s, or written twice", f.Path, f.Permissions, f.Owner)
		}
		files[f.Path] = f.Content
	}
	return files, config.Runcmd
}

// The firewall script runs under fakes that keep what a kernel would: the second run must add nothing, and ours must come first.
func TestTheFirewallIsPutInFrontOnceHoweverOftenItRuns(t *testing.T) {
	dir := t.TempDir()
	state := filepath.Join(dir, "hooks")
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	// iptables --wait=10 -t TABLE -C CHAIN -j OURS | --wait=10 -t TABLE -I CHAIN 1 -j OURS
	write("iptables", "#!/bin/sh\ncase $4 in\n-C) grep -qx \"$3 $5 $7\" "+state+";;\n-I) [ \"$6\" = 1 ] && echo \"$3 $5 $8\" >>"+state+";;\n*) exit 9;;\nesac\n")
	write("iptables-restore", "#!/bin/sh\n[ \"$1\" = --noflush ] || exit 9\necho \"restore $3\" >>"+filepath.Join(dir, "restored")+"\n")
	write("firewall.sh", firewall)
	for range 2 {
		command := exec.Command("/bin/sh", filepath.Join(dir, "firewall.sh"))
		command.Env = []string{"PATH=" + dir + ":/usr/bin:/bin"}
		if out, err := command.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
	}
	got, err := os.ReadFile(state)
	if err != nil {
		t.Fatal(err)
	}
	want := "raw PREROUTING SALLYPORT_UNTRACK\nraw OUTPUT SALLYPORT_UNTRACK\nfilter INPUT SALLYPORT_INPUT\nfilter OUTPUT SALLYPORT_OUTPUT\n"
	if string(got) != want {
		t.Errorf("hooks\n%s", got)
	}
	restored, _ := os.ReadFile(filepath.Join(dir, "restored"))
	if once := "restore " + proxyfleet.GuardFile + "\nrestore " + hostRulesFile + "\n"; string(restored) != once+once {
		t.Errorf("restored\n%s", restored)
	}
}

func TestTheFirewallOpensTheListenersAndNoMore(t *testing.T) {
	opened := regexp.MustCompile(`-A SALLYPORT_INPUT -p tcp --dport (\d+) -j ACCEPT`).FindAllStringSubmatch(hostRules([]int{443, 8443, 443}), -1)
	var ports []string
	for _, match := range opened {
		ports = append(ports, match[1])
	}
	if !slices.Equal(ports, []string{"443", "8404", "8443"}) {
		t.Errorf("opened %v", ports)
	}
}

// The guard must be passed before anything of the proxy's is let out.
func TestTheGuardComesBeforeWhatIsLetOut(t *testing.T) {
	rules := hostRules([]int{443})
	before, after, found := strings.Cut(rules, "-j SALLYPORT_GUARD")
	if !found || !strings.Contains(after, "-A SALLYPORT_OUTPUT -p tcp -j ACCEPT") {
		t.Errorf("%s", rules)
	}
	for line := range strings.Lines(before) {
		if strings.HasPrefix(line, "-A SALLYPORT_OUTPUT") && strings.HasSuffix(line, "-j ACCEPT\n") && !strings.Contains(line, "-d 169.254.169.254/32") {
			t.Errorf("is let out before the guard: %s", line)
		}
	}
}

func TestWhereAnImageLies(t *testing.T) {
	for image, want := range map[string]Registry{
		"europe-west1-docker.pkg.dev/example-prod/egress/sallyport" + digest: {"europe-west1-docker.pkg.dev", "europe-west1", "example-prod", "egress"},
		"eu-docker.pkg.dev/example.com:prod/egress/a/b" + digest:             {"eu-docker.pkg.dev", "eu", "example.com:prod", "egress"},
		"registry.example.com/egress/sallyport" + digest:                     {},
		"docker.pkg.dev.example.com/a/b/c" + digest:                          {},
	} {
		if got, ok := RegistryOf(image); got != want || ok != (want != Registry{}) {
			t.Errorf("%s: %v, %t", image, got, ok)
		}
	}
	h := example()
	h.Image = "registry.example.com/egress/sallyport" + digest
	if text := userData(t, h); strings.Contains(text, "configure-docker") {
		t.Error("logs in to Artifact Registry for an image that is elsewhere")
	}
}

func TestEveryMistakeIsReported(t *testing.T) {
	h := example()
	h.Image, h.Project, h.Seccomp = "registry.example.com/a:v1", "", "{"
	h.Agent.SourceIPs, h.Agent.DrainSeconds = []string{"10.0.0.1"}, 81
	h.Agent.DNSServers = []string{"169.254.169.254", "169.254.169.254:53"}
	h.Agent.Threads = 0
	_, err := h.UserData()
	for _, want := range []string{"image: must be", "project: must be given", "seccomp: must be JSON", "sourceIPs: must be empty", "drainSeconds: must not be above 80",
		`resolver, which may answer with the proxies themselves, got "169.254.169.254";`, `got "169.254.169.254:53"`, "threads: must be"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v\nlacks %s", err, want)
		}
	}
	h = example()
	h.Agent.DrainSeconds = MaxDrainSeconds
	userData(t, h)
}
