package main

import (
	"fmt"
	"math"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/sallyport/sallyport/components/capacity"
	"github.com/sallyport/sallyport/components/stack"
	"github.com/sallyport/sallyport/proxyimage/monitoring"
)

const monitoringLong = `Write Prometheus alert rules and a Grafana dashboard for the proxies of a stack.

The thresholds follow from the stack's plan: an alert for each destination at a share of the ports that its plan says there
are, and alerts for the proxies at the same share of what one is planned to take. The two files are written anew each time:
sallyport-<stack>.rules.yaml and sallyport-<stack>.dashboard.json.

Examples:
  sallyport monitoring --stack local --out monitoring
  sallyport monitoring --file stacks/Pulumi.local.yaml --out . --share 0.7

`

func newMonitoringCommand() *cobra.Command {
	var stackName, file, out string
	var share float64
	command := &cobra.Command{
		Use:   "monitoring",
		Short: "Write Prometheus alert rules and a Grafana dashboard with thresholds from the plan",
		Long:  monitoringLong + exitCodes,
		Args:  cobra.NoArgs,
	}
	set := command.Flags()
	set.SortFlags = false
	set.StringVar(&stackName, "stack", "", "use stacks/Pulumi.`NAME`.yaml of the project around the working directory")
	set.StringVar(&file, "file", "", "use the stack file at `PATH`")
	set.StringVar(&out, "out", "", "write into `DIR`, which is made if need be")
	set.Float64Var(&share, "share", 0.8, "share of a ceiling at which to warn, above 0 and at most 1")
	_ = command.MarkFlagRequired("out") // the flag is there
	command.RunE = func(command *cobra.Command, _ []string) error {
		path, err := (&planFlags{stack: stackName, file: file}).path()
		if err != nil {
			return err
		}
		if path == "" {
			return fmt.Errorf("--stack: is required; give it or --file")
		}
		s, err := stack.ReadFile(path)
		if err != nil {
			return fmt.Errorf("%s cannot be used\n%w", path, err)
		}
		plan, err := s.Plan()
		if err != nil {
			return fmt.Errorf("no plan carries this demand\n%w", err)
		}
		name := stackName
		if name == "" {
			name = stackOf(path)
		}
		values, err := monitoringValues(name, s, plan)
		if err != nil {
			return err
		}
		if !(share > 0 && share <= 1) {
			return fmt.Errorf("--share: must be above 0 and at most 1, got %g", share)
		}
		values.Share = share
		return writeMonitoring(command, out, values)
	}
	return command
}

// stackOf returns the stack's name as the name of its file says it: Pulumi.<stack>.yaml.
func stackOf(path string) string {
	name := filepath.Base(path)
	name = name[:len(name)-len(filepath.Ext(name))]
	if len(name) > len("Pulumi.") && name[:len("Pulumi.")] == "Pulumi." {
		name = name[len("Pulumi."):]
	}
	return name
}

// monitoringValues takes from a plan what the thresholds follow from.
func monitoringValues(name string, s *stack.Stack, plan capacity.Plan) (monitoring.Values, error) {
	if plan.Proxies.Total == 0 {
		return monitoring.Values{}, fmt.Errorf("stack %s: sallyport:destinations: needs a destination with route proxy or pool to have proxies to watch; the NAT's alarms are the program's", name)
	}
	v := monitoring.Values{
		Stack: name, Proxies: plan.Proxies.Total, Needed: plan.Proxies.Total - *s.Proxies.SparePerZone*len(s.Cluster.Zones),
		ConnectionsPerSecond: s.Proxies.ConnectionsPerSecond, MaxConnections: s.Proxies.MaxConnections,
	}
	for _, m := range plan.Margins {
		if m.Via == capacity.ViaProxy {
			v.Destinations = append(v.Destinations, monitoring.Destination{Name: m.Destination, Ceiling: m.Ceiling, Planned: math.Round(m.Load*10) / 10})
		}
	}
	return v, nil
}

// writeMonitoring writes both files and says where they are.
func writeMonitoring(command *cobra.Command, out string, v monitoring.Values) error {
	rules, err := monitoring.Rules(v)
	if err != nil {
		return err
	}
	board, err := monitoring.Dashboard(v)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(out, 0o755); err != nil {
		return fmt.Errorf("--out: %w", err)
	}
	for _, file := range []struct{ suffix, text string }{{"rules.yaml", rules}, {"dashboard.json", board}} {
		path := filepath.Join(out, "sallyport-"+v.Stack+"."+file.suffix)
		if err := os.WriteFile(path, []byte(file.text), 0o644); err != nil {
			return fmt.Errorf("--out: %w", err)
		}
		if _, err := fmt.Fprintln(command.OutOrStdout(), path); err != nil {
			return err
		}
	}
	return nil
}
