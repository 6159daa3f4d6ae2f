// Package prommetrics reads from a Prometheus that scrapes the proxies what doctor compares with the plan. It works on every cloud
// and for stack local; anything that answers Prometheus's query API will do.
//
// Proxies are told from others by their address: the instance label must begin with it, as it does unless it is rewritten.
package prommetrics

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sallyport/sallyport/doctor"
	"github.com/sallyport/sallyport/preflight"
)

// Source says what to read.
type Source struct {
	// URL is the server, http or https, with the path under which it is served, if any. SALLYPORT_PROMETHEUS_TOKEN is sent as a
	// bearer token if it is set.
	URL string
	// Slots: Name, Zone, Elastic and Idle are read. Addresses are their private addresses by name.
	Slots     []doctor.Slot
	Addresses map[string]string
	// Destinations are the proxied ones: Name is read.
	Destinations []doctor.Destination
}

// timeout bounds one query.
const timeout = 30 * time.Second

// Read returns the figures of a window. A query that brought no answer is among the problems of the result; the error is that of a
// URL that is none.
func Read(ctx context.Context, s Source, w doctor.Window) (doctor.Measured, error) {
	base, err := url.Parse(s.URL)
	if err != nil || base.Host == "" || base.Scheme != "http" && base.Scheme != "https" {
		return doctor.Measured{}, fmt.Errorf("--prometheus: must be a URL with http or https, got %q", s.URL)
	}
	m := doctor.Measured{Slots: slices.Clone(s.Slots), Destinations: slices.Clone(s.Destinations)}
	if len(m.Slots) == 0 {
		return m, nil
	}
	r := &reader{url: base.JoinPath("api/v1/query"), window: w, http: &http.Client{Timeout: timeout}, selector: selector(s.Addresses)}
	for _, q := range r.queries(&m, s.Addresses) {
		samples, err := r.query(ctx, q.text)
		if err != nil {
			m.Problems = append(m.Problems, fmt.Sprintf("prometheus %s: %v", base.Host, err))
			return m, nil // the others would say the same
		}
		for _, sample := range samples {
			q.take(sample)
		}
	}
	quiet(&m)
	return m, nil
}

// quiet fills in counters that do not exist before the first event, of proxies and destinations that are heard of.
func quiet(m *doctor.Measured) {
	for i := range m.Destinations {
		if d := &m.Destinations[i]; d.PerSecond.Known {
			d.Failures.Add(0)
		}
	}
	if slices.ContainsFunc(m.Slots, func(s doctor.Slot) bool { return s.Connections.Known }) {
		m.Fleet.Refusals.Add(0)
		m.Fleet.Restarts.Add(0)
	}
}

// selector matches the series of the proxies by their addresses, with any port.
func selector(addresses map[string]string) string {
	var patterns []string
	for _, name := range slices.Sorted(maps.Keys(addresses)) {
		if address := addresses[name]; address != "" {
			patterns = append(patterns, regexp.QuoteMeta(address))
		}
	}
	if len(patterns) == 0 {
		return ""
	}
	return "{instance=~" + strconv.Quote("("+strings.Join(patterns, "|")+")(:[0-9]+)?") + "}"
}

// sample is one value of an answer.
type sample struct {
	labels map[string]string
	value  float64
}

// question is a query and what is done with each of its values.
type question struct {
	text string
	take func(sample)
}

