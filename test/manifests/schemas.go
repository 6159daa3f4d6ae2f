package manifests

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

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

// ReleaseClient serves the schemas of a release.
func ReleaseClient(release string) (openapi.Client, error) {
	command := exec.Command("go", "mod", "download", "-json", "k8s.io/kubernetes@"+release)
	command.Dir = os.TempDir() // in no module
	out, err := command.Output()
	var module struct{ Dir, Error string }
	if unreadable := json.Unmarshal(out, &module); unreadable != nil || module.Dir == "" {
		return nil, fmt.Errorf("k8s.io/kubernetes@%s: %w %s", release, err, module.Error)
	}
	return specs{os.DirFS(filepath.Join(module.Dir, "api/openapi-spec/v3"))}, nil
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
