package main

import (
	"encoding/json"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sallyport/sallyport/components/allowlist"
	"github.com/sallyport/sallyport/internal/clock"
	"github.com/sallyport/sallyport/preflight/fakeaws"
)

const lifeStack = `# Ours.
config:
  sallyport:cloud: aws
  sallyport:cluster: {zones: [eu-west-1a], nodes: 2}
  sallyport:aws: {region: eu-west-1, vpc: {cidr: 10.64.0.0/16}}
  sallyport:destinations:
    - {name: news, hosts: [news.example.org], partner: news, demand: {connectionsPerSecond: 1}}
  sallyport:allowlist:
    reserve: 1 # headroom
    notice: {default: 14d}
`

// lifeProject is a project with a stack prod whose outputs were made on 2026-01-01; today is the 10th.
func lifeProject(t *testing.T) (root string) {
	t.Helper()
	t.Setenv(clock.Env, "2026-01-10T00:00:00Z")
	born := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	entry := func(ip, slot string, state allowlist.State, active time.Time) allowlist.Entry {
		return allowlist.Entry{
			IP: netip.MustParseAddr(ip), Cloud: "aws", Region: "eu-west-1", Kind: allowlist.KindNat, Slot: slot, State: state, Partners: []string{"news"},
			Dates: allowlist.Dates{Listed: born, Active: active}, Told: map[string]time.Time{"news": born},
		}
	}
	d, err := allowlist.Next(nil, "prod", []allowlist.Entry{
		entry("198.51.100.1", "nat-eu-west-1a-1", allowlist.StateActive, born), entry("198.51.100.2", "nat-reserve-1", allowlist.StateReserved, time.Time{}),
	}, born)
	if err != nil {
		t.Fatal(err)
	}
	text, err := d.Render(allowlist.FormatJSON)
	if err != nil {
		t.Fatal(err)
	}
	return project(t, map[string]string{
		"stacks/Pulumi.prod.yaml": lifeStack,
		"tools/pulumi.sh":         "#!/bin/sh\ncat \"$(dirname \"$0\")/$4\"\n",
		"tools/allowlist":         text,
		"tools/endpoints":         `{"gateways": {"eu-west-1a": {"id": "nat-1", "publicIPs": ["198.51.100.1"]}}, "proxies": []}`,
	})
}

func stackText(t *testing.T, root string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, "stacks", "Pulumi.prod.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestAStepIsShownAskedForAndWritten(t *testing.T) {
	root := lifeProject(t)
	confirm := []string{"allowlist", "confirm", "198.51.100.2", "--partner", "news"}
	const added = "    ips:\n      nat-reserve-1:\n        confirmed:\n          news: \"2026-01-10T00:00:00Z\"\n"
	for name, test := range map[string]struct {
		input string
		more  []string
		code  int
		want  string
	}{
		"a dry run":      {"", []string{"--dry-run"}, 0, "+    ips:\n+      nat-reserve-1:\n"},
		"no answer":      {"", nil, 2, "write this? [y/N]"},
		"the answer no":  {"n\n", nil, 2, "write this? [y/N]"},
		"JSON alone":     {"", []string{"--json"}, 0, `"written": false`},
		"contradictions": {"", []string{"--dry-run", "--yes"}, 2, ""},
	} {
		r := sallyport(t, test.input, append(confirm, test.more...)...)
		if r.code != test.code || !strings.Contains(r.output, test.want) || stackText(t, root) != lifeStack {
			t.Errorf("%s: exit %d\n%s%s\nfile:\n%s", name, r.code, r.output, r.complain, stackText(t, root))
		}
	}
	r := sallyport(t, "y\n", confirm...)
	if r.code != 0 || !strings.Contains(r.output, "confirm nat-reserve-1 (198.51.100.2, now reserved): may carry traffic\n") || !strings.Contains(r.output, " # headroom\n") {
		t.Errorf("%+v", r)
	}
	if got := stackText(t, root); got != lifeStack+added {
		t.Errorf("got\n%s", got)
	}
	// The file now says so, before any update.
	if r := sallyport(t, "", append(confirm, "--yes")...); r.code != 2 || !strings.Contains(r.complain, "confirm nat-reserve-1: must not be done twice, news confirmed on 2026-01-10") {
		t.Errorf("%+v", r)
	}
	// With the confirmation the headroom may take over, four days before its notice is over.
	r = sallyport(t, "", "allowlist", "drain", "nat-eu-west-1a-1", "--stack", "prod", "--yes", "--json")
	var said struct {
		Address, From, Effect string
		Written               bool
		Fields                []allowlist.Field
	}
	if err := json.Unmarshal([]byte(r.output), &said); err != nil || r.code != 0 || !said.Written || said.Address != "nat-eu-west-1a-1" ||
		!strings.HasPrefix(said.Effect, "nat-reserve-1 takes over nat-eu-west-1a-1 with the next update") || len(said.Fields) != 1 {
		t.Errorf("%v: %+v", err, r)
	}
	if got := stackText(t, root); !strings.HasSuffix(got, added+"      nat-eu-west-1a-1:\n        draining: \"2026-01-10T00:00:00Z\"\n") {
		t.Errorf("got\n%s", got)
	}
}

