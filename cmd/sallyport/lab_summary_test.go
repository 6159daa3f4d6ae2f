package main

import (
	"context"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sallyport/sallyport/components/allowlist"
	"github.com/sallyport/sallyport/components/stack"
)

func TestSummaryTellsWhatToTry(t *testing.T) {
	settings, err := stack.ReadFile(filepath.Join("..", "..", "stacks", "Pulumi.local.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	plan, err := settings.Plan()
	if err != nil {
		t.Fatal(err)
	}
	document := allowlist.Document{Entries: []allowlist.Entry{
		{IP: netip.MustParseAddr("198.51.100.1"), Kind: allowlist.KindNat, State: allowlist.StateActive},
		{IP: netip.MustParseAddr("198.51.100.2"), Kind: allowlist.KindNat, State: allowlist.StateReserved},
		{IP: netip.MustParseAddr("198.51.100.129"), Kind: allowlist.KindProxy, State: allowlist.StateActive},
		{IP: netip.MustParseAddr("198.51.100.130"), Kind: allowlist.KindProxy, State: allowlist.StateActive},
	}}
	report := summary{
		Stack: "local", Lab: "local-123456", Pods: []string{"pod-a-1-1"}, Plan: planLine(plan), Allowlist: document.Entries,
		Tries: tries(settings, document, "pod-a-1-1"),
	}
	var text strings.Builder
	if err := report.print(&text); err != nil {
		t.Fatal(err)
	}
	if lines := strings.Count(text.String(), "\n"); lines > 25 {
		t.Errorf("%d lines are more than a newcomer reads:\n%s", lines, text.String())
	}
	for _, d := range settings.Destinations {
		if !strings.Contains(text.String(), "# "+d.Name+": by "+string(d.Route)) {
			t.Errorf("destination %s is missing in\n%s", d.Name, text.String())
		}
	}
	for _, want := range []string{
		"lab exec pod-a-1-1 -- curl -sS https://api.payments.example.com/", "https://any.tenants.example.org/", "https://unlisted.example.net/",
		"198.51.100.129-130", "reserved", "403", "make demo", "ports per VM",
	} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("%q is missing in\n%s", want, text.String())
		}
	}
}

func TestTheLabsCommandsSayHowToComeUp(t *testing.T) {
	t.Setenv("SALLYPORT_LAB_ROOT", t.TempDir())
	for _, name := range []string{"demo", "summary"} {
		out, complaints := &strings.Builder{}, &strings.Builder{}
		code := run(context.Background(), []string{"lab", name}, strings.NewReader(""), out, complaints)
		if code != 2 || !strings.Contains(complaints.String(), "stack local is not up; run `make up`") || out.Len() > 0 {
			t.Errorf("lab %s: exit code %d, %s%s", name, code, complaints, out)
		}
	}
}

func TestRepairRunsPulumiUp(t *testing.T) {
	root := t.TempDir()
	log := filepath.Join(root, "repair.log")
	script := func(text string) {
		t.Helper()
		if err := os.MkdirAll(filepath.Join(root, "tools"), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(root, "tools", "pulumi.sh"), []byte("#!/bin/sh\n"+text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	repair := repairWith(root, "other", log)

	script(`echo "$@" > called`)
	if err := repair(t.Context()); err != nil {
		t.Error(err)
	}
	if called, err := os.ReadFile(filepath.Join(root, "called")); err != nil || !strings.HasPrefix(string(called), "up --stack other --refresh --yes") {
		t.Errorf("called with %q, %v", called, err)
	}

	script("echo out of paper; exit 3")
	if err := repair(t.Context()); err == nil || !strings.Contains(err.Error(), "out of paper") || !strings.Contains(err.Error(), "make up STACK=other") {
		t.Errorf("the user must see why and what to do, got %v", err)
	}

	script("trap 'echo stopped; exit 1' INT; while :; do sleep 0.1; done")
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if err := repair(ctx); err == nil || !strings.Contains(err.Error(), "stopped") {
		t.Errorf("Pulumi must be asked to stop when the time is over, got %v", err)
	}
}
