package demo

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/sallyport/sallyport/components/allowlist"
	"github.com/sallyport/sallyport/components/destinations"
	"github.com/sallyport/sallyport/components/stack"
	"github.com/sallyport/sallyport/lab/labid"
	"github.com/sallyport/sallyport/lab/load"
	"github.com/sallyport/sallyport/lab/pki"
	"github.com/sallyport/sallyport/lab/registry"
	"github.com/sallyport/sallyport/lab/status"
)

// Target is a stack local that is up.
type Target struct {
	Lab       registry.Lab
	Stack     *stack.Stack
	Allowlist allowlist.Document
	Labd      string // absolute path of the program
}

// pod is where load starts.
type pod struct {
	Host string // of the lab
	Node string // host of the node it is on
}

// pods returns one pod of every node, sorted by name: its first.
func (t Target) pods() ([]pod, error) {
	records, err := t.Lab.Records()
	if err != nil {
		return nil, err
	}
	var first []pod
	for _, record := range records {
		if record.Kind != labid.PodHost {
			continue
		}
		var data struct{ Node string }
		if err := json.Unmarshal(record.Data, &data); err != nil {
			return nil, fmt.Errorf("pod %s: %w", record.Host, err)
		}
		if parts := strings.Split(data.Node, "/"); len(parts) > 1 { // an id, <lab>/<host>/<incarnation>
			data.Node = parts[1]
		}
		if !slices.ContainsFunc(first, func(p pod) bool { return p.Node == data.Node }) {
			first = append(first, pod{record.Host, data.Node})
		}
	}
	if len(first) == 0 {
		return nil, errors.New("pods: needs at least 1, got 0; run `make up`")
	}
	return first, nil
}

// load sends a load from a pod, with the pod's name server and the lab's authority. progress (may be nil) gets a line every second.
func (t Target) load(ctx context.Context, from pod, spec load.Spec, progress io.Writer) (load.Result, error) {
	conf, err := t.resolvConf(from)
	if err != nil {
		return load.Result{}, err
	}
	spec.Resolver = conf.nameserver
	spec.CAFile = t.Lab.Path("pki", pki.CertificateFile)
	return load.RunIn(ctx, labid.Netns(t.Lab.ID, from.Host), spec, progress, t.Labd, "load")
}

// resolvConf is what a pod's /etc/resolv.conf says, as far as the demo needs it.
type resolvConf struct {
	nameserver string
	searches   []string
}

func (t Target) resolvConf(p pod) (resolvConf, error) {
	text, err := os.ReadFile(filepath.Join(t.Lab.HostDir(p.Host), "etc", "resolv.conf"))
	if err != nil {
		return resolvConf{}, err
	}
	return parseResolvConf(string(text))
}

func parseResolvConf(text string) (resolvConf, error) {
	var conf resolvConf
	for line := range strings.Lines(text) {
		fields := strings.Fields(line)
		switch {
		case len(fields) < 2:
		case fields[0] == "nameserver" && conf.nameserver == "":
			conf.nameserver = fields[1]
		case fields[0] == "search":
			conf.searches = fields[1:]
		}
	}
	if conf.nameserver == "" {
		return conf, fmt.Errorf("resolv.conf: needs a nameserver, got %q", text)
	}
	return conf, nil
}

// SampleHost is a name that a destination stands for: its first host, with a label in place of a wildcard.
func SampleHost(d destinations.Destination) string {
	if suffix, wildcard := strings.CutPrefix(d.Hosts[0], "*"); wildcard {
		return "any" + suffix
	}
	return d.Hosts[0]
}

// usable returns the destinations of some routes whose partner knows our public IPs.
func (t Target) usable(routes ...destinations.Route) []destinations.Destination {
	return slices.DeleteFunc(destinations.ByRoute(t.Stack.Destinations, routes...), func(d destinations.Destination) bool {
		return d.Partner != "" && slices.Contains(t.Stack.Lab.StalePartners, d.Partner)
	})
}

// healthy returns an error unless every part of the lab works.
func (t Target) healthy(ctx context.Context) error {
	report, err := status.Look(ctx, t.Lab)
	if err != nil {
		return fmt.Errorf("%w; run `make up`", err)
	}
	var problems []string
	for _, host := range report.Hosts {
		for _, problem := range host.Problems {
			problems = append(problems, host.Name+": "+problem)
		}
	}
	if len(problems) > 0 {
		return fmt.Errorf("lab %s: must be healthy, got\n  %s\nrun `make up` to repair it", t.Lab.ID, strings.Join(problems, "\n  "))
	}
	return nil
}