func TestAStepNeedsAStackFileInOrder(t *testing.T) {
	root := lifeProject(t)
	broken := strings.Replace(lifeStack, "reserve: 1", "resrve: 1", 1)
	if err := os.WriteFile(filepath.Join(root, "stacks", "Pulumi.prod.yaml"), []byte(broken), 0o600); err != nil {
		t.Fatal(err)
	}
	r := sallyport(t, "", "allowlist", "announce", "nat-reserve-1", "--yes")
	if r.code != 2 || !strings.Contains(r.complain, `has to be in order before it is edited`) || !strings.Contains(r.complain, `did you mean "reserve"?`) {
		t.Errorf("%+v", r)
	}
	if r := sallyport(t, "", "allowlist", "announce", "nat-reserve-1", "--stack", "dev", "--document", filepath.Join(root, "tools", "allowlist")); r.code != 2 ||
		!strings.Contains(r.complain, `--stack: must be the stack of the document, prod, got "dev"`) {
		t.Errorf("%+v", r)
	}
}

func TestAFileThatSomebodyElseChangedIsNotOverwritten(t *testing.T) {
	path := file(t, "new")
	if err := replaceFile(path, []byte("old"), []byte("ours")); err == nil || !strings.Contains(err.Error(), "was changed by somebody else meanwhile") {
		t.Error(err)
	}
	if err := os.Chmod(path, 0o640); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(path, link); err != nil {
		t.Fatal(err)
	}
	if err := replaceFile(link, []byte("new"), []byte("ours")); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	text, _ := os.ReadFile(path)
	if err != nil || info.Mode().Perm() != 0o640 || string(text) != "ours" {
		t.Errorf("%v %v %q", err, info.Mode(), text)
	}
}

