package manifests

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing/fstest"

	"k8s.io/client-go/openapi"
	"sigs.k8s.io/kubectl-validate/pkg/openapiclient"
	"sigs.k8s.io/kubectl-validate/pkg/openapiclient/groupversion"
)

// Embedded is the newest Kubernetes whose schemas kubectl-validate v0.0.4 holds; it is the oldest that Sallyport supports.
const Embedded = "1.30"

// Releases are further ones, as versions of the module k8s.io/kubernetes, which holds the schemas of its API server. The last is the
// newest there is at the time of writing. They are fetched by the go command, through its proxy and its checksum database, and stay in
// the module cache.
var Releases = []string{"v1.32.0", "v1.34.1", "v1.36.1", "v1.37.0"}

// EmbeddedClient serves the embedded schemas.
func EmbeddedClient() openapi.Client { return openapiclient.NewHardcodedBuiltins(Embedded) }

// Definitions are the files that define what Kubernetes itself does not know, in the modules of those who define it. Istio's are
// validated where its translation is tested.
var Definitions = []struct{ Module, File string }{
	{"github.com/prometheus-operator/prometheus-operator@v0.85.0", "example/prometheus-operator-crd/monitoring.coreos.com_prometheusrules.yaml"},
	{"github.com/kyverno/kyverno@v1.19.1", "config/crds/kyverno/kyverno.io_clusterpolicies.yaml"},
}

// ReleaseClient serves the schemas of a release.
func ReleaseClient(release string) (openapi.Client, error) {
	dir, err := moduleDir("k8s.io/kubernetes@" + release)
	if err != nil {
		return nil, err
	}
	return specs{os.DirFS(filepath.Join(dir, "api/openapi-spec/v3"))}, nil
}

// DefinitionsClient serves the schemas of the definitions.
func DefinitionsClient() (openapi.Client, error) {
	files := fstest.MapFS{}
	for _, d := range Definitions {
		dir, err := moduleDir(d.Module)
		if err != nil {
			return nil, err
		}
		text, err := os.ReadFile(filepath.Join(dir, d.File))
		if err != nil {
			return nil, err
		}
		files[filepath.Base(d.File)] = &fstest.MapFile{Data: text}
	}
	return openapiclient.NewLocalCRDFiles(files), nil
}

// moduleDir is the folder of a module in the module cache, where it is put if it is not there.
func moduleDir(module string) (string, error) {
	command := exec.Command("go", "mod", "download", "-json", module)
	command.Dir = os.TempDir() // in no module
	out, err := command.Output()
	var m struct{ Dir, Error string }
	if unreadable := json.Unmarshal(out, &m); unreadable != nil || m.Dir == "" {
		return "", fmt.Errorf("module %s: %w %s", module, err, m.Error)
	}
	return m.Dir, nil
}

// specs serves the files of Kubernetes' repository: "apis__apps__v1_openapi.json" for apis/apps/v1.
type specs struct{ files fs.FS }

// Paths implements openapi.Client.
func (s specs) Paths() (map[string]openapi.GroupVersion, error) {
	names, err := fs.Glob(s.files, "*_openapi.json")
	if err != nil {
		return nil, err
	}
	paths := map[string]openapi.GroupVersion{}
	for _, name := range names {
		paths[strings.ReplaceAll(strings.TrimSuffix(name, "_openapi.json"), "__", "/")] = groupversion.NewForFile(s.files, name)
	}
	if len(paths) == 0 {
		return nil, fmt.Errorf("no schemas")
	}
	return paths, nil
}
