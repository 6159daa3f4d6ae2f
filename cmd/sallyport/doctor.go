package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/sallyport/sallyport/components/capacity"
	"github.com/sallyport/sallyport/components/stack"
	"github.com/sallyport/sallyport/doctor"
	"github.com/sallyport/sallyport/doctor/awsmetrics"
	"github.com/sallyport/sallyport/doctor/gcpmetrics"
	"github.com/sallyport/sallyport/doctor/prommetrics"
	"github.com/sallyport/sallyport/internal/clock"
)

const doctorLong = `Say how close a running stack is to its ceilings, what the plan predicted, and what to change in the stack file.

Reads the figures of the NAT gateways and of the proxies over a window: on AWS from CloudWatch, on GCP those of Cloud NAT from
Cloud Monitoring. With --prometheus, those of the proxies come from a Prometheus that scrapes them instead; that works on every
cloud, and in stack local. Which gateways and proxies there are comes from the stack's outputs.

Takes cloudwatch:GetMetricData on AWS, monitoring.timeSeries.list on GCP, and no other permission.

Examples:
  sallyport doctor --stack aws-prod
  sallyport doctor --stack aws-prod --window 7d --json
  sallyport doctor --stack gcp-prod --prometheus http://prometheus.monitoring.svc:9090

`

// doctorFlags say what to look at.
type doctorFlags struct {
	stack, file, window, until, prometheus string
	gateways                               map[string]string
	all, json                              bool
}

func newDoctorCommand() *cobra.Command {
	var f doctorFlags
	command := &cobra.Command{
		Use:   "doctor",
		Short: "Compare what a running stack carries with its plan; exit code 0 if all is well, 1 if there is a finding, 2 on errors",
		Long:  doctorLong + exitCodes,
		Args:  cobra.NoArgs,
	}
	set := command.Flags()
	set.SortFlags = false
	set.StringVar(&f.stack, "stack", "", "look at stack `NAME`: stacks/Pulumi.NAME.yaml and its outputs")
	set.StringVar(&f.file, "file", "", "read the stack file at `PATH` instead")
	set.StringVar(&f.window, "window", "24h", "how far to look back: 90m, 24h, 7d; at most 455d")
	set.StringVar(&f.until, "until", "", "look back from `TIME` (RFC 3339) instead of now")
	set.StringToStringVar(&f.gateways, "gateway", nil, "gateways instead of those in the outputs: `zone=nat-...` on AWS, name=name on GCP")
	set.StringVar(&f.prometheus, "prometheus", "", "read the proxies' figures from the Prometheus at `URL`")
	set.BoolVar(&f.all, "all", false, "print the figures of proxies that are ok as well")
	set.BoolVar(&f.json, "json", false, "print the report as JSON, with all figures")
	_ = command.MarkFlagRequired("stack") // the flag is there
	command.RunE = func(command *cobra.Command, _ []string) error {
		in, err := f.examine(command)
		if err != nil {
			return err
		}
		return printReport(command, doctor.Examine(in), f)
	}
	return command
}

func printReport(command *cobra.Command, r doctor.Report, f doctorFlags) error {
	out := command.OutOrStdout()
	var err error
	if f.json {
		encoder := json.NewEncoder(out)
		encoder.SetIndent("", "  ")
		encoder.SetEscapeHTML(false)
		err = encoder.Encode(r)
	} else {
		_, err = io.WriteString(out, r.Text(f.all))
	}
	if err != nil || r.Findings == 0 {
		return err
	}
	return exitError{code: 1}
}

// examine puts together what a report is made of.
func (f doctorFlags) examine(command *cobra.Command) (doctor.Input, error) {
	file, err := f.file, error(nil)
	if file == "" {
		file, err = stackFile(f.stack)
	}
	if err != nil {
		return doctor.Input{}, err
	}
	s, err := stack.ReadFile(file)
	if err != nil {
		return doctor.Input{}, fmt.Errorf("%s cannot be used\n%w", file, err)
	}
	plan, err := s.Plan()
	if err != nil {
		return doctor.Input{}, fmt.Errorf("no plan carries this demand\n%w", err)
	}
	window, now, err := f.lookBack()
	if err != nil {
		return doctor.Input{}, err
	}
	if s.Cloud == stack.CloudLocal && f.prometheus == "" {
		return doctor.Input{}, fmt.Errorf("--prometheus: is required with cloud local, which has no metrics of its own; give it, or use `sallyport lab status`")
	}
	e, err := f.endpoints(command)
	if err != nil {
		return doctor.Input{}, err
	}
	// Metrics carry the stack's own name, without organisation and project.
	in := doctor.Input{Stack: path.Base(f.stack), Settings: s, Plan: plan, Window: window}
	in.Measured, err = f.measure(command.Context(), in, e, now)
	return in, err
}

// longest is how long CloudWatch keeps anything: 455 days. "Amazon CloudWatch user guide", "Metrics retention", 2026-09.
const longest = 455 * 24 * time.Hour