func TestDocumentsAreSignedAndChecked(t *testing.T) {
	root := lifeProject(t)
	document, key := filepath.Join(root, "allowlist.json"), filepath.Join(root, "key")
	text, err := os.ReadFile(filepath.Join(root, "tools", "allowlist"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(document, text, 0o600); err != nil {
		t.Fatal(err)
	}
	r := sallyport(t, "", "allowlist", "keygen", key)
	public := strings.TrimSpace(r.output)
	if r.code != 0 || !strings.HasPrefix(public, "RW") || len(public) != 56 {
		t.Fatalf("%+v", r)
	}
	if info, err := os.Stat(key); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v %v", err, info)
	}
	if r := sallyport(t, "", "allowlist", "keygen", key); r.code != 2 || !strings.Contains(r.complain, "exists") {
		t.Errorf("a key was overwritten: %+v", r)
	}
	if r := sallyport(t, "", "allowlist", "sign", document); r.code != 2 || !strings.Contains(r.complain, "--key: needs the file of a secret key") {
		t.Errorf("%+v", r)
	}
	t.Setenv(allowlist.SigningKeyEnv, key)
	if r := sallyport(t, "", "allowlist", "sign", document); r.code != 0 || r.output != "" {
		t.Fatalf("%+v", r)
	}
	for _, k := range []string{public, key + ".pub"} {
		r = sallyport(t, "", "allowlist", "verify-signature", document, "--public-key", k)
		if r.code != 0 || r.output != "valid: timestamp:1767225600\tfile:allowlist.json\tstack:prod\tserial:1767225600\thashed\n" {
			t.Errorf("%s: %+v", k, r)
		}
	}
	if err := os.WriteFile(document, append(text, '\n'), 0o600); err != nil {
		t.Fatal(err)
	}
	if r := sallyport(t, "", "allowlist", "verify-signature", document, "--public-key", public); r.code != 1 || !strings.Contains(r.complain, "not valid") || r.output != "" {
		t.Errorf("%+v", r)
	}
	if r := sallyport(t, "", "allowlist", "verify-signature", document, "--public-key", "RWx"); r.code != 2 {
		t.Errorf("%+v", r)
	}
	if err := os.WriteFile(document, []byte(strings.Replace(string(text), "198.51.100.1", "198.51.100.2", 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	if r := sallyport(t, "", "allowlist", "sign", document); r.code != 2 || !strings.Contains(r.complain, "is incomplete and is withheld") {
		t.Errorf("an incomplete document was signed: %+v", r)
	}
}

func TestVerifyComparesWithTheCloud(t *testing.T) {
	lifeProject(t)
	tags := func(slot string) map[string]string {
		return map[string]string{allowlist.TagStack: "prod", allowlist.TagSlot: slot}
	}
	account := fakeaws.Account{
		Region:      "eu-west-1",
		Addresses:   []fakeaws.Address{{ID: "eipalloc-1", IP: "198.51.100.1", Tags: tags("nat-eu-west-1a-1")}, {ID: "eipalloc-2", IP: "198.51.100.2", Tags: tags("nat-reserve-1")}},
		NatGateways: []fakeaws.NatGateway{{ID: "nat-1", Addresses: []string{"eipalloc-1"}}},
	}
	fakeaws.Start(t, account)
	r := sallyport(t, "", "allowlist", "verify", "--stack", "prod")
	if r.code != 0 || r.output != "document prod, serial 1767225600, 2 IPs, compared with: state, cloud: 0 disagreements\n" {
		t.Errorf("%+v", r)
	}
	account.NatGateways[0].Addresses = []string{"eipalloc-1", "eipalloc-2"} // by hand, before any partner knew
	fakeaws.Start(t, account)
	r = sallyport(t, "", "allowlist", "verify", "--stack", "prod")
	if r.code != 1 || !strings.HasPrefix(r.output, "cloud: 198.51.100.2 nat-reserve-1 can carry traffic (eipalloc-2) and is reserved in the document\n") {
		t.Errorf("%+v", r)
	}
	r = sallyport(t, "", "allowlist", "verify", "--stack", "prod", "--json")
	var said struct {
		Agree    bool
		Checked  []string
		Findings []struct{ Source, IP, Address string }
	}
	if err := json.Unmarshal([]byte(r.output), &said); err != nil || r.code != 1 || said.Agree || len(said.Checked) != 2 || len(said.Findings) != 1 || said.Findings[0].IP != "198.51.100.2" {
		t.Errorf("%v: %+v", err, r)
	}
	older := file(t, strings.Replace(document(t, 3, "198.51.100.1", "198.51.100.9"), `"local"`, `"prod"`, 1))
	if r := sallyport(t, "", "allowlist", "verify", "--stack", "prod", "--published", older); r.code != 1 || !strings.Contains(r.output, "published: has serial 3 and the stack 1767225600") {
		t.Errorf("%+v", r)
	}
	fakeaws.Start(t, account).Fail("DescribeAddresses", fakeaws.Denied("ec2:DescribeAddresses"))
	if r := sallyport(t, "", "allowlist", "verify", "--stack", "prod"); r.code != 2 || !strings.Contains(r.complain, "ec2:DescribeAddresses") {
		t.Errorf("%+v", r)
	}
}

func TestChangelogAndSchemaArePrinted(t *testing.T) {
	one, two := file(t, document(t, 3, "198.51.100.1", "198.51.100.9")), file(t, document(t, 4, "198.51.100.1", "198.51.100.2", "198.51.100.9"))
	r := sallyport(t, "", "allowlist", "changelog", two, one)
	if r.code != 0 || !strings.HasPrefix(r.output, "serial 3 -> 4\n+ 198.51.100.2 ") {
		t.Errorf("%+v", r)
	}
	var log allowlist.Changelog
	r = sallyport(t, "", "allowlist", "changelog", "--json", one, two)
	if err := json.Unmarshal([]byte(r.output), &log); err != nil || len(log.Changes) != 1 || log.Changes[0].NewSerial != 4 {
		t.Errorf("%v: %+v", err, r)
	}
	if r := sallyport(t, "", "allowlist", "schema"); r.code != 0 || !json.Valid([]byte(r.output)) {
		t.Errorf("%+v", r)
	}
}
