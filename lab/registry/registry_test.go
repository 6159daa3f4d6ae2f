package registry

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/sallyport/sallyport/lab/labid"
)

func open(t *testing.T) Lab {
	t.Helper()
	t.Setenv(labid.RootEnv, filepath.Join(t.TempDir(), "labs"))
	lab, err := Open("test-1")
	if err != nil {
		t.Fatal(err)
	}
	return lab
}

func TestPoolsCoverTheAddressPlan(t *testing.T) {
	for name, c := range map[string]struct {
		pool        Pool
		first, last string
	}{
		"nat":       {PoolNat, "198.51.100.1", "198.51.100.126"},
		"proxy":     {PoolProxy, "198.51.100.129", "198.51.100.254"},
		"interface": {PoolInterface, "10.0.2.10", "10.0.2.254"},
		"pods":      {PodPool("node-a", netip.MustParsePrefix("10.244.3.0/24")), "10.244.3.2", "10.244.3.254"},
		"few pods":  {PodPool("node-a", netip.MustParsePrefix("10.244.3.8/29")), "10.244.3.10", "10.244.3.14"},
	} {
		if got := c.pool.First.String() + " " + c.pool.Last.String(); got != c.first+" "+c.last {
			t.Errorf("%s: got %s, want %s %s", name, got, c.first, c.last)
		}
	}
}

func TestANameKeepsItsAddress(t *testing.T) {
	lab := open(t)
	ctx := context.Background()
	get := func(name, want string) string {
		t.Helper()
		var w netip.Addr
		if want != "" {
			w = netip.MustParseAddr(want)
		}
		a, err := lab.Allocate(ctx, PoolProxy, name, w)
		if err != nil {
			return err.Error()
		}
		return a.String()
	}
	steps := []struct{ name, want, got string }{
		{"a-1", "", "198.51.100.129"},
		{"a-2", "", "198.51.100.130"},
		{"a-1", "", "198.51.100.129"},
		{"b-1", "198.51.100.131", "198.51.100.131"},
		{"a-3", "", "198.51.100.132"},
		{"a-3", "198.51.100.200", "198.51.100.200"},
		{"a-4", "", "198.51.100.132"},
		{"a-5", "198.51.100.129", `address a-5: 198.51.100.129 belongs to "a-1"; choose another or leave the address out`},
		{"a-5", "198.51.100.128", "address a-5: kind proxy needs an address from 198.51.100.129 to 198.51.100.254, got 198.51.100.128"},
	}
	for i, s := range steps {
		if got := get(s.name, s.want); got != s.got {
			t.Fatalf("step %d: %s %s: got %s, want %s", i, s.name, s.want, got, s.got)
		}
	}
	// A release of an address that has moved on changes nothing.
	if err := lab.Release(ctx, PoolProxy, "a-3", netip.MustParseAddr("198.51.100.132")); err != nil {
		t.Fatal(err)
	}
	if a, _ := lab.Lookup(PoolProxy, "a-3"); a.String() != "198.51.100.200" {
		t.Errorf("a-3 lost its address: %v", a)
	}
	if err := lab.Release(ctx, PoolProxy, "a-1", netip.MustParseAddr("198.51.100.129")); err != nil {
		t.Fatal(err)
	}
	if got := get("new", ""); got != "198.51.100.129" {
		t.Errorf("a released address is free again: got %s", got)
	}
}

func TestAFullPoolSaysSo(t *testing.T) {
	lab := open(t)
	small := PodPool("node-a", netip.MustParsePrefix("10.244.3.8/29"))
	for i := range 5 {
		if _, err := lab.Allocate(context.Background(), small, fmt.Sprint("pod", i), netip.Addr{}); err != nil {
			t.Fatal(err)
		}
	}
	_, err := lab.Allocate(context.Background(), small, "one-more", netip.Addr{})
	if want := "address one-more: kind pods of node-a has addresses 10.244.3.10 to 10.244.3.14, got 5 names already; remove names that are no longer used"; err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

func TestAPodMovesWithItsNodesRange(t *testing.T) {
	lab := open(t)
	ctx := context.Background()
	for _, step := range []struct{ cidr, want string }{
		{"10.244.3.0/24", "10.244.3.2"}, {"10.244.3.0/24", "10.244.3.2"}, {"10.244.9.0/24", "10.244.9.2"},
	} {
		a, err := lab.Allocate(ctx, PodPool("node-a", netip.MustParsePrefix(step.cidr)), "pod", netip.Addr{})
		if err != nil || a.String() != step.want {
			t.Errorf("got %v %v, want %s", a, err, step.want)
		}
	}
	if err := lab.ReleasePods(ctx, "node-a"); err != nil {
		t.Fatal(err)
	}
	if lab.Tidy(ctx); lab.Exists() {
		t.Error("pod addresses are left")
	}
}

func TestParallelAllocationsNeverShareAnAddress(t *testing.T) {
	lab := open(t)
	var mu sync.Mutex
	seen := map[netip.Addr]string{}
	var group sync.WaitGroup
	for i := range 40 {
		group.Go(func() {
			name := fmt.Sprint("n", i)
			a, err := lab.Allocate(context.Background(), PoolNat, name, netip.Addr{})
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				t.Error(err)
			}
			if other, taken := seen[a]; taken {
				t.Errorf("%s given to %s and %s", a, other, name)
			}
			seen[a] = name
		})
	}
	group.Wait()
	if len(seen) != 40 {
		t.Errorf("got %d addresses, want 40", len(seen))
	}
}

