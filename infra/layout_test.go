package main

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"strings"
	"testing"
)

const module = "github.com/sallyport/sallyport/"

// listed is what `go list -json` says of a package, as far as the rules need it.
type listed struct {
	ImportPath, Doc, Name string
	Imports               []string
	Deps                  []string
}

func packages(t *testing.T) []listed {
	t.Helper()
	cmd := exec.Command("go", "list", "-json=ImportPath,Doc,Name,Imports,Deps", "./...")
	cmd.Dir = ".."
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var all []listed
	for decoder := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p listed
		if err := decoder.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		p.ImportPath = strings.TrimPrefix(p.ImportPath, module)
		all = append(all, p)
	}
	if len(all) < 10 {
		t.Fatalf("go list knows %d packages: the rules would check nothing", len(all))
	}
	return all
}

func TestEveryPackageSaysWhatItIsFor(t *testing.T) {
	for _, p := range packages(t) {
		want := "Package " + p.Name + " "
		if p.Name == "main" {
			want = "Command "
		}
		if !strings.HasPrefix(p.Doc, want) {
			t.Errorf("%s: the package comment must begin with %q, got %q", p.ImportPath, want, p.Doc)
		}
	}
}

// shared are the packages of components that other components may import: pure ones, the one that registers manifests, and the recorder
// for tests. The parts of one component may import each other.
var shared = map[string]bool{
	"components/allowlist": true, "components/capacity": true, "components/destinations": true, "components/stack": true,
	"components/manifests": true, "components/pulumitest": true,
}

func TestImportsGoOneWay(t *testing.T) {
	for _, p := range packages(t) {
		for _, imported := range p.Imports {
			imported, ours := strings.CutPrefix(imported, module)
			switch {
			case !ours:
			case imported == "infra" || strings.HasPrefix(imported, "cmd/"):
				t.Errorf("%s imports %s: programs are not libraries", p.ImportPath, imported)
			case within(p.ImportPath, "internal") && !within(imported, "internal"):
				t.Errorf("%s imports %s: internal serves everybody and depends on nobody", p.ImportPath, imported)
			case within(p.ImportPath, "components") && within(imported, "components") && !shared[imported] && family(p.ImportPath) != family(imported):
				t.Errorf("%s imports %s: a component gets values from infra, not from another component", p.ImportPath, imported)
			case within(p.ImportPath, "components") && (within(imported, "lab") || within(imported, "policies")):
				t.Errorf("%s imports %s: components know nothing of the lab or the policies", p.ImportPath, imported)
			case within(p.ImportPath, "proxyimage") && !within(imported, "proxyimage") && !within(imported, "internal"):
				t.Errorf("%s imports %s: the image depends on nothing but itself", p.ImportPath, imported)
			}
		}
	}
}

func TestPulumiStaysOutOfWhatRunsWithoutIt(t *testing.T) {
	without := []string{"proxyimage", "internal", "cmd", "lab/cmd/labd", "lab/nat", "lab/namespace", "lab/load", "lab/partner",
		"components/allowlist", "components/capacity", "components/destinations", "components/stack"}
	for _, p := range packages(t) {
		for _, root := range without {
			if !within(p.ImportPath, root) {
				continue
			}
			for _, dep := range p.Deps {
				if strings.HasPrefix(dep, "github.com/pulumi/") {
					t.Errorf("%s depends on %s: this part must stay small and free of Pulumi", p.ImportPath, dep)
					break
				}
			}
		}
	}
}

// family is the component that a package belongs to: "components/<name>".
func family(path string) string {
	parts := strings.SplitN(path, "/", 3)
	return strings.Join(parts[:min(2, len(parts))], "/")
}

func within(path, root string) bool { return path == root || strings.HasPrefix(path, root+"/") }

// A first `make up` compiles with this tag and has ten minutes on two cores; the clouds' SDKs alone take four.
func TestStackLocalCompilesWithoutTheClouds(t *testing.T) {
	out, err := exec.Command("go", "list", "-tags", "local", "-deps", ".").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	for _, dep := range strings.Fields(string(out)) {
		for _, sdk := range []string{"github.com/pulumi/pulumi-aws/", "github.com/pulumi/pulumi-gcp/", "github.com/pulumi/pulumi-kubernetes/"} {
			if strings.HasPrefix(dep, sdk) {
				t.Errorf("with -tags local the program still depends on %s", dep)
			}
		}
	}
}
