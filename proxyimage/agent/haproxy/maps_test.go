package haproxy

import (
	"context"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sallyport/sallyport/proxyimage/haproxycfg"
)

// desired is one map file with the entries of n hosts, all on the given address and the one after it, so each has all slots.
func desired(file string, n int, address string) map[string][]haproxycfg.Entry {
	var entries []haproxycfg.Entry
	for i := range n {
		host := fmt.Sprintf("host-%d.example.com", i)
		first := netip.MustParseAddr(address)
		entries = append(entries, haproxycfg.HostEntries(host, []netip.Addr{first, first.Next()}, haproxycfg.NoAddress)...)
	}
	return map[string][]haproxycfg.Entry{file: entries}
}

func TestCommitBringsMapsToTheWantedState(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "hosts-443.map")
	f := newFake(t, file)
	m := NewMaps(NewAdmin(f.path))
	steps := []struct {
		name        string
		want        map[string][]haproxycfg.Entry
		transaction bool
	}{
		{"first time", desired(file, 3, "203.0.113.1"), true},
		{"nothing changed", desired(file, 3, "203.0.113.1"), false},
		{"one host more", desired(file, 4, "203.0.113.1"), false},
		{"four hosts on other addresses", desired(file, 4, "203.0.113.2"), true},
		{"two hosts less", desired(file, 2, "203.0.113.2"), false},
		{"4,000 hosts", desired(file, 4000, "203.0.113.2"), true},
		{"all but two gone", desired(file, 2, "203.0.113.2"), true},
		{"two hosts on other addresses", desired(file, 2, "203.0.113.4"), false},
		{"empty", desired(file, 0, ""), false},
		{"filled again", desired(file, 1, "203.0.113.3"), false},
	}
	for _, step := range steps {
		f.forget()
		if err := m.Write(step.want); err != nil {
			t.Fatal(err)
		}
		if err := m.Commit(context.Background(), step.want); err != nil {
			t.Fatalf("%s: %v", step.name, err)
		}
		if got, want := f.has(file), index(step.want[file]); !maps.Equal(got, want) {
			t.Errorf("%s: map has %d entries, want %d", step.name, len(got), len(want))
		}
		if got := f.count("commit map") > 0; got != step.transaction {
			t.Errorf("%s: transaction %v, want %v", step.name, got, step.transaction)
		}
		text, err := os.ReadFile(file)
		if err != nil || string(text) != haproxycfg.MapFile(step.want[file]) {
			t.Errorf("%s: the file differs: %v", step.name, err)
		}
	}
}

func TestCommitMendsWhatSomebodyElseChanged(t *testing.T) {
	file := filepath.Join(t.TempDir(), "hosts-443.map")
	f := newFake(t, file)
	m := NewMaps(NewAdmin(f.path))
	if err := m.Commit(context.Background(), desired(file, 2, "203.0.113.1")); err != nil {
		t.Fatal(err)
	}
	f.mu.Lock()
	f.maps[file] = f.maps[file][5:]
	f.mu.Unlock()
	want := desired(file, 2, "203.0.113.2")
	if err := m.Commit(context.Background(), want); err != nil {
		t.Fatal(err)
	}
	if got := f.has(file); !maps.Equal(got, index(want[file])) {
		t.Errorf("got %v", got)
	}
}

func TestForgetReplacesEverything(t *testing.T) {
	file := filepath.Join(t.TempDir(), "hosts-443.map")
	f := newFake(t, file)
	m := NewMaps(NewAdmin(f.path))
	want := desired(file, 2, "203.0.113.1")
	if err := m.Commit(context.Background(), want); err != nil {
		t.Fatal(err)
	}
	f.mu.Lock()
	f.maps[file] = []pair{{"gone.example.com|0", "203.0.113.9"}} // a new HAProxy that read an old file
	f.mu.Unlock()
	m.Forget()
	if err := m.Commit(context.Background(), want); err != nil {
		t.Fatal(err)
	}
	if got := f.has(file); !maps.Equal(got, index(want[file])) {
		t.Errorf("got %v", got)
	}
}

