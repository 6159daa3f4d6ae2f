package monitoring

import (
	"bytes"
	"encoding/json"
	"fmt"
)

// Grafana's JSON model, as far as it is used. Schema version 39 is that of Grafana 10.4; later ones read it.
type (
	dashboard struct {
		UID           string         `json:"uid"`
		Title         string         `json:"title"`
		Tags          []string       `json:"tags"`
		Timezone      string         `json:"timezone"`
		SchemaVersion int            `json:"schemaVersion"`
		Refresh       string         `json:"refresh"`
		Time          map[string]any `json:"time"`
		Templating    map[string]any `json:"templating"`
		Panels        []panel        `json:"panels"`
	}
	panel struct {
		ID          int            `json:"id"`
		Type        string         `json:"type"`
		Title       string         `json:"title"`
		Description string         `json:"description,omitempty"`
		GridPos     map[string]int `json:"gridPos"`
		Datasource  *datasource    `json:"datasource,omitempty"`
		FieldConfig map[string]any `json:"fieldConfig,omitempty"`
		Targets     []target       `json:"targets,omitempty"`
	}
	datasource struct {
		Type string `json:"type"`
		UID  string `json:"uid"`
	}
	target struct {
		RefID  string `json:"refId"`
		Expr   string `json:"expr"`
		Legend string `json:"legendFormat"`
	}
)

// chart is a panel before it has a place.
type chart struct {
	title, description, unit string
	queries                  [][2]string // expression and legend
	warn, limit              float64     // lines across; 0 for none
}

// Dashboard returns a Grafana dashboard as JSON. The same values give the same text.
func Dashboard(v Values) (string, error) {
	v, err := v.prepare()
	if err != nil {
		return "", err
	}
	d := dashboard{
		UID: fmt.Sprintf("sallyport-%.30s", v.Stack), Title: "Sallyport " + v.Stack, Tags: []string{"sallyport"}, Timezone: "browser",
		SchemaVersion: 39, Refresh: "30s", Time: map[string]any{"from": "now-3h", "to": "now"},
		Templating: map[string]any{"list": []any{map[string]any{"name": "datasource", "type": "datasource", "query": "prometheus", "label": "Data source"}}},
	}
	d.row("Fleet", v.fleetCharts())
	d.row("Destinations", destinationCharts())
	d.row("Source ports towards each destination, busiest address", v.portCharts())
	d.row("What the proxies go by", configurationCharts())
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(d); err != nil {
		return "", fmt.Errorf("monitoring: dashboard: %w", err)
	}
	return out.String(), nil
}

// row adds a heading and charts below it, three side by side.
func (d *dashboard) row(title string, charts []chart) {
	if len(charts) == 0 {
		return
	}
	const width, height = 8, 8
	top := 0
	for _, p := range d.Panels {
		top = max(top, p.GridPos["y"]+p.GridPos["h"])
	}
	d.Panels = append(d.Panels, panel{ID: len(d.Panels) + 1, Type: "row", Title: title, GridPos: map[string]int{"x": 0, "y": top, "w": 24, "h": 1}})
	for i, c := range charts {
		p := panel{
			ID: len(d.Panels) + 1, Type: "timeseries", Title: c.title, Description: c.description,
			GridPos:     map[string]int{"x": i % 3 * width, "y": top + 1 + i/3*height, "w": width, "h": height},
			Datasource:  &datasource{Type: "prometheus", UID: "${datasource}"},
			FieldConfig: c.fields(),
		}
		for j, q := range c.queries {
			p.Targets = append(p.Targets, target{RefID: string(rune('A' + j)), Expr: q[0], Legend: q[1]})
		}
		d.Panels = append(d.Panels, p)
	}
}

// fields says how a chart's values look, and where its lines are.
func (c chart) fields() map[string]any {
	defaults := map[string]any{"unit": c.unit, "min": 0}
	if c.warn > 0 {
		defaults["thresholds"] = map[string]any{"mode": "absolute", "steps": []any{
			map[string]any{"color": "green", "value": nil}, map[string]any{"color": "orange", "value": c.warn}, map[string]any{"color": "red", "value": c.limit},
		}}
		defaults["custom"] = map[string]any{"thresholdsStyle": map[string]any{"mode": "line"}}
	}
	return map[string]any{"defaults": defaults, "overrides": []any{}}
}

