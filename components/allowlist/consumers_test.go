package allowlist

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/hashicorp/hcl/v2/hclparse"
	"github.com/santhosh-tekuri/jsonschema/v5"
)

// mixed is a document with IPs of both families, in every state, with dates.
func mixed(t *testing.T) Document {
	t.Helper()
	b := newBench(t, "nat-1", "nat-2", "proxy-a-1-1", "proxy-b-1-1")
	b.in.Reserve = map[Kind]int{KindNat: 1, KindProxy: 2}
	b.ips["proxy-b-1-1"] = netip.MustParseAddr("2001:db8::7")
	b.up(0)
	b.plan("nat-1", "proxy-a-1-1", "proxy-b-1-1", "proxy-c-1-1")
	b.in.Rules.Records["proxy-reserve-2"] = Record{Slot: "proxy-c-1-1", Confirmed: nil}
	b.up(3)
	b.in.Rules.Records["nat-reserve-1"] = Record{Retired: after(4), Confirmed: nil}
	b.up(4)
	return *b.document
}

func rendered(t *testing.T, d Document, format Format) string {
	t.Helper()
	text, err := d.Render(format)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// onlyListed checks that a consumer understood exactly the IPs that partners have to list.
func onlyListed(t *testing.T, d Document, networks []string) {
	t.Helper()
	var got []netip.Addr
	for _, text := range networks {
		if !strings.Contains(text, "/") {
			ip := netip.MustParseAddr(text)
			got = append(got, ip)
			continue
		}
		got = append(got, contained(netip.MustParsePrefix(text).Masked())...)
	}
	slices.SortFunc(got, netip.Addr.Compare)
	if want := d.Listed().IPs(); !slices.Equal(got, want) {
		t.Errorf("understood %v, want %v", got, want)
	}
	if len(got) == len(d.Entries) {
		t.Error("the document has no retired IP: the test would not see one")
	}
}

// tool finds a consumer, or skips.
func tool(t *testing.T, name, pkg string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Skipf("%s is not installed (Debian package %s)", name, pkg)
	}
	return path
}