func TestFailedCommitIsMadeUpFor(t *testing.T) {
	file := filepath.Join(t.TempDir(), "hosts-443.map")
	for _, verb := range []string{"prepare map", "add map @", "commit map"} {
		f := newFake(t, file)
		m := NewMaps(NewAdmin(f.path))
		f.fail = func(command string) string {
			if strings.HasPrefix(command, verb) {
				return "Out of memory error.\n"
			}
			return ""
		}
		want := desired(file, 2, "203.0.113.1")
		if err := m.Commit(context.Background(), want); err == nil || !strings.Contains(err.Error(), "Out of memory") {
			t.Errorf("%s: error %v", verb, err)
		}
		if got := f.has(file); len(got) != 0 {
			t.Errorf("%s: a transaction that failed changed the map: %v", verb, got)
		}
		f.mu.Lock()
		f.fail = nil
		f.mu.Unlock()
		if err := m.Commit(context.Background(), want); err != nil {
			t.Errorf("%s: %v", verb, err)
		}
		if got := f.has(file); !maps.Equal(got, index(want[file])) {
			t.Errorf("%s: got %v", verb, got)
		}
	}
}

func TestUnknownMapIsAnError(t *testing.T) {
	f := newFake(t)
	err := NewMaps(NewAdmin(f.path)).Commit(context.Background(), desired("/nowhere/hosts-443.map", 1, "203.0.113.1"))
	if err == nil || !strings.Contains(err.Error(), "Unknown map identifier") {
		t.Errorf("error %v", err)
	}
}

func TestPruneRemovesOnlyMapsThatNobodyWants(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"hosts-443.map", "hosts-8443.map", "notes.txt"} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	m := NewMaps(NewAdmin("/nowhere"))
	if err := m.Prune(dir, map[string][]haproxycfg.Entry{filepath.Join(dir, "hosts-443.map"): nil}); err != nil {
		t.Fatal(err)
	}
	left, err := os.ReadDir(dir)
	if err != nil || len(left) != 2 || left[0].Name() != "hosts-443.map" || left[1].Name() != "notes.txt" {
		t.Errorf("left %v, %v", left, err)
	}
}

func TestChunksHoldEverythingAndAreBounded(t *testing.T) {
	var parts []string
	for i := range 5000 {
		parts = append(parts, strings.Repeat("x", i%300+1))
	}
	parts = append(parts, strings.Repeat("y", 2*chunkBytes))
	chunks := chunk(parts, "\n")
	if got := strings.Join(chunks, "\n"); got != strings.Join(parts, "\n") {
		t.Error("something was lost")
	}
	for i, c := range chunks[:len(chunks)-1] {
		if len(c) > chunkBytes {
			t.Errorf("chunk %d has %d bytes", i, len(c))
		}
	}
	if chunk(nil, "\n") != nil {
		t.Error("a chunk of nothing")
	}
}

func TestAdminReadsFigures(t *testing.T) {
	f := newFake(t)
	f.info = "Name: HAProxy\nPid: 4711\nCurrConns: 12\nDroppedLogs: 3\n"
	f.stat = "# pxname,svname,qcur,qmax,scur,smax,dcon,\nhealth,FRONTEND,,,0,1,0,\nport-443,FRONTEND,,,7,9,5,\n\n"
	f.table = "# table: refused-clients, type: ip, size:1024, used:1\n0x55: key=10.0.0.3 use=0 exp=299000 shard=0 conn_cnt=4\n"
	admin := NewAdmin(f.path)
	ctx := context.Background()
	if info, err := admin.Info(ctx); err != nil || info != (Info{PID: 4711, Connections: 12, DroppedLogs: 3}) {
		t.Errorf("info %+v, %v", info, err)
	}
	if all, err := admin.Frontends(ctx); err != nil || len(all) != 1 || all[0] != (Frontend{Name: "port-443", Current: 7, Denied: 5}) {
		t.Errorf("frontends %+v, %v", all, err)
	}
	if clients, err := admin.RefusedClients(ctx); err != nil || len(clients) != 1 || clients["10.0.0.3"] != 4 {
		t.Errorf("clients %v, %v", clients, err)
	}
	f.mu.Lock()
	f.info = "Name: something else\n"
	f.mu.Unlock()
	if _, err := admin.Info(ctx); err == nil {
		t.Error("an answer without a process id is accepted")
	}
}

func TestAdminGivesUpWhenNobodyAnswers(t *testing.T) {
	if _, err := NewAdmin("/nowhere/admin.sock").Do(context.Background(), "show info"); err == nil {
		t.Error("no error without a socket")
	}
	f := newFake(t)
	f.mu.Lock() // it accepts, reads and never answers
	defer f.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	began := time.Now()
	if _, err := NewAdmin(f.path).Do(ctx, "show info"); err == nil || time.Since(began) > 2*time.Second {
		t.Errorf("error %v after %s", err, time.Since(began))
	}
}
