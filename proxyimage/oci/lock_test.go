package oci

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const sum = "97ca097d12b43fc5cb1b17aa5e84957735ef312a2e02cf8a99512fa1abe8a955"

func TestLockOfTheRepository(t *testing.T) {
	text, err := os.ReadFile("packages.lock")
	if err != nil {
		t.Fatal(err)
	}
	lock, err := ParseLock("packages.lock", text)
	if err != nil {
		t.Fatal(err)
	}
	if got := string(lock.Encode()); got != string(text) {
		t.Errorf("written again the lock reads\n%s", got)
	}
	amd, arm := lock.For("amd64"), lock.For("arm64")
	if len(amd) == 0 || len(amd) != len(arm) {
		t.Fatalf("%d packages for amd64, %d for arm64", len(amd), len(arm))
	}
	for i := range amd {
		if amd[i].Name != arm[i].Name {
			t.Errorf("package %d: %s for amd64, %s for arm64", i, amd[i].Name, arm[i].Name)
		}
	}
}

func TestBadLocksAreRefusedWithEveryProblem(t *testing.T) {
	const epoch = "epoch 2026-11-20T00:00:00Z\n"
	for name, c := range map[string]struct {
		text string
		want []string
	}{
		"nothing":          {"", []string{`packages.lock: needs one line "epoch`}},
		"no epoch":         {"amd64 haproxy 2.6 " + sum, []string{`needs one line "epoch`}},
		"an epoch of 1960": {"epoch 1960-01-01T00:00:00Z", []string{"packages.lock:1: epoch must be a time after 1970"}},
		"two epochs":       {epoch + epoch, []string{`packages.lock:2: "epoch" stands once`}},
		"a field missing":  {epoch + "amd64 haproxy " + sum, []string{"packages.lock:2: a package line has 4 fields"}},
		"a package twice": {epoch + "amd64 haproxy 2.6 " + sum + "\namd64 haproxy 2.7 " + sum,
			[]string{"packages.lock:3: a package is named once per architecture (first in line 2)"}},
		"all of a line wrong": {epoch + "sparc --option -o=x ABC", []string{
			`architecture must be amd64 or arm64, got "sparc"`, `not a Debian package name, got "--option"`,
			`not a Debian version, got "-o=x"`, "sha256 must be 64"}},
		"problems in two lines": {epoch + "amd64 a b c\namd64 haproxy 2.6 x", []string{"packages.lock:2:", "packages.lock:3:"}},
	} {
		_, err := ParseLock("packages.lock", []byte(c.text))
		for _, want := range c.want {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: got %v, want %q", name, err, want)
			}
		}
	}
}

func TestRenewedLockKeepsOtherArchitectures(t *testing.T) {
	text := "epoch 2026-11-20T00:00:00Z\namd64 a 1 " + sum + "\namd64 b 1 " + sum + "\narm64 a 1 " + sum + "\n"
	lock, err := ParseLock("l", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	if names := strings.Join(lock.names(), " "); names != "a b" {
		t.Errorf("names = %q", names)
	}
	changes := lock.renew("arm64", map[string]Package{
		"a": {Arch: "arm64", Name: "a", Version: "2", SHA256: sum}, "b": {Arch: "arm64", Name: "b", Version: "3", SHA256: sum},
	})
	want := []Change{{Arch: "arm64", Name: "a", From: "1", To: "2"}, {Arch: "arm64", Name: "b", From: "", To: "3"}}
	if len(changes) != 2 || changes[0] != want[0] || changes[1] != want[1] {
		t.Errorf("changes = %+v, want %+v", changes, want)
	}
	if got := string(lock.Encode()); !strings.Contains(got, "amd64 a 1 "+sum+"\namd64 b 1 "+sum+"\narm64 a 2 "+sum+"\narm64 b 3 ") {
		t.Errorf("lock = %s", got)
	}
	if changes := lock.renew("amd64", map[string]Package{"a": lock.Packages[0], "b": lock.Packages[1]}); len(changes) != 0 {
		t.Errorf("the same packages again: %+v", changes)
	}
}

func FuzzParseLock(f *testing.F) {
	f.Add([]byte("epoch 2026-11-20T00:00:00Z\namd64 haproxy 2.6.12-1+deb12u4 " + sum + "\n"))
	f.Add([]byte("# comment\n\nepoch\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		lock, err := ParseLock("l", text)
		if err != nil {
			return
		}
		again, err := ParseLock("l", lock.Encode())
		if err != nil || string(again.Encode()) != string(lock.Encode()) {
			t.Errorf("a good lock does not survive writing: %v\n%s", err, lock.Encode())
		}
	})
}

func TestRelockRenewsEveryArchitectureOrNone(t *testing.T) {
	fakeApt(t, "version two")
	path := filepath.Join(t.TempDir(), "packages.lock")
	write := func(text string) {
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	const before = "epoch 2020-01-01T00:00:00Z\namd64 tool 1 " + sum + "\narm64 tool 1 " + sum + "\n"
	write(before)
	changes, err := Relock(context.Background(), LockOptions{Lock: path, Cache: t.TempDir()})
	if err != nil || len(changes) != 2 || changes[0].Arch != "amd64" || changes[1].Arch != "arm64" || changes[1].To != "2" {
		t.Fatalf("changes = %+v, %v", changes, err)
	}
	lock, err := ReadLock(path)
	if err != nil || lock.Epoch.Year() == 2020 || len(lock.Packages) != 2 || lock.Packages[0].Version != "2" {
		t.Errorf("lock = %+v, %v", lock, err)
	}
	after, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if changes, err := Relock(context.Background(), LockOptions{Lock: path, Cache: t.TempDir()}); err != nil || len(changes) != 0 {
		t.Errorf("again: %+v, %v", changes, err)
	}
	if again, err := os.ReadFile(path); err != nil || string(again) != string(after) {
		t.Errorf("nothing new, but the lock became %s, %v", again, err)
	}
	unknown := before + "arm64 other 1 " + sum + "\n"
	write(unknown)
	if _, err := Relock(context.Background(), LockOptions{Lock: path, Cache: t.TempDir()}); err == nil || !strings.Contains(err.Error(), "package other") {
		t.Errorf("a package that the mirrors do not have: %v", err)
	}
	if text, err := os.ReadFile(path); err != nil || string(text) != unknown {
		t.Errorf("after a failure the lock is %s, %v", text, err)
	}
}
