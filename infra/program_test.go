package main

import (
	"encoding/json"
	"fmt"
	"hash/fnv"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"gopkg.in/yaml.v3"

	"github.com/sallyport/sallyport/components/pulumitest"
	"github.com/sallyport/sallyport/components/stack"
	"github.com/sallyport/sallyport/internal/golden"
	"github.com/sallyport/sallyport/lab/labid"
)

// labOutputs gives what the lab provider would: addresses that depend on names only.
func labOutputs(token, name string, inputs resource.PropertyMap) map[string]any {
	hash := fnv.New32a()
	_, _ = hash.Write([]byte(name))
	host := hash.Sum32()%250 + 1
	switch token {
	case "lab:index:Network":
		return map[string]any{"stateDir": "/run/sallyport/lab", "caCertificate": "PEM"}
	case "lab:index:Address":
		return map[string]any{"address": fmt.Sprintf("198.51.100.%d", host)}
	case "lab:index:Partner":
		count := int(inputs["addressCount"].NumberValue())
		addresses := make([]any, count)
		for i := range addresses {
			addresses[i] = fmt.Sprintf("203.0.%d.%d", i, host)
		}
		return map[string]any{"addresses": addresses}
	case "lab:index:UpstreamDNS":
		return map[string]any{"publicAddress": "192.0.2.53", "privateAddress": "10.0.0.2"}
	case "lab:index:NatGateway":
		return map[string]any{"privateAddress": "10.0.0.10", "blocks": []any{}}
	case "lab:index:Serial", "lab:index:Routes":
		return map[string]any{"serial": 1, "path": "/routes.json"}
	default:
		return nil
	}
}

// run runs the program with a stack file's configuration in a project folder that holds a built image.
func run(t *testing.T, config map[string]string) (*pulumitest.Recorder, error) {
	t.Helper()
	return runIn(t, t.TempDir(), config)
}

func runIn(t *testing.T, root string, config map[string]string) (*pulumitest.Recorder, error) {
	t.Helper()
	image := filepath.Join(root, ".build", "image", "rootfs-test")
	if err := os.MkdirAll(image, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("rootfs-test", filepath.Join(root, ".build", "image", "rootfs")); err != nil {
		t.Fatal(err)
	}
	recorder := pulumitest.New(labOutputs)
	return recorder, recorder.Run("sallyport", "local", root, config, program)
}

// localConfig is the configuration of the shipped stack, changed as asked.
func localConfig(t *testing.T, changes map[string]string) map[string]string {
	t.Helper()
	text, err := os.ReadFile("../stacks/Pulumi.local.yaml")
	if err != nil {
		t.Fatal(err)
	}
	config, err := flatten(text)
	if err != nil {
		t.Fatal(err)
	}
	for key, value := range changes {
		config[stack.Namespace+key] = value
	}
	return config
}

// flatten turns a stack file into what the command line hands to a program: strings, and JSON for anything else.
func flatten(text []byte) (map[string]string, error) {
	var file struct {
		Config map[string]any `yaml:"config"`
	}
	if err := yaml.Unmarshal(text, &file); err != nil {
		return nil, err
	}
	config := map[string]string{}
	for key, value := range file.Config {
		switch v := value.(type) {
		case string:
			config[key] = v
		default:
			encoded, err := json.Marshal(v)
			if err != nil {
				return nil, err
			}
			config[key] = string(encoded)
		}
	}
	return config, nil
}

func TestStackLocalAsksForItsResources(t *testing.T) {
	root := t.TempDir()
	recorder, err := runIn(t, root, localConfig(t, nil))
	if err != nil {
		t.Fatal(err)
	}
	graph, err := recorder.Graph()
	if err != nil {
		t.Fatal(err)
	}
	graph = strings.NewReplacer(root, "ROOT", labid.For(root, "local"), "LAB").Replace(graph)
	golden.Check(t, "local.golden", graph)
}

func TestAddingAZoneRenamesNothing(t *testing.T) {
	two, err := run(t, localConfig(t, nil))
	if err != nil {
		t.Fatal(err)
	}
	three, err := run(t, localConfig(t, map[string]string{
		"cluster": `{"zones":["a","c","b"],"nodes":3,"maxNodes":6,"surgeNodes":1,"skew":2.5,"aliasRanges":true}`,
	}))
	if err != nil {
		t.Fatal(err)
	}
	for _, token := range []string{"lab:index:Address", "lab:index:Proxy"} {
		after := strings.Join(three.Names(token), " ") + " "
		for _, name := range two.Names(token) {
			if !strings.Contains(after, name+" ") {
				t.Errorf("%s %s is gone after a zone was added", token, name)
			}
		}
	}
}

func TestEachZoneHasItsOwnNatGatewayInFlavorNatgateway(t *testing.T) {
	recorder, err := run(t, localConfig(t, map[string]string{
		"nat":     `{"flavor":"natgateway"}`,
		"cluster": `{"zones":["a","b"],"nodes":2}`,
	}))
	if err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(recorder.Names("lab:index:NatGateway")); got != "[nat-a nat-b]" {
		t.Errorf("gateways %s", got)
	}
}

func TestPublicIPsAreProtectedWhenAsked(t *testing.T) {
	recorder, err := run(t, localConfig(t, map[string]string{"allowlist": `{"protect":true}`}))
	if err != nil {
		t.Fatal(err)
	}
	graph, err := recorder.Graph()
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(graph) {
		private := strings.Contains(line, "-interface") || strings.Contains(line, "-pods")
		if strings.HasPrefix(line, "lab:index:Address ") && !private && !strings.Contains(line, "(protected)") {
			t.Errorf("not protected: %s", line)
		}
	}
}

func TestABadStackFileCreatesNothing(t *testing.T) {
	recorder, err := run(t, localConfig(t, map[string]string{"destinations": `[{"name":"A B","hosts":[]}]`, "clutser": `{}`}))
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{"destinations[0].name", "destinations[0].hosts"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%s is missing in:\n%v", want, err)
		}
	}
	if graph, _ := recorder.Graph(); graph != "" {
		t.Errorf("resources were registered:\n%s", graph)
	}
}

func TestAStackWithoutNatDestinationsHasNoNat(t *testing.T) {
	recorder, err := run(t, localConfig(t, map[string]string{
		"destinations": `[{"name":"payments","hosts":["api.example.com"],"route":"proxy","demand":{"connectionsPerSecond":1}}]`,
		"lab":          `{}`,
	}))
	if err != nil {
		t.Fatal(err)
	}
	if got := recorder.Names("lab:index:NatGateway"); len(got) > 0 {
		t.Errorf("gateways %v", got)
	}
	if gateway, set := recorder.Inputs("lab:index:Node", "node-a-1")["gateway"]; set {
		t.Errorf("the node has gateway %v", gateway)
	}
}