func command(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

func saved(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestNginxTakesTheAllowDirectives(t *testing.T) {
	nginx := tool(t, "nginx", "nginx-light")
	d := mixed(t)
	text := rendered(t, d, FormatNginx)
	list := saved(t, "allow.conf", text)
	folder := t.TempDir()
	config := saved(t, "nginx.conf", fmt.Sprintf(`pid %s/pid; error_log stderr; events {}
http { access_log off; client_body_temp_path %[1]s/b; proxy_temp_path %[1]s/p; fastcgi_temp_path %[1]s/f; uwsgi_temp_path %[1]s/u; scgi_temp_path %[1]s/s;
  server { listen unix:%[1]s/socket; location / { include %s; deny all; } } }
`, folder, list))
	command(t, nginx, "-t", "-p", folder, "-c", config)
	if out, err := exec.Command(nginx, "-T", "-p", folder, "-c", config).Output(); err != nil || !strings.Contains(string(out), text) {
		t.Errorf("%v: nginx does not show the list:\n%s", err, out)
	}
	var networks []string
	for line := range strings.Lines(text) {
		if network, allowed := strings.CutPrefix(line, "allow "); allowed {
			networks = append(networks, strings.TrimSuffix(network, ";\n"))
		}
	}
	onlyListed(t, d, networks)
	if err := os.WriteFile(list, []byte(strings.Replace(text, "\nallow ", "\nallow x", 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := exec.Command(nginx, "-t", "-p", folder, "-c", config).Run(); err == nil {
		t.Error("nginx takes a wrong list too: the test shows nothing")
	}
}

func TestNftablesTakesTheSetsAndHoldsThem(t *testing.T) {
	nft, unshare := tool(t, "nft", "nftables"), tool(t, "unshare", "util-linux")
	if os.Geteuid() != 0 {
		t.Skip("nftables needs root")
	}
	d := mixed(t)
	old := saved(t, "old.nft", rendered(t, example(t), FormatNFT))
	list := saved(t, "new.nft", rendered(t, d, FormatNFT))
	// In a network of its own: checked, loaded over an older list, read back.
	out := command(t, unshare, "-n", "sh", "-ec", `"$0" -c -f "$2"; "$0" -f "$1"; "$0" -f "$2"; "$0" -f "$2"; "$0" -j list ruleset`, nft, old, list)
	var ruleset struct {
		Nftables []struct {
			Set *struct {
				Name string            `json:"name"`
				Elem []json.RawMessage `json:"elem"`
			} `json:"set"`
		} `json:"nftables"`
	}
	if err := json.Unmarshal([]byte(out), &ruleset); err != nil {
		t.Fatalf("%v in %s", err, out)
	}
	var networks []string
	for _, item := range ruleset.Nftables {
		if item.Set == nil {
			continue
		}
		for _, raw := range item.Set.Elem {
			var address string
			var network struct {
				Prefix struct {
					Addr string `json:"addr"`
					Len  int    `json:"len"`
				} `json:"prefix"`
			}
			if json.Unmarshal(raw, &address) != nil {
				if err := json.Unmarshal(raw, &network); err != nil {
					t.Fatalf("%v in %s", err, raw)
				}
				address = fmt.Sprintf("%s/%d", network.Prefix.Addr, network.Prefix.Len)
			}
			networks = append(networks, address)
		}
	}
	onlyListed(t, d, networks)
}

func TestCSVIsReadBack(t *testing.T) {
	d := mixed(t)
	records, err := csv.NewReader(strings.NewReader(rendered(t, d, FormatCSV))).ReadAll()
	if err != nil || len(records) < 2 {
		t.Fatalf("%v: %v", err, records)
	}
	var networks []string
	for _, record := range records[1:] {
		networks = append(networks, record[0])
		for _, field := range record {
			if strings.ContainsAny(field[:min(1, len(field))], "=+-@\t") {
				t.Errorf("%q would be a formula", field)
			}
		}
	}
	onlyListed(t, d, networks)
}

func TestTerraformReadsTheVariable(t *testing.T) {
	d := mixed(t)
	file, problems := hclparse.NewParser().ParseHCL([]byte(rendered(t, d, FormatTerraform)), "sallyport.auto.tfvars")
	if problems.HasErrors() {
		t.Fatal(problems)
	}
	attributes, problems := file.Body.JustAttributes()
	if problems.HasErrors() || len(attributes) != 1 || attributes["sallyport_cidrs"] == nil {
		t.Fatalf("%v: %v", problems, attributes)
	}
	value, problems := attributes["sallyport_cidrs"].Expr.Value(nil)
	if problems.HasErrors() {
		t.Fatal(problems)
	}
	var networks []string
	for _, network := range value.AsValueSlice() {
		networks = append(networks, network.AsString())
	}
	onlyListed(t, d, networks)
}

func TestThePrefixListHasTheFieldsOfTheAPI(t *testing.T) {
	d := mixed(t)
	var entries []struct{ Cidr, Description string }
	decoder := json.NewDecoder(strings.NewReader(rendered(t, d, FormatPrefixList)))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&entries); err != nil {
		t.Fatal(err)
	}
	var networks []string
	for _, e := range entries {
		networks = append(networks, e.Cidr)
		if e.Description == "" || len(e.Description) > maxPrefixDescription {
			t.Errorf("description %q", e.Description)
		}
	}
	onlyListed(t, d, networks)
}

func compiledSchema(t *testing.T) *jsonschema.Schema {
	t.Helper()
	compiler := jsonschema.NewCompiler()
	compiler.Draft, compiler.AssertFormat = jsonschema.Draft2020, true
	if err := compiler.AddResource("schema.json", bytes.NewReader(Schema)); err != nil {
		t.Fatal(err)
	}
	schema, err := compiler.Compile("schema.json")
	if err != nil {
		t.Fatal(err)
	}
	return schema
}

func TestTheSchemaTakesEveryDocumentAndRefusesWhatParseRefuses(t *testing.T) {
	schema := compiledSchema(t)
	check := func(text string) error {
		var tree any
		if err := json.Unmarshal([]byte(text), &tree); err != nil {
			t.Fatal(err)
		}
		return schema.Validate(tree)
	}
	v1 := strings.Replace(rendered(t, example(t), FormatJSON), `"version": 2`, `"version": 1`, 1)
	good := rendered(t, mixed(t), FormatJSON)
	for name, text := range map[string]string{"dates and both families": good, "version 1": v1} {
		if err := check(text); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := Parse([]byte(text)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, change := range map[string][2]string{
		"an unknown key":   {`"serial"`, `"extra": 1, "serial"`},
		"no serial":        {`"serial"`, `"serail"`},
		"serial 0":         {`"serial": 1`, `"serial": 0.1`},
		"an unknown state": {`"state": "active"`, `"state": "gone"`},
		"no IP":            {`"ip": "198.51.100.2"`, `"ip": "198.51.100.999"`},
		"an unknown cloud": {`"cloud": "aws"`, `"cloud": "moon"`},
		"a slot of two":    {`"slot": "nat-1"`, `"slot": "nat 1"`},
		"a wrong date":     {`"listed": "2026-01-01T00:00:00Z"`, `"listed": "new year"`},
		"a wrong partner":  {`"bank": "2026-01-01T00:00:00Z"`, `"Bank": "2026-01-01T00:00:00Z"`},
		"a later version":  {`"version": 2`, `"version": 3`},
	} {
		text := strings.Replace(good, change[0], change[1], 1)
		if text == good {
			t.Fatalf("%s: nothing was changed in\n%s", name, good)
		}
		if err := check(text); err == nil {
			t.Errorf("%s: the schema takes it", name)
		}
		if _, err := Parse([]byte(text)); err == nil {
			t.Errorf("%s: Parse takes it", name)
		}
	}
}

func TestAStandardToolChecksTheSchema(t *testing.T) {
	jsonschema := tool(t, "jsonschema", "python3-jsonschema")
	schema, d := saved(t, "schema.json", string(Schema)), mixed(t)
	command(t, jsonschema, "-i", saved(t, "document.json", rendered(t, d, FormatJSON)), schema)
	wrong := strings.Replace(rendered(t, d, FormatJSON), `"state": "active"`, `"state": "gone"`, 1)
	if err := exec.Command(jsonschema, "-i", saved(t, "wrong.json", wrong), schema).Run(); err == nil {
		t.Error("the tool takes a wrong document too: the test shows nothing")
	}
}

func TestTheChangelogLeadsToTheSameDocument(t *testing.T) {
	b := newBench(t, "nat-1", "nat-2")
	b.in.Reserve[KindNat] = 1
	var documents []Document
	b.up(0)
	documents = append(documents, *b.document)
	b.plan("nat-1", "nat-2", "nat-3", "proxy-a-1-1")
	for _, day := range []int{1, 20, 21} {
		b.up(day)
		documents = append(documents, *b.document)
	}
	b.plan("nat-1")
	for _, day := range []int{30, 40} {
		b.up(day)
		documents = append(documents, *b.document)
	}
	log, err := ChangelogOf(documents[3], documents[0], documents[5], documents[1], documents[4], documents[2], documents[2])
	if err != nil || len(log.Changes) != 4 { // day 21 changed nothing
		t.Fatalf("%v: %+v", err, log)
	}
	text, err := json.Marshal(log)
	if err != nil {
		t.Fatal(err)
	}
	var read Changelog
	if err := json.Unmarshal(text, &read); err != nil {
		t.Fatal(err)
	}
	for i, d := range documents {
		got, err := d.Replay(read)
		if err != nil || rendered(t, got, FormatJSON) != rendered(t, *b.document, FormatJSON) {
			t.Errorf("from document %d: %v\n%+v\nwant\n%+v", i, err, got, *b.document)
		}
	}
	gap := Changelog{Stack: read.Stack, Changes: read.Changes[1:]}
	if _, err := documents[0].Replay(gap); err == nil || !strings.Contains(err.Error(), "changelog: must continue at serial") {
		t.Errorf("a changelog with a gap: %v", err)
	}
	other := documents[1]
	other.Entries = slices.Clone(other.Entries)
	other.Entries[0].State = StateRetired
	if _, err := ChangelogOf(documents[1], other); err == nil || !strings.Contains(err.Error(), "serial: must not stand for two documents") {
		t.Errorf("two documents with one serial: %v", err)
	}
}
