// Package gcpmetrics reads from Cloud Monitoring what doctor compares with the plan: the metrics of the Cloud NAT gateways.
//
// It takes the permission monitoring.timeSeries.list (roles/monitoring.viewer) and nothing else. The metrics come once a minute and
// are kept for six weeks; those of the last four minutes have not arrived yet.
package gcpmetrics

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/sallyport/sallyport/doctor"
	"github.com/sallyport/sallyport/preflight/gcpapi"
)

// Action is the permission that reading takes.
const Action = "monitoring.timeSeries.list"

// Source says what to read.
type Source struct {
	Project, Region string
	// Gateways: Name is read, and ID, which is the gateway's name in the cloud.
	Gateways []doctor.Gateway
}

// Read returns the figures of a window. A read that brought no answer is among the problems of the result.
func Read(ctx context.Context, s Source, w doctor.Window) doctor.Measured {
	m := doctor.Measured{Gateways: slices.Clone(s.Gateways)}
	if len(m.Gateways) == 0 {
		return m
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	api, err := gcpapi.New(ctx, "gcp "+s.Project+" "+s.Region)
	if err != nil {
		m.Problems = append(m.Problems, err.Error())
		return m
	}
	r := &reader{api: api, source: s, window: w}
	for i := range m.Gateways {
		if err := r.gateway(ctx, &m.Gateways[i]); err != nil {
			m.Problems = append(m.Problems, problemOf(err))
			return m // the others would say the same
		}
	}
	return m
}

// timeout bounds all calls together.
const timeout = 3 * time.Minute

func problemOf(err error) string {
	var refused *gcpapi.Error
	if errors.As(err, &refused) && refused.Refusal.Action == Action {
		refused.Refusal.Grant = "for example with roles/monitoring.viewer"
	}
	return err.Error()
}

type reader struct {
	api    *gcpapi.Client
	source Source
	window doctor.Window
}

// gateway reads what Cloud NAT tells of a gateway. Google Cloud NAT documentation, "NAT gateway metrics", 2026-04-08.
func (r *reader) gateway(ctx context.Context, g *doctor.Gateway) error {
	if g.ID == "" {
		return nil
	}
	sum := func(into *doctor.Total) func(float64, time.Time) {
		return func(v float64, _ time.Time) { into.Add(v) }
	}
	for _, metric := range []struct {
		name, labels, aligner string
		take                  func(float64, time.Time)
	}{
		{"port_usage", ` AND metric.labels.ip_protocol="TCP"`, "ALIGN_MAX", g.Ports.Raise},
		{"open_connections", ` AND metric.labels.ip_protocol="TCP"`, "ALIGN_MAX", g.Connections.Raise},
		{"new_connections_count", ` AND metric.labels.ip_protocol="TCP"`, "ALIGN_RATE", g.PerSecond.Raise},
		{"dropped_sent_packets_count", ` AND metric.labels.reason="OUT_OF_RESOURCES"`, "ALIGN_DELTA", sum(&g.Dropped)},
		{"nat_allocation_failed", "", "ALIGN_COUNT_TRUE", sum(&g.Unserved)},
	} {
		filter := fmt.Sprintf(`metric.type="router.googleapis.com/nat/%s" AND resource.labels.region=%q AND resource.labels.gateway_name=%q%s`,
			metric.name, r.source.Region, g.ID, metric.labels)
		if err := r.series(ctx, filter, metric.aligner, metric.take); err != nil {
			return err
		}
	}
	// Drops are counted per reason: a gateway that is heard of and never dropped for want of ports has no series of it.
	if g.Ports.Known {
		g.Dropped.Add(0)
	}
	return nil
}

// page is what timeSeries.list answers.
type page struct {
	Series []struct {
		Points []struct {
			Interval struct {
				End time.Time `json:"endTime"`
			} `json:"interval"`
			Value value `json:"value"`
		} `json:"points"`
	} `json:"timeSeries"`
	Next string `json:"nextPageToken"`
}

// value is one of these; 64-bit integers are texts.
type value struct {
	Double *float64 `json:"doubleValue"`
	Int    *string  `json:"int64Value"`
}

func (v value) number() (float64, error) {
	switch {
	case v.Double != nil:
		return *v.Double, nil
	case v.Int != nil:
		return strconv.ParseFloat(*v.Int, 64)
	}
	return 0, fmt.Errorf("a point holds no number")
}

// series gives every point of the series that a filter admits to take, a minute each.
func (r *reader) series(ctx context.Context, filter, aligner string, take func(float64, time.Time)) error {
	query := url.Values{
		"filter":                         {filter},
		"interval.startTime":             {r.window.From.UTC().Format(time.RFC3339)},
		"interval.endTime":               {r.window.To.UTC().Format(time.RFC3339)},
		"aggregation.alignmentPeriod":    {"60s"},
		"aggregation.perSeriesAligner":   {aligner},
		"aggregation.crossSeriesReducer": {"REDUCE_NONE"},
	}
	var wrong error
	err := gcpapi.Pages(ctx, r.api, Action, gcpapi.Monitoring("v3", "projects", r.source.Project, "timeSeries"), query, func(p page) string {
		for _, series := range p.Series {
			for _, point := range series.Points {
				v, err := point.Value.number()
				wrong = errors.Join(wrong, err)
				take(v, point.Interval.End.Add(-time.Minute))
			}
		}
		return p.Next
	})
	if err == nil && wrong != nil {
		return fmt.Errorf("gcp %s: %s: %w", r.source.Project, Action, wrong)
	}
	return err
}
