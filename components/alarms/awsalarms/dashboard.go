package awsalarms

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"strings"

	"github.com/sallyport/sallyport/components/capacity"
)

// widget is one rectangle of the dashboard. CloudWatch API, "Dashboard body structure and syntax", 2026.
type widget struct {
	Type       string         `json:"type"`
	X          int            `json:"x"`
	Y          int            `json:"y"`
	Width      int            `json:"width"`
	Height     int            `json:"height"`
	Properties map[string]any `json:"properties"`
}

// columns is the width of a dashboard; charts stand three in a row.
const columns, chartWidth, chartHeight = 24, 8, 6

// board places widgets from the top left.
type board struct {
	widgets []widget
	x, y    int
}

// text puts Markdown across the whole width.
func (b *board) text(markdown string, height int) {
	b.newRow()
	b.widgets = append(b.widgets, widget{"text", 0, b.y, columns, height, map[string]any{"markdown": markdown}})
	b.y += height
}

func (b *board) newRow() {
	if b.x > 0 {
		b.x, b.y = 0, b.y+chartHeight
	}
}

// line is a horizontal line across a chart.
type line struct {
	label string
	value float64
}

// chart puts a chart into the next place.
func (b *board) chart(region, title, statistic string, metrics []any, lines ...line) {
	properties := map[string]any{"region": region, "title": title, "view": "timeSeries", "stat": statistic, "period": 60, "metrics": metrics, "yAxis": map[string]any{"left": map[string]any{"min": 0}}}
	var annotations []any
	for _, l := range lines {
		annotations = append(annotations, map[string]any{"label": l.label, "value": l.value})
	}
	if annotations != nil {
		properties["annotations"] = map[string]any{"horizontal": annotations}
	}
	b.widgets = append(b.widgets, widget{"metric", b.x, b.y, chartWidth, chartHeight, properties})
	if b.x += chartWidth; b.x == columns {
		b.newRow()
	}
}

// dashboard is the dashboard's body as JSON; gateways has the ids by zone. The same values give the same text.
func (args *AlarmsArgs) dashboard(gateways map[string]string) (string, error) {
	b := &board{}
	b.text(args.planTable(), 3+min(len(args.Plan.Margins), 12)/2)
	if len(args.Gateways) > 0 {
		args.natCharts(b, gateways)
	}
	if len(args.Slots) > 0 {
		args.fleetCharts(b)
	}
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	err := encoder.Encode(map[string]any{"widgets": b.widgets})
	return strings.TrimSpace(out.String()), err
}

// planTable shows what the plan expects, for comparison.
func (args *AlarmsArgs) planTable() string {
	var text strings.Builder
	fmt.Fprintf(&text, "# Sallyport %s\n\nWhat the plan expects at peak. `sallyport doctor --stack %s` compares it with what happens.\n\n", args.Stack, args.Stack)
	text.WriteString("destination | leaves by | ports in use at the busiest IP | ceiling | warned at\n---|---|---|---|---\n")
	for _, m := range args.Plan.Margins {
		fmt.Fprintf(&text, "%s | %s | %.0f | %d | %.0f\n", m.Destination, m.Via, m.Load, m.Ceiling, math.Floor(args.Share*float64(m.Ceiling)))
	}
	return text.String()
}

// natCharts show the gateways.
func (args *AlarmsArgs) natCharts(b *board, gateways map[string]string) {
	each := func(name string) []any {
		var metrics []any
		for _, g := range args.Gateways {
			metrics = append(metrics, []any{natNamespace, name, "NatGatewayId", gateways[g.Zone], map[string]any{"label": g.Zone}})
		}
		return metrics
	}
	ceiling := float64(args.Plan.Nat.IPsPerZone * capacity.PortsPerGatewayIP)
	b.newRow()
	b.chart(args.Region, "NAT: connections, all destinations", "Maximum", each("ActiveConnectionCount"),
		line{"ceiling for one destination", ceiling}, line{"warned at", args.Share * ceiling})
	b.chart(args.Region, "NAT: connections that found no port", "Sum", each("ErrorPortAllocation"))
	b.chart(args.Region, "NAT: new connections a minute", "Sum", each("ConnectionAttemptCount"),
		line{"planned for one destination", float64(args.Plan.Nat.IPsPerZone * capacity.RatePerGatewayIP * 60)})
}

// fleetCharts show the proxies.
func (args *AlarmsArgs) fleetCharts(b *board) {
	search := func(dimensions, name, statistic string) []any {
		expression := fmt.Sprintf("SEARCH('{%s,%s} Stack=\"%s\" MetricName=\"%s\"', '%s', 60)", fleetNamespace, dimensions, args.Stack, name, statistic)
		return []any{[]any{map[string]any{"expression": expression, "id": "e1"}}}
	}
	b.newRow()
	b.chart(args.Region, "Proxies: ready", "Minimum", search("Slot,Stack", "Ready", "Minimum"))
	b.chart(args.Region, "Proxies: connections", "Maximum", search("Slot,Stack", "Connections", "Maximum"),
		line{"planned for one proxy", float64(args.MaxConnections)}, line{"warned at", args.Share * float64(args.MaxConnections)})
	b.chart(args.Region, "Proxies: new connections a second", "Maximum", search("Slot,Stack", "ConnectionsPerSecond", "Maximum"),
		line{"planned for one proxy", args.ConnectionsPerSecond})
	b.chart(args.Region, "Destinations: ports in use, busiest IP", "Maximum", search("Destination,Stack", "SourcePortsInUse", "Maximum"),
		line{"ceiling", capacity.PortsPerProxyIP}, line{"warned at", math.Floor(args.Share * capacity.PortsPerProxyIP)})
	b.chart(args.Region, "Destinations: connections that failed", "Sum", search("Destination,Stack", "ConnectFailures", "Sum"))
	b.chart(args.Region, "Zones: bytes a second", "Sum", search("Stack,Zone", "BytesPerSecond", "Sum"))
	b.chart(args.Region, "Routes document: serial in force", "Minimum", []any{
		[]any{fleetNamespace, "RoutesSerial", "Stack", args.Stack, map[string]any{"stat": "Minimum", "label": "oldest"}},
		[]any{fleetNamespace, "RoutesSerial", "Stack", args.Stack, map[string]any{"stat": "Maximum", "label": "newest"}},
	})
}
