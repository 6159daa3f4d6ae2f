package daemon

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sallyport/sallyport/lab/labtest"
)

// TestMain lets the test binary play the programs that the tests run.
func TestMain(m *testing.M) {
	if len(os.Args) < 2 {
		os.Exit(m.Run())
	}
	switch os.Args[1] {
	case "play-sleep":
		time.Sleep(time.Hour)
	case "play-polite": // ends on SIGTERM and says so
		stop := make(chan os.Signal, 1)
		signal.Notify(stop, syscall.SIGTERM)
		fmt.Println("ready")
		<-stop
		fmt.Println("terminated")
	case "play-stubborn": // ignores SIGTERM and has a child in another session
		signal.Ignore(syscall.SIGTERM)
		child := exec.Command(os.Args[0], "play-sleep")
		child.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
		if err := child.Start(); err != nil {
			fmt.Println(err)
		}
		fmt.Println("child", child.Process.Pid)
		time.Sleep(time.Hour)
	case "play-provider": // starts a daemon and ends at once, as a provider does
		_, err := Start(Spec{Name: "orphan", StateDir: os.Args[2], Path: os.Args[0], Args: []string{"play-sleep"}})
		if err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
	case "play-links": // names its network interfaces
		links, _ := os.ReadDir("/sys/class/net")
		self, _ := os.Readlink("/proc/self/ns/net")
		fmt.Println("netns", self, len(links))
		time.Sleep(time.Hour)
	default:
		os.Exit(m.Run())
	}
}

func start(t *testing.T, name string, args ...string) Daemon {
	t.Helper()
	d, err := Start(Spec{Name: name, StateDir: t.TempDir(), Path: self(t), Args: args})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Stop(context.Background(), 0); err != nil {
			t.Error(err)
		}
	})
	return d
}

