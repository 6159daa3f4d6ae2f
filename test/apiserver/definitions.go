package apiserver

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"gopkg.in/yaml.v3"
)

// definitions are the files with the definitions of what Kubernetes itself does not know, in the modules of those who define it. The go
// command fetches them, through its proxy and its checksum database, and keeps them in the module cache.
var definitions = []struct{ module, file string }{
	{"istio.io/istio@v0.0.0-20260827124520-eed52ebb66ad", "manifests/charts/base/files/crd-all.gen.yaml"},
	{"istio.io/istio@v0.0.0-20260827124520-eed52ebb66ad", "tests/integration/pilot/testdata/gateway-api-crd.yaml"},
	{"github.com/prometheus-operator/prometheus-operator@v0.85.0", "example/prometheus-operator-crd/monitoring.coreos.com_prometheusrules.yaml"},
	{"github.com/kyverno/kyverno@v1.19.1", "config/crds/kyverno/kyverno.io_clusterpolicies.yaml"},
}

// Define gives the API server every definition and waits until it serves the kinds.
func (c *Cluster) Define(ctx context.Context) error {
	for _, d := range definitions {
		dir, err := moduleDir(ctx, d.module)
		if err != nil {
			return err
		}
		objects, err := readObjects(filepath.Join(dir, d.file))
		if err != nil {
			return err
		}
		for _, o := range objects {
			if _, _, err := c.Create(ctx, o, false); err != nil {
				return err
			}
			if err := c.established(ctx, o); err != nil {
				return err
			}
		}
	}
	return nil
}

// established waits until the API server serves what a definition defines.
func (c *Cluster) established(ctx context.Context, definition Object) error {
	if definition.Kind() != "CustomResourceDefinition" {
		return nil
	}
	group, _ := at(definition, "spec", "group").(string)
	name, _ := at(definition, "spec", "names", "kind").(string)
	versions, _ := at(definition, "spec", "versions").([]any)
	return c.server.until(definition.Name(), func() error {
		for _, v := range versions {
			version, _ := at(v, "name").(string)
			if at(v, "served") != true {
				continue
			}
			k, err := c.find(ctx, group+"/"+version, name)
			if err != nil {
				return err
			}
			// The list says so a moment before a request is served.
			if _, err := c.Raw(ctx, http.MethodGet, root(group+"/"+version)+"/"+k.resource+"?limit=1", "", nil); err != nil {
				return err
			}
		}
		return nil
	})
}

// moduleDir is the folder of a module in the module cache, where it is put if it is not there.
func moduleDir(ctx context.Context, module string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	command := exec.CommandContext(ctx, "go", "mod", "download", "-json", module)
	command.Dir = "/" // in no module
	out, err := command.Output()
	var m struct{ Dir, Error string }
	if unreadable := json.Unmarshal(out, &m); unreadable != nil || m.Dir == "" {
		return "", fmt.Errorf("module %s: %w %s", module, err, m.Error)
	}
	return m.Dir, nil
}

// readObjects reads the documents of a file. Those that are no objects are left out.
func readObjects(file string) ([]Object, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var all []Object
	decoder := yaml.NewDecoder(bytes.NewReader(text))
	for {
		var tree map[string]any // decoded into an Object, the trees in it would be Objects too
		if err := decoder.Decode(&tree); errors.Is(err, io.EOF) {
			return all, nil
		} else if err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		if o := Object(tree); o.Kind() != "" {
			all = append(all, o)
		}
	}
}
