package fakegcp

import (
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Series is what Cloud Monitoring has of one metric and one resource, after alignment.
type Series struct {
	// Type is "compute.googleapis.com/nat/port_usage".
	Type string
	// Metric and Resource are labels.
	Metric, Resource map[string]string
	Points           map[time.Time]float64
}

// timeSeries answers timeSeries.list: the series that the filter admits, with the points of the interval.
func (s *Server) timeSeries(r *http.Request) (Object, bool) {
	query := r.URL.Query()
	from, errFrom := time.Parse(time.RFC3339, query.Get("interval.startTime"))
	to, errTo := time.Parse(time.RFC3339, query.Get("interval.endTime"))
	if errFrom != nil || errTo != nil {
		s.t.Errorf("fake GCP: interval %q to %q", query.Get("interval.startTime"), query.Get("interval.endTime"))
	}
	for _, name := range []string{"aggregation.alignmentPeriod", "aggregation.perSeriesAligner"} {
		if query.Get(name) == "" {
			s.t.Errorf("fake GCP: %s is missing", name)
		}
	}
	found := []Object{}
	for _, series := range s.project.Series {
		if !s.admits(query.Get("filter"), series) {
			continue
		}
		points := []Object{}
		for at, value := range series.Points {
			if at.After(from) && !at.After(to) {
				points = append(points, Object{"interval": Object{"endTime": at.Format(time.RFC3339)}, "value": number(value)})
			}
		}
		found = append(found, Object{"metric": Object{"type": series.Type, "labels": series.Metric}, "resource": Object{"labels": series.Resource}, "points": points})
	}
	return cut(s, r, "timeSeries", found), true
}

// number writes whole values as the API writes integers: as a text.
func number(v float64) Object {
	if v == math.Trunc(v) {
		return Object{"int64Value": strconv.FormatFloat(v, 'f', 0, 64)}
	}
	return Object{"doubleValue": v}
}

// admits understands filters of the form metric.type="..." AND resource.labels.x="...".
func (s *Server) admits(filter string, series Series) bool {
	for _, term := range strings.Split(filter, " AND ") {
		key, value, ok := strings.Cut(term, "=")
		value = strings.Trim(value, `"`)
		switch {
		case !ok:
			s.t.Errorf("fake GCP: filter %q is not understood here", filter)
			return false
		case key == "metric.type":
			if series.Type != value {
				return false
			}
		case strings.HasPrefix(key, "resource.labels."):
			if series.Resource[strings.TrimPrefix(key, "resource.labels.")] != value {
				return false
			}
		case strings.HasPrefix(key, "metric.labels."):
			if series.Metric[strings.TrimPrefix(key, "metric.labels.")] != value {
				return false
			}
		default:
			s.t.Errorf("fake GCP: filter %q is not understood here", filter)
			return false
		}
	}
	return true
}
