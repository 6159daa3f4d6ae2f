package install

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/sallyport/sallyport/test/standin/engine"
)

// modules are the SDKs whose sources say which properties a resource has.
var modules = map[string]string{
	"aws": "github.com/pulumi/pulumi-aws/sdk/v6", "gcp": "github.com/pulumi/pulumi-gcp/sdk/v7",
}

// TestTheTablesNameRealProperties reads the SDKs' sources, without compiling them: a misspelt property in a table would be a rule
// that never applies.
func TestTheTablesNameRealProperties(t *testing.T) {
	t.Parallel()
	for _, provider := range Providers() {
		module, ok := modules[provider.Name]
		if !ok {
			continue // Kubernetes has no table: its kinds are open
		}
		out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}} {{.Version}}", module).Output()
		if err != nil {
			t.Fatalf("%s: %v", module, err)
		}
		dir, version, _ := strings.Cut(strings.TrimSpace(string(out)), " ")
		if version != "v"+provider.Version {
			t.Errorf("%s is pinned at %s, the stand-in says v%s", module, version, provider.Version)
		}
		described := provider.Package().Kinds
		if len(described) < 30 {
			t.Errorf("%s: only %d kinds", provider.Name, len(described))
		}
		for token, kind := range described {
			inputs := argsOf(t, filepath.Join(dir, "go", provider.Name), token)
			if len(inputs) == 0 {
				t.Errorf("%s: the SDK has no such resource", token)
			}
			for _, path := range mentioned(kind) {
				property := strings.FieldsFunc(path, func(r rune) bool { return r == '.' || r == '[' })[0]
				if property != "*" && !inputs[property] && !inputs[strings.TrimSuffix(property, "Prefix")] {
					t.Errorf("%s: %s is no input", token, path)
				}
			}
		}
	}
}

// mentioned are the inputs that a kind's table names.
func mentioned(k *engine.Kind) []string {
	paths := append(append([]string{}, k.Replace...), k.Sets...)
	for property := range k.Defaults {
		paths = append(paths, property)
	}
	for _, r := range k.Refs {
		paths = append(paths, r.Path)
	}
	if k.Autoname != "" {
		paths = append(paths, k.Autoname)
	}
	return paths
}

// argsOf are the inputs of a resource: the tags of the unexported args struct in the file that registers its token.
func argsOf(t *testing.T, dir, tok string) map[string]bool {
	t.Helper()
	_, rest, _ := strings.Cut(tok, ":")
	folder, file, _ := strings.Cut(rest, "/")
	if folder == "index" {
		folder = ""
	}
	path := filepath.Join(dir, folder, strings.Split(file, ":")[0]+".go")
	if base := filepath.Base(path); strings.HasPrefix(base, "iAM") { // the token's file name is not quite the source's
		path = filepath.Join(dir, folder, "iam"+strings.ToLower(base[3:4])+base[4:])
	}
	source, err := os.ReadFile(path)
	if err != nil || !strings.Contains(string(source), `"`+tok+`"`) {
		return nil
	}
	parsed, err := parser.ParseFile(token.NewFileSet(), path, source, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	inputs := map[string]bool{}
	ast.Inspect(parsed, func(n ast.Node) bool {
		spec, ok := n.(*ast.TypeSpec)
		if !ok || !strings.HasSuffix(spec.Name.Name, "Args") || ast.IsExported(spec.Name.Name) {
			return true
		}
		structure, ok := spec.Type.(*ast.StructType)
		if !ok {
			return true
		}
		for _, field := range structure.Fields.List {
			if field.Tag != nil {
				inputs[reflect.StructTag(strings.Trim(field.Tag.Value, "`")).Get("pulumi")] = true
			}
		}
		return true
	})
	return inputs
}