// lookBack returns the window, in whole minutes, and the time it is now.
func (f doctorFlags) lookBack() (doctor.Window, time.Time, error) {
	now, err := clock.Now()
	if err != nil {
		return doctor.Window{}, now, err
	}
	length, err := parseWindow(f.window)
	if err != nil || length < 5*time.Minute || length > longest {
		return doctor.Window{}, now, fmt.Errorf("--window: must be from 5m to 455d, got %q; write for example 24h or 7d", f.window)
	}
	to := now
	if f.until != "" {
		if to, err = time.Parse(time.RFC3339, f.until); err != nil || to.After(now) {
			return doctor.Window{}, now, fmt.Errorf("--until: must be a time that has been, got %q; write for example %s", f.until, now.Add(-time.Hour).Format(time.RFC3339))
		}
	}
	to = to.UTC().Truncate(time.Minute)
	return doctor.Window{From: to.Add(-length), To: to}, now, nil
}

// parseWindow reads a duration that may be in days.
func parseWindow(text string) (time.Duration, error) {
	if days, ok := strings.CutSuffix(text, "d"); ok {
		length, err := time.ParseDuration(days + "h")
		return 24 * length, err
	}
	return time.ParseDuration(text)
}

// endpoints are what the stack's output of that name says of gateways and proxies.
type endpoints struct {
	Gateways map[string]gatewayID `json:"gateways"`
	Proxies  []struct {
		Name    string `json:"name"`
		Zone    string `json:"zone"`
		Mode    string `json:"mode"`
		Address string `json:"address"`
	} `json:"proxies"`
}

// gatewayID is what the cloud calls a gateway: written as it is on GCP, and as the id of an object on AWS.
type gatewayID string

// UnmarshalJSON implements json.Unmarshaler.
func (g *gatewayID) UnmarshalJSON(data []byte) error {
	if json.Unmarshal(data, (*string)(g)) == nil {
		return nil
	}
	var object struct {
		ID string `json:"id"`
	}
	err := json.Unmarshal(data, &object)
	*g = gatewayID(object.ID)
	return err
}

// endpoints reads the stack's output. Without one, gateways named by flag are enough to go on.
func (f doctorFlags) endpoints(command *cobra.Command) (endpoints, error) {
	var e endpoints
	data, err := stackOutput(command, f.stack, "endpoints")
	if err != nil {
		if len(f.gateways) == 0 {
			return e, fmt.Errorf("%w\nname the gateways with --gateway to go on without the stack's outputs", err)
		}
		return e, nil
	}
	if err := json.Unmarshal(data, &e); err != nil {
		return e, fmt.Errorf("the output endpoints cannot be read: %w; run `pulumi up` with this release", err)
	}
	return e, nil
}

// gatewayList are the gateways by name, those of the flags instead of those of the outputs.
func (e endpoints) gatewayList(flags map[string]string) []doctor.Gateway {
	ids := maps.Clone(flags)
	if len(ids) == 0 {
		ids = map[string]string{}
		for name, g := range e.Gateways {
			ids[name] = string(g)
		}
	}
	var all []doctor.Gateway
	for _, name := range slices.Sorted(maps.Keys(ids)) {
		all = append(all, doctor.Gateway{Name: name, ID: ids[name]})
	}
	return all
}

// slots are the proxies with the mode that the outputs say they are in: active, elastic, reserved.
func (e endpoints) slots() []doctor.Slot {
	var all []doctor.Slot
	for _, p := range e.Proxies {
		all = append(all, doctor.Slot{Name: p.Name, Zone: p.Zone, Elastic: p.Mode == "elastic", Idle: p.Mode == "reserved"})
	}
	return all
}

// measure reads the figures from where they are.
func (f doctorFlags) measure(ctx context.Context, in doctor.Input, e endpoints, now time.Time) (doctor.Measured, error) {
	var proxied []doctor.Destination
	for _, m := range in.Plan.Margins {
		if m.Via == capacity.ViaProxy {
			proxied = append(proxied, doctor.Destination{Name: m.Destination})
		}
	}
	fleet := doctor.Measured{Slots: e.slots(), Destinations: proxied}
	if f.prometheus != "" {
		addresses := map[string]string{}
		for _, p := range e.Proxies {
			addresses[p.Name] = p.Address
		}
		var err error
		if fleet, err = prommetrics.Read(ctx, prommetrics.Source{URL: f.prometheus, Slots: fleet.Slots, Addresses: addresses, Destinations: proxied}, in.Window); err != nil {
			return doctor.Measured{}, err
		}
	}
	switch in.Settings.Cloud {
	case stack.CloudAWS:
		source := awsmetrics.Source{Stack: in.Stack, Region: in.Settings.AWS.Region, Gateways: e.gatewayList(f.gateways)}
		if f.prometheus == "" {
			source.Slots, source.Destinations = fleet.Slots, fleet.Destinations
		}
		m := awsmetrics.Read(ctx, source, in.Window, now)
		if f.prometheus == "" {
			return m, nil
		}
		fleet.Gateways, fleet.Problems = m.Gateways, append(fleet.Problems, m.Problems...)
	case stack.CloudGCP:
		m := gcpmetrics.Read(ctx, gcpmetrics.Source{Project: in.Settings.GCP.Project, Region: in.Settings.GCP.Region, Gateways: e.gatewayList(f.gateways)}, in.Window)
		fleet.Gateways, fleet.Problems = m.Gateways, append(fleet.Problems, m.Problems...)
		if f.prometheus == "" && len(proxied) > 0 {
			fleet.Problems = append(fleet.Problems, "the proxies on GCP: their figures are where they are scraped; give --prometheus")
		}
	}
	return fleet, nil
}