func (v Values) fleetCharts() []chart {
	held := float64(v.MaxConnections)
	return []chart{
		{title: "Proxies that serve", description: fmt.Sprintf("The planned peak needs %d of %d.", v.Needed, v.Proxies), unit: "short",
			queries: [][2]string{{"sum(sallyport_haproxy_up)", "proxies"}, {"min(sum by (instance) (sallyport_proxy_healthy))", "healthy as the worst node sees them"}}},
		{title: "New connections", unit: "cps", warn: v.Share * v.ConnectionsPerSecond, limit: v.ConnectionsPerSecond,
			queries: [][2]string{{"sum by (instance) (rate(sallyport_connections_total[$__rate_interval]))", "{{instance}}"}}},
		{title: "Open connections", unit: "short", warn: v.Share * held, limit: held,
			queries: [][2]string{{"max by (instance) (sallyport_haproxy_sessions)", "{{instance}}"}}},
		{title: "HAProxy's idle time", unit: "percentunit", queries: [][2]string{{"sallyport_haproxy_idle_ratio", "{{instance}}"}}},
		{title: "HAProxy's memory", unit: "bytes", queries: [][2]string{{"sallyport_haproxy_memory_bytes", "{{instance}}"}}},
		{title: "Restarts and failed reloads", unit: "short", queries: [][2]string{
			{"increase(sallyport_haproxy_restarts_total[$__rate_interval])", "restarts {{instance}}"},
			{`increase(sallyport_haproxy_reloads_total{result="failed"}[$__rate_interval])`, "failed reloads {{instance}}"}}},
	}
}

func destinationCharts() []chart {
	return []chart{
		{title: "Connections", unit: "cps", queries: [][2]string{{"sum by (destination) (rate(sallyport_connections_total[$__rate_interval]))", "{{destination}}"}}},
		{title: "Refusals", unit: "cps", queries: [][2]string{
			{"sum by (reason, destination) (rate(sallyport_refusals_total[$__rate_interval])) > 0", "{{reason}} {{destination}}"},
			{"sum by (reason, destination) (rate(sallyport_would_refuse_total[$__rate_interval])) > 0", "would refuse: {{reason}} {{destination}}"}}},
		{title: "Not accepted by the destination", unit: "cps", queries: [][2]string{{"sum by (destination) (rate(sallyport_connect_failures_total[$__rate_interval])) > 0", "{{destination}}"}}},
		{title: "Traffic", unit: "Bps", queries: [][2]string{{"sum by (destination, direction) (rate(sallyport_bytes_total[$__rate_interval]))", "{{destination}} {{direction}}"}}},
		{title: "Time to connect, median", unit: "s", queries: [][2]string{{"histogram_quantile(0.5, sum by (destination, le) (rate(sallyport_connect_seconds_bucket[$__rate_interval])))", "{{destination}}"}}},
		{title: "Time to connect, 99 of 100", unit: "s", queries: [][2]string{{"histogram_quantile(0.99, sum by (destination, le) (rate(sallyport_connect_seconds_bucket[$__rate_interval])))", "{{destination}}"}}},
	}
}

func (v Values) portCharts() []chart {
	var all []chart
	for _, d := range v.Destinations {
		all = append(all, chart{
			title: d.Name, description: fmt.Sprintf("Each source address has %d ports; the plan expects %.0f in use at peak and warns at %d.", d.Ceiling, d.Planned, v.warnAt(d)),
			unit: "short", warn: float64(v.warnAt(d)), limit: float64(d.Ceiling),
			queries: [][2]string{{fmt.Sprintf("max by (instance, source) (sallyport_source_ports_in_use%s)", selector(d)), "{{source}}"}},
		})
	}
	return all
}

func configurationCharts() []chart {
	return []chart{
		{title: "Routes document in force", unit: "none", queries: [][2]string{{"sallyport_routes_serial", "serial {{instance}}"}, {"sallyport_routes_problem", "problem {{instance}}"}}},
		{title: "Age of DNS answers", unit: "s", queries: [][2]string{{"max by (destination, host) (sallyport_resolve_age_seconds)", "{{host}}"}}},
		{title: "Addresses dropped", unit: "short", queries: [][2]string{{`max by (destination, host) (sallyport_resolve_addresses{verdict="refused"}) > 0`, "{{host}}"}}},
	}
}
