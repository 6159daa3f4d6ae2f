package container

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sallyport/sallyport/lab/daemon"
	"github.com/sallyport/sallyport/lab/labtest"
)

// TestMain lets the test binary be the helper that Start re-executes.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "container" {
		os.Exit(Main(os.Args[2:]))
	}
	os.Exit(m.Run())
}

func needRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root to make namespaces and mounts")
	}
}

func helper(t *testing.T) string {
	t.Helper()
	path, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// makeRootfs builds a root with nothing but the probe and the image's directories. Links lead out of the root on purpose.
func makeRootfs(t *testing.T) string {
	t.Helper()
	root := filepath.Join(t.TempDir(), "rootfs")
	for _, dir := range []string{"proc", "dev", "tmp", "run/sallyport", "var/lib/sallyport", "etc/sallyport/routes"} {
		if err := os.MkdirAll(filepath.Join(root, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("/../../../../etc", filepath.Join(root, "escape")); err != nil {
		t.Fatal(err)
	}
	build := exec.Command("go", "build", "-o", filepath.Join(root, "sallyport-agent"), "./testdata/probe")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return root
}

// report is what testdata/probe prints.
type report struct {
	PID, UID, GID, Processes, OpenFiles int
	Groups                              []int
	Env, Mounts, Root                   []string
	Hostname, Listen443, NetNS, Sysctl  string
	NoFile                              uint64
	Status, Writable, Files, Options    map[string]string
}

func readReport(t *testing.T, d daemon.Daemon) report {
	t.Helper()
	path := filepath.Join(d.StateDir, d.Name+".log")
	for range 500 {
		text, _ := os.ReadFile(path)
		if line, _, ok := bytes.Cut(text, []byte("\n")); ok {
			var r report
			if err := json.Unmarshal(line, &r); err != nil {
				t.Fatalf("%v: %s", err, text)
			}
			return r
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatalf("%s: no report", path)
	return report{}
}

func TestProgramFindsAClosedRoom(t *testing.T) {
	needRoot(t)
	state, routes, data := t.TempDir(), t.TempDir(), t.TempDir()
	if err := os.WriteFile(filepath.Join(routes, "routes.json"), []byte("{}"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(data, 65532, 65532); err != nil {
		t.Fatal(err)
	}
	namespace := labtest.Namespace(t)
	d, err := Start(helper(t), Spec{
		Name: "proxy-a-1", StateDir: state, Namespace: namespace, Rootfs: makeRootfs(t), Args: []string{"/sallyport-agent", "stay"},
		Env: []string{"SALLYPORT_MODE=passthrough"}, UID: 65532, GID: 65532, NoFile: 12345, Sysctls: ProxySysctls(),
		Mounts: []Mount{{Source: routes, Target: "/etc/sallyport/routes", ReadOnly: true}, {Source: data, Target: "/var/lib/sallyport"}},
		Tmpfs:  []Tmpfs{{Target: "/run/sallyport"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Stop(context.Background(), 0)
	r := readReport(t, d)

	if r.PID != 1 || r.UID != 65532 || r.GID != 65532 || len(r.Groups) != 0 || r.Processes != 1 {
		t.Errorf("pid %d, user %d:%d, groups %v, %d processes in sight", r.PID, r.UID, r.GID, r.Groups, r.Processes)
	}
	for _, set := range []string{"CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"} {
		if r.Status[set] != "0000000000000000" {
			t.Errorf("%s = %q", set, r.Status[set])
		}
	}
	if r.Status["NoNewPrivs"] != "1" || r.NoFile != 12345 || r.Hostname != "proxy-a-1" {
		t.Errorf("no new privileges %q, open files %d, host name %q", r.Status["NoNewPrivs"], r.NoFile, r.Hostname)
	}
	wantEnv := []string{"SALLYPORT_MODE=passthrough", daemon.EnvIdentity + "=" + state + "/proxy-a-1"}
	if !slices.Equal(r.Env, wantEnv) {
		t.Errorf("environment = %q, want %q", r.Env, wantEnv)
	}
	for path, refused := range r.Writable {
		writable := slices.Contains([]string{"/tmp", "/run/sallyport", "/var/lib/sallyport", "/dev/null", "/dev/shm"}, path)
		if writable != (refused == "") {
			t.Errorf("%s: writable = %v (%s), want %v", path, refused == "", refused, writable)
		}
	}
	if text, err := os.ReadFile(filepath.Join(data, "probe")); err != nil || string(text) != "x" {
		t.Errorf("the state directory on the host holds %q, %v", text, err)
	}
	if r.Files["routes"] != "{}" || r.Listen443 != "" || r.Sysctl != "1024 65535" {
		t.Errorf("routes %q, listening on 443: %q, port range %q", r.Files["routes"], r.Listen443, r.Sysctl)
	}
	// Standard files, epoll and the directory being listed: nothing of the helper's or the provider's.
	if r.OpenFiles > 8 {
		t.Errorf("%d open files", r.OpenFiles)
	}
	for _, mount := range r.Mounts {
		if strings.HasPrefix(mount, "/sys") || strings.HasPrefix(mount, "/work") || strings.Contains(mount, state) {
			t.Errorf("mount of the host in sight: %s", mount)
		}
	}
	for path, want := range map[string]string{
		"/": "ro,nosuid,nodev", "/etc/sallyport/routes": "ro,nosuid,nodev", "/var/lib/sallyport": "rw,nosuid,nodev,noexec",
		"/tmp": "rw,nosuid,nodev,noexec", "/dev": "ro,nosuid,noexec",
	} {
		if !strings.HasPrefix(r.Options[path], want) {
			t.Errorf("%s is mounted %q, want %q", path, r.Options[path], want)
		}
	}
	if host, _ := os.Readlink("/proc/self/ns/net"); r.NetNS == host || r.NetNS == "" {
		t.Errorf("network namespace %q is the host's", r.NetNS)
	}
	if mounts, _ := os.ReadFile("/proc/self/mountinfo"); strings.Contains(string(mounts), "rootfs") {
		t.Errorf("the container's mounts show on the host:\n%s", mounts)
	}
	if err := d.Stop(context.Background(), 10*time.Second); err != nil {
		t.Fatal(err)
	}
	if text, _ := os.ReadFile(filepath.Join(state, "proxy-a-1.log")); !bytes.HasSuffix(text, []byte("terminated\n")) {
		t.Errorf("SIGTERM did not reach the program: %s", text)
	}
}

func TestTheHostsPortRangeStays(t *testing.T) {
	needRoot(t)
	before, _ := os.ReadFile("/proc/sys/net/ipv4/ip_local_port_range")
	d, err := Start(helper(t), Spec{Name: "range", StateDir: t.TempDir(), Namespace: labtest.Namespace(t), Rootfs: makeRootfs(t),
		Args: []string{"/sallyport-agent"}, UID: 65532, GID: 65532, Sysctls: ProxySysctls()})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Stop(context.Background(), 0)
	if after, _ := os.ReadFile("/proc/sys/net/ipv4/ip_local_port_range"); !bytes.Equal(before, after) {
		t.Errorf("the host's port range went from %s to %s", before, after)
	}
}

func TestFailuresInsideAreReported(t *testing.T) {
	needRoot(t)
	root, namespace := makeRootfs(t), labtest.Namespace(t)
	good := func() Spec {
		return Spec{Name: "bad", StateDir: t.TempDir(), Namespace: namespace, Rootfs: root, Args: []string{"/sallyport-agent", "stay"}, UID: 65532, GID: 65532}
	}
	for name, c := range map[string]struct {
		change func(*Spec)
		want   string
	}{
		"a program that the image lacks":   {func(s *Spec) { s.Args = []string{"/bin/sh"} }, "execute /bin/sh: no such file"},
		"a mount point that it lacks":      {func(s *Spec) { s.Tmpfs = []Tmpfs{{Target: "/var/cache"}} }, "the image must have it"},
		"a link that leads out of it":      {func(s *Spec) { s.Tmpfs = []Tmpfs{{Target: "/escape/apt"}} }, "the image must have it"},
		"a source that does not exist":     {func(s *Spec) { s.Mounts = []Mount{{Source: "/nonexistent", Target: "/tmp"}} }, "mount /nonexistent on /tmp"},
		"a root that does not exist":       {func(s *Spec) { s.Rootfs += "x" }, "sallyport image build"},
		"a relative program":               {func(s *Spec) { s.Args = []string{"agent"} }, "must begin with an absolute path"},
		"a target with dots":               {func(s *Spec) { s.Mounts = []Mount{{Source: "/tmp", Target: "/a/../.."}} }, "clean absolute paths"},
		"a setting outside the network":    {func(s *Spec) { s.Sysctls = map[string]string{"kernel.hostname": "x"} }, "below net."},
		"a setting that climbs":            {func(s *Spec) { s.Sysctls = map[string]string{"net.../kernel": "x"} }, "below net."},
		"a setting of the host's network":  {func(s *Spec) { s.Namespace, s.Sysctls = "", ProxySysctls() }, "need a network namespace"},
		"a setting that is not there":      {func(s *Spec) { s.Sysctls = map[string]string{"net.ipv4.nonsense": "1"} }, "sysctl net.ipv4.nonsense"},
		"a namespace that does not exist":  {func(s *Spec) { s.Namespace = "sallyport-no-such" }, "network namespace"},
		"more open files than is allowed":  {func(s *Spec) { s.NoFile = 1 << 62 }, "limit of open files"},
		"a name that leaves the directory": {func(s *Spec) { s.Name = "../bad" }, "must match"},
	} {
		spec := good()
		c.change(&spec)
		d, err := Start(helper(t), spec)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want an error with %q", name, err, c.want)
		}
		if d.Alive() {
			t.Errorf("%s: still runs", name)
			d.Stop(context.Background(), 0)
		}
	}
}

func TestMainRefusesToRunOutside(t *testing.T) {
	spec := filepath.Join(t.TempDir(), "spec.json")
	if err := os.WriteFile(spec, []byte(`{"Rootfs": "/"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(helper(t), "container", spec).CombinedOutput()
	if err == nil || !strings.Contains(string(out), "must be process 1") {
		t.Errorf("Main outside of a container: %v: %s", err, out)
	}
}