func self(t *testing.T) string {
	t.Helper()
	path, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// waitLog returns the log once it holds text.
func waitLog(t *testing.T, d Daemon, text string) string {
	t.Helper()
	path := filepath.Join(d.StateDir, d.Name+".log")
	for range 500 {
		content, err := os.ReadFile(path)
		if err == nil && strings.Contains(string(content), text) {
			return string(content)
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatalf("%s never held %q", path, text)
	return ""
}

func running(pid int) bool {
	stat, err := readStat(pid)
	return err == nil && stat.state != 'Z'
}

func TestStopLetsADaemonEndByItself(t *testing.T) {
	d := start(t, "polite", "play-polite")
	waitLog(t, d, "ready")
	pid := d.PID()
	if !d.Alive() || pid == 0 {
		t.Fatalf("alive = %v, pid = %d after start", d.Alive(), pid)
	}
	begun := time.Now()
	if err := d.Stop(context.Background(), 30*time.Second); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(begun); took > 5*time.Second {
		t.Errorf("stop took %s although the daemon ends at once", took)
	}
	waitLog(t, d, "terminated")
	if d.Alive() || d.PID() != 0 || running(pid) {
		t.Errorf("process %d still runs after Stop", pid)
	}
	if _, err := d.Record(); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("record after Stop: %v", err)
	}
	if err := d.Stop(context.Background(), time.Second); err != nil {
		t.Errorf("a second Stop: %v", err)
	}
	if err := d.Signal(syscall.SIGHUP); !errors.Is(err, os.ErrProcessDone) {
		t.Errorf("signal to a stopped daemon: %v", err)
	}
}

func TestStopKillsWhatIgnoresItAndItsChildren(t *testing.T) {
	d := start(t, "stubborn", "play-stubborn")
	fields := strings.Fields(waitLog(t, d, "child"))
	child, err := strconv.Atoi(fields[1])
	if err != nil {
		t.Fatal(err)
	}
	pid := d.PID()
	begun := time.Now()
	if err := d.Stop(context.Background(), 300*time.Millisecond); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(begun); took < 300*time.Millisecond {
		t.Errorf("killed after %s, before its grace", took)
	}
	if running(pid) || running(child) {
		t.Errorf("daemon %d running: %v, its child %d running: %v", pid, running(pid), child, running(child))
	}
}

func TestEndOfContextEndsTheGrace(t *testing.T) {
	d := start(t, "stubborn", "play-stubborn")
	waitLog(t, d, "child")
	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	begun := time.Now()
	if err := d.Stop(ctx, time.Minute); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(begun); took > 10*time.Second {
		t.Errorf("stop took %s after the context's end", took)
	}
}

func TestDaemonOutlivesTheProviderAndIsFoundAgain(t *testing.T) {
	dir := t.TempDir()
	if out, err := exec.Command(self(t), "play-provider", dir).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	d := At(dir, "orphan")
	if !d.Alive() {
		t.Fatal("the daemon ended with the provider")
	}
	all, err := List(dir)
	if err != nil || len(all) != 1 || !all[0].Alive || all[0].Name != "orphan" {
		t.Fatalf("list = %+v, %v", all, err)
	}
	pid := d.PID()
	if err := d.Stop(context.Background(), time.Second); err != nil || running(pid) {
		t.Fatalf("stop: %v, running %v", err, running(pid))
	}
}

func TestRemainsWithoutARecordAreStopped(t *testing.T) {
	d := start(t, "lost", "play-sleep")
	pid := d.PID()
	// As if the provider had been killed between starting the process and recording it.
	if err := os.Remove(d.recordPath()); err != nil {
		t.Fatal(err)
	}
	if d.Alive() {
		t.Error("alive without a record")
	}
	again, err := Start(Spec{Name: "lost", StateDir: d.StateDir, Path: self(t), Args: []string{"play-sleep"}})
	if err != nil {
		t.Fatal(err)
	}
	if running(pid) || !again.Alive() || again.PID() == pid {
		t.Errorf("first process running: %v, second alive: %v", running(pid), again.Alive())
	}
}

func TestStopAllEndsALabAndNothingElse(t *testing.T) {
	root := t.TempDir()
	var mine []int
	for _, dir := range []string{root, filepath.Join(root, "proxy-a-1"), filepath.Join(root, "node/a")} {
		for name, play := range map[string]string{"polite": "play-polite", "stubborn": "play-stubborn"} {
			d, err := Start(Spec{Name: name, StateDir: dir, Path: self(t), Args: []string{play}})
			if err != nil {
				t.Fatal(err)
			}
			mine = append(mine, d.PID())
			if name == "polite" {
				waitLog(t, d, "ready")
			}
		}
	}
	if err := os.Remove(At(root, "polite").recordPath()); err != nil { // one that no record names
		t.Fatal(err)
	}
	neighbour, err := Start(Spec{Name: "polite", StateDir: root + "-2", Path: self(t), Args: []string{"play-sleep"}})
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(root + "-2")
	defer neighbour.Stop(context.Background(), 0)

	if err := StopAll(context.Background(), root, 200*time.Millisecond); err != nil {
		t.Fatal(err)
	}
	for _, pid := range mine {
		if running(pid) {
			t.Errorf("process %d still runs", pid)
		}
	}
	if text, _ := os.ReadFile(filepath.Join(root, "proxy-a-1/polite.log")); string(text) != "ready\nterminated\n" {
		t.Errorf("a daemon that ends by itself was not let: %q", text)
	}
	if !neighbour.Alive() {
		t.Error("a daemon of another lab was stopped")
	}
}

func TestAReusedProcessNumberIsNeverTrusted(t *testing.T) {
	victim := exec.Command(self(t), "play-sleep")
	if err := victim.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { victim.Process.Kill(); victim.Wait() }()

	d := start(t, "reused", "play-sleep")
	record, err := d.Record()
	if err != nil {
		t.Fatal(err)
	}
	// As if the daemon had ended and its number had gone to the victim.
	stolen := record
	stolen.PID = victim.Process.Pid
	stolen.StartTicks++
	if err := stolen.write(d); err != nil {
		t.Fatal(err)
	}
	if d.Alive() {
		t.Error("a process with another start time counts as the daemon")
	}
	// The same number and start time, but from before a reboot.
	rebooted := record
	rebooted.BootID = "00000000-0000-0000-0000-000000000000"
	if err := rebooted.write(d); err != nil {
		t.Fatal(err)
	}
	if d.Alive() {
		t.Error("a record from before a reboot counts as the daemon")
	}
	if err := stolen.write(d); err != nil {
		t.Fatal(err)
	}
	if err := d.Stop(context.Background(), time.Second); err != nil {
		t.Fatal(err)
	}
	if !running(victim.Process.Pid) {
		t.Error("Stop killed a process that is not the daemon")
	}
}

func TestNoZombieStays(t *testing.T) {
	d := start(t, "short", "play-polite")
	waitLog(t, d, "ready")
	pid := d.PID()
	if err := d.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	for range 500 {
		if _, err := readStat(pid); errors.Is(err, os.ErrNotExist) {
			if d.Alive() {
				t.Error("alive although the process is gone")
			}
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Errorf("process %d was not reaped", pid)
}

func TestLogOfTheRunBeforeIsKept(t *testing.T) {
	d := start(t, "log", "play-polite")
	waitLog(t, d, "ready")
	if err := d.Stop(context.Background(), 10*time.Second); err != nil {
		t.Fatal(err)
	}
	if _, err := Start(Spec{Name: "log", StateDir: d.StateDir, Path: self(t), Args: []string{"play-sleep"}}); err != nil {
		t.Fatal(err)
	}
	before, err := os.ReadFile(filepath.Join(d.StateDir, "log.log.1"))
	if err != nil || string(before) != "ready\nterminated\n" {
		t.Errorf("log of the run before = %q, %v", before, err)
	}
}

func TestBadSpecsAreRefused(t *testing.T) {
	dir := t.TempDir()
	for name, spec := range map[string]Spec{
		"a name that leaves the directory": {Name: "../x", StateDir: dir, Path: "/bin/true"},
		"no name":                          {StateDir: dir, Path: "/bin/true"},
		"a relative state directory":       {Name: "x", StateDir: "state", Path: "/bin/true"},
		"a relative program":               {Name: "x", StateDir: dir, Path: "true"},
		"a program that does not exist":    {Name: "x", StateDir: dir, Path: filepath.Join(dir, "missing")},
		"a namespace that does not exist":  {Name: "x", StateDir: dir, Path: "/bin/true", Namespace: "sallyport-no-such"},
	} {
		if d, err := Start(spec); err == nil {
			t.Errorf("%s: accepted", name)
			d.Stop(context.Background(), 0)
		} else if records, _ := filepath.Glob(filepath.Join(dir, "*"+recordSuffix)); len(records) > 0 {
			t.Errorf("%s: left %v", name, records)
		}
	}
}

func TestDaemonRunsInItsNetworkNamespace(t *testing.T) {
	host, err := os.Readlink("/proc/self/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	d, err := Start(Spec{Name: "links", StateDir: t.TempDir(), Path: self(t), Args: []string{"play-links"}, Namespace: labtest.Namespace(t)})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Stop(context.Background(), 0)
	fields := strings.Fields(waitLog(t, d, "netns"))
	if fields[1] == host {
		t.Errorf("the daemon is in the host's namespace %s", host)
	}
	if now, _ := os.Readlink("/proc/self/ns/net"); now != host {
		t.Errorf("the caller moved from %s to %s", host, now)
	}
}
