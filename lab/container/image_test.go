package container

import (
	"context"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sallyport/sallyport/lab/daemon"
	"github.com/sallyport/sallyport/lab/labtest"
	"github.com/sallyport/sallyport/lab/namespace"
	"github.com/sallyport/sallyport/proxyimage/oci"
)

// repository is the root of the repository, seen from this package.
const repository = "../.."

// buildImage builds the real image with testdata/probe as its agent.
func buildImage(t *testing.T) oci.Image {
	t.Helper()
	dir := t.TempDir()
	agent := filepath.Join(dir, "agent")
	build := exec.Command("go", "build", "-o", agent, "./testdata/probe")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	image, err := oci.Build(context.Background(), oci.Options{
		Lock: filepath.Join(repository, "proxyimage/oci/packages.lock"), Agent: agent, Out: filepath.Join(dir, "image"),
		Cache: filepath.Join(repository, ".build/cache"), AllowNewer: true, Progress: t.Logf,
	})
	if err != nil {
		t.Fatal(err)
	}
	return image
}

// waitGone returns the log of a program that ends by itself.
func waitGone(t *testing.T, d daemon.Daemon) string {
	t.Helper()
	for range 1000 {
		if !d.Alive() {
			text, err := os.ReadFile(filepath.Join(d.StateDir, d.Name+".log"))
			if err != nil {
				t.Fatal(err)
			}
			return string(text)
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatalf("%s still runs", d.Name)
	return ""
}

func TestHAProxyOfTheImageRuns(t *testing.T) {
	needRoot(t)
	image, namespace, state := buildImage(t), labtest.Namespace(t), t.TempDir()
	run := func(name string, args ...string) daemon.Daemon {
		t.Helper()
		config := filepath.Join(state, "config")
		if err := os.MkdirAll(config, 0o755); err != nil {
			t.Fatal(err)
		}
		text := "global\n  master-worker\n  stats socket /run/sallyport/admin.sock\ndefaults\n  mode http\n  timeout client 5s\n  timeout server 5s\n" +
			"  timeout connect 5s\nfrontend all\n  bind 127.0.0.1:443\n  http-request return status 200 content-type text/plain string serving\n"
		if err := os.WriteFile(filepath.Join(config, "haproxy.cfg"), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		d, err := Start(helper(t), Spec{
			Name: name, StateDir: state, Namespace: namespace, Rootfs: image.Rootfs, Args: args, UID: oci.User, GID: oci.User,
			Sysctls: ProxySysctls(), Tmpfs: []Tmpfs{{Target: "/run/sallyport"}},
			Mounts: []Mount{{Source: config, Target: "/etc/sallyport/routes", ReadOnly: true}},
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { d.Stop(context.Background(), 0) })
		return d
	}
	version := waitGone(t, run("version", "/usr/sbin/haproxy", "-vv"))
	for _, want := range []string{"HAProxy version 2.", "Built with OpenSSL", "+GETADDRINFO"} {
		if !strings.Contains(version, want) {
			t.Errorf("haproxy -vv lacks %q:\n%s", want, version)
		}
	}

	d := run("serve", "/usr/sbin/haproxy", "-W", "-db", "-f", "/etc/sallyport/routes/haproxy.cfg")
	answer := ""
	for range 300 {
		if answer = get(namespace, "127.0.0.1:443"); answer != "" {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	if !strings.HasSuffix(answer, "serving") {
		log, _ := os.ReadFile(filepath.Join(state, "serve.log"))
		t.Fatalf("answer %q; log:\n%s", answer, log)
	}
	// HAProxy's worker serves a moment before its master can be stopped: until then process 1 does not hear SIGTERM.
	for begun := time.Now(); d.Alive() && time.Since(begun) < 10*time.Second; time.Sleep(20 * time.Millisecond) {
		d.Signal(syscall.SIGTERM) //nolint:errcheck // Alive says how it went
	}
	if d.Alive() {
		t.Error("HAProxy did not end on SIGTERM")
	}
	if answer := get(namespace, "127.0.0.1:443"); answer != "" {
		t.Errorf("still answers %q: its worker outlived it", answer)
	}
}

// get makes one HTTP request from inside a network namespace; empty if nobody answers.
func get(netns, address string) string {
	var answer []byte
	namespace.Do(netns, func() error { //nolint:errcheck // no answer says it
		conn, err := net.DialTimeout("tcp", address, time.Second)
		if err != nil {
			return err
		}
		defer conn.Close()
		conn.SetDeadline(time.Now().Add(2 * time.Second)) //nolint:errcheck // a connection takes deadlines
		if _, err := conn.Write([]byte("GET / HTTP/1.0\r\n\r\n")); err != nil {
			return err
		}
		answer = make([]byte, 4096)
		n := 0
		for {
			more, err := conn.Read(answer[n:])
			n += more
			if err != nil {
				answer = answer[:n]
				return err
			}
		}
	})
	return string(answer)
}

func TestANewImageDoesNotDisturbARunningContainer(t *testing.T) {
	needRoot(t)
	image := buildImage(t)
	out := filepath.Dir(image.Rootfs)
	d, err := Start(helper(t), Spec{Name: "old", StateDir: t.TempDir(), Namespace: labtest.Namespace(t), Rootfs: filepath.Join(out, "rootfs"),
		Args: []string{"/sallyport-agent", "stay"}, UID: oci.User, GID: oci.User})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Stop(context.Background(), 0)
	readReport(t, d)
	// Two more images, so that only being in use can save the first one.
	for _, tags := range []string{"a", "b"} {
		agent := filepath.Join(t.TempDir(), "agent")
		build := exec.Command("go", "build", "-o", agent, "-ldflags", "-buildid="+tags, "./testdata/probe")
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		if text, err := build.CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, text)
		}
		if _, err := oci.Build(context.Background(), oci.Options{
			Lock: filepath.Join(repository, "proxyimage/oci/packages.lock"), Agent: agent, Out: out,
			Cache: filepath.Join(repository, ".build/cache"), AllowNewer: true,
		}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := os.Stat(filepath.Join(image.Rootfs, "sallyport-agent")); err != nil {
		t.Errorf("the running container lost its root: %v", err)
	}
	generations, err := filepath.Glob(filepath.Join(out, "rootfs-*"))
	if err != nil || len(generations) != 3 { // in use, the one before, current
		t.Errorf("generations = %v, %v", generations, err)
	}
}