// queries are all there are. The window is a range of every one; what is summed over proxies before the highest is looked for is a
// subquery of a value a minute.
func (r *reader) queries(m *doctor.Measured, addresses map[string]string) []question {
	destination := func(set func(*doctor.Destination, float64)) func(sample) {
		return func(s sample) {
			for _, name := range strings.Split(s.labels["destination"], ",") { // an address that several share
				for i := range m.Destinations {
					if m.Destinations[i].Name == name {
						set(&m.Destinations[i], s.value)
					}
				}
			}
		}
	}
	slot := func(set func(*doctor.Slot, float64)) func(sample) {
		return func(s sample) {
			host, _, _ := strings.Cut(s.labels["instance"], ":")
			for i := range m.Slots {
				if addresses[m.Slots[i].Name] == host {
					set(&m.Slots[i], s.value)
				}
			}
		}
	}
	none := time.Time{} // a query tells no time of the highest
	in, over := r.selector, fmt.Sprintf("[%ds]", int(r.window.To.Sub(r.window.From).Seconds()))
	minutes := strings.TrimSuffix(over, "]") + ":1m]"
	return []question{
		{"max by (destination) (max_over_time(sallyport_source_ports_in_use" + in + over + "))",
			destination(func(d *doctor.Destination, v float64) { d.Ports.Raise(v, none) })},
		{"max_over_time(sum by (destination) (rate(sallyport_connections_total" + in + "[5m]))" + minutes + ")",
			destination(func(d *doctor.Destination, v float64) { d.PerSecond.Raise(v, none) })},
		{"sum by (destination) (increase(sallyport_connect_failures_total" + in + over + "))",
			destination(func(d *doctor.Destination, v float64) { d.Failures.Add(v) })},
		{"max by (instance) (max_over_time(sallyport_haproxy_sessions" + in + over + "))",
			slot(func(s *doctor.Slot, v float64) { s.Connections.Raise(v, none) })},
		{"max_over_time(sum by (instance) (rate(sallyport_connections_total" + in + "[5m]))" + minutes + ")",
			slot(func(s *doctor.Slot, v float64) { s.PerSecond.Raise(v, none) })},
		{"100 * (1 - min by (instance) (min_over_time(sallyport_haproxy_idle_ratio" + in + over + ")))",
			slot(func(s *doctor.Slot, v float64) { s.Busy.Raise(v, none) })},
		{"sum_over_time(max by (instance) (sallyport_haproxy_up" + in + ")" + minutes + ")",
			slot(func(s *doctor.Slot, v float64) { s.ReadyMinutes.Add(v) })},
		{"max_over_time(timestamp(max by (instance) (sallyport_haproxy_up" + in + ") == 1)" + minutes + ")",
			slot(func(s *doctor.Slot, v float64) { s.LastReady = time.Unix(int64(v), 0).UTC() })},
		{"sum(increase(sallyport_refusals_total" + in + over + "))", func(s sample) { m.Fleet.Refusals.Add(s.value) }},
		{"sum(increase(sallyport_haproxy_restarts_total" + in + over + "))", func(s sample) { m.Fleet.Restarts.Add(s.value) }},
		{"max(max_over_time(sallyport_routes_problem" + in + over + "))", func(s sample) { m.Fleet.RoutesProblem.Raise(s.value, none) }},
	}
}

// reader asks.
type reader struct {
	url      *url.URL
	window   doctor.Window
	http     *http.Client
	selector string
}

// maxAnswer bounds what is read of one answer: a value for each of some thousands of series takes less than a megabyte.
const maxAnswer = 16 << 20

// query asks one question as of the end of the window.
func (r *reader) query(ctx context.Context, text string) ([]sample, error) {
	form := url.Values{"query": {text}, "time": {strconv.FormatInt(r.window.To.Unix(), 10)}, "timeout": {"25s"}}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, r.url.String(), strings.NewReader(form.Encode()))
	if err != nil {
		return nil, err
	}
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if token := os.Getenv("SALLYPORT_PROMETHEUS_TOKEN"); token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	response, err := r.http.Do(request)
	if err != nil {
		return nil, fmt.Errorf("cannot be reached: %s", preflight.OneLine(err.Error()))
	}
	defer response.Body.Close() //nolint:errcheck // only read from
	data, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	if err != nil {
		return nil, err
	}
	return parse(response.StatusCode, data)
}

// parse reads an answer of the query API. Values that are no number (NaN) are left out.
func parse(status int, data []byte) ([]sample, error) {
	var answer struct {
		Status, Error string
		Data          struct {
			ResultType string
			Result     []struct {
				Metric map[string]string
				Value  [2]any
			}
		}
	}
	if err := json.Unmarshal(data, &answer); err != nil || answer.Status != "success" {
		said := answer.Error
		if said == "" {
			said = fmt.Sprintf("HTTP status %d, and no answer of the query API", status)
		}
		return nil, fmt.Errorf("refused: %s", preflight.OneLine(said))
	}
	if answer.Data.ResultType != "vector" {
		return nil, fmt.Errorf("refused: expected a vector, got %q", answer.Data.ResultType)
	}
	var samples []sample
	for _, result := range answer.Data.Result {
		text, _ := result.Value[1].(string)
		value, err := strconv.ParseFloat(text, 64)
		if err != nil {
			return nil, fmt.Errorf("refused: %q is no value", text)
		}
		if !math.IsNaN(value) {
			samples = append(samples, sample{result.Metric, value})
		}
	}
	return samples, nil
}