func TestSerialRisesOnlyWithTheContent(t *testing.T) {
	lab := open(t)
	for i, c := range []struct {
		content string
		least   uint64
		want    uint64
	}{{"a", 0, 1}, {"a", 0, 1}, {"b", 0, 2}, {"a", 0, 3}, {"a", 7, 7}, {"a", 0, 7}, {"c", 0, 8}} {
		got, err := lab.Serial(context.Background(), "s", c.content, c.least)
		if err != nil || got != c.want {
			t.Fatalf("step %d: got %d, %v, want %d", i, got, err, c.want)
		}
	}
}

func TestLockWaitsForTheContextAndSurvivesRemoval(t *testing.T) {
	lab := open(t)
	if _, err := lab.Lock(context.Background()); err == nil {
		t.Fatal("locked a lab that does not exist")
	}
	if err := lab.Create(); err != nil {
		t.Fatal(err)
	}
	unlock, err := lab.Lock(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Millisecond)
	defer cancel()
	if _, err := lab.Lock(ctx); err == nil {
		t.Fatal("locked twice")
	}
	// The holder removes the lab and another makes it again: whoever waited locks the new directory.
	if err := lab.Remove(); err != nil {
		t.Fatal(err)
	}
	if err := lab.Create(); err != nil {
		t.Fatal(err)
	}
	second, err := lab.Lock(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	unlock()
	ctx2, cancel2 := context.WithTimeout(context.Background(), 30*time.Millisecond)
	defer cancel2()
	if _, err := lab.Lock(ctx2); err == nil {
		t.Error("the old lock's end opened the new directory")
	}
	second()
}

func TestRemoveLeavesNoParentBehindUnlessInUse(t *testing.T) {
	lab := open(t)
	other, err := Open("test-2")
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range []Lab{lab, other} {
		if err := l.Create(); err != nil {
			t.Fatal(err)
		}
	}
	if err := lab.Remove(); err != nil {
		t.Fatal(err)
	}
	if labs, err := All(); err != nil || len(labs) != 1 || labs[0].ID != "test-2" {
		t.Errorf("got %v %v", labs, err)
	}
	if err := other.Remove(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(labid.RootDir()); !os.IsNotExist(err) {
		t.Errorf("the parent is left: %v", err)
	}
}

func TestRecords(t *testing.T) {
	lab := open(t)
	type data struct{ Zone string }
	if err := lab.PutRecord(Record{ID: "1", Kind: "node", Name: "a-1", Host: "node-a-1"}, data{"a"}); err != nil {
		t.Fatal(err)
	}
	var got data
	if found, err := lab.FindRecord("node", "a-1", &got); err != nil || !found || got.Zone != "a" {
		t.Errorf("got %v %v %v", got, found, err)
	}
	records, err := lab.Records()
	if err != nil || len(records) != 1 || records[0].Host != "node-a-1" {
		t.Errorf("got %v %v", records, err)
	}
	for range 2 {
		if err := lab.RemoveRecord("node", "a-1"); err != nil {
			t.Fatal(err)
		}
	}
	if found, err := lab.FindRecord("node", "a-1", &got); err != nil || found {
		t.Errorf("got %v %v", found, err)
	}
}

func TestTidyRemovesOnlyWhatRemembersNothing(t *testing.T) {
	lab := open(t)
	ctx := context.Background()
	a, err := lab.Allocate(ctx, PoolNat, "a", netip.Addr{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := lab.Serial(ctx, "s", "content", 0); err != nil {
		t.Fatal(err)
	}
	if err := lab.PutRecord(Record{ID: "1", Kind: "node", Name: "a"}, 0); err != nil {
		t.Fatal(err)
	}
	for i, forget := range []func() error{
		func() error { return lab.Release(ctx, PoolNat, "a", a) },
		func() error { return lab.RemoveRecord("node", "a") },
	} {
		if lab.Tidy(ctx); !lab.Exists() {
			t.Fatalf("step %d: removed too early", i)
		}
		if n, err := lab.Serial(ctx, "s", "content", 0); err != nil || n != 1 {
			t.Fatalf("step %d: the serial was forgotten: %d %v", i, n, err)
		}
		if err := forget(); err != nil {
			t.Fatal(err)
		}
	}
	if lab.Tidy(ctx); lab.Exists() {
		t.Error("the directory is left")
	}
}
