package proxyfleet

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sallyport/sallyport/internal/golden"
)

var image = "registry.example.com/egress/proxy@sha256:" + strings.Repeat("0123456789abcdef", 4)

func TestWhatAMachineRuns(t *testing.T) {
	agent := Agent{
		RoutesURL: "gs://example-routes/routes.json", DNSServers: []string{"10.0.0.2", "10.0.0.3:5353"}, SourceIPs: []string{"10.0.1.10"},
		DrainSeconds: 120, Threads: 4, Env: map[string]string{"SALLYPORT_CLIENT_CONNECTIONS": "2000"},
	}
	env, err := agent.Environment()
	if err != nil {
		t.Fatal(err)
	}
	guard, err := Guard(agent.DNSServers)
	if err != nil {
		t.Fatal(err)
	}
	c := Container{Image: image, DrainSeconds: 120, LogDriver: "gcplogs", LogOptions: map[string]string{"gcp-project": "example"}}
	unit := c.UnitText(UnitOptions{Docker: "/usr/bin/docker", Prepare: []string{"/bin/true"}})
	golden.Check(t, "machine.golden", "## "+EnvFile+"\n"+env+"\n## "+SysctlFile+"\n"+Sysctls([]int{443, 8443, 8404})+
		"\n## "+GuardFile+"\n"+guard+GuardCommand()+"\n\n## "+UnitFile+"\n"+unit)
}

// What bounds a program that was taken over must not get lost.
func TestTheContainerIsBounded(t *testing.T) {
	args := strings.Join(Container{Image: image, DrainSeconds: 30, LogDriver: "none"}.Args(), " ")
	for _, want := range []string{"--read-only", "--cap-drop ALL", "no-new-privileges", "seccomp=" + SeccompFile, "--user 65532:65532", "noexec", "--pids-limit"} {
		if !strings.Contains(args, want) {
			t.Errorf("%q is missing in %s", want, args)
		}
	}
	for _, never := range []string{"--privileged", "docker.sock", "--cap-add", "unconfined"} {
		if strings.Contains(args, never) {
			t.Errorf("%q is in %s", never, args)
		}
	}
	if !strings.HasSuffix(args, image) {
		t.Errorf("the image must come last: %s", args)
	}
}

func TestImagesAreNamedByDigest(t *testing.T) {
	for name, want := range map[string]bool{
		image: true, "registry.example.com:5000/a/b@sha256:" + strings.Repeat("a", 64): true,
		"registry.example.com/proxy:v1": false, "registry.example.com/proxy": false, image + "0": false, "": false, "a b" + image: false,
	} {
		if got := ValidImage(name); got != want {
			t.Errorf("%q: %t", name, got)
		}
	}
}

func TestAgentMistakesAreAllReported(t *testing.T) {
	_, err := Agent{
		RoutesURL: "https://example.com/routes.json", DNSServers: []string{"dns.example.com", "2001:db8::1"}, SourceIPs: []string{"10.0.0.300"},
		DrainSeconds: 3601, Threads: 65, MaxConnections: -1, Metrics: &Dimensions{Stack: "a b", Zone: "z", Slot: "s"},
		Env: map[string]string{"SALLYPORT_MODE": "pool", "LD_PRELOAD": "x", "SALLYPORT_LOG_LEVEL": "a\nSALLYPORT_MODE=pool"},
	}.Environment()
	if err == nil {
		t.Fatal("accepted")
	}
	for _, want := range []string{"routes: must be s3", `got "dns.example.com"`, `got "2001:db8::1"`, `got "10.0.0.300"`, "drainSeconds", "threads", "maxConnections",
		`got "a b"`, "env: SALLYPORT_MODE", "env: LD_PRELOAD", "env: SALLYPORT_LOG_LEVEL"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("missing %q in\n%v", want, err)
		}
	}
	if _, err := Guard([]string{"dns.example.com"}); err == nil {
		t.Error("the guard takes a name for a DNS server")
	}
}

func TestEdgesOfNumbers(t *testing.T) {
	good := Agent{RoutesURL: "s3://bucket/key", DNSServers: []string{"10.0.0.2"}, SourceIPs: []string{"10.0.1.1"}, DrainSeconds: 30, Threads: 1}
	for name, c := range map[string]struct {
		change func(*Agent)
		ok     bool
	}{
		"as it is":              {func(*Agent) {}, true},
		"drain 0":               {func(a *Agent) { a.DrainSeconds = 0 }, false},
		"drain 1":               {func(a *Agent) { a.DrainSeconds = 1 }, true},
		"drain 3600":            {func(a *Agent) { a.DrainSeconds = 3600 }, true},
		"threads 0":             {func(a *Agent) { a.Threads = 0 }, false},
		"threads 64":            {func(a *Agent) { a.Threads = 64 }, true},
		"16 sources":            {func(a *Agent) { a.SourceIPs = repeat("10.0.1.1", 16) }, true},
		"17 sources":            {func(a *Agent) { a.SourceIPs = repeat("10.0.1.1", 17) }, false},
		"no source":             {func(a *Agent) { a.SourceIPs = nil }, false},
		"a million connections": {func(a *Agent) { a.MaxConnections = 1_000_000 }, true},
		"one more":              {func(a *Agent) { a.MaxConnections = 1_000_001 }, false},
	} {
		a := good
		c.change(&a)
		if _, err := a.Environment(); (err == nil) != c.ok {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func repeat(text string, n int) []string {
	var all []string
	for range n {
		all = append(all, text)
	}
	return all
}

func TestSlotNames(t *testing.T) {
	if got := SlotName("eu-west-1a", 2); got != "proxy-eu-west-1a-2" {
		t.Errorf("got %s", got)
	}
}

// The kernel decides whether the guard says what it should: connections of the proxy's user, in a network of their own.
func TestGuardInTheKernel(t *testing.T) {
	if _, err := exec.LookPath("iptables-restore"); err != nil || os.Getuid() != 0 {
		t.Skip("needs root and iptables, which machines of the fleet have")
	}
	rules, err := Guard([]string{"10.0.0.2"})
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	file := filepath.Join(dir, "guard.rules")
	if err := os.WriteFile(file, []byte(rules), 0o600); err != nil {
		t.Fatal(err)
	}
	command := strings.ReplaceAll(GuardCommand(), GuardFile, file)
	script := `set -e
ip link set lo up
ip link add v0 type veth peer name v1; ip address add 9.9.9.1/24 dev v0; ip link set v0 up; ip link set v1 up; ip route add default via 9.9.9.2
` + command + "\n" + command + `
try() { setpriv --reuid 65532 --clear-groups timeout 0.3 bash -c "exec 3<>/dev/$1/$2/$3" 2>/dev/null; echo "$1 $2 $3 $?"; }
set +e
try tcp 10.0.0.1 443; try tcp 169.254.169.254 80; try tcp 169.254.169.254 443; try tcp 10.0.0.2 53; try tcp 8.8.8.8 443; try tcp 192.168.0.1 80`
	cmd := exec.CommandContext(t.Context(), "unshare", "--net", "bash", "-c", script)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	// 1: refused at once; 124: nobody answered, so the packet was let out.
	const want = "tcp 10.0.0.1 443 1\ntcp 169.254.169.254 80 124\ntcp 169.254.169.254 443 1\ntcp 10.0.0.2 53 124\ntcp 8.8.8.8 443 124\ntcp 192.168.0.1 80 1\n"
	if string(out) != want {
		t.Errorf("got\n%swant\n%s", out, want)
	}
}
