package main

import (
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sallyport/sallyport/components/allowlist"
)

// document writes a list of proxy IPs for partner payments, the last of them only reserved, and returns its text.
func document(t *testing.T, serial uint64, ips ...string) string {
	t.Helper()
	var entries []allowlist.Entry
	for i, ip := range ips {
		e := allowlist.Entry{IP: netip.MustParseAddr(ip), Cloud: "local", Zone: "a", Kind: allowlist.KindProxy, Slot: "proxy-a-1",
			State: allowlist.StateActive, Partners: []string{"payments"}}
		if i == len(ips)-1 {
			e.State, e.Partners = allowlist.StateReserved, nil
		}
		entries = append(entries, e)
	}
	d, err := allowlist.Build("local", serial, entries)
	if err != nil {
		t.Fatal(err)
	}
	text, err := d.Render(allowlist.FormatJSON)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func file(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "document.json")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestAllowlistPrintsADocumentInEveryFormat(t *testing.T) {
	text := document(t, 3, "198.51.100.130", "198.51.100.131", "198.51.100.129")
	path := file(t, text)
	for format, want := range map[string]string{
		"":       "198.51.100.129\n198.51.100.130\n198.51.100.131\n",
		"text":   "198.51.100.129\n198.51.100.130\n198.51.100.131\n",
		"cidr":   "198.51.100.129/32\n198.51.100.130/32\n198.51.100.131/32\n",
		"blocks": "198.51.100.129/32\n198.51.100.130/31\n",
		"json":   text,
	} {
		args := []string{"allowlist", "--document", path}
		if format != "" {
			args = append(args, "--format", format)
		}
		if r := sallyport(t, "", args...); r.code != 0 || r.output != want {
			t.Errorf("%s: exit %d, got\n%s%swant\n%s", format, r.code, r.output, r.complain, want)
		}
	}
	r := sallyport(t, text, "allowlist", "--document", "-", "--format", "csv", "--partner", "payments")
	if r.code != 0 || strings.Count(r.output, "\n") != 4 || !strings.Contains(r.output, "198.51.100.129,local,,a,proxy,proxy-a-1,reserved,payments") {
		t.Errorf("exit %d\n%s%s", r.code, r.output, r.complain)
	}
}

func TestAllowlistRefusesWhatMustNotBeHandedOut(t *testing.T) {
	good := document(t, 3, "198.51.100.130", "198.51.100.131")
	for name, test := range map[string]struct {
		text string
		args []string
		want string
	}{
		"an incomplete list":  {strings.Replace(good, "198.51.100.130", "198.51.100.131", 1), nil, "the allow list is incomplete and is withheld"},
		"a list with a slip":  {strings.Replace(good, `"serial"`, `"serail"`, 1), nil, `serail: unknown key "serail"; did you mean "serial"?`},
		"no JSON":             {"nothing", nil, "standard input is no allow list that can be handed out\n1:2: needs JSON"},
		"ten megabytes":       {strings.Repeat(" ", 10<<20), nil, "must not be larger than 1048576 bytes"},
		"an unknown format":   {good, []string{"--format", "jsno"}, `format: is unknown, got "jsno"; did you mean "json"?`},
		"an unknown partner":  {good, []string{"--partner", "payment"}, `partner: must be one that the list serves, got "payment"; did you mean "payments"?`},
		"a stack and a file":  {good, []string{"--stack", "local"}, "--document: cannot be combined with --stack"},
		"a surplus argument":  {good, []string{"surplus"}, `unknown command "surplus"`},
		"a file of the moon":  {good, []string{"--document", "moon.json"}, "moon.json"},
		"an empty input":      {"", nil, "needs JSON: unexpected end of JSON input"},
		"a list of nothing":   {`{"version":1,"stack":"local","serial":1,"entries":[]}`, nil, "entries: needs at least 1 entry"},
		"a list of all of it": {strings.Replace(good, "198.51.100.130", "0.0.0.0", 1), nil, "must be a public address, got 0.0.0.0"},
	} {
		t.Run(name, func(t *testing.T) {
			r := sallyport(t, test.text, append([]string{"allowlist", "--document", "-"}, test.args...)...)
			if r.code != 2 || r.output != "" || !strings.Contains(r.complain, test.want) {
				t.Errorf("exit %d, output %q, no %q in %q", r.code, r.output, test.want, r.complain)
			}
		})
	}
}

func TestAllowlistDiffHasTheExitCodesOfDiff(t *testing.T) {
	before := file(t, document(t, 3, "198.51.100.130", "198.51.100.131"))
	same := file(t, document(t, 4, "198.51.100.130", "198.51.100.131"))
	text := document(t, 4, "198.51.100.130", "198.51.100.132", "198.51.100.131")
	if r := sallyport(t, "", "allowlist", "diff", before, same); r.code != 0 || r.output != "" || r.complain != "" {
		t.Errorf("equal documents: %+v", r)
	}
	r := sallyport(t, text, "allowlist", "diff", before, "-")
	if r.code != 1 || !strings.HasPrefix(r.output, "serial 3 -> 4\n+ 198.51.100.132  proxy proxy-a-1 active for payments\n") || r.complain != "" {
		t.Errorf("documents that differ: %+v", r)
	}
	if r := sallyport(t, text, "allowlist", "diff", "--json", before, "-"); r.code != 1 || !strings.Contains(r.output, `"newSerial": 4`) {
		t.Errorf("the difference as JSON: %+v", r)
	}
	for name, args := range map[string][]string{"one document": {before}, "no such file": {before, "none.json"}, "no document": {before, before + "/x"}, "twice standard input": {"-", "-"}} {
		if r := sallyport(t, "x", append([]string{"allowlist", "diff"}, args...)...); r.code != 2 || r.complain == "" {
			t.Errorf("%s: %+v", name, r)
		}
	}
}

func TestAllowlistComesFromTheStackThroughTheProjectsPulumi(t *testing.T) {
	text := document(t, 3, "198.51.100.130", "198.51.100.131")
	root := project(t, map[string]string{
		"tools/pulumi.sh": "#!/bin/sh\necho \"$@\" >>\"$(dirname \"$0\")/called\"\ncat \"$(dirname \"$0\")/output\"\n",
		"tools/output":    text,
	})
	if r := sallyport(t, "", "allowlist", "--stack", "prod", "--format", "json"); r.code != 0 || r.output != text {
		t.Errorf("%+v", r)
	}
	if r := sallyport(t, "", "allowlist"); r.code != 0 || r.output != "198.51.100.130\n198.51.100.131\n" {
		t.Errorf("%+v", r)
	}
	called, err := os.ReadFile(filepath.Join(root, "tools", "called"))
	if want := "stack output --json allowlist --stack prod\nstack output --json allowlist\n"; err != nil || string(called) != want {
		t.Errorf("called %q, %v, want %q", called, err, want)
	}
}

func TestAFailureOfPulumiIsShown(t *testing.T) {
	project(t, map[string]string{"tools/pulumi.sh": "#!/bin/sh\necho 'error: no stack named prod' >&2\nexit 255\n"})
	if r := sallyport(t, "", "allowlist", "--stack", "prod"); r.code != 2 || r.output != "" || !strings.Contains(r.complain, "error: no stack named prod") ||
		!strings.Contains(r.complain, "pulumi.sh stack output --json allowlist --stack prod: exit status 255") {
		t.Errorf("%+v", r)
	}
}
